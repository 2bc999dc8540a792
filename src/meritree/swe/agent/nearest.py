"""Where a text that was not found would most nearly have been: for complaints that help."""

from __future__ import annotations

import difflib
from typing import NamedTuple

_WINDOWS = 5  # compared letter by letter
_LINES = 20_000


class Near(NamedTuple):
    """Lines ``start`` to ``end`` (1-based) of a text, and how alike they are in [0, 1]."""

    start: int
    end: int
    ratio: float


def nearest(wanted: str, text: str) -> Near | None:
    """The lines of ``text`` most like ``wanted``; None where nothing is alike."""
    lines, parts = text.splitlines()[:_LINES], wanted.strip("\n").splitlines()
    if not lines or not parts:
        return None
    size = min(len(parts), len(lines))
    keys = [line.strip() for line in lines]
    sought = {part.strip() for part in parts if part.strip()}
    best = sorted(
        range(len(lines) - size + 1),
        key=lambda at: (-_score(keys[at : at + size], sought), at),
    )[:_WINDOWS]
    goal = "\n".join(parts)
    rated = [(_ratio(goal, "\n".join(lines[at : at + size])), at) for at in best]
    ratio, at = max(rated, key=lambda one: (one[0], -one[1]))
    return Near(at + 1, at + size, ratio) if ratio >= 0.3 else None


def _score(window: list[str], sought: set[str]) -> float:
    exact = sum(line in sought for line in window)
    if exact:
        return float(exact)
    names = {word for part in sought for word in part.split()}
    return 0.5 * sum(word in names for line in window for word in line.split()) / 10


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a[:4000], b[:4000], autojunk=False).ratio()
