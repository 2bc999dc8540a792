"""Code search over the states of a search tree: one retriever, an index that follows the files.

A state is seen through its paths and texts; knows nothing of where they come from.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from meritree.swe.retrieval.data import Hit
from meritree.swe.retrieval.index import CodeIndex, build_index

_LARGEST = 400_000  # characters of a file that is indexed


class SourceView(Protocol):
    """The files of one state of a repository."""

    def paths(self) -> Sequence[str]:
        """Every file."""
        ...

    def text(self, path: str) -> str | None:
        """A file's text; None where there is none or it is not text."""
        ...


class TreeRetriever:
    """Searches any state; only files that differ from the state before are read anew.

    Safe to share between threads.

    Args:
        base: an empty index with the fusion and the dense channel to use; default: as
            `build_index`.
        within: which paths may be in an answer.
    """

    def __init__(
        self, base: CodeIndex | None = None, within: Callable[[str], bool] | None = None
    ) -> None:
        self._index = build_index({}) if base is None else base
        self._texts: dict[str, str] = {}
        self._within = within
        self._mutex = threading.Lock()

    def retrieve(self, query: str, source: SourceView, most: int) -> list[Hit]:
        """The ``most`` best places of a state, best first."""
        return self.index(source).search(query, most, within=self._within)

    def index(self, source: SourceView) -> CodeIndex:
        """The index of a state."""
        texts = {}
        for path in source.paths():
            text = source.text(path)
            if text is not None and len(text) <= _LARGEST:
                texts[path] = text
        with self._mutex:
            changed: dict[str, str | None] = {
                path: text for path, text in texts.items() if self._texts.get(path) != text
            }
            changed.update(dict.fromkeys(self._texts.keys() - texts.keys()))
            if changed:
                self._index, self._texts = self._index.changed(changed), texts
            return self._index
