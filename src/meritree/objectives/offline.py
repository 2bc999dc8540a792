"""Terms that keep values honest away from the data, and those that learn from demonstrations.

Each is one term of a sum; its coefficient is the trainer's. Learning from preferences between
segments (IPL: implied rewards, links, chi-squared) is in `segments` and `links`.
"""

from __future__ import annotations

import math

from meritree.objectives._namespace import Array, Namespace, check, take
from meritree.objectives.special import logsumexp, softmax


def cql(q_data: Array, q_all: Array) -> Array:
    """log sum_a exp q(a) - q(a_data) over all discrete actions: high where the data are not.

    Args:
        q_data: value of the action in the data, [...].
        q_all: values of all actions, [..., A].

    Returns:
        [...], > 0 when q_data is one of q_all.

    Source: Kumar et al. (2020), arXiv:2006.04779, eq. 4, CQL(H).
    """
    check("cql", q_data=(q_data, "..."), q_all=(q_all, "... A"))
    return logsumexp(q_all) - q_data


def cql_sampled(q_data: Array, q_sampled: Array, log_density: Array) -> Array:
    """`cql` for continuous actions, the integral estimated by importance sampling.

    log (1/n) sum_i exp(q_i - log mu(a_i)) - q(a_data). The released code leaves 1/n out, which
    changes no gradient.

    Args:
        q_data: [...].
        q_sampled: values of n sampled actions; `calibrated` ones for Cal-QL, [..., n].
        log_density: log density each of them was drawn with, [..., n].

    Returns:
        [...].

    Source: Kumar et al. (2020), arXiv:2006.04779, appendix F.
    """
    check(
        "cql_sampled", q_data=(q_data, "..."), q_sampled=(q_sampled, "... n"),
        log_density=(log_density, "... n"),
    )  # fmt: skip
    return logsumexp(q_sampled - log_density) - math.log(q_sampled.shape[-1]) - q_data


def calibrated(q_sampled: Array, floor_sg: Array) -> Array:
    """max(q, floor): values of sampled actions are pushed down only to a known policy's return.

    Args:
        q_sampled: [..., n].
        floor_sg: value of the reference policy, e.g. the return that the data went on to, [...].

    Source: Nakamoto et al. (2023), arXiv:2303.05479, eq. 5 (Cal-QL).
    """
    xp = check("calibrated", q_sampled=(q_sampled, "... n"), floor_sg=(floor_sg, "..."))
    return xp.maximum(q_sampled, xp.expand_dims(floor_sg, axis=-1))


def csve(
    v_ood: Array, v_data: Array, multiplier_sg: Array | float, weight: float, budget: float
) -> Array:
    """multiplier (weight (V(s_ood) - V(s_data)) - budget): low values at states off the data.

    Args:
        v_ood: values of states a model leads to, [...].
        v_data: values of states of the data, [...].
        multiplier_sg: >= 0, held fixed here and raised by `multiplier_loss`.
        weight: > 0.
        budget: how large the weighted gap may be, tau.

    Source: Chen et al. (2023), Conservative State Value Estimation, arXiv:2302.06884, and its
    released code.
    """
    check(
        "csve", v_ood=(v_ood, "..."), v_data=(v_data, "..."),
        multiplier_sg=(multiplier_sg, "... or number"),
    )  # fmt: skip
    return multiplier_sg * (weight * (v_ood - v_data) - budget)


def multiplier_loss(multiplier: Array, violation_sg: Array) -> Array:
    """-multiplier violation: minimised, it raises the multiplier while the constraint is broken.

    Args:
        multiplier: >= 0 (exp or softplus of a parameter), [...] or without axes.
        violation_sg: how far the constraint is exceeded, [...].
    """
    check(
        "multiplier_loss", multiplier=(multiplier, "... or number"),
        violation_sg=(violation_sg, "..."),
    )  # fmt: skip
    return -multiplier * violation_sg


def margin(q: Array, a: Array, width: float) -> Array:
    """mean_b max(0, width - (q(a) - q(b))): the demonstrated action leads by at least ``width``.

    The term b = a is the constant width / A.

    Args:
        q: [..., A].
        a: the demonstrated action, integers [...].
        width: > 0.

    Source: Seo and Abbeel (2024), CQN-AS, released code; system S032.
    """
    xp = check("margin", q=(q, "... A"), a=(a, "int ..."))
    lead = xp.expand_dims(take(xp, q, a), axis=-1) - q
    return xp.mean(xp.clip(width - lead, min=0.0), axis=-1)


