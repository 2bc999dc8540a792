"""Losses of one number against another: prediction first, detached target second.

All are elementwise, >= 0 and 0 where both agree; ``u = target - prediction`` where signs matter.
"""

from __future__ import annotations

import math

from meritree.objectives._namespace import Array, Namespace, check


def squared(prediction: Array, target_sg: Array) -> Array:
    """u^2 / 2, the loss of the mean. [...] -> [...]."""
    check("squared", prediction=(prediction, "..."), target_sg=(target_sg, "..."))
    return 0.5 * (prediction - target_sg) ** 2


def absolute(prediction: Array, target_sg: Array) -> Array:
    """|u|, the loss of the median. [...] -> [...]."""
    xp = check("absolute", prediction=(prediction, "..."), target_sg=(target_sg, "..."))
    return xp.abs(prediction - target_sg)


def huber(prediction: Array, target_sg: Array, delta: float = 1.0) -> Array:
    """u^2/2 for |u| <= delta, delta (|u| - delta/2) beyond. [...] -> [...].

    Args:
        prediction: [...].
        target_sg: [...].
        delta: > 0, where the parabola becomes a line; also the bound of the gradient.

    Source: Huber (1964), Robust estimation of a location parameter; Mnih et al. (2015), DQN.
    """
    xp = check("huber", prediction=(prediction, "..."), target_sg=(target_sg, "..."))
    return _huber(xp, prediction - target_sg, delta)


def _huber(xp: Namespace, u: Array, delta: float) -> Array:
    """With m = min(|u|, delta) both branches are m (|u| - m/2): no `where`, one gradient."""
    size = xp.abs(u)
    near = xp.clip(size, max=delta)
    return near * (size - 0.5 * near)


def log_cosh(prediction: Array, target_sg: Array) -> Array:
    """log cosh u: u^2/2 near 0, |u| - log 2 far away, smooth between. [...] -> [...]."""
    xp = check("log_cosh", prediction=(prediction, "..."), target_sg=(target_sg, "..."))
    size = xp.abs(prediction - target_sg)
    return size + xp.log1p(xp.exp(-2.0 * size)) - math.log(2.0)


def expectile(prediction: Array, target_sg: Array, tau: Array | float) -> Array:
    """|tau - 1[u < 0]| u^2, the loss of the tau-expectile; tau = 1/2 is `squared`.

    Args:
        prediction: [...].
        target_sg: [...].
        tau: in (0, 1), one number or [...]; above 1/2 leans to large targets.

    Source: Newey and Powell (1987); Kostrikov et al. (2021), arXiv:2110.06169, section 4.1 (IQL).
    """
    xp = check(
        "expectile",
        prediction=(prediction, "..."),
        target_sg=(target_sg, "..."),
        tau=(tau, "... or number"),
    )
    u = target_sg - prediction
    return xp.where(u < 0.0, (1.0 - tau) * u**2, tau * u**2)


def quantile(prediction: Array, target_sg: Array, tau: Array | float) -> Array:
    """u (tau - 1[u < 0]), the pinball loss of the tau-quantile.

    Args:
        prediction: [...].
        target_sg: [...].
        tau: in (0, 1), one number or [...].

    Source: Koenker and Bassett (1978).
    """
    xp = check(
        "quantile",
        prediction=(prediction, "..."),
        target_sg=(target_sg, "..."),
        tau=(tau, "... or number"),
    )
    u = target_sg - prediction
    return xp.where(u < 0.0, (tau - 1.0) * u, tau * u)


def itakura_saito(
    prediction: Array, target_sg: Array, alpha: float, linear_above: float = math.inf
) -> Array:
    """(exp(alpha d) - alpha d - 1) / alpha^2 with d = prediction - target.

    Its minimiser is the certainty equivalent -log E exp(-alpha target) / alpha of an exponential
    utility; alpha -> 0 is `squared`. Convex, and unchanged when a constant is added to both.

    Args:
        prediction: [...].
        target_sg: [...].
        alpha: risk aversion, not 0; above 0 is averse, below 0 seeks risk.
        linear_above: where alpha d exceeds it, the loss goes on along its tangent. A finite value
            tames the first steps of training, when predictions are far too high, and biases the
            minimiser: it removes the tail that carries the risk. Off by default.

    Source: the Itakura-Saito divergence of exp(-alpha V) and exp(-alpha target); system S016.
    """
    xp = check("itakura_saito", prediction=(prediction, "..."), target_sg=(target_sg, "..."))
    z = alpha * (prediction - target_sg)
    if linear_above == math.inf:
        return _exp_minus_tangent(xp, z) / alpha**2
    near = xp.clip(z, max=linear_above)
    return (_exp_minus_tangent(xp, near) + math.expm1(linear_above) * (z - near)) / alpha**2


def _exp_minus_tangent(xp: Namespace, z: Array) -> Array:
    """exp(z) - z - 1; near 0 by its series, where the difference would cancel all digits."""
    small = xp.abs(z) < 0.1
    s = xp.where(small, z, xp.zeros_like(z))
    series = xp.ones_like(z) / math.factorial(9)
    for k in range(8, 1, -1):
        series = series * s + 1.0 / math.factorial(k)
    return xp.where(small, s * s * series, xp.expm1(xp.where(small, xp.zeros_like(z), z)) - z)


def exponential_squared(prediction: Array, target_sg: Array, alpha: float) -> Array:
    """(exp(-alpha prediction) - exp(-alpha target))^2 / (2 alpha^2): `squared` of utilities.

    It has the minimiser of `itakura_saito`, but neither its convexity nor its invariance; kept as
    the baseline it is compared with. [...] -> [...], alpha not 0.
    """
    xp = check("exponential_squared", prediction=(prediction, "..."), target_sg=(target_sg, "..."))
    return 0.5 * (xp.exp(-alpha * prediction) - xp.exp(-alpha * target_sg)) ** 2 / alpha**2


def softplus_rule(prediction: Array, delta_sg: Array, alpha: float) -> Array:
    """A loss whose gradient is 2 sigmoid(alpha delta) delta, delta = prediction - target.

    Model-free risk sensitivity that is exact for Gaussian targets only. The value of this loss
    means nothing, its gradient does.

    Args:
        prediction: [...].
        delta_sg: prediction - target, both detached, [...].
        alpha: risk aversion.

    Source: Deletang et al. (2021), arXiv:2111.02907.
    """
    xp = check("softplus_rule", prediction=(prediction, "..."), delta_sg=(delta_sg, "..."))
    return (1.0 + xp.tanh(0.5 * alpha * delta_sg)) * delta_sg * prediction
