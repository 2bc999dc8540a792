"""Suspicion in a state that an edit has already changed: moved lines, drawn to the new failure.

Knows suspicions, texts and frames; nothing about templates, priors or queues.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from meritree.swe.edits import Edit
from meritree.swe.repair.suspicion import LineSuspicion, Suspicion
from meritree.swe.traceback_text import Frame


@dataclass(frozen=True, slots=True)
class Attraction:
    """Factors on lines of a child state.

    Attributes:
        same_line: the line edited last (the other half of a paired change).
        same_function: its function.
        last_frame: last project frame of the new failure.
        frame: its other project frames.
        elsewhere: all other lines.
    """

    same_line: float = 3.0
    same_function: float = 3.0
    last_frame: float = 6.0
    frame: float = 3.0
    elsewhere: float = 0.3


def moved_lines(old: str, new: str) -> tuple[dict[int, int], tuple[tuple[int, int], ...]]:
    """Where the lines of ``old`` are in ``new``, and what is new there.

    Returns:
        A map of 1-based lines that were kept or changed in place, and pairs (new line,
        old line it replaces or follows) for changed and added lines.
    """
    before, after = old.split("\n"), new.split("\n")
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    kept = {line: line for line in range(1, head + 1)}
    shift = len(after) - len(before)
    kept.update({line: line + shift for line in range(len(before) - tail + 1, len(before) + 1)})
    fresh: list[tuple[int, int]] = []
    middle = difflib.SequenceMatcher(
        None, before[head : len(before) - tail], after[head : len(after) - tail], autojunk=False
    )
    for kind, a, b, c, d in middle.get_opcodes():
        if kind == "equal":
            kept.update({head + 1 + a + i: head + 1 + c + i for i in range(b - a)})
        else:
            last = max(head + a, head + b) or 1
            fresh += [(head + 1 + c + i, min(head + 1 + a + i, last)) for i in range(d - c)]
    return kept, tuple(fresh)


def child_lines(
    region: Suspicion,
    original: Mapping[str, str],
    files: Mapping[str, str],
    last: Edit,
    frames: tuple[Frame, ...],
    attraction: Attraction,
) -> tuple[LineSuspicion, ...]:
    """Suspicion of a child state's lines, most suspicious first.

    Args:
        region: suspicion in the original text (of the tests that still fail).
        original, files: text of the original's and of the child's files.
        last: the edit that led to the child.
        frames: project frames of the child's failure, outermost first.
        attraction: see `Attraction`.
    """
    drawn = [_drawn(item, last, frames, attraction) for item in _moved(region, original, files)]
    return tuple(sorted(drawn, key=lambda item: -item.factor))  # stable: ties keep their order


def _moved(
    region: Suspicion, original: Mapping[str, str], files: Mapping[str, str]
) -> Iterator[LineSuspicion]:
    changed = [path for path in files if files[path] != original.get(path)]
    moves = {path: moved_lines(original.get(path, ""), files[path]) for path in changed}
    for item in region.lines:
        if item.path not in moves:
            yield item
        elif (place := moves[item.path][0].get(item.line)) is not None:
            yield _at(item, place)
    for path, (_, fresh) in moves.items():
        for line, origin in fresh:
            source = _nearest(region, path, origin)
            if source:
                yield _at(source, line, "changed by an earlier edit")


def _nearest(region: Suspicion, path: str, line: int) -> LineSuspicion | None:
    for distance in range(4):
        for near in (line - distance, line + distance):
            if item := region.by_line.get((path, near)):
                return item
    return None


def _at(item: LineSuspicion, line: int, reason: str = "") -> LineSuspicion:
    reasons = (*item.reasons, reason) if reason else item.reasons
    return LineSuspicion(item.path, line, item.factor, item.score, item.function, reasons)


def _drawn(
    item: LineSuspicion, last: Edit, frames: tuple[Frame, ...], attraction: Attraction
) -> LineSuspicion:
    pulls: list[tuple[float, str]] = []
    if frames and (frames[-1].path, frames[-1].line) == (item.path, item.line):
        pulls.append((attraction.last_frame, "last frame of the new failure"))
    elif any((frame.path, frame.line) == (item.path, item.line) for frame in frames):
        pulls.append((attraction.frame, "frame of the new failure"))
    if (item.path, item.function) == (last.path, last.function):
        if item.line == last.line:
            pulls.append((attraction.same_line, "the line edited before"))
        else:
            pulls.append((attraction.same_function, "same function as the edit before"))
    factor, reason = max(pulls, default=(attraction.elsewhere, ""))
    moved = _at(item, item.line, reason)
    return LineSuspicion(
        moved.path, moved.line, item.factor * factor, item.score, item.function, moved.reasons
    )


def _common(left: list[str], right: list[str]) -> int:
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count
