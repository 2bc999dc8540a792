"""Risks as scoring functions: rho(Y) = min_v h(E f(Y, v), v), with the table of f.

For a fixed v the inner problem is an ordinary expected cost with terminal cost f(y, v), so it
obeys a Bellman equation on states with the accumulated cost y; v is improved outside (Han, Liu
and Yu 2025, arXiv 2505.04553). Also the joint score of a forecast (VaR, ES).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from meritree.errors import BadInput
from meritree.value._arrays import Array, as_floats, namespace
from meritree.value.risk.laws import Law, check_level, law
from meritree.value.risk.measures import (
    Entropic,
    Expectile,
    Mean,
    ValueAtRisk,
)
from meritree.value.risk.robust import KLRobust


def _identity(expected: Array, v: Array) -> Array:
    return expected


@dataclass(frozen=True)
class ScoringFunction:
    """rho(Y) = min_v h(E f(Y, v), v). A risk: call it with costs and weights.

    Attributes:
        name: of the risk.
        f: terminal cost f(y, v), elementwise, convex.
        best: the minimising v of a law, ``[...]``.
        h: increasing in its first argument; the identity for most.
    """

    name: str
    f: Callable[[Array, Array], Array]
    best: Callable[[Law], Array]
    h: Callable[[Array, Array], Array] = _identity

    def at(self, v: Array, costs: Array, weights: Array | None = None) -> Array:
        """h(E f(Y, v), v) for ``v`` of shape ``[...]``: an upper bound of the risk."""
        distribution = law(costs, weights)
        xp = namespace(distribution.values)
        v = as_floats(xp, v, distribution.values)
        terminal = self.f(distribution.values, xp.expand_dims(v, axis=-1))
        return self.h(xp.sum(distribution.weights * terminal, axis=-1), v)

    def __call__(self, costs: Array, weights: Array | None = None) -> Array:
        distribution = law(costs, weights)
        return self.at(self.best(distribution), *distribution)


def mean_score() -> ScoringFunction:
    """f = y: risk-neutral; v does not matter."""
    return ScoringFunction("mean", lambda y, v: y + 0.0 * v, lambda law_: Mean()(*law_))


def quantile_score(level: float) -> ScoringFunction:
    """f = (level - 1{y < v})(y - v): best v is the quantile, the risk its pinball loss."""
    check_level(level)

    def pinball(y: Array, v: Array) -> Array:
        xp = namespace(y)
        return xp.maximum(level * (y - v), (level - 1.0) * (y - v))

    return ScoringFunction("quantile", pinball, lambda law_: ValueAtRisk(level)(*law_))


def expectile_score(level: float) -> ScoringFunction:
    """f = |level - 1{y < v}| (y - v)^2: best v is the expectile, the risk asymmetric variance."""
    best = Expectile(level)

    def asymmetric(y: Array, v: Array) -> Array:
        xp = namespace(y)
        gap = y - v
        return xp.where(gap < 0.0, (1.0 - level) * gap * gap, level * gap * gap)

    return ScoringFunction("asymmetric variance", asymmetric, lambda law_: best(*law_))


def variance_score() -> ScoringFunction:
    """f = (y - v)^2: best v is the mean, the risk the variance."""
    return ScoringFunction("variance", lambda y, v: (y - v) ** 2, lambda law_: Mean()(*law_))


def mean_variance_score(lam: float) -> ScoringFunction:
    """f = y + lam (y - v)^2: best v is the mean, the risk E Y + lam Var Y. lam >= 0."""
    if not lam >= 0.0:
        raise BadInput(f"lam={lam}: must be >= 0, else f is not convex")
    return ScoringFunction(
        "mean-variance", lambda y, v: y + lam * (y - v) ** 2, lambda law_: Mean()(*law_)
    )


def shortfall_score(level: float, share: float = 1.0) -> ScoringFunction:
    """f = (1 - share) y + share (v + (y - v)^+/(1 - level)): best v is the quantile.

    The risk is (1 - share) E Y + share ES_level; share = 1 is expected shortfall.
    """
    check_level(level)
    if not 0.0 <= share <= 1.0:
        raise BadInput(f"share={share}: the share of expected shortfall lies in [0, 1]")

    def f(y: Array, v: Array) -> Array:
        xp = namespace(y)
        beyond = xp.clip(y - v, 0.0, None) / (1.0 - level)
        return (1.0 - share) * y + share * (v + beyond)

    return ScoringFunction("expected shortfall", f, lambda law_: ValueAtRisk(level)(*law_))


def entropic_score(theta: float) -> ScoringFunction:
    """f = v + (exp(theta (y - v)) - 1)/theta: best v is the entropic risk itself. theta > 0."""
    if not theta > 0.0:
        raise BadInput(f"theta={theta}: must be above 0, else f is not convex in v")
    best = Entropic(theta)

    def f(y: Array, v: Array) -> Array:
        return v + namespace(y).expm1(theta * (y - v)) / theta

    return ScoringFunction("entropic", f, lambda law_: best(*law_))


def entropic_var_score(level: float) -> ScoringFunction:
    """f = exp(y/v), h = v log(. /(1 - level)), v > 0: the risk is entropic value at risk.

    f overflows for y much larger than v: scale the costs.
    """
    check_level(level)
    if level == 0.0:
        raise BadInput("level=0: the minimising v is infinite; use mean_score()")
    tail = math.log1p(-level)
    best = KLRobust(-tail)

    def f(y: Array, v: Array) -> Array:
        return namespace(y).exp(y / v)

    def h(expected: Array, v: Array) -> Array:
        return v * (namespace(expected).log(expected) - tail)

    return ScoringFunction("entropic VaR", f, lambda law_: best.temperature(*law_), h)


def joint_shortfall_score(var: Array, es: Array, costs: Array, level: float) -> Array:
    """A strictly consistent score of the pair (VaR_level, ES_level) at observed costs.

    Fissler and Ziegel (2016) with G1 = 0 and G2 the logistic function, so that costs of either
    sign are allowed; smaller is better. ES alone has no such score. Shapes broadcast.
    """
    check_level(level)
    xp = namespace(var, es, costs)
    # Their form is for the lower tail: x = -cost, q = -var, e = -es.
    x, q, e = -costs, -var, -es
    tail = xp.where(x <= q, (q - x) / (1.0 - level), xp.zeros_like(q - x))
    softplus = xp.log1p(xp.exp(-xp.abs(e))) + xp.clip(e, 0.0, None)
    return (e - q + tail) / (1.0 + xp.exp(-e)) - softplus
