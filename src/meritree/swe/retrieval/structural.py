"""The structural channel: frames of tracebacks, names that are defined, who calls whom.

Works on what `pieces` read from syntax trees; files that were not parsed can only be named by their
path. Knows nothing of words.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping
from dataclasses import dataclass

from meritree.swe.repository import is_test_path
from meritree.swe.retrieval.data import Found, Place
from meritree.swe.retrieval.pieces import FileIndex
from meritree.swe.retrieval.words import STOP
from meritree.swe.testing.types import Frame
from meritree.swe.traceback_text import clean, match_path, mentions, parse_tracebacks, resolve
from meritree.value.sums import in_order

_QUERY = 200_000  # characters of a query that are read
_LINE = 2000  # of one line
_ENDLESS = re.compile(r"\S{250,}")
Spot = tuple[str, int]  # path, number of the place in its file


@dataclass(frozen=True, slots=True)
class Evidence:
    """How much each kind of evidence is worth; one kind counts once for a place, kinds add up.

    Attributes:
        frame: the frame that raised; frames further out count ``fade`` of the next inner one.
        fade: see ``frame``.
        qualified: the query holds the place's dotted name (``Basket.total``).
        defines: the query holds its last part, looking like code; shared among its definitions.
        word: as ``defines``, for a word that might be English.
        called: a failing test calls it; shared among the definitions of that name.
        called_inside: what a failing test calls, calls it.
        calls: it calls what the query names.
        file: the query names its file.
    """

    frame: float = 1.0
    fade: float = 0.7
    qualified: float = 1.0
    defines: float = 0.6
    word: float = 0.3
    called: float = 0.6
    called_inside: float = 0.2
    calls: float = 0.02
    file: float = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """What a query says of code.

    Attributes:
        frames: (frames from the raise, frame) of the repository's own frames.
        code: names that look like code, dotted ones too.
        words: other words that may be names.
        paths: files that are named, by repository path.
    """

    frames: tuple[tuple[int, Frame], ...]
    code: frozenset[str]
    words: frozenset[str]
    paths: tuple[str, ...]


def asked(query: str, paths: frozenset[str]) -> Asked:
    """Read a query; ``paths`` are the files of the tree."""
    # Nobody names such things, and patterns take long over them.
    query = _ENDLESS.sub(" ", "\n".join(line[:_LINE] for line in query[:_QUERY].split("\n")))
    frames: dict[Frame, int] = {}
    for traceback in parse_tracebacks(query):
        own = resolve(traceback.frames, paths)
        for depth, frame in enumerate(reversed(own)):
            frames[frame] = min(depth, frames.get(frame, depth))
    said = mentions(query)
    plain = {w.strip(".,:;()[]{}'\"!?`") for w in clean(query).split()}
    named = (match_path(path, paths) for path in said.paths)
    return Asked(
        tuple((depth, frame) for frame, depth in frames.items()),
        said.identifiers,
        frozenset(w for w in plain if w.isidentifier() and len(w) > 2 and w.lower() not in STOP)
        - said.identifiers,
        tuple(dict.fromkeys(path for path in named if path is not None)),
    )


def structural(
    query: str, files: Mapping[str, FileIndex], most: int, evidence: Evidence | None = None
) -> dict[Place, Found]:
    """The ``most`` best places by the evidence for them."""
    sought = asked(query, frozenset(files))
    gathered = _Gathered(files, evidence or Evidence())
    gathered.add_frames(sought)
    gathered.add_names(sought)
    gathered.add_calls(sought)
    gathered.add_paths(sought)
    return gathered.best(most)


class _Gathered:
    """Evidence by place: of each kind the strongest."""

    def __init__(self, files: Mapping[str, FileIndex], evidence: Evidence) -> None:
        self._files = files
        self._worth = evidence
        self._found: dict[Spot, dict[str, tuple[float, str]]] = {}

    def add_frames(self, sought: Asked) -> None:
        for depth, frame in sought.frames:
            spot = self._spot(frame)
            if spot is not None:
                above = f"is {depth} frame{'s' * (depth > 1)} above the raise"
                where = above if depth else "raises"
                worth = self._worth.frame * self._worth.fade**depth
                self._add(spot, "frame", worth, f"{where} in the traceback (line {frame.line})")

    def add_names(self, sought: Asked) -> None:
        for name in sorted(sought.code):
            last = name.rpartition(".")[2]
            for spot, share in self._defining(last):
                symbol = self._files[spot[0]].pieces[spot[1]].place.symbol
                if "." in name and f".{symbol}".endswith(f".{name}"):
                    self._add(spot, "name", self._worth.qualified, f"is {name}, which is named")
                else:
                    worth = self._worth.defines * share
                    self._add(spot, "name", worth, f"defines {last}, which is named")
            self._add_callers(last)
        for name in sorted(sought.words):
            for spot, share in self._defining(name):
                self._add(spot, "name", self._worth.word * share, f"defines {name}, a word of it")

    def add_calls(self, sought: Asked) -> None:
        """From the failing tests to what they call, and on to what that calls."""
        for _, frame in sought.frames:
            spot = self._spot(frame)
            if spot is None or not is_test_path(frame.path):
                continue
            test = self._files[spot[0]].pieces[spot[1]]
            for name in sorted(test.calls):
                for callee, share in self._defining(name, tests=False):
                    why = f"is called by {test.place.symbol or test.place.path}"
                    self._add(callee, "called", self._worth.called * share, why)
                    self._add_inner(callee, share)

    def add_paths(self, sought: Asked) -> None:
        for path in sought.paths:
            for number in range(len(self._files[path].pieces)):
                self._add((path, number), "file", self._worth.file, "its file is named")

    def best(self, most: int) -> dict[Place, Found]:
        scored = [
            (in_order(worth for worth, _ in kinds.values()), self._place(spot), kinds)
            for spot, kinds in self._found.items()
        ]
        first = heapq.nsmallest(most, scored, key=lambda one: (-one[0], one[1]))
        return {
            place: Found(score, ", ".join(why for _, why in sorted(kinds.values(), reverse=True)))
            for score, place, kinds in first
            if score > 0.0
        }

    def _add(self, spot: Spot, kind: str, worth: float, why: str) -> None:
        kinds = self._found.setdefault(spot, {})
        if worth > kinds.get(kind, (0.0, ""))[0]:
            kinds[kind] = (worth, why)

    def _add_inner(self, spot: Spot, share: float) -> None:
        caller = self._files[spot[0]].pieces[spot[1]]
        for name in sorted(caller.calls):
            for callee, own in self._defining(name, tests=False):
                if callee != spot:
                    worth = self._worth.called_inside * share * own
                    self._add(callee, "inside", worth, f"is called by {caller.place.symbol}")

    def _add_callers(self, name: str) -> None:
        found = [(path, i) for path, file in self._files.items() for i in file.calls.get(name, ())]
        for spot in found:
            self._add(spot, "calls", self._worth.calls / len(found), f"calls {name}")

    def _defining(self, name: str, *, tests: bool = True) -> list[tuple[Spot, float]]:
        """Places that define a name, each with its share of it."""
        found = [
            (path, number)
            for path, file in self._files.items()
            for number in file.defines.get(name, ())
            if tests or not is_test_path(path)
        ]
        return [(spot, 1.0 / len(found)) for spot in found]

    def _spot(self, frame: Frame) -> Spot | None:
        file = self._files[frame.path]
        number = file.at(frame.line) if frame.line else None
        if number is None and frame.function:
            number = next(iter(file.defines.get(frame.function.rpartition(".")[2], ())), None)
        return None if number is None else (frame.path, number)

    def _place(self, spot: Spot) -> Place:
        return self._files[spot[0]].pieces[spot[1]].place
