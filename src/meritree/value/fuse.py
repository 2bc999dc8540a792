"""One ranking of the same candidates from the scores of several imperfect judges (S045).

A list is ``{id: score}``, higher is better; judges may have seen different candidates. Plain
Python; knows neither what the candidates are nor who scored them.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import groupby
from typing import Literal, TypeVar

from meritree.errors import BadInput

Id = TypeVar("Id", bound=Hashable)
Scores = Mapping[Id, float]
Normalisation = Literal["none", "minmax", "zscore", "arctan", "percentile", "nce"]
Fusion = Literal["rrf", "borda", "weighted", "max", "z-sum"]
Missing = Literal["zero", "lowest"]
Variant = Literal["paper", "released"]

RRF_K = 60.0
ARCTAN_SLOPE = 0.1
NCE_UNIT = 21.06  # makes percentiles 1, 50 and 99 their own normal curve equivalents
NCE_ENDS = (0.01, 0.99)


def normalise(
    scores: Scores[Id],
    how: Normalisation,
    *,
    reference: Sequence[float] | None = None,
    variant: Variant = "paper",
) -> dict[Id, float]:
    """Scores brought to a scale on which lists of different judges can be added.

    - ``none``: as they are.
    - ``minmax``: ``(s - min) / (max - min)``, in [0, 1]; all ones if the scores are equal.
    - ``zscore``: ``(s - mean) / std`` with the sample's std; all zeros if the scores are equal.
    - ``arctan``: ``2/pi atan(0.1 s)``, in (-1, 1); looks at one score at a time.
    - ``percentile``: share of ``reference`` before the entry nearest to s, in [0, 1).
    - ``nce``: normal curve equivalent of that percentile p, ``50 + 21.06 z(p)``, p kept within
      [0.01, 0.99], so in [1, 99].

    Louis et al. 2025 (arXiv 2409.01357). Their released code divides the percentile by 100 once
    more inside ``nce`` (all values end up below 1 and an entry before the first is minus
    infinity): ``variant="released"`` does that, with p kept above 0.

    Args:
        scores: finite numbers by id; may be empty.
        how: the normalisation.
        reference: for ``percentile`` and ``nce``: scores that this judge usually gives.
        variant: of ``nce``.

    Raises:
        BadInput: a score that is not finite, an unknown ``how``, no reference where one is needed.
    """
    _check_scores("scores", scores)
    if how not in _NORMALISERS:
        raise BadInput(f"normalise: how={how!r}; it is one of {', '.join(_NORMALISERS)}")
    if how in ("percentile", "nce"):
        if not reference or not all(map(math.isfinite, reference)):
            raise BadInput(
                f"normalise: {how} needs reference, finite scores that this judge usually gives; "
                f"got {'none' if not reference else 'some that are not finite'}"
            )
        reference = sorted(reference)
    if not scores:
        return {}
    values = _NORMALISERS[how](list(scores.values()), reference or (), variant)
    return dict(zip(scores, values, strict=True))


def ranks(scores: Scores[Id]) -> dict[Id, float]:
    """Rank of every candidate, 1 for the highest score; equal scores share their mean rank."""
    _check_scores("scores", scores)
    ordered = sorted(scores, key=lambda one: -scores[one])
    found: dict[Id, float] = {}
    for _, group in groupby(ordered, key=lambda one: scores[one]):
        tied = list(group)
        found.update(dict.fromkeys(tied, len(found) + (1 + len(tied)) / 2))
    return found


def reciprocal_ranks(scores: Scores[Id], k: float = RRF_K) -> dict[Id, float]:
    """``1 / (k + rank)`` (Cormack, Clarke and Buettcher 2009)."""
    if not 0.0 <= k < math.inf:
        raise BadInput(f"reciprocal_ranks: k={k}: must be finite and >= 0; 60 is usual")
    return {one: 1.0 / (k + rank) for one, rank in ranks(scores).items()}


def borda_points(scores: Scores[Id], variant: Variant = "paper") -> dict[Id, float]:
    """``(n - rank + 1) / n`` with ranks from 1, in (0, 1].

    The released code of Louis et al. counts ranks from 0 in the same formula: ``released`` gives
    ``1 / n`` more to every candidate that the list holds.
    """
    offset = 1.0 if variant == "paper" else 2.0
    return {one: (len(scores) - rank + offset) / len(scores) for one, rank in ranks(scores).items()}


def fuse(
    lists: Mapping[str, Scores[Id]],
    how: Fusion = "rrf",
    *,
    weights: Mapping[str, float] | None = None,
    k: float = RRF_K,
    missing: Missing | None = None,
    variant: Variant = "paper",
) -> list[tuple[Id, float]]:
    """All candidates of all lists with their fused score, best first.

    - ``rrf``: sum of w / (k + rank). Invariant to monotone changes of scores.
    - ``borda``: sum of w x Borda points, as invariant.
    - ``weighted``: sum of w x score; `normalise` the lists first.
    - ``max``: largest w x score.
    - ``z-sum``: sum of w x z-score.

    Args:
        lists: scores by judge; lists may be empty, not all of them.
        how: the fusion.
        weights: by judge, >= 0, not all 0; default: 1 each.
        k: of ``rrf``.
        missing: what a candidate gets from a list that lacks it: ``zero``, or that list's
            ``lowest`` (transformed) score. Default: ``lowest`` for ``z-sum`` and ``max``, where
            0 would be an average or better score, else ``zero``.
        variant: of ``borda``.

    Returns:
        (id, fused score), descending; ties stand in the order in which candidates first appear.

    Raises:
        BadInput: an unknown name, weights that do not fit, scores that are not finite.
    """
    if how not in ("rrf", "borda", "weighted", "max", "z-sum"):
        raise BadInput(f"fuse: how={how!r}; it is one of rrf, borda, weighted, max, z-sum")
    if missing not in (None, "zero", "lowest"):
        raise BadInput(f"fuse: missing={missing!r}; it is zero or lowest")
    if not any(lists.values()):
        raise BadInput(f"fuse: {len(lists)} lists without a candidate; nothing can be ranked")
    weighing = _weights(lists, weights)
    points = {name: _points(scores, how, k, variant) for name, scores in lists.items()}
    missing = missing or ("lowest" if how in ("z-sum", "max") else "zero")
    floor = {
        name: min(own.values(), default=0.0) if missing == "lowest" else 0.0
        for name, own in points.items()
    }
    candidates = dict.fromkeys(one for scores in lists.values() for one in scores)
    join = max if how == "max" else math.fsum
    fused = [
        (one, join([w * points[name].get(one, floor[name]) for name, w in weighing.items()]))
        for one in candidates
    ]
    return sorted(fused, key=lambda pair: -pair[1])


def _points(scores: Scores[Id], how: Fusion, k: float, variant: Variant) -> dict[Id, float]:
    if how == "rrf":
        return reciprocal_ranks(scores, k)
    if how == "borda":
        return borda_points(scores, variant)
    return normalise(scores, "zscore" if how == "z-sum" else "none")


def _weights(
    lists: Mapping[str, Scores[Id]], weights: Mapping[str, float] | None
) -> dict[str, float]:
    if weights is None:
        return dict.fromkeys(lists, 1.0)
    if weights.keys() != lists.keys():
        odd = sorted(weights.keys() ^ lists.keys())[0]
        raise BadInput(f"fuse: weights and lists must name the same judges; {odd!r} is in one only")
    for name, weight in weights.items():
        if not 0.0 <= weight < math.inf:
            raise BadInput(f"fuse: weights[{name!r}] is {weight}: must be finite and >= 0")
    if not any(weights.values()):
        raise BadInput("fuse: all weights are 0; give one list a weight above 0")
    return {name: weights[name] for name in lists if weights[name] > 0.0}


def _check_scores(name: str, scores: Scores[Id]) -> None:
    for one, score in scores.items():
        if not math.isfinite(score):
            raise BadInput(
                f"{name}[{one!r}] is {score}: must be finite; leave a candidate without a score out"
            )


def _minmax(values: list[float], _: Sequence[float], __: Variant) -> list[float]:
    low, high = min(values), max(values)
    if not low < high:
        return [1.0] * len(values)
    # Halving keeps the span finite for the largest floats, and changes nothing else.
    span = high / 2 - low / 2
    return [(v / 2 - low / 2) / span if span else 1.0 for v in values]


def _zscore(values: list[float], _: Sequence[float], __: Variant) -> list[float]:
    if len(values) < 2 or min(values) == max(values):
        return [0.0] * len(values)
    mean, std = statistics.fmean(values), statistics.stdev(values)
    return [(v - mean) / std if std else 0.0 for v in values]


def _arctan(values: list[float], _: Sequence[float], __: Variant) -> list[float]:
    return [2.0 / math.pi * math.atan(ARCTAN_SLOPE * v) for v in values]


def _percentile(values: list[float], reference: Sequence[float], _: Variant) -> list[float]:
    return [_nearest(reference, v) / len(reference) for v in values]


def _nearest(ordered: Sequence[float], value: float) -> int:
    """Position of the entry nearest to ``value``, the first of equally near ones."""
    right = bisect_left(ordered, value)
    if right == 0:
        return 0
    left = ordered[right - 1]
    if right < len(ordered) and ordered[right] - value < value - left:
        return right
    return bisect_left(ordered, left)


def _nce(values: list[float], reference: Sequence[float], variant: Variant) -> list[float]:
    normal = statistics.NormalDist()
    shares = _percentile(values, reference, variant)
    if variant == "released":
        shares = [max(share / 100.0, 1e-12) for share in shares]
    else:
        low, high = NCE_ENDS
        shares = [min(max(share, low), high) for share in shares]
    return [50.0 + NCE_UNIT * normal.inv_cdf(share) for share in shares]


_NORMALISERS: Mapping[str, Callable[[list[float], Sequence[float], Variant], list[float]]] = {
    "none": lambda values, reference, variant: values,
    "minmax": _minmax,
    "zscore": _zscore,
    "arctan": _arctan,
    "percentile": _percentile,
    "nce": _nce,
}
