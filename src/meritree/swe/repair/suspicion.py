"""What localisation reads and what it says, as plain data: covered tests, suspected lines.

Knows nothing of how suspicion is counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from meritree.swe.traceback_text import Frame


@dataclass(frozen=True, slots=True)
class CoveredTest:
    """What localisation needs to know about one test of the baseline.

    Attributes:
        id: its node id.
        failed: whether it fails (a target) or passes.
        covered: executed lines by repository path; may be empty when not traced.
        frames: frames of its failure, outermost first, with repository paths (frames in
            tests and libraries may be among them; they are ignored).
        asserted: source of the failed assertion, or the failure message, or empty.
    """

    id: str
    failed: bool
    covered: Mapping[str, Collection[int]] = field(default_factory=dict)
    frames: tuple[Frame, ...] = ()
    asserted: str = ""


@dataclass(frozen=True, slots=True)
class LineSuspicion:
    """One line: ``factor`` L = (s^2 + 1e-4) x boosts, ``score`` s in [0, 1], and why."""

    path: str
    line: int
    factor: float
    score: float
    function: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suspicion:
    """Lines in order of their factor, with a strict order even inside ties.

    Attributes:
        lines: most suspicious first.
        head: how many lines belong to the head; after it the factor falls with 1 / rank.
    """

    lines: tuple[LineSuspicion, ...]
    head: int = 0

    @cached_property
    def by_line(self) -> Mapping[tuple[str, int], LineSuspicion]:
        return {(item.path, item.line): item for item in self.lines}

    def factor(self, path: str, line: int) -> float:
        """L of a line; 0 for a line that is not suspected at all."""
        item = self.by_line.get((path, line))
        return item.factor if item else 0.0

    def rank(self, path: str, line: int) -> int | None:
        """1-based place of a line, None when it is not in the list."""
        for place, item in enumerate(self.lines, 1):
            if (item.path, item.line) == (path, line):
                return place
        return None
