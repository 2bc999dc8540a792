"""One writer per file: an operating-system lock that lives exactly as long as its holder.

The lock is on a file beside the guarded one (SQLite has locks of its own on that), which
names the holder's pid for whoever comes second. It must not know what is guarded.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import weakref
from pathlib import Path

from meritree.errors import JournalError


class WriterLock:
    """Held from `acquire` to `release` or the death of the process, however it dies."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor
        _held.add(self)

    @classmethod
    def acquire(cls, guarded: Path) -> WriterLock:
        """Lock ``guarded`` for writing.

        Raises:
            JournalError: another process (named by its pid) holds it, or the folder is
                missing or not writable.
        """
        path = guarded.with_name(guarded.name + ".lock")
        descriptor = _locked(guarded, path)
        while not _is_still(path, descriptor):  # its holder removed the file with the run
            os.close(descriptor)
            descriptor = _locked(guarded, path)
        lock = cls(path, descriptor)
        # The pid is only a courtesy to the second comer: a full disk must not stop the first.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return lock

    def release(self, *, remove: bool = False) -> None:
        """Give the lock up; ``remove`` its file with it (what it guarded is gone)."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
                if remove:
                    self.path.unlink()
            # Closing is not enough: a program that another thread is just starting holds a copy
            # of the descriptor from its fork to its exec, and the lock with it.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _after_fork(self) -> None:
        """In a child: drop the copy, or the lock would outlive the process that took it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _locked(guarded: Path, path: Path) -> int:
    """A descriptor of the lock file, locked."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(
            f"cannot write beside journal {guarded}: {error.strerror} ({path}); give a folder "
            "that exists, on a disk that is writable and has room"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            raise JournalError(
                f"cannot lock {path}: {error.strerror}; keep the run's folder on a local disk"
            ) from error
        raise JournalError(
            f"journal {guarded} is being written by {_holder(path)}; wait for it, stop it, "
            "or give another folder"
        ) from None
    return descriptor


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the locked file is the one that others will find and lock."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    for _ in range(20):  # it may have the lock and not yet have written its name
        with contextlib.suppress(OSError):
            text = path.read_text(encoding="ascii", errors="replace").strip()
            if text:
                return f"process {text}"
        time.sleep(0.005)
    return "another process"


_held: weakref.WeakSet[WriterLock] = weakref.WeakSet()


def _disown() -> None:
    for lock in list(_held):
        lock._after_fork()


os.register_at_fork(after_in_child=_disown)
