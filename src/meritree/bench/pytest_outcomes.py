"""Run pytest and write every test's outcome to a JSON file; runs in a case's interpreter.

Stands alone: it must import nothing but the standard library and pytest, because the
interpreter that runs it need not have this package.
Usage: python pytest_outcomes.py OUT.json [pytest arguments]
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


class Recorder:
    """Collects ``{node id: passed | failed | error | skipped}`` and collection errors."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.uncollected: list[str] = []

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.uncollected.append(report.nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        known = self.outcomes.get(report.nodeid)
        if report.when == "call":
            expected = hasattr(report, "wasxfail")
            outcome = "skipped" if expected and not report.passed else report.outcome
        elif report.failed:
            outcome = "error"
        elif report.skipped:
            outcome = "skipped"
        else:
            return
        if known not in ("failed", "error"):
            self.outcomes[report.nodeid] = outcome


def main(argv: list[str]) -> int:
    """Run pytest with ``argv[1:]`` and write the outcomes to ``argv[0]``."""
    import pytest

    recorder = Recorder()
    code = pytest.main(argv[1:], plugins=[recorder])
    with open(argv[0], "w", encoding="utf-8") as stream:
        json.dump(
            {
                "exit": int(code),
                "outcomes": recorder.outcomes,
                "uncollected": recorder.uncollected,
            },
            stream,
        )
    return int(code)


if __name__ == "__main__":
    # As `python -m pytest` does: the working directory, not this file's folder, comes first.
    sys.path[0] = os.getcwd()
    sys.exit(main(sys.argv[1:]))
