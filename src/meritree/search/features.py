"""Facts about a state that the SWE-Search scores read, and how alike two states are.

Told with `Child.features`; a world that knows none leaves them out. Nothing here knows how the
facts are found.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

_POPULAR = 200  # from this length on difflib leaves frequent characters out


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a state has looked at and changed in one file.

    Attributes:
        spans: names of the functions and classes in view.
        patch: the change of this file as text, empty if unchanged.
    """

    spans: frozenset[str] = frozenset()
    patch: str = ""


@dataclass(frozen=True, slots=True)
class SweFeatures:
    """Facts of the code world about one node.

    Attributes:
        action_kind: type of the action that led here ("StringReplace", ...).
        finished: the agent declared success here; None: the node is terminal.
        patched: the state differs from the start; None: every node but the root does.
        expects_correction: the observation asks for a correction (failed edit or test).
        files: what is known of each file, by path.
    """

    action_kind: str = ""
    finished: bool | None = None
    patched: bool | None = None
    expects_correction: bool = False
    files: Mapping[str, FileFacts] = field(default_factory=dict)


def similarity(a: Mapping[str, FileFacts], b: Mapping[str, FileFacts]) -> float:
    """0.4 Jaccard(files) + 0.2 mean Jaccard(spans) + 0.4 mean ratio(patches), in [0, 1].

    The means run over the files in both; without a common file they are 1, as in
    moatless-tree-search (so states without a common file still have similarity 0.6). The ratio
    is `difflib.SequenceMatcher.ratio`.
    """
    common, spans, patches = 0, 0.0, 0.0
    for path, mine in a.items():
        other = b.get(path)
        if other is None:
            continue
        common += 1
        if mine is other:
            spans += 1.0
            patches += 1.0
            continue
        ours, theirs = mine.spans, other.spans
        both = len(ours & theirs)
        either = len(ours) + len(theirs) - both
        spans += both / either if either else 1.0
        before, after = mine.patch, other.patch
        patches += 1.0 if before == after else _ratio(before, after)
    union = len(a) + len(b) - common
    files = common / union if union else 1.0
    if not common:
        return 0.4 * files + 0.6
    return 0.4 * files + (0.2 * spans + 0.4 * patches) / common


@lru_cache(maxsize=1 << 13)  # most patches of a state are those of its parent
def _ratio(a: str, b: str) -> float:
    """`difflib.SequenceMatcher(None, a, b).ratio()`, several times faster for short texts."""
    if len(b) >= _POPULAR:
        return difflib.SequenceMatcher(None, a, b).ratio()
    return 2.0 * _matched(a, b) / (len(a) + len(b))


def _matched(a: str, b: str) -> int:
    """Characters in matching blocks: the longest common one, then left and right of it.

    Ratcliff and Obershelp (1988). Among blocks of equal length the first in ``a``, then the
    first in ``b``, is taken, as in difflib.
    """
    total = 0
    todo = [(0, len(a), 0, len(b))]
    while todo:
        a_from, a_to, b_from, b_to = todo.pop()
        size, start, found = _longest(a, a_from, a_to, b, b_from, b_to)
        if not size:
            continue
        total += size
        # Single characters on the same side of a block differ: it would be longer else.
        if a_from < start and b_from < found and start - a_from + found - b_from > 2:
            todo.append((a_from, start, b_from, found))
        start += size
        found += size
        if start < a_to and found < b_to and a_to - start + b_to - found > 2:
            todo.append((start, a_to, found, b_to))
    return total


def _longest(
    a: str, a_from: int, a_to: int, b: str, b_from: int, b_to: int
) -> tuple[int, int, int]:
    """The longest common block of a[a_from:a_to] and b[b_from:b_to]: size, start in a, in b."""
    size = start = found = 0
    i = a_from
    while i + size < a_to:
        half = size >> 1
        # A longer block that starts at i ... i + half holds this piece.
        if half and b.find(a[i + half : i + size + 1], b_from, b_to) < 0:
            i += half + 1
            continue
        at = b.find(a[i : i + size + 1], b_from, b_to)
        if at < 0:
            i += 1
            continue
        size += 1
        while i + size < a_to and at + size < b_to and a[i + size] == b[at + size]:
            size += 1
        start, found = i, at
    return size, start, found
