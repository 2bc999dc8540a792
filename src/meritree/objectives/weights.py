"""How much each row of a batch should count. Nothing here is differentiated but `scale_loss`."""

from __future__ import annotations

import math

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, check


def inverse_variance(variance: Array, scale: Array | float = 1.0, floor: float = 0.1) -> Array:
    """max(scale / variance, floor): rows count by how predictable their targets are.

    Args:
        variance: estimated variance of the target, > 0, [...].
        scale: eta > 0, learned with `scale_loss` so that the weights are 1 on average.
        floor: smallest weight.

    Source: Kitamura et al. (2023), arXiv:2305.13185, and its released code (DVW).
    """
    xp = check("inverse_variance", variance=(variance, "..."), scale=(scale, "... or number"))
    return xp.clip(scale / variance, min=floor)


def scale_loss(log_scale: Array, variance_sg: Array) -> Array:
    """(mean(exp(log_scale) / variance) - 1)^2. An array without axes, [...] -> no axes."""
    xp = check("scale_loss", log_scale=(log_scale, ""), variance_sg=(variance_sg, "..."))
    return (xp.mean(xp.exp(log_scale) / variance_sg) - 1.0) ** 2


def unit_mean(weight: Array) -> Array:
    """The weights divided by their mean: the learning rate keeps its meaning. Any shape."""
    xp = check("unit_mean", weight=(weight, "..."))
    return weight / xp.mean(weight)


def priorities(error: Array, alpha: float = 0.6, epsilon: float = 1e-6) -> Array:
    """(|error| + epsilon)^alpha, unnormalised probabilities of being sampled. [...] -> [...].

    Source: Schaul et al. (2016), arXiv:1511.05952, section 3.3.
    """
    xp = check("priorities", error=(error, "..."))
    return (xp.abs(error) + epsilon) ** alpha


def prioritised(probability: Array, size: int, beta: float = 0.4) -> Array:
    """(size probability)^-beta / its maximum: undoes the bias of prioritised sampling at beta = 1.

    Args:
        probability: with which each row was sampled, > 0, [...].
        size: number of rows in the memory.
        beta: in [0, 1].

    Source: Schaul et al. (2016), arXiv:1511.05952, section 3.4.
    """
    xp = check("prioritised", probability=(probability, "..."))
    weight = (size * probability) ** -beta
    return weight / xp.max(weight)


def awr(advantage: Array, temperature: float, cap: float = 100.0) -> Array:
    """min(exp(advantage / temperature), cap), weights of behaviour cloning. [...] -> [...].

    The exponent is bounded first, so that nothing overflows.

    Source: Peng et al. (2019), arXiv:1910.00177; Kostrikov et al. (2021), arXiv:2110.06169.
    """
    xp = check("awr", advantage=(advantage, "..."))
    if temperature <= 0.0 or cap <= 0.0:
        raise BadInput(f"awr: temperature={temperature} and cap={cap} must be above 0")
    return xp.exp(xp.clip(advantage / temperature, max=math.log(cap)))


def optimistic(q_tot: Array, target: Array, alpha: float) -> Array:
    """1 where the mixed value is below its target, alpha elsewhere. [...] twice -> [...].

    Source: Rashid et al. (2020), arXiv:2006.10800, optimistically weighted QMIX; alpha in (0, 1].
    """
    xp = check("optimistic", q_tot=(q_tot, "..."), target=(target, "..."))
    return xp.where(q_tot < target, xp.ones_like(q_tot), xp.full_like(q_tot, alpha))


def fictitious_log_likelihood(y: Array, y_members: Array, epsilon: float = 1e-8) -> Array:
    """log N(y; mean, std) of the members' values of the same state, up to a constant.

    How plausible a source transition's value is under models of the target domain.

    Args:
        y: value target of the source transition, [...].
        y_members: value targets imagined by M models, [..., M].
        epsilon: added to the standard deviation.

    Source: Xu et al. (2023), arXiv:2305.17625, and its released code (VGDF).
    """
    xp = check("fictitious_log_likelihood", y=(y, "..."), y_members=(y_members, "... M"))
    std = xp.std(y_members, axis=-1) + epsilon
    return -0.5 * ((y - xp.mean(y_members, axis=-1)) / std) ** 2 - xp.log(std)


def top_share(score: Array, share: float) -> Array:
    """1 for the rows with the highest scores, 0 for the others; ceil(share B) rows, all ties.

    Args:
        score: [B].
        share: in (0, 1], of rows to keep (0.25 in VGDF).
    """
    xp = check("top_share", score=(score, "B"))
    if not 0.0 < share <= 1.0:
        raise BadInput(f"top_share: share is {share}, must lie in (0, 1]")
    rows = score.shape[0]
    kept = max(1, math.ceil(share * rows))
    threshold = xp.sort(score)[rows - kept]
    return xp.astype(score >= threshold, score.dtype)
