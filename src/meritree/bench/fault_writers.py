"""Several processes that all want to go on with one run, some of them killed meanwhile."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
from pathlib import Path
from random import Random

from meritree.bench.fault_world import run
from meritree.bench.faults import Range, Row
from meritree.errors import MeritreeError
from meritree.run import fault_points

_WRITERS = 4
_TWO = 9  # exit code: two processes were writing at once


def two_writers(range_: Range, points: int) -> Row:
    """Four processes begin or resume one run at once, again and again until it has ended."""
    row = Row("four processes on one run, the writer killed")
    for point in range(points):
        folder = range_.folder()
        codes: list[int] = []
        for turn in range(8):
            pids = [_start(folder, 1000 * point + 10 * turn + n) for n in range(_WRITERS)]
            codes += [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
            if 0 in codes:
                break
        found = range_.stored(folder)
        same = _TWO not in codes and found != -1 and range_.ends_alike(folder)
        row.count(struck=-signal.SIGKILL in codes and 3 in codes, lost=found == -1, same=same)
        shutil.rmtree(folder)
    return row


def _start(folder: Path, seed: int) -> int:
    """Fork a writer that waits a moment, writes (if it may) and may be killed at an event."""
    pid = os.fork()
    if pid:
        return pid
    code = 4
    try:
        signal.alarm(60)
        chance = Random(seed)
        kill = fault_points.kill_at("append.committed", chance.randrange(1, 90))
        alone = os.open(folder.parent / f"{folder.name}.alone", os.O_CREAT | os.O_RDWR)

        def strike(name: str) -> None:
            if name == "append.begun":
                # A lock of another kind than the journal's own: was somebody else writing?
                try:
                    fcntl.lockf(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os._exit(_TWO)
                time.sleep(0.0002)
            kill(name)
            if name == "close.begun":
                fcntl.lockf(alone, fcntl.LOCK_UN)

        fault_points.strike_with(strike)
        time.sleep(chance.random() * 0.03)
        run(folder / "run.db", os.open(os.devnull, os.O_WRONLY))
        code = 0
    except MeritreeError:
        code = 3
    finally:
        os._exit(code)
