"""Bootstrap intervals of means: plain, paired, by clusters, by strata.

Percentile intervals from a seeded generator: the same arguments give the same interval.
It does not know what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import fsum, isfinite
from random import Random

from meritree.errors import BadInput
from meritree.stats.summaries import check_level, quantile_of_sorted

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its interval.

    Attributes:
        mean: of the sample itself (not of the resamples).
        low, high: ends of the percentile interval.
        level: its confidence level, in (0, 1).
        n: number of independent units resampled (values, pairs or clusters).
    """

    mean: float
    low: float
    high: float
    level: float = LEVEL
    n: int = 0

    def excludes(self, value: float) -> bool:
        """Whether ``value`` lies outside the interval."""
        return not self.low <= value <= self.high


def bootstrap_mean(
    values: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> Interval:
    """Percentile bootstrap interval of the mean of independent values (Efron 1979).

    Raises:
        BadInput: no values, a value that is not finite, ``resamples < 1``, a bad level.
    """
    return cluster_bootstrap([[v] for v in values], seed=seed, resamples=resamples, level=level)


def paired_bootstrap(
    differences: Sequence[float],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Interval of a mean difference between two methods measured on the same units.

    ``differences[i]`` is method A minus method B on unit ``i`` (a task, or a task and a
    seed). Pairing removes what makes a unit hard for both. Units must be independent:
    for several seeds of each task use `cluster_bootstrap` with one cluster a task.

    Raises:
        BadInput: as `bootstrap_mean`.
    """
    return bootstrap_mean(differences, seed=seed, resamples=resamples, level=level)


def cluster_bootstrap(
    clusters: Sequence[Sequence[float]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Interval of the mean over all values when values of one cluster depend on each other.

    Whole clusters are drawn with replacement (Davison and Hinkley 1997, section 3.8); the
    statistic is the mean over all values drawn, so a larger cluster weighs more.

    Raises:
        BadInput: no cluster, an empty cluster, and as `bootstrap_mean`.
    """
    return stratified_bootstrap([clusters], seed=seed, resamples=resamples, level=level)


def stratified_bootstrap(
    strata: Sequence[Sequence[Sequence[float]]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """`cluster_bootstrap` with clusters drawn inside fixed strata.

    ``strata[s][c]`` holds the values of cluster ``c`` of stratum ``s`` (say package, task,
    seeds). Every resample has as many clusters of each stratum as the sample, so that
    differences *between* strata do not widen the interval (Agarwal et al. 2021).

    Raises:
        BadInput: no stratum, an empty stratum, and as `cluster_bootstrap`.
    """
    _check(strata, resamples, level)
    reduced = [[(fsum(cluster), len(cluster)) for cluster in stratum] for stratum in strata]
    total = fsum(part for stratum in reduced for part, _ in stratum)
    size = sum(count for stratum in reduced for _, count in stratum)
    ordered = sorted(_resampled_means(reduced, resamples, Random(seed)))
    tail = (1.0 - level) / 2.0
    return Interval(
        mean=total / size,
        low=quantile_of_sorted(ordered, tail),
        high=quantile_of_sorted(ordered, 1.0 - tail),
        level=level,
        n=sum(len(stratum) for stratum in reduced),
    )


def crossed_bootstrap(
    table: Sequence[Sequence[float]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Interval of a mean over two crossed factors, both drawn anew: tasks x seeds, say.

    ``table[i][j]`` is the value of row i (a task) in column j (a seed). A resample draws rows
    and columns independently with replacement and takes the mean over the drawn grid: the
    pigeonhole bootstrap (Owen 2007, "The pigeonhole bootstrap"), which is rather too wide than
    too narrow. ``n`` is the number of rows.

    Raises:
        BadInput: no row or column, rows of different length, and as `cluster_bootstrap`.
    """
    if not table or len({len(row) for row in table}) != 1:
        raise BadInput("a crossed bootstrap needs rows (tasks) of the same columns (seeds)")
    _check([table], resamples, level)
    rows, columns = len(table), len(table[0])
    rng, means = Random(seed), []
    for _ in range(resamples):
        drawn = rng.choices(table, k=rows)
        sums = [fsum(values) for values in zip(*drawn, strict=True)]
        means.append(fsum(rng.choices(sums, k=columns)) / (rows * columns))
    means.sort()
    tail = (1.0 - level) / 2.0
    mean = fsum(map(fsum, table)) / (rows * columns)
    low, high = quantile_of_sorted(means, tail), quantile_of_sorted(means, 1.0 - tail)
    return Interval(mean=mean, low=low, high=high, level=level, n=rows)


def _resampled_means(
    strata: Sequence[Sequence[tuple[float, int]]], resamples: int, rng: Random
) -> Iterator[float]:
    equal = len({count for stratum in strata for _, count in stratum}) == 1
    sizes = [len(stratum) for stratum in strata]
    for _ in range(resamples):
        total, count = 0.0, 0
        for stratum, size in zip(strata, sizes, strict=True):
            drawn = rng.choices(stratum, k=size)
            total += fsum([part for part, _ in drawn])
            count += drawn[0][1] * size if equal else sum([n for _, n in drawn])
        yield total / count


def _check(strata: Sequence[Sequence[Sequence[float]]], resamples: int, level: float) -> None:
    check_level(level)
    if resamples < 1:
        raise BadInput(f"{resamples} resamples give no interval; {RESAMPLES} is usual")
    if not strata or not all(strata):
        raise BadInput("a bootstrap needs at least one value in every stratum; got none")
    for position, cluster in enumerate(cluster for stratum in strata for cluster in stratum):
        if not cluster:
            raise BadInput(f"cluster {position} of a bootstrap is empty; leave it out")
        if not all(isfinite(value) for value in cluster):
            raise BadInput(f"cluster {position} of a bootstrap holds a value that is not finite")
