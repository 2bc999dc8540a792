"""The SQLite file of a journal: how it is made, opened, recognised and found damaged.

Knows the layout of the tables, nothing of events or of who may write.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from meritree.errors import JournalError
from meritree.run.fault_points import pass_by

APPLICATION_ID = 0x4D545245  # "MTRE", in the SQLite header: tells our files from others
SCHEMA_VERSION = 2  # 1 had no checksums: it is read, and written on, as it is
_PAGE_BYTES = 4096
_CHECKPOINT_PAGES = 4096  # fold the log into the database about every 16 MB
_SUM = ""  # key of the checksum of meta; no caller's key is empty
_META = "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
_EVENT = (
    "CREATE TABLE event (seq INTEGER PRIMARY KEY, time REAL NOT NULL,"
    " kind TEXT NOT NULL, payload TEXT NOT NULL, sum INTEGER NOT NULL)"
)
_EVENT_1 = _EVENT.replace(", sum INTEGER NOT NULL", "")


def checksum(seq: int, when: float, kind: str, payload: str) -> int:
    """CRC-32 of an event: SQLite has none, so a bad disk could change the story unnoticed."""
    return zlib.crc32(f"{seq} {when!r} {kind} {payload}".encode("utf-8", "surrogatepass"))


def _sum_of(meta: Iterable[tuple[str, str]]) -> str:
    text = json.dumps(sorted(meta))
    return str(zlib.crc32(text.encode("utf-8", "surrogatepass")))


def has_sums(connection: sqlite3.Connection) -> bool:
    """Whether events carry checksums; finds a file that is laid out otherwise.

    Raises:
        sqlite3.Error: the tables are not a journal's.
    """
    tables: dict[str, object] = {}
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        if kind in ("trigger", "view"):
            raise sqlite3.DatabaseError(f"it holds a {kind} ({name}), which no journal has")
        tables[name] = sql
    if tables.get("meta") != _META or tables.get("event") not in (_EVENT, _EVENT_1):
        raise sqlite3.DatabaseError("its tables are not laid out as a journal's")
    return tables["event"] == _EVENT


def read_meta(connection: sqlite3.Connection, sums: bool) -> Mapping[str, Any]:
    """What the run is.

    Raises:
        sqlite3.Error, ValueError, TypeError, RecursionError: it is damaged.
    """
    rows = dict(connection.execute("SELECT key, value FROM meta"))
    if sums and rows.pop(_SUM, None) != _sum_of(rows.items()):
        raise sqlite3.DatabaseError("its description does not agree with its checksum")
    return {key: json.loads(value) for key, value in rows.items()}


def damaged(path: Path, verb: str, error: Exception) -> JournalError:
    return JournalError(
        f"cannot {verb} journal {path}: {error}. If the file is damaged, copy it aside (with its "
        f"{path.name}-wal), try `sqlite3 {path.name} .recover`, or start the run anew"
    )


def build(path: Path, meta: list[tuple[str, str]]) -> None:
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
            connection.execute("BEGIN")  # one flush to the disk instead of five
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            for statement in (_META, _EVENT):
                connection.execute(statement)
            rows = [*meta, (_SUM, _sum_of(meta))]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        pass_by("create.drafted")
        os.replace(draft, path)
        pass_by("create.named")
    except (sqlite3.Error, OSError) as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise JournalError(
            f"cannot create journal {path}: {error}; give `--out` a folder on a disk that is "
            "writable and has room"
        ) from error


def connect_writer(path: Path, durable: bool) -> sqlite3.Connection:
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
    except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite may quote what it cannot read
        raise damaged(path, "open", error) from error
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open without writing; on a read-only disk, where SQLite can share no memory, as a still."""
    location = path.resolve().as_uri()
    log = path.with_name(path.name + "-wal")
    error: Exception | None = None
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
        except (sqlite3.Error, UnicodeDecodeError) as failure:
            connection.close()
            error = failure
            break
        except JournalError:
            connection.close()
            raise
        return connection
    assert error is not None
    raise damaged(path, "open", error) from error


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
