"""Reads an agent's conversation back: what a model that is a program knows, and nothing more.

Task, places, files as they were shown and edited since, the latest result, what was tried.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meritree.respond.data import Message, ToolCall
from meritree.swe.agent.hindsight import Tried, read

_PLACE = re.compile(r"^- (\S+):(\d+) ([01]\.\d+) ?(.*)$")
_RESULT = re.compile(r"^- (\S.*?): (failed|error|timeout|crashed)(?: ([\w.]+): ?(.*)| (.*))?$")
_VALUES = re.compile(r"^  expected (.*), got (.*)$")
_HEAD = re.compile(r"^(.+), lines (\d+) to (\d+) of (\d+):$")
_LINE = re.compile(r"^ *(\d+)\t(.*)$")
_COUNTS = re.compile(r"^Tests: (\d+) of (\d+) target tests pass", re.M)


@dataclass(frozen=True, slots=True)
class Place:
    """A suspicious line: its share of the top suspicion, and its code without indentation."""

    path: str
    line: int
    share: float
    code: str


@dataclass(slots=True)
class FileSeen:
    """Lines of a file that were shown, by number; ``total`` is how many it has."""

    total: int
    lines: dict[int, str] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """The first line that was not shown; 0 when all were."""
        return next((n for n in range(1, self.total + 1) if n not in self.lines), 0)


@dataclass(slots=True)
class Transcript:
    """See the module.

    Attributes:
        edits: how many edits were made on the way here.
        passing: target tests that passed after the latest edit and before it; None: not told.
        last: what the latest step showed, and the name of its tool.
    """

    task: str = ""
    places: list[Place] = field(default_factory=list)
    exceptions: list[tuple[str, str]] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    actual: list[str] = field(default_factory=list)
    files: dict[str, FileSeen] = field(default_factory=dict)
    edits: int = 0
    passing: int | None = None
    before: int = 0
    last: str = ""
    last_tool: str = ""
    tried: Tried = field(default_factory=lambda: Tried(0, ()))

    def sources(self) -> dict[str, str]:
        """The files that were shown whole."""
        return {
            path: "\n".join(seen.lines[n] for n in range(1, seen.total + 1)) + "\n"
            for path, seen in self.files.items()
            if not seen.missing
        }


def transcript(messages: Sequence[Message]) -> Transcript:
    """Read a conversation."""
    made = Transcript()
    calls: dict[str, ToolCall] = {}
    for message in messages:
        if message.role == "user" and not made.task:
            _read_task(made, message.text)
        elif message.role == "user":
            tried = read(message.text)
            made.tried = tried if tried.count else made.tried
        elif message.role == "assistant":
            calls.update({call.id: call for call in message.tool_calls})
        elif message.role == "tool" and message.tool_call_id in calls:
            _read_result(made, calls[message.tool_call_id], message.text)
    return made


def _read_task(made: Transcript, text: str) -> None:
    made.task = text
    for line in text.splitlines():
        if place := _PLACE.match(line):
            made.places.append(Place(place[1], int(place[2]), float(place[3]), place[4].strip()))
        elif result := _RESULT.match(line):
            made.exceptions.append((result[3] or "", result[4] or result[5] or ""))
        elif values := _VALUES.match(line):
            made.expected.append(values[1])
            made.actual.append(values[2])


def _read_result(made: Transcript, call: ToolCall, text: str) -> None:
    made.last, made.last_tool = text, call.name
    if call.name == "view":
        _read_lines(made, text)
    elif call.name == "replace" and text.startswith("Edited "):
        _apply(made, call.arguments)
        made.edits += 1
        made.before = made.passing or 0
        counts = _COUNTS.search(text)
        made.passing = int(counts[1]) if counts else None


def _read_lines(made: Transcript, text: str) -> None:
    head, _, rest = text.partition("\n")
    shown = _HEAD.match(head)
    if shown is None:
        return
    seen = made.files.setdefault(shown[1], FileSeen(int(shown[4])))
    seen.total = int(shown[4])
    for line in rest.split("\n"):
        if numbered := _LINE.match(line):
            seen.lines[int(numbered[1])] = numbered[2]


def _apply(made: Transcript, arguments: Mapping[str, object]) -> None:
    path, old, new = (str(arguments.get(name, "")) for name in ("path", "old", "new"))
    seen = made.files.get(path)
    if seen is None or seen.missing or not old:
        return
    text = made.sources()[path].replace(old, new, 1)
    lines = text.split("\n")[:-1]
    made.files[path] = FileSeen(len(lines), dict(enumerate(lines, 1)))
