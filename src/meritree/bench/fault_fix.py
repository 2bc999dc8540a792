"""The real `meritree fix` under fire: killed, on a full disk, resumed beside a living run.

Processes are started as a user starts them. It knows the command line and what a run's folder
shows, nothing of how a search works.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from meritree.bench.fault_disks import NoMount, small_disk
from meritree.bench.faults import Row, spread
from meritree.run import fault_points
from meritree.run.journal import Journal

BUDGET = 10  # candidate evaluations
_MEANT = (0, 1, 2)  # exit codes of a command that knew what happened
_KEPT = ("root", "step", "outcome", "alias", "exhausted", "search-ended", "set-aside")
_DROPPED = ("seconds", "seconds_so_far")
_CODE = "def price(n):\n    return n * 2 - 3\n\n\ndef fee(n):\n    return n + 1\n"
_TESTS = """from price import fee, price


def test_two():
    assert price(2) == 7


def test_five():
    assert price(5) == 13


def test_fee():
    assert fee(3) == 4
"""
_FILES = {"price.py": _CODE, "test_price.py": _TESTS}


class Fixes:
    """A tiny repository and what an undisturbed repair of it comes to."""

    def __init__(self, place: Path, python: Path | None = None) -> None:
        self.place = place
        self.repo = place / "repo"
        self.repo.mkdir()
        for name, text in _FILES.items():
            (self.repo / name).write_text(text, "utf-8")
        self.options = ["--budget-tests", str(BUDGET), "--json", "--quiet"]
        self.options += [] if python is None else ["--python", str(python)]
        done = self.start("fix", str(self.repo), "--out", str(place / "whole"), *self.options)
        self.whole = self.ending(place / "whole", done)
        self.events = sum(1 for _ in _events(place / "whole"))

    def start(
        self, *arguments: str, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        return subprocess.run(
            _command(arguments),
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    def resume(self, folder: Path) -> subprocess.CompletedProcess[str]:
        """Go on, or begin again where the run was killed before it had a journal."""
        if (folder / "run.db").exists():
            return self.start("resume", str(folder), "--json", "--quiet")
        return self.start("fix", str(self.repo), "--out", str(folder), *self.options)

    def ending(self, folder: Path, done: subprocess.CompletedProcess[str]) -> Any:
        """Status, patch and the search's events without their times."""
        if done.returncode not in (0, 1):
            return f"exit code {done.returncode}: {done.stderr[-400:]}"
        answer = json.loads(done.stdout)
        told = [(kind, _timeless(payload)) for kind, payload in _events(folder) if kind in _KEPT]
        return answer["status"], answer["patch"], told


def kills(fixes: Fixes, most: int) -> Row:
    """kill -9 at the places around the journal's events, spread over the run."""
    row = Row("meritree fix: kill -9 at an event boundary")
    names = ("append.begun", "append.committed", "append.counted")
    points = [(name, number) for number in range(1, fixes.events) for name in names]
    points = [("create.drafted", 1), *points, ("close.begun", 1)]
    for number, (name, passing) in enumerate(spread(points, most)):
        folder = fixes.place / f"killed-{number}"
        done = fixes.start(
            "fix", str(fixes.repo), "--out", str(folder), *fixes.options,
            environment={fault_points.VARIABLE: f"{name}:{passing}"},
        )  # fmt: skip
        before = list(_events(folder))
        ending = fixes.ending(folder, fixes.resume(folder))
        after = list(_events(folder))
        lost = 0 if after[: len(before)] == before else len(before)
        struck = done.returncode == -signal.SIGKILL
        row.count(struck=struck, lost=lost, same=ending == fixes.whole)
        if ending != fixes.whole:
            row.note += f"{name}:{passing} {difference(fixes.whole, ending)}; "
        row.note += _leftovers(folder)
        shutil.rmtree(folder)
    return row


def full_disk(fixes: Fixes, points: int) -> Row:
    """The run's folder on a disk that fills up: named, exit code meant, resumed with room."""
    row = Row("meritree fix: its folder on a full disk")
    try:
        with small_disk(fixes.place, "2m") as disk:
            for point in range(points):
                ballast, folder = disk / "ballast", disk / f"run-{point}"
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                ballast.write_bytes(b"\0" * (free - 16_384 * (1 + 3 * point)))
                done = fixes.start("fix", str(fixes.repo), "--out", str(folder), *fixes.options)
                ballast.unlink()
                same = fixes.ending(folder, fixes.resume(folder)) == fixes.whole
                meant = done.returncode in _MEANT and "Traceback" not in done.stderr
                row.count(struck=done.returncode != 0, lost=0, same=same and meant)
                row.note = row.note or ("" if meant else done.stderr[-300:])
                shutil.rmtree(folder)
    except NoMount as why:
        row.note = f"not made: {why}"
    return row


def resumed_beside(fixes: Fixes, points: int) -> Row:
    """`meritree resume` of a run that is still going on: refused, and the run not disturbed."""
    row = Row("meritree fix: resumed while it runs")
    for point in range(points):
        folder = fixes.place / f"beside-{point}"
        arguments = ("fix", str(fixes.repo), "--out", str(folder), *fixes.options)
        process = subprocess.Popen(
            _command(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        refusals = 0
        while process.poll() is None:
            if (folder / "run.db").exists():
                other = fixes.start("resume", str(folder), "--json", "--quiet")
                refusals += other.returncode == 2 and "being written by" in other.stderr
            time.sleep(0.05)
        out, err = process.communicate()
        done = subprocess.CompletedProcess(arguments, process.returncode, out, err)
        same = fixes.ending(folder, done) == fixes.whole
        row.count(struck=refusals > 0, lost=0, same=same)
        shutil.rmtree(folder)
    return row


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-c", "from meritree.cli.app import main; main()", *arguments]


def _events(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    if not (folder / "run.db").exists():
        return []
    with Journal.open(folder / "run.db", read_only=True) as journal:
        return [(event.kind, event.payload) for event in journal.events()]


def _timeless(value: Any) -> Any:
    """Without the times, which differ from run to run."""
    if isinstance(value, dict):
        return {key: _timeless(one) for key, one in value.items() if key not in _DROPPED}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


def difference(whole: Any, ending: Any) -> str:
    """The first thing that differs, in words."""
    if isinstance(ending, str):
        return ending
    if whole[:2] != ending[:2]:
        return f"status {ending[0]}, patch {ending[1]!r}"[:300]
    for number, (a, b) in enumerate(zip(whole[2], ending[2], strict=False)):
        if a != b:
            return f"event {number}: {a} and {b}"[:600]
    return f"{len(whole[2])} and {len(ending[2])} events"


def _leftovers(folder: Path) -> str:
    return "scratch copies are left" if (folder / "work").exists() else ""
