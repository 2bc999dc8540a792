"""Queries on one table in memory, with hard limits: only reading, no waiting, no big results.

Knows no task. A query that is wrong, forbidden or too slow has no result.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

STEPS = 100_000  # instructions of SQLite's machine: a right query needs a few hundred
ROWS = 200  # rows of a result
LETTERS = 2_000  # of a query
FUNCTIONS = frozenset({"count", "sum", "max", "min", "avg"})
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ})
_EVERY = 1_000  # instructions between looks at how many there were

Cell = int | float | str | None


@dataclass(frozen=True, slots=True)
class Result:
    """What a query gives.

    Attributes:
        names: of its columns, as SQLite calls them, without spaces.
        rows: as they came.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def results(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], queries: Iterable[str]
) -> list[Result | None]:
    """Each query's result on the table ``t``; None where there is none within the limits.

    Args:
        columns: names, letters only.
        rows: of the table.
        queries: one statement each.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute(f"CREATE TABLE t ({', '.join(columns)})")
        database.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(columns))})", rows)
        database.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, LETTERS)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)
        database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        database.set_authorizer(_allowed)
        return [_result(database, query) for query in queries]


def _allowed(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    function = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS
    # Reading a table of SQLite's own is reading, too.
    own = action == sqlite3.SQLITE_READ and (first or "").startswith("sqlite_")
    return (
        sqlite3.SQLITE_OK if (action in _ALLOWED and not own) or function else sqlite3.SQLITE_DENY
    )


def _result(database: sqlite3.Connection, query: str) -> Result | None:
    looks = 0

    def enough() -> bool:
        nonlocal looks
        looks += 1
        return looks > STEPS // _EVERY

    database.set_progress_handler(enough, _EVERY)
    try:
        with closing(database.execute(query)) as cursor:
            rows = cursor.fetchmany(ROWS + 1)
            if len(rows) > ROWS or cursor.description is None:
                return None
            names = tuple("".join(one[0].split()) for one in cursor.description)
    except (sqlite3.Error, sqlite3.Warning):
        return None
    return Result(names, tuple(rows))
