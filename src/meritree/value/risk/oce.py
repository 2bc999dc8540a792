"""Optimised certainty equivalents (Ben-Tal and Teboulle 2007), for costs.

inf_v v + E phi(Y - v), with a convex increasing penalty phi, phi(0) = 0, 1 a slope at 0: pay v
now for sure and the penalised rest later.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from meritree.errors import BadInput
from meritree.value._arrays import Array, Namespace, namespace, repeat
from meritree.value.risk.laws import law
from meritree.value.risk.measures import ExpectedShortfall, Mean, Weighted

HALVINGS = 64  # enough for the last bit of a float64 bracket


class Penalty(Protocol):
    """phi, differentiable, and its slope, elementwise."""

    def value(self, xp: Namespace, t: Array) -> Array: ...

    def slope(self, xp: Namespace, t: Array) -> Array: ...


def linear_certainty_equivalent(above: float, below: float = 0.0) -> Weighted:
    """The equivalent with phi(t) = above t^+ - below t^-, in closed form.

    = below E Y + (1 - below) ES_a, a = (above - 1)/(above - below): no search, and gradients are
    right at the kink of phi, where the optimum always lies.

    Args:
        above: slope for costs beyond v, > 1; 1/(1-a) with below = 0 is expected shortfall.
        below: slope for costs under v, in [0, 1).

    Raises:
        BadInput: slopes outside these ranges.
    """
    if not 0.0 <= below < 1.0 < above < math.inf:
        raise BadInput(f"slopes below={below}, above={above}: need 0 <= below < 1 < above < inf")
    level = (above - 1.0) / (above - below)
    return Weighted(((below, Mean()), (1.0 - below, ExpectedShortfall(level))))


@dataclass(frozen=True)
class Exponential:
    """phi(t) = (exp(theta t) - 1)/theta: gives the entropic risk.

    Attributes:
        theta: > 0.
    """

    theta: float

    def __post_init__(self) -> None:
        if not self.theta > 0.0:
            raise BadInput(f"theta={self.theta}: must be above 0")

    def value(self, xp: Namespace, t: Array) -> Array:
        return xp.expm1(self.theta * t) / self.theta

    def slope(self, xp: Namespace, t: Array) -> Array:
        return xp.exp(self.theta * t)


@dataclass(frozen=True)
class Quadratic:
    """phi(t) = t + c t^2/2 for t >= -1/c, constant below: the monotone mean-variance.

    Equal to E Y + (c/2) Var Y while no cost lies more than 1/c under the mean.

    Attributes:
        c: > 0, in inverse units of cost.
    """

    c: float

    def __post_init__(self) -> None:
        if not self.c > 0.0:
            raise BadInput(f"c={self.c}: must be above 0")

    def value(self, xp: Namespace, t: Array) -> Array:
        s = xp.clip(t, -1.0 / self.c, None)
        return s + 0.5 * self.c * s * s

    def slope(self, xp: Namespace, t: Array) -> Array:
        return 1.0 + self.c * xp.clip(t, -1.0 / self.c, None)


@dataclass(frozen=True)
class OptimisedCertaintyEquivalent:
    """inf_v v + E phi(Y - v). Convex, monotone, and rho(Y + c) = rho(Y) + c.

    Attributes:
        penalty: phi.
    """

    penalty: Penalty

    def __call__(self, costs: Array, weights: Array | None = None) -> Array:
        y, w = law(costs, weights)
        xp = namespace(y)
        v = self.best(y, w)
        rest = self.penalty.value(xp, y - xp.expand_dims(v, axis=-1))
        # The slope in v is 0 at the optimum, so gradients through v vanish by themselves.
        return v + xp.sum(w * rest, axis=-1)

    def best(self, costs: Array, weights: Array | None = None) -> Array:
        """The sure payment v, shape ``[...]``: E phi'(Y - v) = 1, found by bisection."""
        y, w = law(costs, weights)
        xp = namespace(y)

        def pays_too_little(v: Array) -> Array:
            slope = self.penalty.slope(xp, y - xp.expand_dims(v, axis=-1))
            return xp.sum(w * slope, axis=-1) > 1.0

        return bisect(xp, pays_too_little, xp.min(y, axis=-1), xp.max(y, axis=-1))


def bisect(xp: Namespace, too_small: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """The point in [low, high] where a decreasing condition stops holding, elementwise."""

    def halve(bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = 0.5 * (low + high)
        up = too_small(middle)
        return xp.where(up, middle, low), xp.where(up, high, middle)

    low, high = repeat(HALVINGS, halve, (low, high), low)
    return 0.5 * (low + high)
