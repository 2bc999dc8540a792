"""Where an agent stands: the files as they are now, its own tests, and what it has read.

Two ways that lead to the same files and the same knowledge are one situation. Knows no action.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType

from meritree.errors import MeritreeError
from meritree.swe.source_text import read_source
from meritree.swe.store import ObjectStore

Changes = Mapping[str, str | None]  # path -> new text, None: deleted
_NONE: Mapping[str, str | None] = MappingProxyType({})
_NO_TESTS: Mapping[str, str] = MappingProxyType({})
LARGEST = 1_000_000  # characters of a file that is read or written


def digest(text: str) -> str:
    """A short name of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Situation:
    """One state of an agent's work.

    Attributes:
        tree: git hash of the files, the agent's tests not among them.
        changes: how they differ from the start.
        tests: the agent's own tests, path -> text.
        seen: digests of what was read, in no order.
    """

    tree: str
    changes: Changes = field(default_factory=lambda: _NONE)
    tests: Mapping[str, str] = field(default_factory=lambda: _NO_TESTS)
    seen: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """The situation's identity."""
        known = [*self.seen, *(f"{path} {digest(text)}" for path, text in self.tests.items())]
        return f"{self.tree}:{digest(' '.join(sorted(known)))}"

    def having_read(self, text: str) -> Situation:
        """The same after reading something."""
        return replace(self, seen=self.seen | {digest(text)})


class Files:
    """Reads the files of situations out of the run's object store; never from disk.

    Safe to share between threads.
    """

    def __init__(self, store: ObjectStore, base: str) -> None:
        self.store = store
        self.base = base
        self._paths = tuple(store.paths(base))
        self._known = frozenset(self._paths)
        self._read = lru_cache(maxsize=4096)(self._original)

    def of(self, changes: Changes) -> View:
        """The files as they are with some changes."""
        return View(self, changes)

    def original(self, path: str) -> str | None:
        """A file's text at the start; None where there is none or it is not text."""
        return self._read(path) if path in self._known else None

    def named(self, changes: Changes) -> tuple[str, Changes]:
        """The tree's hash and the changes without those that change nothing.

        Raises:
            MeritreeError: a path is impossible or a text cannot be written in its encoding.
        """
        real = {
            path: text
            for path, text in changes.items()
            if (text is None and path in self._known)
            or (text is not None and text != self.original(path))
        }
        try:
            return self.store.tree_with(self.base, real), real
        except UnicodeEncodeError as error:
            raise MeritreeError(f"the text cannot be written as UTF-8: {error.reason}") from None

    def _original(self, path: str) -> str | None:
        data = self.store.read(self.base, path)
        if len(data) > 4 * LARGEST or b"\0" in data:
            return None
        try:
            return read_source(data)[0]
        except (SyntaxError, UnicodeDecodeError, LookupError):
            return None


class View:
    """The files of one situation (a `SourceView`)."""

    def __init__(self, files: Files, changes: Changes) -> None:
        self._files = files
        self._changes = changes

    def paths(self) -> Sequence[str]:
        """Every file, sorted."""
        if not self._changes:
            return self._files._paths
        gone = {path for path, text in self._changes.items() if text is None}
        come = {path for path, text in self._changes.items() if text is not None}
        return sorted((self._files._known | come) - gone)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        if path in self._changes:
            return self._changes[path] is not None
        return path in self._files._known

    def is_folder(self, path: str) -> bool:
        """Whether some file is below this path."""
        return any(one.startswith(f"{path}/") for one in self.paths())

    def text(self, path: str) -> str | None:
        """A file's text; None where there is none or it is not text."""
        if path in self._changes:
            return self._changes[path]
        return self._files.original(path)


def texts(paths: Iterable[str], view: View) -> Iterable[tuple[str, str]]:
    """The files among ``paths`` that are text."""
    for path in paths:
        text = view.text(path)
        if text is not None:
            yield path, text
