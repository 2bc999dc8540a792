"""Outcomes, baselines and coverage as JSON data for the journal, and back.

Plain field-by-field conversion: no class paths, unknown keys ignored, so that a journal can
never name code to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from meritree.swe.testing.types import Amendment, Baseline, Coverage, Frame, Outcome, TestResult

_RESULT_FIELDS = frozenset(f.name for f in fields(TestResult))


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
    if result.frames:
        data["frames"] = [list(frame) for frame in result.frames[-10:]]
    return data


def decode_result(data: Mapping[str, Any]) -> TestResult:
    """Inverse of `encode_result`."""
    values = {key: value for key, value in data.items() if key in _RESULT_FIELDS}
    values["frames"] = tuple(Frame(*frame) for frame in data.get("frames", ()))
    return TestResult(**values)


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


def decode_outcome(data: Mapping[str, Any]) -> Outcome:
    """Inverse of `encode_outcome` (``new_signatures`` are not kept)."""
    return Outcome(
        passed_all=data["passed_all"],
        results=_decode_results(data["results"]),
        regressions=tuple(data.get("regressions", ())),
        ran=data["ran"],
        seconds=data["seconds"],
        how=data["how"],
        reason_not_hot=data.get("reason_not_hot", ""),
        invalid=data.get("invalid", ""),
        amended=tuple(
            Amendment(a["files"], decode_outcome(a["outcome"])) for a in data.get("amended", ())
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


def decode_baseline(data: Mapping[str, Any]) -> Baseline:
    """Inverse of `encode_baseline`."""
    return Baseline(
        results=_decode_results(data["results"]),
        flaky=tuple(data["flaky"]),
        unstable=tuple(data["unstable"]),
        seconds=data["seconds"],
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


def decode_coverage(data: Mapping[str, Any]) -> Coverage:
    """Inverse of `encode_coverage`."""
    return Coverage(
        lines=_decode_by_test(data["lines"]),
        import_lines={p: frozenset(lines) for p, lines in data["import_lines"].items()},
        untraced=tuple(data["untraced"]),
        lost=tuple(data["lost"]),
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
        test: {path: frozenset(lines) for path, lines in files.items()}
        for test, files in data.items()
    }
