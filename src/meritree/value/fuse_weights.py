"""Weights of a fusion found on labelled queries: a grid on the simplex, judged on held-out folds.

The metric is passed in; which one, and what a query is, are the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from meritree.errors import BadInput
from meritree.value.fuse import Missing, Scores, fuse

Query = TypeVar("Query", bound=Hashable)
Id = TypeVar("Id", bound=Hashable)
Metric = Callable[[Sequence[Id], AbstractSet[Id]], float]


@dataclass(frozen=True, slots=True)
class TunedWeights:
    """What tuning found.

    Attributes:
        weights: by judge, sum 1: best on all queries. Use these.
        held_out: mean metric where each query was scored with weights tuned without its fold:
            what to expect on new queries.
        by_fold: the weights tuned without each fold; far apart means that they are not settled.
    """

    weights: Mapping[str, float]
    held_out: float
    by_fold: tuple[Mapping[str, float], ...]


def simplex(names: Sequence[str], step: float) -> Iterator[dict[str, float]]:
    """All weights that are multiples of ``step`` and sum to 1.

    Raises:
        BadInput: no names, or ``step`` is not 1 / integer.
    """
    parts = round(1.0 / step) if 0.0 < step <= 1.0 else 0
    if not names or not parts or not math.isclose(parts * step, 1.0):
        raise BadInput(f"simplex: step={step} for {len(names)} names; give 1 / integer, like 0.05")
    for counts in _compositions(parts, len(names)):
        yield {name: count / parts for name, count in zip(names, counts, strict=True)}


def tune_weights(
    lists: Mapping[Query, Mapping[str, Scores[Id]]],
    labels: Mapping[Query, AbstractSet[Id]],
    metric: Metric[Id],
    *,
    step: float = 0.05,
    folds: int = 5,
    seed: int = 0,
    missing: Missing = "zero",
) -> TunedWeights:
    """Weights of ``fuse(..., "weighted")`` with the best mean metric.

    The grid of Louis et al. 2025 (step 0.05), with folds added so that the gain can be told
    honestly; ties go to the weights nearest to equal ones.

    Args:
        lists: for every query, scores by judge (`normalise`d); the same judges everywhere.
        labels: for every query, its right answers.
        metric: ``metric(ids best first, right answers)``, higher is better.
        step: of the grid, 1 / integer.
        folds: >= 2, at most the number of queries.
        seed: of the split into folds.
        missing: as in `fuse`.

    Raises:
        BadInput: no queries, unequal queries or judges, a bad step or number of folds.
    """
    judges = _judges(lists, labels)
    if not 2 <= folds <= len(lists):
        raise BadInput(f"tune_weights: folds={folds} for {len(lists)} queries; give 2 to that many")
    equal = 1.0 / len(judges)
    grid = sorted(
        simplex(judges, step), key=lambda w: math.fsum((v - equal) ** 2 for v in w.values())
    )
    queries = list(lists)
    scores = [
        [
            metric(
                [one for one, _ in fuse(lists[q], "weighted", weights=w, missing=missing)],
                labels[q],
            )
            for q in queries
        ]
        for w in grid
    ]
    order = list(range(len(queries)))
    Random(seed).shuffle(order)
    held_out, chosen = [], []
    for fold in range(folds):
        held = set(order[fold::folds])
        best = _best(scores, [q for q in order if q not in held])
        chosen.append(grid[best])
        held_out += [scores[best][q] for q in held]
    return TunedWeights(
        grid[_best(scores, order)], math.fsum(held_out) / len(held_out), tuple(chosen)
    )


def _best(scores: Sequence[Sequence[float]], queries: Sequence[int]) -> int:
    means = [math.fsum(row[q] for q in queries) for row in scores]
    return means.index(max(means))


def _judges(
    lists: Mapping[Query, Mapping[str, Scores[Id]]], labels: Mapping[Query, AbstractSet[Id]]
) -> list[str]:
    if not lists or lists.keys() != labels.keys():
        raise BadInput(
            f"tune_weights: lists of {len(lists)} queries and labels of {len(labels)}; "
            "give both for the same queries, at least one"
        )
    judges = list(next(iter(lists.values())))
    for query, own in lists.items():
        if set(own) != set(judges):
            raise BadInput(
                f"tune_weights: lists[{query!r}] has the judges {', '.join(own)}; "
                f"expected {', '.join(judges)} (a list may be empty)"
            )
    return judges


def _compositions(total: int, places: int) -> Iterator[tuple[int, ...]]:
    if places == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, places - 1):
            yield (first, *rest)
