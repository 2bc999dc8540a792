"""The journal of a run: an append-only event store in one SQLite file (WAL mode).

One process writes it, any number read it meanwhile. It must not know what the events mean:
they are a kind, a JSON object and a time, so a file can never name code to be executed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from meritree.errors import JournalError
from meritree.run._journal_file import (
    SCHEMA_VERSION,
    build,
    checksum,
    connect_reader,
    connect_writer,
    damaged,
    has_sums,
    read_meta,
)
from meritree.run._writer_lock import WriterLock
from meritree.run.fault_points import pass_by

__all__ = ["SCHEMA_VERSION", "Event", "Journal"]

_BATCH = 512  # events fetched at once, so that no read transaction outlives a call
_INSERT = "INSERT INTO event (seq, time, kind, payload, sum) VALUES (?, ?, ?, ?, ?)"
_INSERT_1 = "INSERT INTO event (seq, time, kind, payload) VALUES (?, ?, ?, ?)"
_Row = tuple[int, float, str, str, int] | tuple[int, float, str, str]
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode

T = TypeVar("T")


class Event(NamedTuple):
    """One step of a run, as it was recorded.

    Attributes:
        seq: 1, 2, 3, ... without gaps; the order of the events (the clock may jump).
        kind: what happened, in the words of whoever recorded it.
        payload: a JSON object.
        time: seconds since 1970 by the wall clock; for people, not for ordering.
    """

    seq: int
    kind: str
    payload: dict[str, Any]
    time: float


class Journal:
    """An open journal. Use `Journal.create` or `Journal.open`, not the constructor.

    A kill -9 of the writer at any instant loses no event whose `append` returned: each one
    is a committed transaction, handed to the operating system before the call returns.
    Methods may be called from several threads; a forked child cannot use its parent's
    journal (it must open its own reader).
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriterLock | None) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = connection
        self._writer_lock = lock
        self._mutex = threading.RLock()
        self._inherited = False
        try:
            with self._guard("read"):
                self._sums = has_sums(connection)
                self.meta: Mapping[str, Any] = read_meta(connection, self._sums)
                last = connection.execute("SELECT max(seq) FROM event").fetchone()[0]
                self._last = int(last or 0)
        except BaseException:
            connection.close()
            raise
        _open_journals.add(self)

    # -- opening -------------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, meta: Mapping[str, Any], *, durable: bool = False) -> Journal:
        """Create a journal at ``path`` and return it open for writing.

        The file appears under its name only when it is complete, so a run killed in between
        leaves nothing that looks like a journal.

        Args:
            path: where; its folder must exist.
            meta: what the run is (settings, seed, version): JSON values under string keys.
            durable: as for `open`.

        Raises:
            JournalError: a file is there already, another process writes it, ``meta`` is not
                JSON, or the disk refuses.
        """
        path = Path(path)
        rows = [
            (str(key), _to_json(f"meta {key!r} of", path, value)) for key, value in meta.items()
        ]
        lock = WriterLock.acquire(path)
        try:
            pass_by("create.locked")
            if path.exists():
                raise JournalError(
                    f"{path} exists already; resume that run, or give another folder for a new one"
                )
            build(path, rows)
            return cls(path, connect_writer(path, durable), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, durable: bool = False) -> Journal:
        """Open an existing journal, for appending or (``read_only``) beside its writer.

        Args:
            path: the file.
            read_only: any number of processes may read while one writes.
            durable: True also survives a power cut at the price of an fsync (milliseconds)
                per append; False survives the death of the process, not of the machine.

        Raises:
            JournalError: no such file, not a journal, damaged, of a newer version, or (for
                writing) another process writes it already, named by its pid.
        """
        path = Path(path)
        if not path.is_file():
            raise JournalError(f"no journal at {path}; give the folder that `--out` named")
        if read_only:
            return cls(path, connect_reader(path), None)
        lock = WriterLock.acquire(path)
        try:
            connection = connect_writer(path, durable)
            pass_by("open.connected")
            return cls(path, connection, lock)
        except BaseException:
            lock.release()
            raise

    # -- writing -------------------------------------------------------------------------

    def append(self, kind: str, payload: Mapping[str, Any]) -> int:
        """Record one event and return its number; when this returns, the event is safe.

        Raises:
            JournalError: the payload is not JSON, the journal is closed, read-only or
                inherited by a fork, or the disk refuses (full, read-only, failing). The
                journal stays usable and every event acknowledged before is still there.
        """
        text = _to_json(f"event {kind!r} for", self.path, payload)
        with self._mutex:
            connection = self._writable()
            seq = self._last + 1
            row = self._row(seq, time.time(), kind, text)
            pass_by("append.begun")
            try:
                connection.execute(self._insert, row)
                pass_by("append.committed")
                self._last = seq
            except sqlite3.Error as error:
                raise self._refused(kind, error) from error
            except BaseException:
                self._recount(connection)
                raise
            pass_by("append.counted")
            return seq

    def append_many(self, events: Iterable[tuple[str, Mapping[str, Any]]]) -> range:
        """Record several events, all or none, and return their numbers (cheaper than one by one).

        Raises:
            JournalError: as for `append`; then none of them was recorded.
        """
        rows = [
            (kind, _to_json(f"event {kind!r} for", self.path, payload)) for kind, payload in events
        ]
        with self._mutex:
            connection = self._writable()
            first = self._last + 1
            now = time.time()
            pass_by("many.begun")
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    self._insert,
                    [self._row(first + i, now, kind, text) for i, (kind, text) in enumerate(rows)],
                )
                pass_by("many.written")
                connection.execute("COMMIT")
                pass_by("many.committed")
                self._last = first - 1 + len(rows)
            except sqlite3.Error as error:
                raise self._refused(f"{len(rows)} events", error) from error
            except BaseException:
                self._recount(connection)
                raise
            return range(first, first + len(rows))

    @property
    def _insert(self) -> str:
        return _INSERT if self._sums else _INSERT_1

    def _row(self, seq: int, when: float, kind: str, payload: str) -> _Row:
        row = (seq, when, kind, payload)
        return (*row, checksum(*row)) if self._sums else row

    def _recount(self, connection: sqlite3.Connection) -> None:
        """An interrupt (Ctrl-C) may come between a commit and our counting it: ask the file."""
        if connection.in_transaction:
            connection.rollback()
        self._last = connection.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()[0]

    def _writable(self) -> sqlite3.Connection:
        if self._writer_lock is None:
            raise JournalError(f"journal {self.path} was opened read-only; open it for writing")
        return self._alive()

    def _alive(self) -> sqlite3.Connection:
        if self._inherited:
            raise JournalError(
                f"journal {self.path} belongs to the parent process; a forked child may only "
                "open its own reader"
            )
        if self._connection is None:
            raise JournalError(f"journal {self.path} is closed")
        return self._connection

    def _refused(self, what: str, error: sqlite3.Error) -> JournalError:
        """Undo the half-written transaction and say what the disk did."""
        if self._connection is not None and self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()
        return JournalError(
            f"cannot write {what} to journal {self.path}: {error}. Nothing acknowledged was "
            f"lost: events 1 to {self._last} are stored. Make room on that disk (or make it "
            "writable), then resume the run"
        )

    # -- reading -------------------------------------------------------------------------

    @property
    def last_seq(self) -> int:
        """Number of the newest event (0 when there is none), read from the file by readers."""
        if self._writer_lock is not None:
            return self._last
        return self._query(
            lambda c: int(c.execute("SELECT max(seq) FROM event").fetchone()[0] or 0)
        )

    def events(self, since: int = 0) -> Iterator[Event]:
        """Yield the events with ``seq > since`` in order, up to the newest at the time of asking.

        Raises:
            JournalError: the file is damaged or the journal is closed.
        """
        which = "seq, kind, payload, time" + (", sum" if self._sums else "")
        ask = f"SELECT {which} FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
        while True:
            after = since
            rows = self._query(
                lambda c, after=after: c.execute(ask, (after, _BATCH)).fetchall()  # type: ignore[misc]
            )
            for row in rows:
                since += 1
                yield self._event(since, row)
            if len(rows) < _BATCH:
                return

    def _event(self, expected: int, row: tuple[Any, ...]) -> Event:
        seq, kind, payload, when, *sums = row
        if seq != expected:
            raise damaged(self.path, f"read event {expected} of", ValueError("it is missing"))
        if sums and checksum(seq, when, kind, payload) != sums[0]:
            broken = ValueError("it does not agree with its checksum")
            raise damaged(self.path, f"read event {seq} of", broken)
        return Event(seq, kind, _from_json(self.path, seq, payload), when)

    def _query(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        with self._mutex, self._guard("read"):
            return ask(self._alive())

    @contextlib.contextmanager
    def _guard(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, RecursionError) as error:
            raise damaged(self.path, verb, error) from error

    # -- closing -------------------------------------------------------------------------

    def close(self) -> None:
        """Fold the log into the one file and give up the writer's lock. Idempotent."""
        with self._mutex:
            if self._fold() and self._writer_lock is not None:
                self._writer_lock.release()

    def delete(self) -> None:
        """Close the journal and remove its files, the lock's last: nobody else can write it.

        Raises:
            JournalError: it is read-only, closed or inherited by a fork.
        """
        with self._mutex:
            self._writable()
            self._fold()
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    Path(f"{self.path}{suffix}").unlink()
            assert self._writer_lock is not None
            self._writer_lock.release(remove=True)

    def _fold(self) -> bool:
        """Close the connection and keep the lock; whether there was one."""
        with self._mutex:
            connection, self._connection = self._connection, None
            if connection is None:
                return False
            pass_by("close.begun")
            # A failing checkpoint loses nothing: the events are in the log beside the file.
            with contextlib.suppress(sqlite3.Error):
                if self._writer_lock is not None:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            pass_by("close.folded")
            with contextlib.suppress(sqlite3.Error):
                connection.close()
            return True

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _after_fork(self) -> None:
        """In a child: never touch the connection again, not even to close it (SQLite's rule)."""
        self._inherited = True
        self._mutex = threading.RLock()  # another thread of the parent may have held it
        connection, self._connection = self._connection, None
        if connection is not None:
            _left_by_parent.append(connection)


_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()
_left_by_parent: list[sqlite3.Connection] = []


def _disown() -> None:
    for journal in list(_open_journals):
        journal._after_fork()


os.register_at_fork(after_in_child=_disown)


def _to_json(what: str, path: Path, value: object) -> str:
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise JournalError(
            f"{what} journal {path} is not plain JSON: {error}; give strings, finite numbers, "
            "booleans, None, lists and objects only"
        ) from error


def _from_json(path: Path, seq: int, text: str) -> dict[str, Any]:
    try:
        payload = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise damaged(path, f"read event {seq} of", error) from error
    if not isinstance(payload, dict):
        raise damaged(path, f"read event {seq} of", TypeError("it is no JSON object"))
    return payload
