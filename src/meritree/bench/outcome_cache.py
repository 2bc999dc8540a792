"""Outcomes of candidates on disk, shared by strategies and seeds of one comparison.

A candidate's outcome depends only on task and tree hash, so that running it once is enough.
What a strategy *spends* is not changed by it: the search counts every evaluation it asks for.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from meritree.swe.outcome_codec import decode_outcome, encode_outcome
from meritree.swe.testing.types import Outcome


class OutcomeCache:
    """A SQLite file of outcomes; safe for several threads of one process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, timeout=60.0)
        with self._lock, self._connection:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS outcome "
                "(task TEXT, tree TEXT, json TEXT, PRIMARY KEY (task, tree)) WITHOUT ROWID"
            )

    def for_task(self, task: str) -> TaskOutcomes:
        """The part of the cache that belongs to one task."""
        return TaskOutcomes(self, task)

    def read(self, task: str, tree: str) -> str | None:
        """The stored JSON text of an outcome, if any."""
        with self._lock:
            row = self._connection.execute(
                "SELECT json FROM outcome WHERE task = ? AND tree = ?", (task, tree)
            ).fetchone()
        return None if row is None else str(row[0])

    def write(self, task: str, tree: str, text: str) -> None:
        """Store an outcome; a later one (a correction) replaces an earlier one."""
        with self._lock, self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO outcome VALUES (?, ?, ?)", (task, tree, text)
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


class TaskOutcomes:
    """Outcomes of one task by tree hash."""

    def __init__(self, cache: OutcomeCache, task: str) -> None:
        self._cache = cache
        self._task = task

    def get(self, tree: str) -> Outcome | None:
        """The outcome of a tree, if it was ever run."""
        text = self._cache.read(self._task, tree)
        return None if text is None else decode_outcome(json.loads(text))

    def put(self, tree: str, outcome: Outcome) -> None:
        """Remember the outcome of a tree."""
        # Corrections of other candidates and "first seen" belong to one evaluator's history.
        lasting = replace(outcome, amended=(), new_signatures=())
        encoded: Any = encode_outcome(lasting)
        self._cache.write(self._task, tree, json.dumps(encoded))
