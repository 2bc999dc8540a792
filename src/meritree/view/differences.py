"""The change of each node against its parent, from the splices that the journal holds.

The starting texts come from the run's own object store; where that is gone there are no
differences, and nothing else is lost.
"""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meritree.errors import MeritreeError

CONTEXT = 3  # lines shown around a change
_KEPT = 512  # texts of inner nodes remembered

ReadText = Callable[[str], str | None]  # path -> text of the start, None where unknown


@dataclass(frozen=True, slots=True)
class Change:
    """One node's edit as it was recorded: parent's id, path, splices (start, end, new text)."""

    parent: int
    path: str
    splices: tuple[tuple[int, int, str], ...]


def change_of(parent: int, edit: Mapping[str, Any]) -> Change | None:
    """The change in a recorded edit, None where there is none or it makes no sense."""
    splices = edit.get("splices")
    path = edit.get("path")
    if not isinstance(splices, list) or not isinstance(path, str):
        return None
    try:
        parts = tuple((int(start), int(end), str(new)) for start, end, new in splices)
    except (TypeError, ValueError):
        return None
    return Change(parent, path, parts)


@dataclass(slots=True)
class Differences:
    """Differences of nodes on demand; texts of parents are remembered.

    Attributes:
        read: text of a file in the starting state.
        changes: node id -> its change; whoever reads the journal fills it.
        states: node id -> its state, where a run names states and not changes.
        compare: the difference of two states as text, empty where one is gone.
    """

    read: ReadText
    changes: dict[int, Change] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)
    compare: Callable[[str, str], str] = lambda before, after: ""
    _texts: OrderedDict[tuple[int, str], str | None] = field(default_factory=OrderedDict)

    def between(self, parent: int | None, node: int) -> str:
        """The change of a node against its parent, however the run recorded it."""
        if node in self.changes or parent is None or node not in self.states:
            return self.of(node)
        before, after = self.states.get(parent, ""), self.states[node]
        return self.compare(before, after) if before and before != after else ""

    def of(self, node: int) -> str:
        """The node's recorded change as a unified difference, empty where it is not known."""
        change = self.changes.get(node)
        if change is None:
            return ""
        before = self._text(change.parent, change.path)
        after = None if before is None else _spliced(before, change)
        if before is None or after is None or not change.splices:
            return ""
        start, end = change.splices[0][0], change.splices[-1][1]
        return local_diff(change.path, before, after, start, end)

    def _text(self, node: int, path: str) -> str | None:
        """A file's text in a node's state."""
        chain: list[int] = []
        current = node
        while (current, path) not in self._texts and current in self.changes:
            chain.append(current)
            current = self.changes[current].parent
        text = self._texts[current, path] if (current, path) in self._texts else self.read(path)
        self._remember(current, path, text)
        for step in reversed(chain):
            change = self.changes[step]
            if text is not None and change.path == path:
                text = _spliced(text, change)
        self._remember(node, path, text)
        return text

    def _remember(self, node: int, path: str, text: str | None) -> None:
        self._texts[node, path] = text
        self._texts.move_to_end((node, path))
        if len(self._texts) > _KEPT:
            self._texts.popitem(last=False)


def _spliced(text: str, change: Change) -> str | None:
    parts, position = [], 0
    for start, end, new in change.splices:
        if not position <= start <= end <= len(text):
            return None  # the text is another one than it was
        parts += [text[position:start], new]
        position = end
    return "".join([*parts, text[position:]])


def local_diff(path: str, before: str, after: str, start: int, end: int) -> str:
    """A unified difference of two texts that agree before ``start`` and, in the old one, from
    ``end`` on; only what lies between and a little around it is looked at."""
    first = _lines_up(before, start)
    last = _lines_down(before, end)
    old = before[first:last].split("\n")
    new = after[first : len(after) - (len(before) - last)].split("\n")
    skipped = before.count("\n", 0, first)
    lines = difflib.unified_diff(old, new, path, path, n=CONTEXT, lineterm="")
    return "\n".join(_shifted(line, skipped) for line in lines)


def _lines_up(text: str, place: int) -> int:
    """Where the line begins that stands ``CONTEXT`` lines above a place."""
    for _ in range(CONTEXT + 1):
        place = text.rfind("\n", 0, place)
        if place < 0:
            return 0
    return place + 1


def _lines_down(text: str, place: int) -> int:
    """Where the line ends that stands ``CONTEXT`` lines below a place."""
    at = place - 1  # the change may end with its line's end
    for _ in range(CONTEXT + 1):
        at = text.find("\n", at + 1)
        if at < 0:  # the last line's end is shown only where it changed
            return len(text) - (place < len(text) and text.endswith("\n"))
    return at


def _shifted(line: str, first: int) -> str:
    """A hunk's head with the line numbers of the whole file."""
    if not line.startswith("@@ -") or not first:
        return line
    ranges = []
    for part in line.split()[1:3]:
        start, _, size = part[1:].partition(",")
        ranges.append(f"{part[0]}{int(start) + first}{',' + size if size else ''}")
    return f"@@ {' '.join(ranges)} @@"


def start_of(folder: Path, state: str, into: Differences) -> None:
    """Let differences be read from the run's object store, if it is still there."""
    place = folder / "objects"
    into.states[0] = state
    if not state or not (place / "HEAD").is_file():
        return
    from meritree.swe.source_text import read_source
    from meritree.swe.store import ObjectStore

    try:
        store = ObjectStore(place)
    except MeritreeError:
        return
    known: dict[str, str | None] = {}

    def read(path: str) -> str | None:
        if path not in known:
            try:
                known[path] = read_source(store.read(state, path))[0]
            except (MeritreeError, SyntaxError, UnicodeDecodeError):
                known[path] = None
        return known[path]

    def compare(before: str, after: str) -> str:
        try:
            return store.diff(before, after)
        except MeritreeError:
            return ""

    into.read, into.compare = read, compare
