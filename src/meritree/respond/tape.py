"""Record and replay at the HTTP boundary: one SQLite file, which is also the user's cache.

A request is known by a hash of what is asked and by how often it was asked before, so that equal
prompts may have different replies. Bodies of replies are kept; headers, addresses and keys never.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from meritree.errors import BadInput
from meritree.respond.errors import NotRecorded

Mode = Literal["record", "replay", "strict"]
APPLICATION_ID = 0x4D545450  # "MTTP"
SCHEMA_VERSION = 1
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS exchange (hash TEXT NOT NULL, occurrence INTEGER NOT NULL,"
    " model TEXT NOT NULL, content_type TEXT NOT NULL, body BLOB NOT NULL, time REAL NOT NULL,"
    " PRIMARY KEY (hash, occurrence)) WITHOUT ROWID"
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A reply as it came over the wire.

    Attributes:
        key: ``hash#occurrence``.
        content_type: as the endpoint said.
        body: all of it.
    """

    key: str
    content_type: str
    body: bytes


def request_hash(scope: str, body: Mapping[str, Any]) -> str:
    """The canonical hash of a request: who was asked (``scope``) and what, in any order of keys.

    How the reply is to be sent (``stream``) is no part of it.
    """
    asked = {key: body[key] for key in body if key not in ("stream", "stream_options")}
    text = json.dumps([scope, asked], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class Tape:
    """An open recording; safe to share between threads and between processes.

    Args:
        path: the file; made where there is none (except in mode ``strict``).
        mode: ``replay`` answers what it holds and records what it does not; ``record`` asks
            everything anew; ``strict`` asks nobody.

    Raises:
        BadInput: no such mode, no such file, or a file of another kind.
    """

    def __init__(self, path: Path, mode: Mode = "replay") -> None:
        if mode not in get_args(Mode):
            raise BadInput(f"recording mode {mode!r}: allowed are {', '.join(get_args(Mode))}")
        if mode == "strict" and not path.is_file():
            raise BadInput(f"recording {path} does not exist; record it first")
        self.path = path
        self.mode = mode
        self._given: Counter[str] = Counter()
        self._mutex = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False
            )
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise BadInput(f"recording {path} cannot be opened: {error}") from None

    def _prepare(self) -> None:
        run = self._connection.execute
        found = run("PRAGMA application_id").fetchone()[0]
        version = run("PRAGMA user_version").fetchone()[0]
        empty = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not empty and (found != APPLICATION_ID or version != SCHEMA_VERSION):
            self._connection.close()
            raise BadInput(
                f"recording {self.path} is a file of another kind or version; give another name"
            )
        if empty:
            run("PRAGMA journal_mode = WAL")
            run(f"PRAGMA application_id = {APPLICATION_ID}")
            run(f"PRAGMA user_version = {SCHEMA_VERSION}")
        run(_SCHEMA)

    def recall(self, hash_: str, what: str = "") -> Recorded | None:
        """The reply to the next occurrence of a request, None where it must be asked.

        Args:
            hash_: of `request_hash`.
            what: names the request in the error message.

        Raises:
            NotRecorded: there is none and the mode is ``strict``.
        """
        if self.mode == "record":
            return None
        with self._mutex:
            occurrence = self._given[hash_] + 1
            row = self._connection.execute(
                "SELECT content_type, body FROM exchange WHERE hash = ? AND occurrence = ?",
                (hash_, occurrence),
            ).fetchone()
            if row is not None:
                self._given[hash_] = occurrence
                return Recorded(f"{hash_}#{occurrence}", row[0], row[1])
        if self.mode == "strict":
            raise NotRecorded(
                f"recording {self.path} does not hold request {hash_[:12]} (occurrence "
                f"{occurrence}){what and ' to '}{what}; record it anew, or replay without strict"
            )
        return None

    def store(self, hash_: str, model: str, content_type: str, body: bytes) -> Recorded:
        """Keep a whole, good reply as the next occurrence of its request.

        Raises:
            BadInput: the disk refuses.
        """
        with self._mutex:
            occurrence = self._given[hash_] + 1
            try:
                self._connection.execute(
                    "INSERT OR REPLACE INTO exchange VALUES (?, ?, ?, ?, ?, ?)",
                    (hash_, occurrence, model, content_type, body, time.time()),
                )
            except sqlite3.Error as error:
                raise BadInput(f"recording {self.path} cannot be written: {error}") from None
            self._given[hash_] = occurrence
        return Recorded(f"{hash_}#{occurrence}", content_type, body)

    def resume_after(self, keys: Iterable[str]) -> None:
        """Go on after replies that were used already (`Reply.key` of a resumed run)."""
        with self._mutex:
            for key in keys:
                hash_, _, occurrence = key.partition("#")
                if occurrence.isdigit():
                    self._given[hash_] = max(self._given[hash_], int(occurrence))

    def __len__(self) -> int:
        """How many replies it holds."""
        with self._mutex:
            return int(self._connection.execute("SELECT count(*) FROM exchange").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._mutex:
            self._connection.close()

    def __enter__(self) -> Tape:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
