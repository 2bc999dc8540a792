"""What tried siblings teach the next proposal: their actions, values and why.

Plain data in, text out; the text can be read back by a model that is a program.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from meritree.swe.agent.actions import Action, Malformed, decode, encode
from meritree.swe.agent.prompts import filled, template

HEADER = template("hindsight").splitlines()[0]
_WHY = 300
_LONGEST = 1500  # characters of one action


@dataclass(frozen=True, slots=True)
class Lesson:
    """What became of one action.

    Attributes:
        action: what was done; None where a reply held no action.
        value: of the state it led to, in [0, 1].
        why: in words.
    """

    action: Action | None
    value: float
    why: str


def told(lessons: Sequence[Lesson], most: int) -> str:
    """The lessons as text of at most about ``most`` characters, the latest first; empty for none.

    Lessons that do not fit are counted.
    """
    if not lessons:
        return ""
    lines: list[str] = []
    left = most
    for lesson in reversed(lessons):
        line = _line(lesson)
        left -= len(line) + 1
        if left < 0 and lines:
            break
        lines.append(line)
    hidden = len(lessons) - len(lines)
    more = f", the latest {len(lines)} are shown" if hidden else ""
    return filled("hindsight", count=len(lessons), more=more, lessons="\n".join(lines))


def _line(lesson: Lesson) -> str:
    said = "a reply without an action"
    if lesson.action is not None:
        said = json.dumps(encode(lesson.action), ensure_ascii=False)
    why = " ".join(lesson.why.split())[:_WHY]
    return f"- {said[:_LONGEST]} -> {lesson.value:.2f}: {why}"


@dataclass(frozen=True, slots=True)
class Tried:
    """What a hindsight text says: how many attempts, and those actions that it shows in full."""

    count: int
    actions: tuple[Action, ...]


def read(text: str) -> Tried:
    """Inverse of `told`, for models that are programs; nothing tried where it is no such text."""
    if not text.startswith(HEADER):
        return Tried(0, ())
    found: list[Action] = []
    lines = text.splitlines()
    for line in lines:
        if line.startswith('- {"name"'):
            try:
                document, _ = json.JSONDecoder().raw_decode(line[2:])
                found.append(decode(document))
            except (ValueError, Malformed):
                continue
    count = sum(line.startswith("- ") for line in lines)
    for line in lines:
        number = line.rpartition("(")[2].split(" ")[0]
        if line.endswith(")") and " in all" in line and number.isdigit():
            count = int(number)
            break
    return Tried(count, tuple(found))
