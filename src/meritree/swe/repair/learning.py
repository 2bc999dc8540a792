"""What a run teaches about lines and templates: counts with a Beta posterior's mean.

A function of the sequence of outcomes alone; knows nothing about edits beyond where they
acted and which template made them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Site(NamedTuple):
    """A line by its content, so that it stays the same line when others move it."""

    path: str
    function: str
    text: str


class Lesson(Protocol):
    """The part of an outcome that the learner reads (see `policy.EditOutcome`)."""

    @property
    def changed(self) -> float: ...
    @property
    def gain(self) -> float: ...
    @property
    def crash(self) -> str: ...
    @property
    def broke(self) -> float: ...
    @property
    def invalid(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class LearningOptions:
    """How fast outcomes move the order.

    Attributes:
        strength: pseudo-outcomes of the prior belief that a function (line) matters.
        line_strength: the same for a line, whose prior mean is its function's posterior.
        belief: prior mean of "an edit here changes the failure".
        power: relevance is (posterior mean / belief) ** power.
        gain: extra factor of a line for the best gain seen there: 1 + gain x best.
        crash_evidence: how much of a change a crash counts (it shows only that the line runs).
        crash_decay: pseudo-count of harmless outcomes against a template's crashes on a line.
    """

    strength: float = 4.0
    line_strength: float = 4.0
    belief: float = 0.5
    power: float = 1.0
    gain: float = 4.0
    crash_evidence: float = 0.5
    crash_decay: float = 2.0


class _Counts:
    __slots__ = ("best", "mattered", "seen")

    def __init__(self) -> None:
        self.seen = 0.0
        self.mattered = 0.0
        self.best = 0.0


class Learner:
    """Posterior relevance of functions and lines, and templates that only crash."""

    def __init__(self, options: LearningOptions) -> None:
        self._options = options
        self._functions: dict[tuple[str, str], _Counts] = {}
        self._lines: dict[Site, _Counts] = {}
        self._templates: dict[tuple[Site, str], list[int]] = {}

    def learn(self, site: Site, template: str, lesson: Lesson) -> None:
        """Take one outcome into account."""
        evidence = self._evidence(lesson)
        groups = (
            self._functions.setdefault((site.path, site.function), _Counts()),
            self._lines.setdefault(site, _Counts()),
        )
        for counts in groups:
            counts.seen += 1
            counts.mattered += evidence
            counts.best = max(counts.best, lesson.gain)
        crashes = self._templates.setdefault((site, template), [0, 0])
        crashes[0 if lesson.crash or lesson.invalid else 1] += 1

    def _evidence(self, lesson: Lesson) -> float:
        """How much the outcome shows that the place matters, in [0, 1]."""
        if lesson.invalid:
            return self._options.belief  # nothing was run: nothing learnt
        if lesson.crash:
            return self._options.crash_evidence
        if lesson.gain != 0 or lesson.broke > 0:
            return 1.0
        return 1.0 if lesson.changed > 0 else 0.0

    def relevance(self, site: Site) -> float:
        """Factor on a line's suspicion: 1 before any outcome, above if edits there matter."""
        options = self._options
        function = self._functions.get((site.path, site.function))
        if function is None:
            return 1.0
        mean = _posterior(function, options.belief, options.strength)
        line = self._lines.get(site)
        best = 0.0
        if line is not None:
            mean = _posterior(line, mean, options.line_strength)
            best = max(0.0, line.best)
        return float((mean / options.belief) ** options.power * (1.0 + options.gain * best))

    def template_factor(self, site: Site, template: str) -> float:
        """Factor in (0, 1] that falls while a template's edits on a line only crash."""
        crashes = self._templates.get((site, template))
        if crashes is None:
            return 1.0
        harmless = self._options.crash_decay + crashes[1]
        return harmless / (harmless + crashes[0])


def _posterior(counts: _Counts, mean: float, strength: float) -> float:
    return (strength * mean + counts.mattered) / (strength + counts.seen)
