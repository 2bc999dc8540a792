"""When a search for patches that pass has enough of them.

Counts candidates by place and template; knows neither how they are made nor how they are ranked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

_ALIKE = 3  # candidates of one template on one line that count


@dataclass(slots=True)
class SearchLimits:
    """When the search ends before its budget does.

    Candidates that look made for their tests count for none of this.

    Attributes:
        stop_at_first: end at the first candidate that passes all tests.
        most_found: collect at most this many passing candidates (overfitting control: the
            ranking needs alternatives to choose from). Of one template on one line only the
            first three count; three times as many end the search in any case.
        patience: after the first passing candidate go on for ``max(patience,
            patience_share * evaluations so far)`` evaluations.
    """

    stop_at_first: bool = False
    most_found: int = 10
    patience: int = 250
    patience_share: float = 0.1


@dataclass(slots=True)
class Passing:
    """The candidates that pass and look honest.

    Attributes:
        first_at: evaluations when the first of them was found; None before.
        kinds: how many there are of each (path, line, template).
    """

    first_at: int | None = None
    kinds: Counter[tuple[str, int, str]] = field(default_factory=Counter)

    def add(self, kind: tuple[str, int, str], evaluations: int) -> None:
        self.kinds[kind] += 1
        if self.first_at is None:
            self.first_at = evaluations

    def enough(self, limits: SearchLimits, evaluations: int) -> str:
        """Why the search has enough of them; empty while it has not."""
        if self.first_at is None:
            return ""
        if limits.stop_at_first:
            return "a candidate passes all tests"
        total = self.kinds.total()
        counted = sum(min(_ALIKE, n) for n in self.kinds.values())
        if max(counted, total / _ALIKE) >= limits.most_found:
            return f"{total} candidates pass all tests"
        patience = max(limits.patience, int(limits.patience_share * self.first_at))
        if evaluations >= self.first_at + patience:
            return "enough alternatives were tried after the first passing one"
        return ""
