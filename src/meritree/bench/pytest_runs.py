"""Run pytest in a process of its own, in a case's interpreter, and read every outcome.

Knows nothing of cases, repairs or verdicts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_KEPT = frozenset({"PATH", "LANG", "LC_ALL", "TMPDIR", "PYTEST_DISABLE_PLUGIN_AUTOLOAD"})


@dataclass(frozen=True, slots=True)
class TestRun:
    """What one pytest process said: outcome by node id, and whether it came to an end."""

    __test__ = False  # not a test class for pytest

    outcomes: dict[str, str]
    uncollected: tuple[str, ...]
    seconds: float
    ended: bool

    def with_outcome(self, *names: str) -> frozenset[str]:
        return frozenset(test for test, outcome in self.outcomes.items() if outcome in names)


def run_tests(
    folder: Path, tests: Sequence[str], python: Path | None = None, seconds: float = 90.0
) -> TestRun:
    """Run pytest on ``tests`` (files or node ids) in ``folder``, in a process of its own."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="meritree-outcomes-") as home:
        out = Path(home) / "outcomes.json"
        script = Path(__file__).with_name("pytest_outcomes.py")
        command = [str(python or sys.executable), "-B", str(script), str(out)]
        command += ["-q", "-p", "no:cacheprovider", *tests]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=clean_environment(folder, Path(home)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            _kill_group(process)
        took = time.monotonic() - began
        try:
            document = json.loads(out.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return TestRun({}, (), took, False)
    return TestRun(document["outcomes"], tuple(document["uncollected"]), took, True)


def clean_environment(folder: Path, home: Path) -> dict[str, str]:
    """A clean environment: the folder's packages first, a home of its own, fixed hashes."""
    kept = {k: v for k, v in os.environ.items() if k in _KEPT}
    return {
        **kept,
        "HOME": str(home),
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(import_roots(folder)),
    }


def import_roots(folder: Path) -> list[str]:
    """The folders of a repository that its tests import from: itself, and ``src`` or ``lib``."""
    roots = [
        str(folder / name)
        for name in ("src", "lib")
        if (folder / name).is_dir() and not (folder / name / "__init__.py").exists()
    ]
    return [*roots, str(folder)]


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
