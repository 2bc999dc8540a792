"""Acceptance with a bound on risk: conformal risk control for data that may drift.

Plain arithmetic on sequences, and on arrays where a study needs speed; knows nothing of what
is accepted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from meritree.errors import BadInput

_SLACK = 1e-9  # rounding that monotone losses may show


def controlled_risk(
    losses: Sequence[float], weights: Sequence[float] | None = None, bound: float = 1.0
) -> float:
    """The bound that conformal risk control puts on a new loss, at one value of the parameter.

    ``(sum_i w_i L_i + B) / (1 + sum_i w_i)``: the weighted mean of the known losses and, with
    weight 1, the worst that the new one can be.

    Args:
        losses: [n] losses in [0, ``bound``] of the calibration examples.
        weights: [n] in [0, 1], the relevance of each example for the new one; None: all 1.
        bound: B, the largest loss there can be, > 0.

    Raises:
        BadInput: a loss outside [0, B], a weight outside [0, 1], lengths that differ.

    Source: Farinhas, Zerva, Ulmer and Martins (2024), "Non-Exchangeable Conformal Risk
    Control", arXiv 2310.01262 (as in their released code); with weights 1 Angelopoulos et al.
    (2024), arXiv 2208.02814.
    """
    weights = _weights(weights, len(losses))
    _check_bound(bound)
    for position, loss in enumerate(losses):
        if not 0.0 <= loss <= bound:
            raise BadInput(
                f"losses[{position}] = {loss}: must lie in [0, {bound:g}]; divide by the largest "
                "loss possible or give it as bound"
            )
    total = math.fsum(w * loss for w, loss in zip(weights, losses, strict=True))
    return (total + bound) / (math.fsum(weights) + 1.0)


def risk_control(
    losses: Any,
    lambdas: Sequence[float],
    alpha: float,
    weights: Sequence[float] | None = None,
    bound: float = 1.0,
) -> float:
    """The smallest parameter whose controlled risk is at most ``alpha``.

    For losses that do not increase with the parameter the expected loss of a new example is
    then at most ``alpha + B sum_i w~_i d_TV(Z, Z^i)``, with ``w~_i = w_i / (1 + sum w)`` and Z^i
    the data with example i and the new one exchanged (the source's theorem); at most
    ``alpha`` when the data are exchangeable. With all weights 1 this is conformal risk control;
    with miscoverage as loss it is (weighted) split conformal prediction.

    Args:
        losses: [n, m] nested sequences or a NumPy array: loss of example i at ``lambdas[j]``,
            in [0, ``bound``], not increasing along j.
        lambdas: [m] ascending values of the parameter.
        alpha: the risk asked for, in (0, ``bound``).
        weights, bound: as for `controlled_risk`.

    Returns:
        A member of ``lambdas``, or infinity if none reaches ``alpha`` (too few examples: accept
        nothing).

    Raises:
        BadInput: shapes that differ, losses that increase or leave their range, descending
            ``lambdas``, ``alpha`` out of range.

    Source: Farinhas et al. (2024), arXiv 2310.01262.
    """
    _check_bound(bound)
    if not 0.0 < alpha < bound:
        raise BadInput(f"alpha = {alpha}: must lie in (0, {bound:g})")
    if any(b <= a for a, b in itertools.pairwise(lambdas)):
        raise BadInput("lambdas must ascend; sort them, and the losses' columns with them")
    weights = _weights(weights, len(losses))
    risks = _columns(losses, len(lambdas), weights, bound)
    limit = alpha * (math.fsum(weights) + 1.0) - bound
    for value, risk in zip(lambdas, risks, strict=True):
        if risk <= limit:
            return float(value)
    return math.inf


def recency_weights(n: int, rho: float = 0.99) -> tuple[float, ...]:
    """``rho ** (n + 1 - i)`` for i = 1, ..., n: the latest example weighs most, just below 1.

    Raises:
        BadInput: ``n < 0`` or ``rho`` outside (0, 1].

    Source: Farinhas et al. (2024), their simulations (rho = 0.99 there).
    """
    if n < 0 or not 0.0 < rho <= 1.0:
        raise BadInput(f"recency weights of n = {n}, rho = {rho}: need n >= 0 and 0 < rho <= 1")
    return tuple(rho ** (n - i) for i in range(n))


def drift_gap(
    distances: Sequence[float], weights: Sequence[float] | None = None, bound: float = 1.0
) -> float:
    """How far the risk can exceed ``alpha`` when the data drift: ``B sum_i w~_i d_i``.

    Args:
        distances: [n] total variation distances d_TV(Z, Z^i) in [0, 1].
        weights, bound: as for `controlled_risk`.

    Source: Farinhas et al. (2024), the bound of their theorem.
    """
    weights = _weights(weights, len(distances))
    _check_bound(bound)
    if any(not 0.0 <= d <= 1.0 for d in distances):
        raise BadInput("distances must lie in [0, 1]: they are total variation distances")
    total = math.fsum(weights) + 1.0
    return bound * math.fsum(w * d for w, d in zip(weights, distances, strict=True)) / total


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Accept what scores at least a threshold, with the risk of a false acceptance controlled.

    The loss of an example at threshold t is 1 if it scored at least t and was wrong, else 0: it
    falls as t rises, so that `controlled_risk` applies with B = 1.

    Attributes:
        scores: [n] of calibration examples, higher is better; in the order of time.
        right: [n] whether each was right.
        rho: recency of the weights, see `recency_weights`; 1: all weigh the same.
    """

    scores: tuple[float, ...]
    right: tuple[bool, ...]
    rho: float = 1.0

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.right):
            raise BadInput(
                f"{len(self.scores)} scores, {len(self.right)} verdicts: give one of each a row"
            )
        for position, score in enumerate(self.scores):
            if not math.isfinite(score):
                raise BadInput(f"scores[{position}] = {score}: must be finite")
        recency_weights(0, self.rho)

    def risk(self, score: float) -> float:
        """Controlled probability that something accepted at this score's threshold is wrong.

        Of *all* examples (accepted or not) the share that would be accepted wrongly: the
        smallest ``alpha`` at which an example with this score is still accepted.
        """
        wrong = [
            float(not good and known >= score)
            for known, good in zip(self.scores, self.right, strict=True)
        ]
        return controlled_risk(wrong, recency_weights(len(wrong), self.rho))

    def threshold(self, alpha: float) -> float:
        """The smallest calibration score whose risk is at most ``alpha``; infinity if none.

        Raises:
            BadInput: ``alpha`` outside (0, 1).
        """
        if not 0.0 < alpha < 1.0:
            raise BadInput(f"alpha = {alpha}: must lie in (0, 1)")
        fine = [score for score in set(self.scores) if self.risk(score) <= alpha]
        return min(fine, default=math.inf)


