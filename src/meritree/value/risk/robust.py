"""The worst expectation or shortfall over laws near the given one.

Near in optimal transport with cost |x - y|^2/2 (van Zyl 2025, arXiv 2511.01540), or near in
Kullback-Leibler divergence. All are one-dimensional convex dual problems, solved by bisection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from meritree.errors import BadInput
from meritree.value._arrays import Array, Namespace, check_floats, is_concrete, namespace
from meritree.value.risk.laws import check_level, law, tail_weights
from meritree.value.risk.measures import ExpectedShortfall, held, log_mean_exp
from meritree.value.risk.oce import bisect


class Pieces(NamedTuple):
    """A convex piecewise linear loss f(x) = max_i slopes[i] @ x + offsets[i].

    Attributes:
        slopes: ``[K, D]``, in units of loss per unit of x.
        offsets: ``[K]``.
    """

    slopes: Array
    offsets: Array

    def loss(self, x: Array) -> Array:
        """f(x) for x ``[..., D]``, shape ``[...]``."""
        xp = namespace(x, self.slopes)
        return xp.max(self.lines(x), axis=-1)

    def lines(self, x: Array) -> Array:
        """Each line's value, ``[..., K]``."""
        xp = namespace(x, self.slopes)
        return xp.matmul(x, xp.matrix_transpose(self.slopes)) + self.offsets


def robust_expectation(
    pieces: Pieces, samples: Array, theta: float, weights: Array | None = None
) -> Array:
    """sup E_Q f over Q with transport cost at most theta from the samples' law; a number.

    = inf_{lam > 0} lam theta + E max_i (m_i x + c_i + |m_i|^2/(2 lam)).

    Args:
        pieces: the loss f, slopes m_i and offsets c_i.
        samples: ``[N, D]``.
        theta: radius >= 0, in units of |x|^2; 0 is the plain expectation.
        weights: ``[N]`` probabilities, None for equal ones.

    Raises:
        BadInput: shapes that do not fit, NaN, negative theta, weights that are no probabilities.
    """
    return robust_es(pieces, samples, theta, 0.0, weights)


def robust_es(
    pieces: Pieces, samples: Array, theta: float, level: float, weights: Array | None = None
) -> Array:
    """sup ES_level(f(X)) over laws with transport cost at most theta from the samples'; a number.

    = inf_{eta, lam} eta + (lam theta + E((f - eta)^+)^{lam c})/(1 - level). The piece 0 of
    (f - eta)^+ has no slope, so ((f - eta)^+)^{lam c} = (f^{lam c} - eta)^+ and the inner minimum
    over eta is an ordinary shortfall: inf_lam lam theta/(1 - level) + ES_level(f^{lam c}(X)).

    Args and errors as in `robust_expectation`; level in [0, 1).
    """
    check_level(level)
    xp, lines, norms = _prepare(pieces, samples, theta)
    weights = None if weights is None else law(lines[:, 0], weights).weights
    shortfall = ExpectedShortfall(level)
    if theta == 0.0:
        return shortfall(xp.max(lines, axis=-1), weights)
    rate = theta / (1.0 - level)

    def transformed(inverse: Array) -> Array:
        return xp.max(lines + 0.5 * norms * inverse, axis=-1)

    def objective(lam: Array) -> Array:
        return lam * rate + shortfall(transformed(1.0 / lam), weights)

    def grows_too_little(lam: Array) -> Array:
        # d/dl = rate - (tail mean of |m_i*|^2)/(2 lam^2), increasing in lam.
        inverse = 1.0 / lam
        active = xp.argmax(lines + 0.5 * norms * inverse, axis=-1)
        tail = _counts(transformed(inverse), weights, level)
        return xp.sum(tail * xp.take(norms, active)) * 0.5 * inverse * inverse > rate

    top = xp.max(norms)
    if is_concrete(top) and not float(top) > 0.0:  # f is constant: no shift of mass changes it
        return shortfall(transformed(top), weights)
    high = xp.sqrt(0.5 * top / rate)
    return objective(bisect(xp, grows_too_little, high * 1e-9, high * (1.0 + 1e-9)))


def call_writer_robust_es(
    var: float, es: float, strike: float, theta: float, level: float
) -> float:
    """Closed form of robust_es for the writer of a call, loss (S - strike)^+.

    ES_level(L) + sqrt(2 theta/(1 - level)), with ES_level(L) = es - strike.

    Args:
        var: VaR_level of S.
        es: ES_level of S.
        strike: the call's strike.
        theta: transport radius, in units of S^2.
        level: in [0, 1).

    Raises:
        BadInput: outside the formula's range var + sqrt(theta/(2(1 - level))) >= strike, where
            the writer's tail contains outcomes without loss.
    """
    check_level(level)
    reach = var + math.sqrt(theta / (2.0 * (1.0 - level)))
    if theta < 0.0 or reach < strike:
        raise BadInput(
            f"strike={strike}, theta={theta}: the closed form needs theta >= 0 and VaR + "
            f"sqrt(theta/(2(1-level))) = {reach:.6g} >= strike; use robust_es instead"
        )
    return es - strike + math.sqrt(2.0 * theta / (1.0 - level))


