"""Reading the answers about one job: what passed, what is alike, whom a lost process blames.

Pure functions of records; knows no process.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Tuple

from .children import Lost
from .record import Record, lost

_DIGITS = re.compile(r"\d+|'[^']*'|\"[^\"]*\"")


def paired(a: List[Record], b: List[Record]) -> Any:
    return [(a[i], b[i]) for i in range(min(len(a), len(b)))]


def seen(record: Record) -> Tuple[Any, ...]:
    return record["status"], record["signature"], round(float(record["graded"]), 6)


def fine(record: Mapping[str, Any]) -> bool:
    return record["status"] in ("passed", "skipped")


def coarse(record: Record) -> Tuple[str, str]:
    return record["status"], record["exception"]


def kind_of(record: Record) -> str:
    if record["status"] in ("passed", "skipped", "failed"):
        return str(record["status"])
    return _DIGITS.sub("", str(record["signature"]))


def passed(answer: Dict[str, Any], job: Dict[str, Any]) -> bool:
    results = answer.get("results", [])
    return len(results) == len(job["targets"]) and not targets_fail(answer)


def targets_fail(answer: Dict[str, Any]) -> bool:
    return not all(fine(r) for r in answer.get("results", []))


def any_fails(answer: Dict[str, Any], job: Dict[str, Any]) -> bool:
    asked = {t for t, _ in job["targets"]}
    return any(r["id"] in asked and not fine(r) for r in answer.get("results", []))


def blamed(job: Dict[str, Any], error: Lost) -> Dict[str, Any]:
    """The answer for a job whose process was lost: the test it was running is to blame."""
    targets, guards = job["targets"], job["guards"] or job.get("on_progress", [])
    at = max(error.index, 0)
    in_targets = at < len(targets)
    if in_targets:
        results = [lost(targets[at][0], error.status, error.reason)]
        regressions: List[Record] = []
    else:
        results = []
        guard = guards[min(at - len(targets), len(guards) - 1)][0]
        regressions = [lost(guard, error.status, error.reason)]
    return {"results": results, "regressions": regressions, "ran": at + 1, "left": error.reason}
