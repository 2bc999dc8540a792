"""The scratch copy on disk: notice and undo what test runs changed in it.

Compares sizes and times (that of the last change of state too, which nobody can set back) with
those of the start; contents come from the pristine copy, those of files that were made before (by
test modules while they were imported) from memory.
"""

from __future__ import annotations

import os
import shutil
import time
from typing import Dict, Iterable, Iterator, Tuple

_SKIPPED = frozenset((".git", "__pycache__", ".pytest_cache", ".hypothesis", ".mypy_cache"))
_SHARE = 0.1
_REMEMBERED = 1_000_000  # bytes of a file that the pristine copy lacks; a larger one stays changed


def _state_of(info: os.stat_result) -> Tuple[int, ...]:
    return info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino


class Workspace:
    """The folder in which tests run, and the untouched one that it was copied from."""

    def __init__(self, root: str, pristine: str) -> None:
        self.root = root
        self.pristine = pristine
        self._state = dict(self._scan())
        self._made = dict(self._made_before())
        self._next = 0.0

    def _made_before(self) -> Iterator[Tuple[str, bytes]]:
        for path, state in self._state.items():
            small = state[2] <= _REMEMBERED and not os.path.islink(path)
            if small and not os.path.lexists(self._original(path)):
                try:
                    with open(path, "rb") as f:
                        yield path, f.read()
                except OSError:
                    continue

    def _original(self, path: str) -> str:
        return os.path.join(self.pristine, os.path.relpath(path, self.root))

    def _scan(self) -> Iterator[Tuple[str, Tuple[int, ...]]]:
        pending = [self.root]
        while pending:
            folder = pending.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError:
                continue
            for entry in entries:
                if entry.name in _SKIPPED:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    info = entry.stat(follow_symlinks=False)
                    yield entry.path, _state_of(info)

    def refresh(self) -> int:
        """Restore changed and missing files, delete new ones; returns how many.

        Looks only as often as costs a tenth of the time at most.
        """
        started = time.monotonic()
        if started < self._next:
            return 0
        now = dict(self._scan())
        changed = [p for p, state in self._state.items() if now.get(p) != state]
        added = [p for p in now if p not in self._state]
        for path in added:
            os.unlink(path)
        for path in changed:
            self._put_back(path)
        spent = time.monotonic() - started
        self._next = started + spent / _SHARE
        return len(changed) + len(added)

    def _put_back(self, path: str) -> None:
        original = self._original(path)
        made = self._made.get(path)
        if made is None and not os.path.lexists(original):
            if os.path.lexists(path):
                self._state[path] = _state_of(os.lstat(path))
            else:
                del self._state[path]
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        if made is None:
            shutil.copy2(original, path, follow_symlinks=False)
        else:
            with open(path, "wb") as f:
                f.write(made)
        self._state[path] = _state_of(os.lstat(path))

    def write(self, files: Dict[str, str]) -> None:
        """Put a candidate's files into the folder."""
        for path, text in files.items():
            full = os.path.join(self.root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8", newline="") as f:
                f.write(text)

    def restore(self, files: Iterable[str]) -> None:
        """Undo ``write``."""
        for path in files:
            full = os.path.join(self.root, path)
            if full in self._state:
                self._put_back(full)
            elif os.path.lexists(full):
                os.unlink(full)
