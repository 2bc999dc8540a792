"""Risks of costs: functions from laws ``(values [..., N], weights [..., N])`` to numbers ``[...]``.

Larger values are worse and a larger risk is worse. Rewards are judged through `as_score`, which
says so by its name. Every measure is a callable ``risk(costs, weights=None)``; `laws` makes the
two arguments of samples, quantiles or atoms with probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from meritree.errors import BadInput
from meritree.value._arrays import Array, namespace
from meritree.value.risk.laws import (
    check_level,
    law,
    mean,
    ordered,
    pick,
    quantile_index,
    tail_weights,
)


class Risk(Protocol):
    """A number for each law of costs; larger is worse."""

    def __call__(self, costs: Array, weights: Array | None = None) -> Array: ...


class Score(Protocol):
    """A number for each law of rewards; larger is better. What a value head maximises."""

    def __call__(self, rewards: Array, weights: Array | None = None) -> Array: ...


def as_score(risk: Risk) -> Score:
    """The score -risk(-rewards): larger is better, and the tail that counts is the low one.

    ``as_score(ExpectedShortfall(0.9))`` is the mean of the worst tenth of the rewards (CVaR).
    """

    def score(rewards: Array, weights: Array | None = None) -> Array:
        namespace(rewards, weights)
        return -risk(-rewards, weights)

    return score


@dataclass(frozen=True)
class Mean:
    """E Y: the risk-neutral case."""

    def __call__(self, costs: Array, weights: Array | None = None) -> Array:
        return mean(law(costs, weights))


@dataclass(frozen=True)
class ValueAtRisk:
    """inf{y : P(Y <= y) >= level}, the lower quantile.

    Attributes:
        level: in [0, 1).
    """

    level: float

    def __post_init__(self) -> None:
        check_level(self.level)

    def __call__(self, costs: Array, weights: Array | None = None) -> Array:
        sorted_, cumulative = ordered(costs, weights)
        return pick(sorted_.values, quantile_index(cumulative, self.level))


@dataclass(frozen=True)
class ExpectedShortfall:
    """Mean of the worst share 1 - level: (1/(1-a)) int_a^1 VaR_u du, exact for finite laws.

    Equal to min_v v + E(Y - v)^+/(1-a) (Rockafellar and Uryasev 2000); an atom at the quantile
    counts with the part of its weight that lies in the tail. Level 0 is the mean.

    Attributes:
        level: in [0, 1).
    """

    level: float

    def __post_init__(self) -> None:
        check_level(self.level)

    def __call__(self, costs: Array, weights: Array | None = None) -> Array:
        (y, w), _ = ordered(costs, weights)
        xp = namespace(y)
        return xp.sum(tail_weights(w, self.level) * y, axis=-1)


@dataclass(frozen=True)
class Distortion:
    """sum_i y_(i) [g(1 - W_{i-1}) - g(1 - W_i)]: the tail's probabilities distorted by g.

    Coherent where g is concave; g(s) = min(s/(1-a), 1) is expected shortfall, g(s) = s the mean.

    Attributes:
        g: increasing, elementwise on arrays, g(0) = 0 and g(1) = 1.
    """

    g: Callable[[Array], Array]

    def __call__(self, costs: Array, weights: Array | None = None) -> Array:
        sorted_, cumulative = ordered(costs, weights)
        xp = namespace(cumulative)
        survival = xp.clip(1.0 - cumulative, 0.0, 1.0)
        before = xp.clip(1.0 - cumulative + sorted_.weights, 0.0, 1.0)
        return xp.sum((self.g(before) - self.g(survival)) * sorted_.values, axis=-1)


@dataclass(frozen=True)
class Entropic:
    """(1/theta) log E exp(theta Y): the certainty equivalent of an exponential utility.

    theta > 0 fears large costs, theta < 0 seeks them; theta -> 0 is the mean.

    Attributes:
        theta: finite, not 0; in inverse units of cost.
    """

    theta: float

    def __post_init__(self) -> None:
        if self.theta == 0.0 or self.theta - self.theta != 0.0:
            raise BadInput(f"theta={self.theta}: must be finite and not 0; Mean() is the limit")

    def __call__(self, costs: Array, weights: Array | None = None) -> Array:
        y, w = law(costs, weights)
        return log_mean_exp(self.theta * y, w) / self.theta


@dataclass(frozen=True)
class MeanVariance:
    """E Y + lam Var Y. Not monotone: use it knowing that.

    Attributes:
        lam: in inverse units of cost.
    """

    lam: float

    def __call__(self, costs: Array, weights: Array | None = None) -> Array:
        distribution = law(costs, weights)
        return mean(distribution) + self.lam * variance(*distribution)


@dataclass(frozen=True)
class Expectile:
    """The v with level E(Y - v)^+ = (1 - level) E(v - Y)^+; coherent for level >= 1/2.

    Exact for finite laws: for level >= 1/2 the largest of the N values obtained by declaring the
    k smallest costs to lie below (its dual representation), for level <= 1/2 the smallest.

    Attributes:
        level: in (0, 1); 1/2 is the mean.
    """

    level: float

    def __post_init__(self) -> None:
        if not 0.0 < self.level < 1.0:
            raise BadInput(f"level={self.level}: an expectile's level lies in (0, 1)")

    def __call__(self, costs: Array, weights: Array | None = None) -> Array:
        (y, w), below = ordered(costs, weights)
        xp = namespace(y)
        partial = xp.cumulative_sum(w * y, axis=-1)
        total = xp.sum(w * y, axis=-1, keepdims=True)
        mass = xp.sum(w, axis=-1, keepdims=True)
        a = self.level
        candidates = (a * (total - partial) + (1.0 - a) * partial) / (
            a * (mass - below) + (1.0 - a) * below
        )
        return xp.max(candidates, axis=-1) if a >= 0.5 else xp.min(candidates, axis=-1)


@dataclass(frozen=True)
class Weighted:
    """sum_i weight_i risk_i: for example half mean, half expected shortfall.

    Attributes:
        parts: pairs of weight (>= 0) and risk.
    """

    parts: tuple[tuple[float, Risk], ...]

    def __post_init__(self) -> None:
        if not self.parts or any(weight < 0.0 for weight, _ in self.parts):
            weights = [weight for weight, _ in self.parts]
            raise BadInput(f"parts with weights {weights}: give at least one, all weights >= 0")

    def __call__(self, costs: Array, weights: Array | None = None) -> Array:
        first, *rest = (weight * risk(costs, weights) for weight, risk in self.parts)
        return sum(rest, start=first)


def variance(costs: Array, weights: Array | None = None) -> Array:
    """E(Y - E Y)^2, the weights taken as probabilities (no correction for their number)."""
    y, w = law(costs, weights)
    xp = namespace(y)
    centred = y - xp.sum(w * y, axis=-1, keepdims=True)
    return xp.sum(w * centred * centred, axis=-1)


def log_mean_exp(values: Array, weights: Array) -> Array:
    """log sum_i w_i exp(values_i) along the last axis, without overflow."""
    xp = namespace(values)
    values = held(values, weights)
    top = xp.max(values, axis=-1, keepdims=True)
    return xp.squeeze(top, axis=-1) + xp.log(xp.sum(weights * xp.exp(values - top), axis=-1))


def held(values: Array, weights: Array) -> Array:
    """The values, those without weight replaced by the largest that has some."""
    xp = namespace(values)
    lowest = xp.min(values, axis=-1, keepdims=True)
    top = xp.max(xp.where(weights > 0.0, values, lowest), axis=-1, keepdims=True)
    return xp.where(weights > 0.0, values, top)
