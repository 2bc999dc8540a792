"""Run a layout's whole test-suite once in a fresh process and read what happened."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RECORDER = Path(__file__).with_name("recorder.py")


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """Outcome of one run.

    Attributes:
        outcomes: node id -> ``passed``, ``failed`` (errors included) or ``skipped``.
        broken: what could not be collected.
        lines: relative path -> lines that tests ran (empty unless asked for).
    """

    outcomes: Mapping[str, str]
    broken: tuple[str, ...] = ()
    lines: Mapping[str, frozenset[int]] | None = None

    def with_status(self, status: str) -> frozenset[str]:
        """Node ids of the tests that went so."""
        return frozenset(test for test, how in self.outcomes.items() if how == status)


def run_suite(
    root: Path, *, seconds: float, hash_seed: int = 0, cover: bool = False
) -> SuiteRun | None:
    """Run all tests below ``root``; None when they hang, crash or exceed ``seconds``."""
    with tempfile.TemporaryDirectory(prefix="meritree-suite-") as scratch:
        out = Path(scratch) / "outcomes.json"
        home = Path(scratch) / "home"
        home.mkdir()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        environment |= {
            "HOME": str(home),
            "PYTHONHASHSEED": str(hash_seed),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        mode = "cover" if cover else "plain"
        process = subprocess.Popen(
            [sys.executable, str(RECORDER), str(out), mode],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if not out.is_file():
            return None
        found = json.loads(out.read_text(encoding="utf-8"))
    lines = {path: frozenset(numbers) for path, numbers in found["lines"].items()}
    return SuiteRun(found["outcomes"], tuple(found["broken"]), lines)
