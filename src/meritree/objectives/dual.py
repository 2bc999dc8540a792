"""One multiplier instead of a constrained training run: the dual of alignment with constraints.

max_pi E[r] - beta KL(pi || ref) subject to E[g_j] >= b_j has pi proportional to
ref exp((r + sum_j lambda_j g_j) / beta); lambda minimises a convex function of the reference's
samples. Huang et al. 2024 (arXiv 2405.19544). Also the weight of a guide while decoding.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, check
from meritree.objectives.rows import positive
from meritree.objectives.special import logsumexp, softmax


class Dual(NamedTuple):
    """Multipliers and what they bring.

    Attributes:
        lam: [m], >= 0.
        slack: E_pi[g_j] - b_j under the tilted reference, [m]; 0 where lam is above 0.
        value: the dual function at lam, an upper bound of the constrained optimum.
    """

    lam: tuple[float, ...]
    slack: tuple[float, ...]
    value: float


def value(lam: Array, reward: Array, constraint: Array, threshold: Array, beta: float) -> Array:
    """D(lambda) = beta mean_x log mean_k exp((r + lambda . (g - b)) / beta), convex, no axes.

    Args:
        lam: [m].
        reward: of K samples of the reference for each of N prompts, [N, K].
        constraint: [N, K, m].
        threshold: [m].
        beta: > 0.
    """
    xp, tilted = _tilt("value", lam, reward, constraint, threshold, beta)
    return beta * (xp.mean(logsumexp(tilted)) - math.log(reward.shape[-1]))


def slack(lam: Array, reward: Array, constraint: Array, threshold: Array, beta: float) -> Array:
    """E_pi_lambda[g] - b, the gradient of `value`: [m]."""
    xp, tilted = _tilt("slack", lam, reward, constraint, threshold, beta)
    weight = softmax(tilted)[:, :, None]
    return xp.mean(xp.sum(weight * (constraint - threshold), axis=1), axis=0)


def solve(reward: Any, constraint: Any, threshold: Any, beta: float) -> Dual:
    """The least lambda >= 0 that makes the tilted reference satisfy the constraints.

    Root finding for one constraint, L-BFGS-B for more; the released code walks down the gradient
    to the same point. For PeCAN (constraints on log-ratios of a safety-trained policy) give the
    log-ratios as ``reward`` and ``constraint``, beta = 1, and as threshold their mean under the
    reference plus margin / beta. With few samples a prompt the dual is biased: try several K.

    Args:
        reward: [N, K], NumPy or anything NumPy can read.
        constraint: [N, K, m].
        threshold: [m].
        beta: > 0.

    Raises:
        BadInput: no reweighting of the samples satisfies the constraints, or shapes do not fit.
    """
    import numpy as np
    from scipy.optimize import minimize

    reward, constraint = np.asarray(reward, float), np.asarray(constraint, float)
    threshold = np.atleast_1d(np.asarray(threshold, float))
    data = (reward, constraint, threshold, beta)
    zero = np.zeros(len(threshold))
    if bool((slack(zero, *data) >= 0.0).all()):
        return _dual(zero, data)
    reach = (constraint - threshold).max(axis=1).mean(axis=0)
    if bool((reach <= 0.0).any()):
        worst = int(reach.argmin())
        raise BadInput(
            f"dual.solve: constraint {worst} exceeds its threshold by at most {reach[worst]:.4g} "
            "on average over prompts, whatever the weights: lower the threshold or sample more"
        )
    if len(threshold) == 1:
        return _dual(_root(data), data)
    found = minimize(
        lambda lam: float(value(lam, *data)),
        zero + 1.0,
        jac=lambda lam: slack(lam, *data),
        bounds=[(0.0, None)] * len(zero),
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 300},
    )
    left = slack(found.x, *data)
    if bool((left < -1e-4 * (1.0 + np.abs(threshold))).any()):
        raise BadInput(
            f"dual.solve: no multipliers up to {found.x.max():.3g} satisfy all constraints "
            f"together (slack {np.round(left, 4).tolist()}): relax one of them"
        )
    return _dual(found.x, data)


def _root(data: tuple[Any, Any, Any, float]) -> Any:
    import numpy as np
    from scipy.optimize import brentq

    def at(lam: float) -> float:
        return float(slack(np.array([lam]), *data)[0])

    high = 1.0
    while at(high) < 0.0:
        high *= 2.0
        if high > 1e12:
            raise BadInput(
                "dual.solve: the constraint is met only in the limit: lower its threshold"
            )
    return np.array([brentq(at, 0.0, high, xtol=1e-14, rtol=1e-14)])


def _dual(lam: Any, data: tuple[Any, Any, Any, float]) -> Dual:
    return Dual(
        lam=tuple(float(x) for x in lam),
        slack=tuple(float(x) for x in slack(lam, *data)),
        value=float(value(lam, *data)),
    )


def _tilt(
    where: str, lam: Array, reward: Array, constraint: Array, threshold: Array, beta: float
) -> tuple[Any, Array]:
    positive(where, beta=beta)
    xp = check(
        where,
        lam=(lam, "m"),
        reward=(reward, "N K"),
        constraint=(constraint, "N K m"),
        threshold=(threshold, "m"),
    )
    gain = xp.sum((constraint - threshold) * lam, axis=-1)
    return xp, (reward + gain) / beta
