"""Outcomes, baselines and coverage as JSON data for the journal, and back.

Plain field-by-field conversion: no class paths, unknown keys ignored, so that a journal can
never name code to run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_args

from meritree.errors import JournalError
from meritree.swe.testing.types import (
    Amendment,
    Baseline,
    Coverage,
    Frame,
    Outcome,
    Status,
    TestResult,
)

_RESULT_FIELDS = frozenset(f.name for f in fields(TestResult))
_NUMBERS = ("seconds", "graded")
_TEXTS = ("id", "signature", "exception", "message")
_MAYBE_TEXTS = ("actual", "expected")
T = TypeVar("T")


def _checked(decode: Callable[[Mapping[str, Any]], T]) -> Callable[[Mapping[str, Any]], T]:
    """A decoder that says so when the data is not what its encoder writes."""

    @functools.wraps(decode)
    def decoded(data: Mapping[str, Any]) -> T:
        try:
            return decode(data)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            what = decode.__name__.removeprefix("decode_")
            raise JournalError(
                f"the journal's record of this {what} is not as meritree writes it ({error!r}); "
                "start a new run"
            ) from error

    return decoded


def encode_result(result: TestResult) -> dict[str, Any]:
    """One test result; fields at their defaults are left out to keep journals small."""
    data: dict[str, Any] = {"id": result.id, "status": result.status}
    for name in ("graded", "similarity", "signature", "exception", "message", "actual", "expected"):
        value = getattr(result, name)
        if value:
            data[name] = value
    if result.similarity is not None:
        data["similarity"] = result.similarity
    data["seconds"] = round(result.seconds, 6)
    if result.outside:
        data["outside"] = True
    if result.frames:
        data["frames"] = [list(frame) for frame in result.frames[-10:]]
    return data


@_checked
def decode_result(data: Mapping[str, Any]) -> TestResult:
    """Inverse of `encode_result`.

    Raises:
        JournalError: it is something else (so do the other decoders).
    """
    values = {key: value for key, value in data.items() if key in _RESULT_FIELDS}
    values["frames"] = tuple(_frame(frame) for frame in data.get("frames", ()))
    result = TestResult(**values)
    if result.status not in get_args(Status):
        raise ValueError(f"status {result.status!r}")
    similarity = () if result.similarity is None else ("similarity",)
    for names, kind in (
        ((*_NUMBERS, *similarity), int | float), (_TEXTS, str), (_MAYBE_TEXTS, str | None),
        (("outside",), bool),
    ):  # fmt: skip
        for name in names:
            if not isinstance(getattr(result, name), kind):
                raise TypeError(f"{name} {getattr(result, name)!r}")
    return result


def _frame(data: Any) -> Frame:
    path, line, function = data
    if not (isinstance(path, str) and isinstance(line, int) and isinstance(function, str)):
        raise TypeError(f"frame {data!r}")
    return Frame(path, line, function)


def _words(data: Any) -> tuple[str, ...]:
    if not isinstance(data, list | tuple) or not all(isinstance(word, str) for word in data):
        raise TypeError(f"not a list of texts: {data!r}"[:200])
    return tuple(data)


def _texts(data: Any) -> dict[str, str]:
    _words(list(data.values()))
    return dict(data)


def _flag(data: Any) -> bool:
    if not isinstance(data, bool):
        raise TypeError(f"neither true nor false: {data!r}")
    return data


def _line_numbers(data: Any) -> frozenset[int]:
    if not isinstance(data, list) or not all(isinstance(line, int) for line in data):
        raise TypeError(f"not a list of line numbers: {data!r}"[:200])
    return frozenset(data)


def _encode_results(results: Mapping[str, TestResult]) -> list[dict[str, Any]]:
    return [encode_result(result) for result in results.values()]


def _decode_results(data: list[dict[str, Any]]) -> dict[str, TestResult]:
    return {item["id"]: decode_result(item) for item in data}


def encode_outcome(outcome: Outcome) -> dict[str, Any]:
    """What the tests said about a candidate."""
    data: dict[str, Any] = {
        "passed_all": outcome.passed_all,
        "results": _encode_results(outcome.results),
        "ran": outcome.ran,
        "seconds": round(outcome.seconds, 6),
        "how": outcome.how,
    }
    for name in ("reason_not_hot", "invalid"):
        if getattr(outcome, name):
            data[name] = getattr(outcome, name)
    if outcome.regressions:
        data["regressions"] = list(outcome.regressions)
        data["regression_results"] = _encode_results(outcome.regression_results)
    if outcome.amended:
        data["amended"] = [
            {"files": dict(a.files), "outcome": encode_outcome(a.outcome)} for a in outcome.amended
        ]
    return data


@_checked
def decode_outcome(data: Mapping[str, Any]) -> Outcome:
    """Inverse of `encode_outcome` (``new_signatures`` are not kept)."""
    return Outcome(
        passed_all=_flag(data["passed_all"]),
        results=_decode_results(data["results"]),
        regressions=_words(data.get("regressions", ())),
        ran=int(data["ran"]),
        seconds=float(data["seconds"]),
        how=data["how"],
        reason_not_hot=data.get("reason_not_hot", ""),
        invalid=data.get("invalid", ""),
        amended=tuple(
            Amendment(_texts(a["files"]), decode_outcome(a["outcome"]))
            for a in data.get("amended", ())
        ),
        regression_results=_decode_results(data.get("regression_results", [])),
    )


def encode_baseline(baseline: Baseline) -> dict[str, Any]:
    """All tests on the unchanged repository."""
    return {
        "results": _encode_results(baseline.results),
        "flaky": list(baseline.flaky),
        "unstable": list(baseline.unstable),
        "seconds": baseline.seconds,
    }


@_checked
def decode_baseline(data: Mapping[str, Any]) -> Baseline:
    """Inverse of `encode_baseline`."""
    return Baseline(
        results=_decode_results(data["results"]),
        flaky=_words(data["flaky"]),
        unstable=_words(data["unstable"]),
        seconds=float(data["seconds"]),
    )


def encode_coverage(coverage: Coverage) -> dict[str, Any]:
    """Which lines each test executes."""
    return {
        "lines": _encode_by_test(coverage.lines),
        "import_lines": {path: sorted(lines) for path, lines in coverage.import_lines.items()},
        "untraced": list(coverage.untraced),
        "lost": list(coverage.lost),
        "functions": _encode_by_test(coverage.functions),
    }


@_checked
def decode_coverage(data: Mapping[str, Any]) -> Coverage:
    """Inverse of `encode_coverage`."""
    return Coverage(
        lines=_decode_by_test(data["lines"]),
        import_lines={p: _line_numbers(lines) for p, lines in data["import_lines"].items()},
        untraced=_words(data["untraced"]),
        lost=_words(data["lost"]),
        functions=_decode_by_test(data.get("functions", {})),
    )


def _encode_by_test(
    seen: Mapping[str, Mapping[str, frozenset[int]]],
) -> dict[str, dict[str, list[int]]]:
    return {
        test: {path: sorted(lines) for path, lines in files.items()} for test, files in seen.items()
    }


def _decode_by_test(data: Mapping[str, Any]) -> dict[str, dict[str, frozenset[int]]]:
    return {
        test: {path: _line_numbers(lines) for path, lines in files.items()}
        for test, files in data.items()
    }
