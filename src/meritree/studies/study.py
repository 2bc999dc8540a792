"""What a study is: an executable statement of one paper's claim, as data and one function.

A study names the claim, the parts it composes, its data and baselines, how one seed is measured
and which checks decide the verdict. How it is run, stored and drawn is not its business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from meritree.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from meritree.studies.checks import Finding
    from meritree.studies.rows import Rows

ScaleName: TypeAlias = str
Verdict = Literal["holds", "holds in part", "inconclusive", "does not hold"]
SCALES: tuple[ScaleName, ...] = ("smoke", "full")  # what every study has


@dataclass(frozen=True, slots=True)
class Paper:
    """Where the claim comes from.

    Attributes:
        title: full title.
        authors: first author and "et al.", or all of them.
        year: of the version that was read.
        arxiv: identifier such as ``2108.13264``; empty where there is none.
        read: what was checked against the source: ``paper``, ``code``, ``abstract``, in words.
    """

    title: str
    authors: str
    year: int
    arxiv: str = ""
    read: str = "abstract"


@dataclass(frozen=True, slots=True)
class Data:
    """One data set or generator that a study measures on.

    Attributes:
        name: as it stands in the rows' ``dataset``, or what it is called.
        source: where it comes from: package and function, or the generator's recipe.
        size: how many what (``5031 daily closes, 1999-2018``).
    """

    name: str
    source: str
    size: str


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a run is.

    Attributes:
        seeds: how many seeds, counted from 0.
        settings: whatever `Study.measure` reads (sample sizes, numbers of steps, ...).
    """

    seeds: int
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


class Row(NamedTuple):
    """One measured number; the runner adds the seed.

    Attributes:
        system: the method or baseline measured.
        dataset: what it was measured on.
        metric: name of the number, with its unit where it has one (``CPU s``).
        value: the number; must be finite.
        unit: a finer key for pairing within a seed (an instance, a window), empty if none.
    """

    system: str
    dataset: str
    metric: str
    value: float
    unit: str = ""


class Check(Protocol):
    """One statement that figures can decide; see `checks`."""

    @property
    def claim(self) -> str: ...

    def __call__(self, rows: Rows) -> Finding: ...


Settings = Mapping[str, Any]
Measure = Callable[[int, Settings], Iterable[Row]]
Draw = Callable[["Rows", "Figure"], str]


@dataclass(frozen=True, slots=True)
class Further:
    """Another measurement of the same system, beside its full scale, under a name of its own.

    The system's verdict stays the full scale's; this one stands on the page below it.

    Attributes:
        about: what it adds, in one sentence.
        scale: how large it is.
        measure, checks, draw: as in `Study`.
    """

    about: str
    scale: Scale
    measure: Measure
    checks: tuple[Check, ...]
    draw: Draw


@dataclass(frozen=True, slots=True)
class Study:
    """A claim and how it is measured.

    Attributes:
        id: ``S001`` to ``S119``.
        name: the system's short name, as in the registry.
        paper: source of the claim.
        claim: the claim in one sentence, with its figure where the paper gives one.
        parts: dotted names of the parts of the package that it composes.
        data: what it measures on.
        baselines: the systems that it is compared with, as named in the rows.
        measure: ``measure(seed, settings)`` yields the rows of one seed. It draws every random
            number from the seed, imports what it needs itself, and may yield rows as it goes
            (each is kept only when the whole seed is done).
        checks: what decides the verdict.
        scales: ``smoke`` (seconds, run by the continuous integration) and ``full``.
        draw: ``draw(rows, figure)`` fills a Matplotlib figure and returns its caption: what was
            measured, on what, how often.
        needs: modules that must be importable, named before anything starts.
        extra: the extra of this package that installs them.
        repeatable: the same seed gives the same rows on any machine (False where processor time is
            measured, or a network is trained: processors differ in the last digits).
        part: what exactly works, where only a part of the system does; empty: all of it.
        notes: remarks for the page: what differs from the paper, what the claim leaves open.
        further: other measurements by the names of their scales; see `Further`.
    """

    id: str
    name: str
    paper: Paper
    claim: str
    parts: tuple[str, ...]
    data: tuple[Data, ...]
    baselines: tuple[str, ...]
    measure: Measure
    checks: tuple[Check, ...]
    scales: Mapping[ScaleName, Scale]
    draw: Draw
    needs: tuple[str, ...] = ("numpy", "matplotlib")
    extra: str = "studies"
    repeatable: bool = True
    part: str = ""
    notes: tuple[str, ...] = ()
    further: Mapping[ScaleName, Further] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if not self.checks:
            raise BadInput(f"study {self.name}: no checks, so that nothing could decide it")
        missing = [scale for scale in SCALES if scale not in self.scales]
        if missing:
            raise BadInput(f"study {self.name}: scale {missing[0]!r} is missing")
        for scale, size in self.scales.items():
            if size.seeds < 1:
                raise BadInput(f"study {self.name}: scale {scale!r} has {size.seeds} seeds")

    def at(self, scale: ScaleName) -> Study:
        """The study that is run at this scale: itself, or with what is measured further.

        Raises:
            BadInput: it has no such scale; those it has are named.
        """
        if scale in self.scales:
            return self
        if scale not in self.further:
            known = ", ".join([*self.scales, *self.further])
            raise BadInput(f"--scale {scale}: study {self.name} has {known}")
        more = self.further[scale]
        return replace(
            self, scales={**self.scales, scale: more.scale}, measure=more.measure,
            checks=more.checks, draw=more.draw,
        )  # fmt: skip


def checked_row(study: Study, row: Row) -> Row:
    """The row itself.

    Raises:
        BadInput: its value is not a finite number.
    """
    if not math.isfinite(row.value):
        raise BadInput(
            f"study {study.name}: {row.system} on {row.dataset} gave {row.metric} = {row.value}; "
            "a row must be finite (leave out what could not be measured and say so)"
        )
    return row._replace(value=float(row.value))


def verdict_of(outcomes: Sequence[str]) -> Verdict:
    """All checks hold: ``holds``; some: ``holds in part``; none: what the others say.

    None holds and one at least is undecided: ``inconclusive``; else ``does not hold``.
    """
    held = sum(outcome == "holds" for outcome in outcomes)
    if held == len(outcomes):
        return "holds"
    if held:
        return "holds in part"
    return "inconclusive" if "inconclusive" in outcomes else "does not hold"
