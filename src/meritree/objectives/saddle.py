"""Losses of the *expected* Bellman error, by saddle points with a second head h(s) ~ E[delta|s].

A robust loss of the sampled error is not a robust loss of its expectation. By conjugacy
huber_tau(e) = max_{|h| <= tau} (e h - h^2/2) and |e| = max_{|h| <= 1} e h, and inside the maximum
the expectation is linear, so that samples are unbiased. The trainer fits h by
``regression.squared(h, delta_sg)`` with its own step size, and the value by one of the losses here.
"""

from __future__ import annotations

import math

from meritree.objectives._namespace import Array, Namespace, check


def saddle(delta: Array, h_sg: Array, tau: float = math.inf) -> Array:
    """clip(h, -tau, tau) delta, delta = r + discount v(s') - v(s) differentiable in both values.

    The gradient of the inner maximum in the value's parameters (tau = inf: mean squared Bellman
    error, GTD2).

    Args:
        delta: [...].
        h_sg: [...].
        tau: > 0.

    Source: Patterson et al. (2022), arXiv:2205.08464; Dai et al. (2017), arXiv:1607.04579.
    """
    xp = check("saddle", delta=(delta, "..."), h_sg=(h_sg, "..."))
    return _clip(xp, h_sg, tau) * delta


def conjugate(delta_sg: Array, h: Array) -> Array:
    """h^2/2 - delta h, what h minimises: its minimiser is E[delta|s]. [...] twice -> [...].

    The same gradient as ``regression.squared(h, delta_sg)``; minus its minimum is the loss of the
    value (for |h| <= tau: the Huber loss of the expected error).
    """
    check("conjugate", delta_sg=(delta_sg, "..."), h=(h, "..."))
    return 0.5 * h**2 - delta_sg * h


def corrected(
    v_tm1: Array,
    v_t: Array,
    discount_t: Array | float,
    delta_sg: Array,
    h_sg: Array,
    tau: float = math.inf,
) -> Array:
    """-delta_hat v(s) + discount hbar v(s'), a loss whose gradient is the corrected TD update.

    hbar = clip(h, -tau, tau); delta_hat = delta where |h| <= tau and tau sign(h) elsewhere. The
    TD direction with a correction along grad v(s'), which converges off-policy. tau = inf is QRC.
    The value of this loss means nothing, its gradient does.

    Args:
        v_tm1: v(s), or q(s, a), differentiable, [...].
        v_t: value of the next state under the target policy, differentiable, [...].
        discount_t: [...] or a number.
        delta_sg: TD errors, [...].
        h_sg: [...].
        tau: > 0, threshold of the Huber loss.

    Source: Ghiassian et al. (2020), arXiv:2007.00611 (TDRC, QRC); Patterson et al. (2022),
    arXiv:2205.08464. The form for finite tau was not found in released code.
    """
    xp = check(
        "corrected", v_tm1=(v_tm1, "..."), v_t=(v_t, "..."),
        discount_t=(discount_t, "... or number"), delta_sg=(delta_sg, "..."), h_sg=(h_sg, "..."),
    )  # fmt: skip
    bounded = _clip(xp, h_sg, tau)
    hat = xp.where(xp.abs(h_sg) <= tau, delta_sg, bounded)
    return discount_t * bounded * v_t - hat * v_tm1


def corrected_absolute(v_tm1: Array, v_t: Array, discount_t: Array | float, h_sg: Array) -> Array:
    """sign(h) (discount v(s') - v(s)): gradient of the mean absolute expected error.

    The limit tau -> 0 of `corrected` divided by tau. Steps have constant size: average iterates.

    Args:
        v_tm1: [...].
        v_t: [...].
        discount_t: [...] or a number.
        h_sg: estimate of E[delta|s]; only its sign counts, [...].

    Source: Patterson et al. (2022), arXiv:2205.08464.
    """
    xp = check(
        "corrected_absolute", v_tm1=(v_tm1, "..."), v_t=(v_t, "..."),
        discount_t=(discount_t, "... or number"), h_sg=(h_sg, "..."),
    )  # fmt: skip
    return xp.sign(h_sg) * (discount_t * v_t - v_tm1)


def _clip(xp: Namespace, h: Array, tau: float) -> Array:
    return h if tau == math.inf else xp.clip(h, -tau, tau)
