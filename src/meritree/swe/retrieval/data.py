"""What code search takes and gives, as plain data.

Knows no channel: how a place is found is the business of the files beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

Kind = Literal["function", "class", "module", "text"]


class Place(NamedTuple):
    """A piece of code that can be found.

    Attributes:
        path: relative, with ``/``.
        symbol: dotted name inside the file (``Basket.total``), empty for a module or plain text.
        kind: ``function`` (methods too), ``class`` (what stands outside its methods), ``module``
            (what stands outside functions and classes) or ``text`` (a window of any other file).
        start, end: first and last line, from 1.
    """

    path: str
    symbol: str
    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A place that answers a query.

    Attributes:
        path, symbol, kind, start, end: as of `Place`.
        score: fused over the channels; comparable within one search only.
        ranks: by channel, from 1 (equal scores share a rank, so halves occur); a channel that did
            not find the place is absent.
        reasons: by channel, in words.
    """

    path: str
    symbol: str
    kind: Kind
    start: int
    end: int
    score: float
    ranks: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(self.path, self.symbol, self.kind, self.start, self.end)

    def __str__(self) -> str:
        name = f" {self.symbol}" if self.symbol else ""
        why = "; ".join(self.reasons.values())
        return f"{self.path}:{self.start}-{self.end}{name} ({why})"


class Found(NamedTuple):
    """What one channel says of one place: a score (higher is better) and why."""

    score: float
    reason: str


class Retriever(Protocol):
    """Whoever finds places in a tree of files."""

    def search(self, query: str, k: int = 10) -> Sequence[Hit]:
        """The ``k`` best places for a question, an issue text or a traceback, best first."""
        ...