def _columns(losses: Any, width: int, weights: Sequence[float], bound: float) -> list[float]:
    """Weighted sums of the columns, with the losses checked."""
    if hasattr(losses, "shape"):
        return _array_columns(losses, width, weights, bound)
    for position, row in enumerate(losses):
        if len(row) != width:
            raise BadInput(f"losses[{position}] has {len(row)} values for {width} lambdas")
        if any(not -_SLACK <= x <= bound + _SLACK for x in row):
            raise BadInput(f"losses[{position}] leaves [0, {bound:g}]")
        if any(b > a + _SLACK for a, b in itertools.pairwise(row)):
            raise BadInput(f"losses[{position}] increases: control needs monotone losses")
    return [
        math.fsum(w * row[j] for w, row in zip(weights, losses, strict=True)) for j in range(width)
    ]


def _array_columns(losses: Any, width: int, weights: Sequence[float], bound: float) -> list[float]:
    import numpy as np

    if losses.ndim != 2 or losses.shape[1] != width:
        raise BadInput(f"losses has shape {losses.shape}, expected [n, {width}]")
    table = np.asarray(losses, dtype=float)
    # Written so that NaN fails too.
    if table.size and not (table.min() >= -_SLACK and table.max() <= bound + _SLACK):
        raise BadInput(f"losses leave [0, {bound:g}] (or hold NaN)")
    if np.any(np.diff(table, axis=1) > _SLACK):
        raise BadInput("losses increase along lambdas: control needs monotone losses")
    return [float(x) for x in np.asarray(weights, dtype=float) @ table]


def _weights(weights: Sequence[float] | None, n: int) -> Sequence[float]:
    if weights is None:
        return (1.0,) * n
    if len(weights) != n:
        raise BadInput(f"{len(weights)} weights for {n} examples: give one each")
    for position, weight in enumerate(weights):
        if not 0.0 <= weight <= 1.0:
            raise BadInput(
                f"weights[{position}] = {weight}: must lie in [0, 1] (relevance against the new "
                "example, which weighs 1); divide by the largest"
            )
    return weights


def _check_bound(bound: float) -> None:
    if not 0.0 < bound < math.inf:
        raise BadInput(f"bound = {bound}: must be finite and above 0")
