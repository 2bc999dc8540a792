"""From the harness's dictionaries to our data types; nothing it says is trusted blindly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast, get_args

from meritree.errors import HarnessError
from meritree.swe.testing.types import CollectionError, Frame, Status, TestResult

_STATUSES = frozenset(get_args(Status))
_BROKEN = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
LinesByFile = dict[str, frozenset[int]]


class Census(NamedTuple):
    """What a process collected; see `TestSession` for the fields."""

    collected: tuple[str, ...]
    test_files: tuple[str, ...]
    files_of: dict[str, str]
    modules: dict[str, str]
    third: list[str]
    elsewhere: dict[str, str]


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Around code that takes an answer apart.

    Raises:
        HarnessError: the answer is not made as it should be.
    """
    try:
        yield
    except _BROKEN as error:
        raise HarnessError(f"the test process sent a broken {what}: {error!r}"[:500]) from None


def census(message: Mapping[str, Any]) -> Census:
    """What was collected.

    Raises:
        HarnessError: fields are missing or of the wrong kind.
    """
    with reading("census"):
        return Census(
            texts(message["collected"]),
            texts(message["test_files"]),
            _named(message["files_of"]),
            _named(message["modules"]),
            list(texts(message["third"])),
            _named(message["elsewhere"]),
        )


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts; TypeError if it is something else."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"not a list of texts: {value!r}"[:200])
    return tuple(value)


def lines(value: Any) -> LinesByFile:
    """Line numbers by file; TypeError if it is something else."""
    _named(dict.fromkeys(value, ""))
    return {path: frozenset(_number(one) for one in numbers) for path, numbers in value.items()}


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(f"not a line number: {value!r}"[:200])
    return value


def _named(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError(f"not an object: {value!r}"[:200])
    texts([*value.keys(), *value.values()])
    return dict(value)


def result(record: Mapping[str, Any]) -> TestResult:
    """One test's result.

    Raises:
        HarnessError: fields are missing or of the wrong kind.
    """
    with reading("result"):
        status = str(record["status"])
        if status not in _STATUSES:
            raise ValueError(f"status {status!r}")
        near = record["similarity"]
        return TestResult(
            id=str(record["id"]),
            status=cast(Status, status),
            seconds=float(record["seconds"]),
            graded=min(1.0, max(0.0, float(record["graded"]))),
            similarity=None if near is None else min(1.0, max(0.0, float(near))),
            signature=str(record["signature"]),
            exception=str(record["exception"]),
            message=str(record["message"]),
            frames=tuple(Frame(str(p), int(n), str(f)) for p, n, f in record["frames"]),
            actual=_text(record["actual"]),
            expected=_text(record["expected"]),
            outside=record.get("outside", False) is True,
        )


def results(records: Iterable[Mapping[str, Any]]) -> dict[str, TestResult]:
    """Results by test id, in the order in which they came.

    Raises:
        HarnessError: see `result`.
    """
    with reading("list of results"):
        records = list(records)
    return {r.id: r for r in map(result, records)}


def collection_error(record: Mapping[str, Any]) -> CollectionError:
    """One file that could not be collected.

    Raises:
        HarnessError: fields are missing or of the wrong kind.
    """
    with reading("collection error"):
        return CollectionError(
            path=str(record["path"]),
            exception=str(record["exception"]),
            message=str(record["message"]),
            file=str(record["file"]),
            line=int(record["line"]),
        )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
