"""How far a policy is from its reference: estimators from samples, exact sums, closed forms.

Everything is a function of h = log pi - log pi_ref, u = e^h; who sampled the tokens is the
caller's to know (`DRAWS_FROM` says who must have).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, Namespace, check
from meritree.objectives.special import log_sigmoid, log_softmax, softplus

F: TypeAlias = Literal["reverse_kl", "forward_kl", "js", "alpha", "chi2", "tv"]
"""Which f-divergence D_f(pi || ref) = sum ref f(pi / ref)."""

DRAWS_FROM: Mapping[str, Literal["policy", "ref"]] = {
    "k1": "policy", "k2": "policy", "k3": "policy",
    "fkl_gen": "ref", "js_gen": "ref", "alpha_gen": "ref",
}  # fmt: skip
"""Whose samples make each estimator's mean a divergence; others' samples do not."""

_INVERTIBLE = ("reverse_kl", "forward_kl", "js", "alpha", "chi2")


def k1(logp: Array, ref_logp: Array) -> Array:
    """h. Its mean over samples of pi is KL(pi || ref); single values may be negative.

    Schulman 2020, "Approximating KL divergence". Shapes [...], equal.
    """
    check("k1", logp=(logp, "..."), ref_logp=(ref_logp, "..."))
    return logp - ref_logp


def k2(logp: Array, ref_logp: Array) -> Array:
    """h^2 / 2. Biased for KL(pi || ref), with little variance.

    On samples of pi its gradient has the KL's gradient as its mean. Schulman 2020.
    Shapes [...], equal.
    """
    check("k2", logp=(logp, "..."), ref_logp=(ref_logp, "..."))
    return 0.5 * (logp - ref_logp) ** 2


def k3(logp: Array, ref_logp: Array) -> Array:
    """1/u - 1 + log u >= 0, zero at u = 1. Its mean over samples of pi is KL(pi || ref).

    Schulman 2020; the KL term of GRPO. Shapes [...], equal.
    """
    xp = check("k3", logp=(logp, "..."), ref_logp=(ref_logp, "..."))
    back = ref_logp - logp
    return xp.expm1(back) - back


def fkl_gen(logp: Array, ref_logp: Array) -> Array:
    """u - 1 - log u >= 0. Its mean over samples of ref is KL(ref || pi).

    DPH-RL (Li et al. 2025), the forward mode of the released code (k3 with its arguments
    swapped). Shapes [...], equal.
    """
    check("fkl_gen", logp=(logp, "..."), ref_logp=(ref_logp, "..."))
    return generator(logp - ref_logp, "forward_kl")


def js_gen(logp: Array, ref_logp: Array) -> Array:
    """u log u - (u + 1) log((u + 1) / 2) >= 0.

    Its mean over samples of ref is KL(pi || m) + KL(ref || m), m = (pi + ref) / 2: twice the
    Jensen-Shannon divergence. DPH-RL, `js_low_var` of the released code. Shapes [...], equal.
    """
    check("js_gen", logp=(logp, "..."), ref_logp=(ref_logp, "..."))
    return generator(logp - ref_logp, "js")


def alpha_gen(logp: Array, ref_logp: Array, alpha: float = 0.2) -> Array:
    """(u^(1-a) - (1-a) u - a) / (a (a - 1)) >= 0, 0 < a < 1.

    Its mean over samples of ref is an alpha-divergence: a -> 0 gives KL(pi || ref), a -> 1 gives
    KL(ref || pi). DPH-RL, `alpha_divergence_f` of the released code (a = 0.2). Shapes [...], equal.

    Raises:
        BadInput: alpha outside (0, 1).
    """
    check("alpha_gen", logp=(logp, "..."), ref_logp=(ref_logp, "..."))
    return generator(logp - ref_logp, "alpha", alpha)


def generator(h: Array, f: F, alpha: float = 0.5) -> Array:
    """f(e^h), in the form with f(1) = f'(1) = 0, so that it is >= 0 and zero at h = 0.

    reverse_kl: u log u - u + 1; forward_kl: u - 1 - log u; js and alpha: as `js_gen` and
    `alpha_gen`; chi2: (u - 1)^2 (Pearson); tv: |u - 1| / 2 (total variation).

    Args:
        h: log pi - log ref, any shape.
        f: the divergence.
        alpha: order of ``alpha``, unused otherwise.

    Raises:
        BadInput: unknown ``f``, or alpha outside (0, 1).
    """
    xp = check("generator", h=(h, "..."))
    _check_f("generator", f, alpha)
    if f == "reverse_kl":
        return _exp(xp, h) * h - _expm1(xp, h)
    if f == "forward_kl":
        return _expm1(xp, h) - h
    if f == "js":
        log2 = math.log(2.0)
        return _exp(xp, h) * (log2 + log_sigmoid(h)) - (softplus(h) - log2)
    if f == "alpha":
        numerator = _expm1(xp, (1.0 - alpha) * h) - (1.0 - alpha) * _expm1(xp, h)
        return numerator / (alpha * (alpha - 1.0))
    ratio = _expm1(xp, h)
    return ratio**2 if f == "chi2" else 0.5 * xp.abs(ratio)


def derivative(h: Array, f: F, alpha: float = 0.5) -> Array:
    """f'(u) at u = e^h up to a constant, the implicit reward of f-DPO divided by beta.

    reverse_kl: h; forward_kl: -1/u; js: log(2u / (1 + u)); alpha: (1 - u^-alpha) / alpha;
    chi2: 2 (u - 1). Wang et al. 2024 (arXiv 2309.16240), table 1, as in their released code.

    Args:
        h: log pi - log ref, any shape.
        f: the divergence; ``tv`` has no invertible derivative.
        alpha: order of ``alpha``, in (0, 1).

    Raises:
        BadInput: unknown or not invertible ``f``, or alpha outside (0, 1).
    """
    xp = check("derivative", h=(h, "..."))
    _check_f("derivative", f, alpha, invertible=True)
    if f == "reverse_kl":
        return h
    if f == "forward_kl":
        return -_exp(xp, -h)
    if f == "js":
        return math.log(2.0) + log_sigmoid(h)
    if f == "alpha":
        return -_expm1(xp, -alpha * h) / alpha
    return 2.0 * _expm1(xp, h)


def divergence(dist: Array, ref_dist: Array, f: F = "reverse_kl", alpha: float = 0.5) -> Array:
    """D_f(pi || ref) = sum_v ref_v f(pi_v / ref_v), exactly, over the last axis.

    Args:
        dist, ref_dist: log-probabilities [..., V], finite.
        f, alpha: see `generator`.

    Returns:
        [...], >= 0.
    """
    xp = check("divergence", dist=(dist, "... V"), ref_dist=(ref_dist, "... V"))
    if f in ("reverse_kl", "forward_kl"):
        return full_kl(dist, ref_dist, "pi_ref" if f == "reverse_kl" else "ref_pi")
    return xp.sum(xp.exp(ref_dist) * generator(dist - ref_dist, f, alpha), axis=-1)


def full_kl(
    dist: Array, ref_dist: Array, direction: Literal["pi_ref", "ref_pi"] = "pi_ref"
) -> Array:
    """KL(pi || ref) (``pi_ref``) or KL(ref || pi) (``ref_pi``), exactly, over the last axis.

    Args:
        dist, ref_dist: log-probabilities [..., V], finite.
        direction: whose probabilities weigh the log-ratio.

    Returns:
        [...], >= 0.

    Raises:
        BadInput: an unknown direction.
    """
    xp = check("full_kl", dist=(dist, "... V"), ref_dist=(ref_dist, "... V"))
    if direction == "pi_ref":
        return xp.sum(xp.exp(dist) * (dist - ref_dist), axis=-1)
    if direction == "ref_pi":
        return xp.sum(xp.exp(ref_dist) * (ref_dist - dist), axis=-1)
    raise BadInput(f"full_kl: direction is {direction!r}; use 'pi_ref' or 'ref_pi'")


def best_policy(
    reward: Array, ref_logp: Array, beta: float, f: F = "reverse_kl", alpha: float = 0.5
) -> Array:
    """argmax over pi of E_pi[reward] - beta D_f(pi || ref), as probabilities.

    By KKT pi_a = ref_a g((r_a - lambda) / beta) with g the inverse of f'; lambda by bisection on
    f' at the best action, which lies between f'(1) and f'(1 / ref) because the best action's
    ratio is the largest and the ratios average to 1. For ``chi2`` negative ratios are cut at 0.
    Wang et al. 2024, theorem 1. Not meant to be differentiated.

    Args:
        reward, ref_logp: [..., A], double precision for errors near 1e-12.
        beta: > 0.

    Returns:
        pi, [..., A].

    Raises:
        BadInput: beta <= 0, or see `derivative`.
    """
    xp = check("best_policy", reward=(reward, "... A"), ref_logp=(ref_logp, "... A"))
    _check_f("best_policy", f, alpha, invertible=True)
    if not beta > 0.0:
        raise BadInput(f"best_policy: beta is {beta}; it must be above 0")
    below = (reward - xp.max(reward, axis=-1, keepdims=True)) / beta
    if f == "reverse_kl":
        return xp.exp(log_softmax(ref_logp + below))
    ref = xp.exp(ref_logp)
    best = xp.min(xp.where(below < 0.0, xp.max(ref), ref), axis=-1, keepdims=True)
    low = derivative(xp.zeros_like(best), f, alpha)
    high = derivative(-xp.log(best), f, alpha)
    for _ in range(200):
        middle = 0.5 * (low + high)
        mass = xp.sum(ref * _inverse(xp, middle + below, f, alpha), axis=-1, keepdims=True)
        low = xp.where(mass < 1.0, middle, low)
        high = xp.where(mass < 1.0, high, middle)
    pi = ref * _inverse(xp, 0.5 * (low + high) + below, f, alpha)
    return pi / xp.sum(pi, axis=-1, keepdims=True)


def psi_policy(
    ref_logp: Array,
    preferred: Array,
    opponent: Array,
    tau: float,
    psi: Callable[[Array], Array] | None = None,
) -> Array:
    """argmax over pi of E Psi(p(y > y')) - tau KL(pi || ref), as probabilities.

    pi(y) is proportional to ref(y) exp(sum_y' mu(y') Psi(p(y > y')) / tau): Azar et al. 2024
    (arXiv 2310.12036), equation 7. The identity gives IPO; the logit under a Bradley-Terry
    preference gives RLHF and DPO. An oracle for every pair loss on small sets.

    Args:
        ref_logp: [A].
        preferred: p(y > y'), [A, A], rows y.
        opponent: mu, [A], probabilities of y'.
        tau: > 0.
        psi: elementwise; None for the identity.

    Returns:
        pi, [A].

    Raises:
        BadInput: tau <= 0 or shapes that do not fit.
    """
    xp = check(
        "psi_policy",
        ref_logp=(ref_logp, "A"),
        preferred=(preferred, "A A"),
        opponent=(opponent, "A"),
    )
    if not tau > 0.0:
        raise BadInput(f"psi_policy: tau is {tau}; it must be above 0")
    worth = preferred if psi is None else psi(preferred)
    return xp.exp(log_softmax(ref_logp + xp.sum(worth * opponent[None, :], axis=-1) / tau))


def _check_f(where: str, f: str, alpha: float, *, invertible: bool = False) -> None:
    """Raise `BadInput` unless ``f`` is known (and invertible if asked) and alpha fits it."""
    if f not in _INVERTIBLE and (invertible or f != "tv"):
        known = ", ".join(_INVERTIBLE if invertible else (*_INVERTIBLE, "tv"))
        raise BadInput(f"{where}: f is {f!r}; use one of {known}")
    if f == "alpha" and not 0.0 < alpha < 1.0:
        raise BadInput(
            f"{where}: alpha is {alpha}; it must lie in (0, 1): 0 is reverse_kl, 1 is forward_kl"
        )


def _inverse(xp: Namespace, z: Array, f: F, alpha: float) -> Array:
    """The ratio u with f'(u) = z (constants as in `derivative`); 0 where f' never gets so low."""
    if f == "forward_kl":
        return -1.0 / z
    if f == "js":
        # z = log(2u / (1 + u)): u = e^z / (2 - e^z).
        return 1.0 / (2.0 * xp.exp(-z) - 1.0)
    if f == "alpha":
        return (1.0 - alpha * z) ** (-1.0 / alpha)
    return xp.clip(1.0 + 0.5 * z, min=0.0)


def _exp(xp: Namespace, x: Array) -> Array:
    """exp that stays finite: exponents end at nine tenths of what the dtype can hold."""
    return xp.exp(xp.clip(x, max=_limit(xp, x)))


def _expm1(xp: Namespace, x: Array) -> Array:
    return xp.expm1(xp.clip(x, max=_limit(xp, x)))


def _limit(xp: Namespace, x: Array) -> float:
    return 0.9 * math.log(float(xp.finfo(x.dtype).max))
