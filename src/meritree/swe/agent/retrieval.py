"""Searching code for what a question describes: the protocol, and a plain lexical fallback.

Better retrievers are passed in; the agent knows only the protocol.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

_WORD = re.compile(r"[A-Za-z][a-z]+|[A-Z]+(?![a-z])|\d+")
_BLOCK = 30  # lines of a passage
_LARGEST = 400_000  # characters of a file that is looked at


class SourceView(Protocol):
    """The files of one state of a repository."""

    def paths(self) -> Sequence[str]:
        """Every file, sorted."""
        ...

    def text(self, path: str) -> str | None:
        """A file's text; None where there is none or it is not text."""
        ...


class Place(Protocol):
    """Some lines of a file that fit a question."""

    @property
    def path(self) -> str:
        """The file."""
        ...

    @property
    def start(self) -> int:
        """Its first line, from 1."""
        ...

    @property
    def end(self) -> int:
        """Its last line, included."""
        ...

    @property
    def score(self) -> float:
        """The higher the better; comparable inside one answer only."""
        ...


@dataclass(frozen=True, slots=True)
class Passage:
    """A `Place`."""

    path: str
    start: int
    end: int
    score: float


class Retriever(Protocol):
    """Finds passages; safe to share between threads."""

    def retrieve(self, query: str, source: SourceView, most: int) -> Sequence[Place]:
        """The ``most`` best places, best first; empty where nothing fits."""
        ...


class LexicalRetriever:
    """Words in common, rare ones counting more (BM25 with k1 = 1.2, b = 0.75) over blocks."""

    def retrieve(self, query: str, source: SourceView, most: int) -> Sequence[Passage]:
        """See `Retriever`; identifiers are split at their humps and underscores."""
        wanted = Counter(words(query))
        blocks: list[tuple[str, int, Counter[str]]] = []
        for path in source.paths():
            text = source.text(path)
            if text is not None and len(text) <= _LARGEST:
                named = Counter(words(path))
                blocks += [(path, start, counts + named) for start, counts in _blocks(text)]
        if not blocks or not wanted:
            return ()
        seen = Counter(word for _, _, counts in blocks for word in wanted if word in counts)
        sizes = [counts.total() for _, _, counts in blocks]
        usual = sum(sizes) / len(sizes)
        found = []
        for (path, start, counts), size in zip(blocks, sizes, strict=True):
            score = 0.0
            for word in wanted:
                often = counts.get(word, 0)
                if often:
                    rare = math.log(1 + (len(blocks) - seen[word] + 0.5) / (seen[word] + 0.5))
                    score += rare * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * size / usual))
            if score > 0:
                found.append(Passage(path, start, start + _BLOCK - 1, score))
        return sorted(found, key=lambda one: (-one.score, one.path, one.start))[:most]


def words(text: str) -> list[str]:
    """Lower-case words of a text, identifiers taken apart, plural and verb ends cut."""
    return [_stem(word.lower()) for word in _WORD.findall(text) if len(word) > 1]


def _stem(word: str) -> str:
    for end in ("ing", "ed", "es", "s"):
        if word.endswith(end) and len(word) > len(end) + 3:
            return word[: -len(end)]
    return word


@lru_cache(maxsize=4096)
def _blocks(text: str) -> tuple[tuple[int, Counter[str]], ...]:
    lines = text.splitlines()
    return tuple(
        (start + 1, Counter(words("\n".join(lines[start : start + _BLOCK]))))
        for start in range(0, len(lines), _BLOCK)
    )
