"""Run pytest in a layout and write every test's outcome and the lines that tests ran.

Stands alone in the tests' interpreter: standard library and pytest only.
Usage: python recorder.py OUT.json cover|plain [pytest arguments]
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

Tracer = Callable[[FrameType, str, Any], Any]


class Recorder:
    """Collects ``{node id: status}``, collection errors and, if asked, lines run by tests."""

    def __init__(self, root: str, cover: bool) -> None:
        self.root = root
        self.cover = cover
        self.outcomes: dict[str, str] = {}
        self.broken: list[str] = []
        self.lines: dict[str, set[int]] = {}
        self._names: dict[str, set[int] | None] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.outcomes[report.nodeid] = "failed"
        elif report.when == "call" and report.passed:
            self.outcomes.setdefault(report.nodeid, "passed")
        elif report.skipped:
            self.outcomes.setdefault(report.nodeid, "skipped")

    def pytest_runtest_setup(self) -> None:
        if self.cover:
            threading.settrace(self._call)
            sys.settrace(self._call)

    def pytest_runtest_teardown(self) -> None:
        if self.cover:
            sys.settrace(None)
            threading.settrace(None)

    def _call(self, frame: FrameType, _event: str, _argument: object) -> Tracer | None:
        file = frame.f_code.co_filename
        if file not in self._names:
            inside = os.path.realpath(file).startswith(self.root + os.sep)
            name = os.path.relpath(os.path.realpath(file), self.root).replace(os.sep, "/")
            self._names[file] = self.lines.setdefault(name, set()) if inside else None
        seen = self._names[file]
        if seen is None:
            return None
        seen.add(frame.f_lineno)

        def line(inner: FrameType, inner_event: str, _inner: object) -> Tracer:
            if inner_event == "line":
                seen.add(inner.f_lineno)
            return line

        return line


def main(argv: list[str]) -> int:
    """Run pytest with ``argv[2:]`` and write what happened to ``argv[0]``."""
    recorder = Recorder(os.path.realpath(os.getcwd()), argv[1] == "cover")
    code = pytest.main(["-q", "--no-header", "--tb=no", *argv[2:]], plugins=[recorder])
    document = {
        "code": int(code),
        "outcomes": recorder.outcomes,
        "broken": recorder.broken,
        "lines": {name: sorted(lines) for name, lines in recorder.lines.items()},
    }
    with open(argv[0] + ".part", "w", encoding="utf-8") as file:
        json.dump(document, file)
    os.replace(argv[0] + ".part", argv[0])
    return 0


if __name__ == "__main__":
    sys.path.pop(0)  # this file's folder: the tests must not see its neighbours
    sys.path.insert(0, os.getcwd())
    sys.exit(main(sys.argv[1:]))
