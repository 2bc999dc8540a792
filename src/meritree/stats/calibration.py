"""Are probabilities what they say? Calibration error by bins, Brier score and its three parts.

Functions of forecasts in [0, 1] and outcomes 0 or 1; who forecast is unknown here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum
from typing import Literal

from meritree.errors import BadInput


@dataclass(frozen=True, slots=True)
class Bin:
    """Forecasts that are judged together.

    Attributes:
        forecast: their mean, in [0, 1].
        outcome: share of 1 among their outcomes.
        count: how many.
    """

    forecast: float
    outcome: float
    count: int


@dataclass(frozen=True, slots=True)
class Brier:
    """Brier score = reliability - resolution + uncertainty + within (Murphy 1973).

    Attributes:
        score: mean squared difference of forecast and outcome, in [0, 1].
        reliability: what miscalibration costs, >= 0.
        resolution: what telling cases apart gains, >= 0.
        uncertainty: base rate times its complement, the score of always saying the base rate.
        within: what bins leave unexplained; 0 where each bin holds one forecast value.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def reliability_bins(
    forecasts: Sequence[float],
    outcomes: Sequence[float],
    bins: int = 15,
    scheme: Literal["width", "mass"] = "width",
) -> list[Bin]:
    """The bins of a reliability diagram, in order of forecast, without empty ones.

    ``width``: equal intervals (k / bins, (k + 1) / bins], the first closed. ``mass``: as equal
    counts as possible of the sorted forecasts (adaptive bins, Nguyen and O'Connor 2015); equal
    forecasts may be parted.

    Raises:
        BadInput: unequal or no data, a forecast outside [0, 1], an outcome other than 0 and 1,
            ``bins < 1`` or an unknown scheme.
    """
    _check(forecasts, outcomes)
    if bins < 1:
        raise BadInput(f"{bins} bins hold nothing; 15 is usual")
    pairs = sorted(zip(forecasts, outcomes, strict=True))
    if scheme == "width":
        groups: list[list[tuple[float, float]]] = [[] for _ in range(bins)]
        for forecast, outcome in pairs:
            groups[max(0, -int(-forecast * bins // 1) - 1)].append((forecast, outcome))
    elif scheme == "mass":
        edges = [len(pairs) * k // bins for k in range(bins + 1)]
        groups = [pairs[a:b] for a, b in pairwise(edges)]
    else:
        raise BadInput(f"bins by {scheme!r} are unknown; use 'width' or 'mass'")
    return [_bin(group) for group in groups if group]


def expected_calibration_error(
    forecasts: Sequence[float],
    outcomes: Sequence[float],
    bins: int = 15,
    scheme: Literal["width", "mass"] = "width",
) -> float:
    """Mean over forecasts of |forecast - outcome| of their bin's means, in [0, 1].

    Naeini et al. 2015, Guo et al. 2017 (arXiv 1706.04599), equation 3, with 15 equal intervals;
    ``scheme="mass"`` is the adaptive one. Biased upwards in small samples: compare at equal sizes.

    Raises:
        BadInput: as `reliability_bins`.
    """
    found = reliability_bins(forecasts, outcomes, bins, scheme)
    return fsum(b.count * abs(b.forecast - b.outcome) for b in found) / len(forecasts)


def brier(forecasts: Sequence[float], outcomes: Sequence[float], bins: int | None = None) -> Brier:
    """Brier score and its parts, grouped by equal forecasts, or by ``bins`` equal intervals.

    Raises:
        BadInput: as `reliability_bins`.
    """
    _check(forecasts, outcomes)
    pairs = list(zip(forecasts, outcomes, strict=True))
    n = len(pairs)
    groups = _equal_forecasts(pairs) if bins is None else reliability_bins(*_columns(pairs), bins)
    base = fsum(outcomes) / n

    def mean(part: Callable[[Bin], float]) -> float:
        return fsum(b.count * part(b) for b in groups) / n

    score = fsum((p - y) ** 2 for p, y in pairs) / n
    reliability = mean(lambda b: (b.forecast - b.outcome) ** 2)
    resolution = mean(lambda b: (b.outcome - base) ** 2)
    uncertainty = base * (1.0 - base)
    within = 0.0 if bins is None else score - reliability + resolution - uncertainty
    return Brier(score, reliability, resolution, uncertainty, within)


def _equal_forecasts(pairs: Iterable[tuple[float, float]]) -> list[Bin]:
    groups: dict[float, list[tuple[float, float]]] = {}
    for pair in pairs:
        groups.setdefault(pair[0], []).append(pair)
    return [_bin(group) for _, group in sorted(groups.items())]


def _bin(group: Sequence[tuple[float, float]]) -> Bin:
    n = len(group)
    return Bin(fsum(p for p, _ in group) / n, fsum(y for _, y in group) / n, n)


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [p for p, _ in pairs], [y for _, y in pairs]


def _check(forecasts: Sequence[float], outcomes: Sequence[float]) -> None:
    if not forecasts or len(forecasts) != len(outcomes):
        raise BadInput(
            f"{len(forecasts)} forecasts and {len(outcomes)} outcomes: give as many, at least one"
        )
    for i, (forecast, outcome) in enumerate(zip(forecasts, outcomes, strict=True)):
        if not 0.0 <= forecast <= 1.0:
            raise BadInput(f"forecast {i} is {forecast}, outside [0, 1]")
        if outcome not in (0, 1):
            raise BadInput(f"outcome {i} is {outcome}; it must be 0 or 1")
