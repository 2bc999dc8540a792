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
from meritree.run._writer_lock import WriterLock

APPLICATION_ID = 0x4D545245  # "MTRE", in the SQLite header: tells our files from others
SCHEMA_VERSION = 1
_PAGE_BYTES = 4096
_CHECKPOINT_PAGES = 4096  # fold the log into the database about every 16 MB
_BATCH = 512  # events fetched at once, so that no read transaction outlives a call
_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE event (seq INTEGER PRIMARY KEY, time REAL NOT NULL,"
    " kind TEXT NOT NULL, payload TEXT NOT NULL)",
)
_INSERT = "INSERT INTO event (seq, time, kind, payload) VALUES (?, ?, ?, ?)"
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
        with self._guard("read"):
            self.meta: Mapping[str, Any] = {
                key: json.loads(value)
                for key, value in connection.execute("SELECT key, value FROM meta")
            }
            self._last = int(connection.execute("SELECT max(seq) FROM event").fetchone()[0] or 0)
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
            if path.exists():
                raise JournalError(
                    f"{path} exists already; resume that run, or give another folder for a new one"
                )
            _build(path, rows)
            return cls(path, _connect_writer(path, durable), lock)
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
            return cls(path, _connect_reader(path), None)
        lock = WriterLock.acquire(path)
        try:
            return cls(path, _connect_writer(path, durable), lock)
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
            try:
                connection.execute(_INSERT, (seq, time.time(), kind, text))
                self._last = seq
            except sqlite3.Error as error:
                raise self._refused(kind, error) from error
            except BaseException:
                self._recount(connection)
                raise
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
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    _INSERT,
                    [(first + i, now, kind, text) for i, (kind, text) in enumerate(rows)],
                )
                connection.execute("COMMIT")
                self._last = first - 1 + len(rows)
            except sqlite3.Error as error:
                raise self._refused(f"{len(rows)} events", error) from error
            except BaseException:
                self._recount(connection)
                raise
            return range(first, first + len(rows))

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
        while True:
            after = since
            rows = self._query(
                lambda c, after=after: c.execute(  # type: ignore[misc]
                    "SELECT seq, kind, payload, time FROM event WHERE seq > ? ORDER BY seq LIMIT ?",
                    (after, _BATCH),
                ).fetchall()
            )
            for seq, kind, payload, when in rows:
                yield Event(seq, kind, _from_json(self.path, seq, payload), when)
            if len(rows) < _BATCH:
                return
            since = rows[-1][0]

    def _query(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        with self._mutex, self._guard("read"):
            return ask(self._alive())

    @contextlib.contextmanager
    def _guard(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, json.JSONDecodeError) as error:
            raise _damaged(self.path, verb, error) from error

    # -- closing -------------------------------------------------------------------------

    def close(self) -> None:
        """Fold the log into the one file and give up the writer's lock. Idempotent."""
        with self._mutex:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            # A failing checkpoint loses nothing: the events are in the log beside the file.
            with contextlib.suppress(sqlite3.Error):
                if self._writer_lock is not None:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with contextlib.suppress(sqlite3.Error):
                connection.close()
            if self._writer_lock is not None:
                self._writer_lock.release()

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
        payload: dict[str, Any] = json.loads(text)
    except (TypeError, json.JSONDecodeError) as error:
        raise _damaged(path, f"read event {seq} of", error) from error
    return payload


def _damaged(path: Path, verb: str, error: Exception) -> JournalError:
    return JournalError(
        f"cannot {verb} journal {path}: {error}. If the file is damaged, copy it aside (with its "
        f"{path.name}-wal), try `sqlite3 {path.name} .recover`, or start the run anew"
    )


def _build(path: Path, meta: list[tuple[str, str]]) -> None:
    """Write an empty journal under a temporary name and move it to ``path``."""
    draft = path.with_name(f".{path.name}.new")
    try:
        # A log without its database is the rest of a deleted run; it must not enter this one.
        for stale in (
            draft,
            path.with_name(path.name + "-wal"),
            path.with_name(path.name + "-shm"),
        ):
            stale.unlink(missing_ok=True)
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta)
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        os.replace(draft, path)
    except (sqlite3.Error, OSError) as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise JournalError(
            f"cannot create journal {path}: {error}; give `--out` a folder on a disk that is "
            "writable and has room"
        ) from error


def _connect_writer(path: Path, durable: bool) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=10.0
        )
        try:
            _check_identity(path, connection)
            # NORMAL: a commit is a write() to the log, which the kernel keeps when the process
            # is killed; only a power cut can take the last commits, never the consistency.
            # FULL adds an fsync to each commit.
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise sqlite3.DatabaseError(" ".join(problem.split()))
            connection.execute("BEGIN IMMEDIATE")  # finds a read-only disk now, not later
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise _damaged(path, "open", error) from error
    return connection


def _connect_reader(path: Path) -> sqlite3.Connection:
    """Open without writing; on a read-only disk, where SQLite can share no memory, as a still."""
    location = path.resolve().as_uri()
    log = path.with_name(path.name + "-wal")
    error: sqlite3.Error | None = None
    for options in ("?mode=ro", "?mode=ro&immutable=1"):
        if "immutable" in options and log.exists() and log.stat().st_size:
            break  # a still would miss the events in the log
        try:
            connection = sqlite3.connect(
                location + options,
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=10.0,
            )
        except sqlite3.Error as failure:
            error = failure
            continue
        try:
            _check_identity(path, connection)
        except sqlite3.OperationalError as failure:
            connection.close()
            error = failure
            continue
        except sqlite3.Error as failure:
            connection.close()
            error = failure
            break
        except JournalError:
            connection.close()
            raise
        return connection
    assert error is not None
    raise _damaged(path, "open", error) from error


def _check_identity(path: Path, connection: sqlite3.Connection) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise JournalError(
            f"{path} is not a Meritree journal (a database of something else, or empty); give the "
            "folder that `--out` named"
        )
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"journal {path} has version {version}, this Meritree reads up to version "
            f"{SCHEMA_VERSION}; upgrade with `pip install --upgrade meritree`"
        )
    if version < 1:
        raise JournalError(f"journal {path} has the impossible version {version}; it is damaged")
