"""From the harness's dictionaries to our data types; nothing it says is trusted blindly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast, get_args

from meritree.errors import HarnessError
from meritree.swe.testing.types import CollectionError, Frame, Status, TestResult

_STATUSES = frozenset(get_args(Status))


def result(record: Mapping[str, Any]) -> TestResult:
    """One test's result.

    Raises:
        HarnessError: fields are missing or of the wrong kind.
    """
    try:
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
        )
    except (KeyError, TypeError, ValueError) as error:
        raise HarnessError(f"the test process sent a broken result: {error!r}") from None


def results(records: Iterable[Mapping[str, Any]]) -> dict[str, TestResult]:
    """Results by test id, in the order in which they came."""
    return {r.id: r for r in map(result, records)}


def collection_error(record: Mapping[str, Any]) -> CollectionError:
    """One file that could not be collected."""
    return CollectionError(
        path=str(record["path"]),
        exception=str(record["exception"]),
        message=str(record["message"]),
        file=str(record["file"]),
        line=int(record["line"]),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
