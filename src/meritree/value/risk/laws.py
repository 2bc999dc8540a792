"""Laws: values with probabilities along the last axis, however they are described.

Samples, weighted samples, quantiles and categorical distributions all become one `Law`; a risk
is called with it (``risk(*law)``) and knows nothing of where it comes from.
"""

from __future__ import annotations

from typing import NamedTuple

from meritree.errors import BadInput
from meritree.value._arrays import (
    Array,
    as_floats,
    broadcast,
    check_floats,
    check_probabilities,
    eps_of,
    namespace,
    readable,
)


class Law(NamedTuple):
    """Finite distributions, one for each leading index.

    Attributes:
        values: ``[..., N]``, in any order.
        weights: ``[..., N]``, >= 0, summing to one along the last axis.
    """

    values: Array
    weights: Array


def law(values: Array, weights: Array | None = None) -> Law:
    """Values ``[..., N]`` with weights that broadcast against them (None: all equal).

    Covers samples, weighted samples, and a categorical distribution given as ``(atoms,
    probabilities)`` with atoms ``[N]`` and probabilities ``[..., N]``.

    Raises:
        BadInput: wrong dtype, empty, NaN, negative weights, weights that do not sum to one,
            shapes that do not fit.
    """
    xp = namespace(values, weights)
    check_floats(xp, values, "values")
    if weights is None:
        return Law(values, xp.full_like(values, 1.0 / values.shape[-1]))
    check_probabilities(xp, weights, "weights")
    if values.shape[-1] != weights.shape[-1]:
        raise BadInput(
            f"values of shape {tuple(values.shape)} and weights of shape {tuple(weights.shape)}: "
            "the last axes must have equal length, one weight a value"
        )
    return Law(*broadcast(xp, {"values": values, "weights": weights}))


def from_quantiles(quantiles: Array, levels: Array | None = None) -> Law:
    """The law whose quantile at ``levels[i]`` is ``quantiles[..., i]``.

    The quantile function is taken constant between the midpoints of neighbouring levels, so that
    the midpoints ``(i + 1/2)/N`` (the default, as in QR-DQN) give equal weights.

    Args:
        quantiles: ``[..., N]``, ascending along the last axis.
        levels: ``[N]``, ascending within (0, 1).

    Raises:
        BadInput: unsorted quantiles or levels, levels outside (0, 1), wrong shapes.
    """
    xp = namespace(quantiles, levels)
    check_floats(xp, quantiles, "quantiles")
    seen = readable(quantiles)
    if seen is not None and bool(namespace(seen).any(seen[..., 1:] < seen[..., :-1])):
        raise BadInput(
            f"quantiles of shape {tuple(quantiles.shape)} are not ascending along the last axis: "
            "sort them, or pass crossing quantiles as samples with law(values)"
        )
    if levels is None:
        return law(quantiles)
    check_floats(xp, levels, "levels")
    if levels.shape != (quantiles.shape[-1],):
        raise BadInput(
            f"levels has shape {tuple(levels.shape)}, quantiles {tuple(quantiles.shape)}: levels "
            f"must have shape ({quantiles.shape[-1]},)"
        )
    seen = readable(levels)
    if seen is not None and not (
        float(seen[0]) > 0.0
        and float(seen[-1]) < 1.0
        and bool(namespace(seen).all(seen[1:] > seen[:-1]))
    ):
        raise BadInput(
            f"levels of shape {tuple(levels.shape)} must be strictly ascending inside (0, 1): "
            "sort them and drop repeated levels"
        )
    zero, one = as_floats(xp, [0.0], levels), as_floats(xp, [1.0], levels)
    edges = xp.concat([zero, 0.5 * (levels[1:] + levels[:-1]), one])
    return law(quantiles, as_floats(xp, xp.diff(edges), quantiles))


def ordered(values: Array, weights: Array | None) -> tuple[Law, Array]:
    """The law sorted by value, and the cumulative weights ``[..., N]`` up to each value."""
    y, w = law(values, weights)
    xp = namespace(y)
    order = xp.argsort(y, axis=-1)
    y, w = xp.take_along_axis(y, order, axis=-1), xp.take_along_axis(w, order, axis=-1)
    return Law(y, w), xp.cumulative_sum(w, axis=-1)


def mean(law_: Law) -> Array:
    """E Y, shape ``[...]``."""
    xp = namespace(law_.values)
    return xp.sum(law_.weights * law_.values, axis=-1)


def quantile_index(cumulative: Array, level: float) -> Array:
    """First index along the last axis at which ``cumulative`` reaches ``level``, ``[...]``.

    A sum of weights that misses the level by rounding counts as having reached it.
    """
    xp = namespace(cumulative)
    n = cumulative.shape[-1]
    reached = (cumulative >= level - 2.0 * n * eps_of(xp, cumulative)) & (cumulative > 0.0)
    short = xp.count_nonzero(~reached, axis=-1)
    return xp.clip(short, 0, n - 1)


def tail_weights(weights: Array, level: float) -> Array:
    """How much each value counts among the worst share 1 - level; sums to one.

    The atom at the quantile counts with the part of it that lies in the tail.

    Args:
        weights: ``[..., N]`` of values in ascending order.
        level: in [0, 1).
    """
    xp = namespace(weights)
    above = 1.0 - xp.cumulative_sum(weights, axis=-1)
    share = 1.0 - level
    tail = xp.clip(above + weights, 0.0, share) - xp.clip(above, 0.0, share)
    return tail / xp.sum(tail, axis=-1, keepdims=True)


def pick(values: Array, index: Array) -> Array:
    """``values[..., index]`` for an index of shape ``[...]``."""
    xp = namespace(values)
    taken = xp.take_along_axis(values, xp.expand_dims(index, axis=-1), axis=-1)
    return xp.squeeze(taken, axis=-1)


def check_level(level: float, name: str = "level") -> None:
    """A confidence level lies in [0, 1).

    Raises:
        BadInput: it does not.
    """
    if not 0.0 <= level < 1.0:
        raise BadInput(
            f"{name}={level}: must lie in [0, 1); the tail that counts has mass 1 - {name}, "
            "so the worst tenth is 0.9"
        )
