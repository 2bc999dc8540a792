"""Comparing methods over tasks and runs: profiles, chance of improvement, any stratified statistic.

``scores[task]`` lists the runs of one task. Agarwal et al. 2021 (arXiv 2108.13264).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from math import fsum, isfinite
from random import Random

from meritree.errors import BadInput
from meritree.stats.bootstrap import LEVEL, Interval
from meritree.stats.summaries import check_level, iqm, quantile_of_sorted

Scores = Sequence[Sequence[float]]


def performance_profile(scores: Scores, thresholds: Sequence[float]) -> list[float]:
    """Share of runs that score above each threshold, averaged over tasks.

    Their equation 2 (score distribution); a method whose curve lies above another's everywhere
    is better in every quantile.

    Raises:
        BadInput: no task, a task without runs, a score that is not finite.
    """
    _check(scores)
    ordered = [sorted(runs) for runs in scores]
    return [
        fsum((len(runs) - bisect_right(runs, tau)) / len(runs) for runs in ordered) / len(scores)
        for tau in thresholds
    ]


def mean_profile(scores: Scores, thresholds: Sequence[float]) -> list[float]:
    """Share of tasks whose mean score lies above each threshold (their section 4.2).

    Raises:
        BadInput: as `performance_profile`.
    """
    _check(scores)
    means = [fsum(runs) / len(runs) for runs in scores]
    return [sum(mean > tau for mean in means) / len(means) for tau in thresholds]


def probability_of_improvement(scores: Scores, other: Scores) -> float:
    """Chance that a run of the first beats one of the second on the same task, mean over tasks.

    Ties count half: the Mann-Whitney statistic over the number of pairs, their section 4.3.

    Raises:
        BadInput: unequal numbers of tasks, and as `performance_profile`.
    """
    _check(scores)
    _check(other)
    if len(scores) != len(other):
        raise BadInput(f"{len(scores)} and {len(other)} tasks: compare on the same ones")
    return fsum(_beats(a, sorted(b)) for a, b in zip(scores, other, strict=True)) / len(scores)


def optimality_gap(scores: Scores, gamma: float = 1.0) -> float:
    """Mean of max(0, gamma - score) over all runs: how far from ``gamma``, which caps the rest.

    Raises:
        BadInput: as `performance_profile`.
    """
    _check(scores)
    flat = _flat(scores)
    return fsum(max(0.0, gamma - score) for score in flat) / len(flat)


def stratified_interval(
    scores: Scores,
    statistic: Callable[[Sequence[float]], float] = iqm,
    *,
    seed: int = 0,
    resamples: int = 2000,
    level: float = LEVEL,
) -> Interval:
    """A statistic of all runs with a bootstrap interval that draws runs within each task.

    The default is the interquartile mean, over all tasks' runs together as in their library.
    Says what other runs on the same tasks would give, not other tasks. For a comparison bootstrap
    the statistic of paired differences where runs are paired.

    Args:
        scores: runs of each task.
        statistic: of the flat list of scores; ``Interval.mean`` holds its value on the sample.
        seed, resamples, level: of the percentile bootstrap.

    Raises:
        BadInput: ``resamples < 1``, a bad level, and as `performance_profile`.
    """
    _check(scores)
    check_level(level)
    if resamples < 1:
        raise BadInput(f"{resamples} resamples give no interval; 2000 is usual")
    rng = Random(seed)
    drawn = sorted(
        statistic([x for runs in scores for x in rng.choices(runs, k=len(runs))])
        for _ in range(resamples)
    )
    tail = (1.0 - level) / 2.0
    return Interval(
        mean=statistic(_flat(scores)),
        low=quantile_of_sorted(drawn, tail),
        high=quantile_of_sorted(drawn, 1.0 - tail),
        level=level,
        n=sum(len(runs) for runs in scores),
    )


def _beats(runs: Sequence[float], ordered: Sequence[float]) -> float:
    below = sum(bisect_left(ordered, x) + bisect_right(ordered, x) for x in runs)
    return below / (2.0 * len(runs) * len(ordered))


def _flat(scores: Scores) -> list[float]:
    return [x for runs in scores for x in runs]


def _check(scores: Scores) -> None:
    if not scores or not all(scores):
        raise BadInput("every task needs at least one run, and there must be a task")
    if not all(isfinite(x) for x in _flat(scores)):
        raise BadInput("a score is not finite: say what a failed run is worth")
