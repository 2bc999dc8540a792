"""The measured rows of a study as a table: means, intervals and paired differences.

Reads numbers, knows neither the study that made them nor how they are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import fsum
from typing import NamedTuple

from meritree.errors import BadInput
from meritree.stats import Interval, stratified_bootstrap

RESAMPLES = 2000


class SeedRow(NamedTuple):
    """A `study.Row` with its seed."""

    seed: int
    system: str
    dataset: str
    metric: str
    value: float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of one run, in the order of seeds.

    Intervals are 95 % stratified bootstrap intervals: seeds are drawn anew inside each data set,
    all units of a seed together.
    """

    all: tuple[SeedRow, ...]

    @classmethod
    def of(cls, rows: Iterable[SeedRow]) -> Rows:
        return cls(tuple(rows))

    def __iter__(self) -> Iterator[SeedRow]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    @property
    def systems(self) -> tuple[str, ...]:
        """Systems in the order of their first row."""
        return tuple(dict.fromkeys(row.system for row in self.all))

    @property
    def datasets(self) -> tuple[str, ...]:
        """Data sets in the order of their first row."""
        return tuple(dict.fromkeys(row.dataset for row in self.all))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics in the order of their first row."""
        return tuple(dict.fromkeys(row.metric for row in self.all))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds in ascending order."""
        return tuple(sorted({row.seed for row in self.all}))

    def where(
        self,
        *,
        metric: str | None = None,
        system: str | None = None,
        dataset: str | None = None,
    ) -> Rows:
        """The rows that match; an argument left out matches everything."""
        return Rows(
            tuple(
                row
                for row in self.all
                if (metric is None or row.metric == metric)
                and (system is None or row.system == system)
                and (dataset is None or row.dataset == dataset)
            )
        )

    def values(
        self, metric: str, system: str | None = None, dataset: str | None = None
    ) -> tuple[float, ...]:
        """The values of one metric, in the order of the rows.

        Raises:
            BadInput: there is no such row.
        """
        found = self.where(metric=metric, system=system, dataset=dataset)
        if not found:
            raise BadInput(self._nothing(metric, system, dataset))
        return tuple(row.value for row in found)

    def mean(self, metric: str, system: str | None = None, dataset: str | None = None) -> float:
        """Mean over all matching rows."""
        values = self.values(metric, system, dataset)
        return fsum(values) / len(values)

    def interval(
        self, metric: str, system: str | None = None, dataset: str | None = None
    ) -> Interval:
        """Mean with its bootstrap interval over seeds."""
        self.values(metric, system, dataset)
        return _bootstrap(self.where(metric=metric, system=system, dataset=dataset).all)

    def difference(
        self, metric: str, system: str, than: str, dataset: str | None = None
    ) -> Interval:
        """Mean of ``system - than`` over pairs of one data set, seed and unit.

        Raises:
            BadInput: a row of one has no partner of the other.
        """
        first = self._paired(metric, system, dataset)
        second = self._paired(metric, than, dataset)
        if first.keys() != second.keys():
            odd = sorted(first.keys() ^ second.keys())[0]
            raise BadInput(
                f"{metric}: {system} and {than} cannot be paired: {odd[0]}, seed {odd[1]}"
                f"{f', {odd[2]}' if odd[2] else ''} has only one of them"
            )
        return _bootstrap(
            [
                SeedRow(seed, "", data, metric, value - second[data, seed, unit], unit)
                for (data, seed, unit), value in first.items()
            ]
        )

    def _paired(
        self, metric: str, system: str, dataset: str | None
    ) -> dict[tuple[str, int, str], float]:
        self.values(metric, system, dataset)
        found = self.where(metric=metric, system=system, dataset=dataset)
        pairs = {(row.dataset, row.seed, row.unit): row.value for row in found}
        if len(pairs) != len(found):
            raise BadInput(f"{metric} of {system}: two rows of one data set, seed and unit")
        return pairs

    def _nothing(self, metric: str, system: str | None, dataset: str | None) -> str:
        asked = ", ".join(str(part) for part in (metric, system, dataset) if part is not None)
        return (
            f"no row for {asked}; metrics: {', '.join(self.metrics)}; systems: "
            f"{', '.join(self.systems)}; data sets: {', '.join(self.datasets)}"
        )


def _bootstrap(rows: Sequence[SeedRow]) -> Interval:
    strata: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        strata.setdefault(row.dataset, {}).setdefault(row.seed, []).append(row.value)
    clusters = [list(by_seed.values()) for by_seed in strata.values()]
    return stratified_bootstrap(clusters, resamples=RESAMPLES)