def large_margin(q: Array, a: Array, width: float) -> Array:
    """max_b (q(b) + width 1[b != a]) - q(a) >= 0. [..., A], integers [...] -> [...].

    Source: Hester et al. (2018), arXiv:1704.03732, DQfD.
    """
    xp = check("large_margin", q=(q, "... A"), a=(a, "int ..."))
    other = xp.arange(q.shape[-1]) != xp.expand_dims(a, axis=-1)
    return xp.max(q + width * xp.astype(other, q.dtype), axis=-1) - take(xp, q, a)


def fosd(logits: Array, a: Array) -> Array:
    """mean_b sum_i max(0, F_a(z_i) - F_b(z_i)): the demonstrated action dominates all others.

    First-order stochastic dominance of its distribution of returns; 0 exactly when it holds.

    Args:
        logits: categorical values of each action, [..., A, m].
        a: the demonstrated action, integers [...].

    Source: Seo and Abbeel (2024), CQN-AS, released code; system S032.
    """
    xp = check("fosd", logits=(logits, "... A m"), a=(a, "int ..."))
    cdf = xp.cumulative_sum(softmax(logits), axis=-1)
    own = xp.expand_dims(take(xp, cdf, a, trailing=1), axis=-2)
    return xp.mean(xp.sum(xp.clip(own - cdf, min=0.0), axis=-1), axis=-1)


def soft_advantages(raw: Array, temperature: float) -> Array:
    """raw - temperature log sum exp(raw / temperature): then sum_a exp(A(a) / temperature) = 1.

    [..., A] -> [..., A]; exp(A / temperature) is a policy. Source: system S069 (ARSQ).
    """
    xp = check("soft_advantages", raw=(raw, "... A"))
    return raw - temperature * xp.expand_dims(logsumexp(raw / temperature), axis=-1)


def arsq_bc(advantage: Array, a: Array, floor: float) -> Array:
    """sum_b max(A(b) - A(a), floor): other actions are pushed below the demonstrated one.

    Args:
        advantage: soft advantages, [..., A].
        a: the demonstrated action, integers [...].
        floor: < 0; a gap below it counts as enough.

    Source: system S069 (ARSQ, auto-regressive soft Q-network).
    """
    xp = check("arsq_bc", advantage=(advantage, "... A"), a=(a, "int ..."))
    gap = advantage - xp.expand_dims(take(xp, advantage, a), axis=-1)
    return xp.sum(xp.clip(gap, min=floor), axis=-1)


def smoothness(q_perturbed: Array, q: Array) -> Array:
    """(Q(s + d, a) - Q(s, a))^2 for a small (adversarial) d, both differentiable. [...] each.

    Source: system S040, robust regularisation of a model-based value.
    """
    check("smoothness", q_perturbed=(q_perturbed, "..."), q=(q, "..."))
    return (q_perturbed - q) ** 2


def gradient_penalty(gradient: Array, bound: float) -> Array:
    """max(0, |gradient| - bound)^2, a soft Lipschitz bound. [..., D] -> [...]; flat at 0."""
    xp = check("gradient_penalty", gradient=(gradient, "... D"))
    size2 = xp.sum(gradient**2, axis=-1)
    steep = size2 > bound**2
    size = xp.sqrt(xp.where(steep, size2, xp.ones_like(size2)))
    return xp.where(steep, (size - bound) ** 2, xp.zeros_like(size))


def spectral_norm(weight: Array, v_sg: Array, steps: int = 1) -> tuple[Array, Array]:
    """Largest singular value of a matrix by power iteration, and the vector to go on from.

    Args:
        weight: [m, n]; the estimate is differentiable in it.
        v_sg: a guess of the right singular vector, not orthogonal to it, [n].
        steps: >= 1 iterations; kept over updates, one is enough.

    Returns:
        sigma (no axes, at most the true value), and the improved unit vector [n] (detach it).

    Source: Miyato et al. (2018), arXiv:1802.05957, algorithm 1.
    """
    xp = check("spectral_norm", weight=(weight, "m n"), v_sg=(v_sg, "n"))
    v = _unit(xp, v_sg)
    for _ in range(steps):
        v = _unit(xp, weight.T @ (weight @ v))
    return xp.sqrt(xp.sum((weight @ v) ** 2)), v


def spectral_scaled(weight: Array, sigma: Array, bound: float) -> Array:
    """weight min(1, bound / sigma): a layer whose Lipschitz constant is at most ``bound``.

    Args:
        weight: [m, n].
        sigma: its largest singular value, an array without axes.
        bound: > 0.
    """
    xp = check("spectral_scaled", weight=(weight, "m n"), sigma=(sigma, ""))
    return weight * xp.clip(bound / sigma, max=1.0)


def _unit(xp: Namespace, x: Array) -> Array:
    return x / xp.sqrt(xp.sum(x**2) + 1e-30)
