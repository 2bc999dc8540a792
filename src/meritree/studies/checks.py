"""What decides a study's verdict: bounds, paired comparisons, and checks of one's own.

A check reads rows and says ``holds``, ``does not hold`` or ``inconclusive`` with its figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from meritree.errors import BadInput
from meritree.stats import Interval
from meritree.studies.rows import Rows

if TYPE_CHECKING:
    from meritree.studies.study import Check

Outcome = Literal["holds", "inconclusive", "does not hold"]
FEWEST = 3  # independent pairs below which a comparison decides nothing


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        claim: the statement that was checked.
        outcome: ``holds``, ``does not hold``, or ``inconclusive`` (the interval crosses the line).
        figures: the numbers in words.
        interval: of the decisive number, None where there is none.
    """

    claim: str
    outcome: Outcome
    figures: str
    interval: Interval | None = None


def decide(interval: Interval, low: float | None = None, high: float | None = None) -> Outcome:
    """Whether the whole interval lies within [low, high], wholly outside, or across an end."""
    above = low is None or interval.low >= low
    below = high is None or interval.high <= high
    if above and below:
        return "holds"
    outside = (low is not None and interval.high < low) or (
        high is not None and interval.low > high
    )
    return "does not hold" if outside else "inconclusive"


def show(interval: Interval) -> str:
    """``0.123 [0.1, 0.15]``; the mean alone where nothing varies."""
    if interval.low == interval.high:
        return f"{interval.mean:.4g}"
    return f"{interval.mean:.4g} [{interval.low:.4g}, {interval.high:.4g}]"


@dataclass(frozen=True, slots=True)
class Bound:
    """A mean lies within bounds, with its 95 % interval.

    Attributes:
        claim: the statement, in words.
        metric, system, dataset: which rows; None: all.
        at_least, at_most: the bounds, at least one of them.
    """

    claim: str
    metric: str
    system: str | None = None
    dataset: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise BadInput(f"check {self.claim!r}: give at_least, at_most or both")

    def __call__(self, rows: Rows) -> Finding:
        interval = rows.interval(self.metric, self.system, self.dataset)
        ends = [
            f"{sign} {end:g}"
            for sign, end in ((">=", self.at_least), ("<=", self.at_most))
            if end is not None
        ]
        text = f"{self.metric} {show(interval)}, asked {' and '.join(ends)}"
        outcome = decide(interval, self.at_least, self.at_most)
        return Finding(self.claim, outcome, text, interval)


@dataclass(frozen=True, slots=True)
class Better:
    """One system beats another on paired rows, by more than a margin.

    Fewer than three independent pairs of seeds leave it inconclusive.

    Attributes:
        claim: the statement, in words.
        metric: what is compared.
        system, than: the two systems, paired by data set, seed and unit.
        higher: whether larger values are better.
        by: the margin, >= 0; negative: "not worse by more than".
        dataset: on which data; None: all, seeds drawn inside each.
    """

    claim: str
    metric: str
    system: str
    than: str
    higher: bool = True
    by: float = 0.0
    dataset: str | None = None

    def __call__(self, rows: Rows) -> Finding:
        interval = rows.difference(self.metric, self.system, self.than, self.dataset)
        sign = 1.0 if self.higher else -1.0
        gain = Interval(
            sign * interval.mean,
            min(sign * interval.low, sign * interval.high),
            max(sign * interval.low, sign * interval.high),
            interval.level,
            interval.n,
        )
        # A difference of exactly nothing is no improvement, so the line itself does not count.
        outcome: Outcome
        if gain.n < FEWEST:
            outcome = "inconclusive"
        elif gain.low > self.by:
            outcome = "holds"
        else:
            outcome = "does not hold" if gain.high <= self.by else "inconclusive"
        text = (
            f"{self.metric}: {self.system} - {self.than} = {show(interval)}"
            f" ({'higher' if self.higher else 'lower'} is better), {interval.n} pairs of seeds"
        )
        return Finding(self.claim, outcome, text, interval)


@dataclass(frozen=True, slots=True)
class Own:
    """A check of the study's own: ``decide(rows)`` returns outcome, figures, interval."""

    claim: str
    decide: Callable[[Rows], tuple[Outcome, str, Interval | None]]

    def __call__(self, rows: Rows) -> Finding:
        return Finding(self.claim, *self.decide(rows))


@dataclass(frozen=True, slots=True)
class Where:
    """A check of systems that a small scale leaves out: inconclusive where one has no row.

    Attributes:
        check: what is checked where all were run.
        systems: whose rows it reads.
        dataset: on which data they must have been run; None: on any.
    """

    check: Check
    systems: tuple[str, ...]
    dataset: str | None = None

    @property
    def claim(self) -> str:
        """That of the check."""
        return self.check.claim

    def __call__(self, rows: Rows) -> Finding:
        run = rows.where(dataset=self.dataset).systems
        absent = [system for system in self.systems if system not in run]
        if absent:
            text = f"{', '.join(absent)} not run at this scale"
            return Finding(self.claim, "inconclusive", text)
        return self.check(rows)