@dataclass(frozen=True)
class KLRobust:
    """sup E_Q Y over Q with KL(Q || P) <= radius = inf_{t > 0} t radius + t log E exp(Y/t).

    A risk like the others: values ``[..., N]`` to ``[...]``. Mass can only move between values
    that have weight, so the largest of them bounds it (and is reached by a large radius).

    Attributes:
        radius: >= 0, in nats; 0 is the mean.
    """

    radius: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.radius < math.inf:
            raise BadInput(f"radius={self.radius}: must be finite and >= 0 (nats)")

    def __call__(self, costs: Array, weights: Array | None = None) -> Array:
        y, w = law(costs, weights)
        xp = namespace(y)
        if self.radius == 0.0:
            return xp.sum(w * y, axis=-1)
        t = self.temperature(y, w)
        scaled = y / xp.expand_dims(t, axis=-1)
        return t * (self.radius + log_mean_exp(scaled, w))

    def temperature(self, costs: Array, weights: Array | None = None) -> Array:
        """The minimising t: where the tilted law q ~ w exp(Y/t) has KL(q || w) = radius."""
        y, w = law(costs, weights)
        xp = namespace(y)
        y = held(y, w)
        far, near = xp.max(y, axis=-1), xp.min(y, axis=-1)
        span = far - near
        # KL(q_t || w) <= span^2/(8 t^2), so the root lies below span/sqrt(8 radius).
        tiny = xp.finfo(y.dtype).eps * (1.0 + xp.abs(far) + xp.abs(near))
        high = span / math.sqrt(8.0 * self.radius) + tiny
        low = 1e-7 * high + tiny

        def too_far(log_t: Array) -> Array:
            scaled = y / xp.expand_dims(xp.exp(log_t), axis=-1)
            log_z = log_mean_exp(scaled, w)
            q = w * xp.exp(scaled - xp.expand_dims(log_z, axis=-1))
            return xp.sum(q * scaled, axis=-1) - log_z > self.radius

        return xp.exp(bisect(xp, too_far, xp.log(low), xp.log(high)))


@dataclass(frozen=True)
class EntropicVaR:
    """inf_{t > 0} t log(E exp(Y/t)/(1 - level)): the KL-robust mean of radius -log(1 - level).

    The tightest exponential bound of expected shortfall (Ahmadi-Javid 2012).

    Attributes:
        level: in [0, 1).
    """

    level: float

    def __post_init__(self) -> None:
        check_level(self.level)

    def __call__(self, costs: Array, weights: Array | None = None) -> Array:
        return KLRobust(-math.log1p(-self.level))(costs, weights)


def _prepare(pieces: Pieces, samples: Array, theta: float) -> tuple[Namespace, Array, Array]:
    """Namespace, each line's value at each sample ``[N, K]``, squared slopes ``[K]``."""
    xp = namespace(pieces.slopes, pieces.offsets, samples)
    for name, array, rank in (
        ("slopes", pieces.slopes, 2), ("offsets", pieces.offsets, 1), ("samples", samples, 2),
    ):  # fmt: skip
        check_floats(xp, array, name)
        if array.ndim != rank:
            raise BadInput(f"{name} has shape {tuple(array.shape)}: must have {rank} axes")
    shapes = (tuple(pieces.slopes.shape), tuple(pieces.offsets.shape), tuple(samples.shape))
    if shapes[0] != (shapes[1][0], shapes[2][1]):
        raise BadInput(
            f"slopes {shapes[0]}, offsets {shapes[1]}, samples {shapes[2]}: must be "
            "(pieces, dimensions), (pieces,) and (samples, dimensions)"
        )
    if not 0.0 <= theta < math.inf:
        raise BadInput(f"theta={theta}: the transport radius must be finite and >= 0")
    return xp, pieces.lines(samples), xp.sum(pieces.slopes * pieces.slopes, axis=-1)


def _counts(values: Array, weights: Array | None, level: float) -> Array:
    """How much each value counts in ES_level, in the order given; they sum to one."""
    xp = namespace(values)
    y, w = law(values, weights)
    order = xp.argsort(y, axis=-1)
    tail = tail_weights(xp.take_along_axis(w, order, axis=-1), level)
    return xp.take_along_axis(tail, xp.argsort(order, axis=-1), axis=-1)
