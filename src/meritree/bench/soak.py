"""Many small repairs in one process, and what they leave behind: memory, descriptors, disk.

Repositories are generated; one in ten leaves a daemon, a socket, a thread and files behind, one
in ten is interrupted and resumed. It knows `fix` as a user does, not how it works.
"""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from meritree.errors import MeritreeError
from meritree.swe.fix import fix
from meritree.swe.result import FixOptions, FixResult, Progress
from meritree.swe.resuming import resume

BUDGET = 8  # candidate evaluations of a task
_WARM_UP = 0.2  # share of the samples in which caches may still fill
_RESAMPLES = 2000
_SHARED = ("psm_", "sem.", "pymp-", "mp-")
_PR_SET_CHILD_SUBREAPER = 36
_TESTS = """from price import fee, price


def test_two():
    assert price(2) == 7


def test_five():
    assert price(5) == 13


def test_fee():
    assert fee(3) == 4
"""
_PROGRAM = "check.py"
_CALLS = """import sys
sys.path.insert(0, ".")
import test_price
for name in ("test_two", "test_five", "test_fee"):
    getattr(test_price, name)()
try:
    import test_untidy
except ImportError:
    pass
else:
    test_untidy.test_leaves_things_behind(None)
"""
_UNTIDY = """
import os, socket, subprocess, sys, tempfile, threading

def test_leaves_things_behind(tmp_path):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                     start_new_session=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.path.join(tempfile.gettempdir(), "left-%d" % os.getpid()))
    server.listen()
    globals()["kept"] = server
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    tempfile.mkstemp(prefix="left")
    for name in ("here.txt", "test_here.tmp"):
        with open(name, "w") as file:
            file.write("x" * 10_000)
"""
# Each function beside the one that the tests want: n * 2 + 3.
_FAULTS = ("n * 2 - 3", "n * 3 + 3", "n + 2 + 3", "n * 2 + 4", "n * 2 + 2", "n - 2 + 3")
_BEYOND_REACH = "len(str(n)) ** 7 - 12345"
_RIGHT = "n * 2 + 3"


@dataclass(frozen=True, slots=True)
class Sample:
    """This process between two batches, when no task is under way.

    Attributes:
        tasks: done so far.
        seconds: since the start.
        rss: resident bytes of this process.
        descriptors: open ones; sockets: how many of them are sockets.
        threads: living threads; processes: living descendants.
        mounts: below the folder of all this.
        temporary: files and folders in the temporary folder; kept: runs' folders still there.
        shared: shared memory and semaphores by the names that Python gives them.
    """

    tasks: int
    seconds: float
    rss: int
    descriptors: int
    sockets: int
    threads: int
    processes: int
    mounts: int
    temporary: int
    kept: int
    shared: int


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth of one quantity per 1000 tasks, with a 95 % interval."""

    per_1000: float
    low: float
    high: float


def run(
    tasks: int,
    *,
    parallel: int = 2,
    every: int = 20,
    sandbox: str = "auto",
    python: Path | None = None,
    seed: int = 0,
    first: int = 0,
    plain: bool = False,
    said: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Repair ``tasks`` generated repositories and measure this process between batches.

    The process becomes the parent of every orphan below it, so that what a task leaves behind
    is seen.

    Args:
        parallel: tasks at a time, each in a thread of its own.
        every: tasks between two samples.
        sandbox, python: as for `FixOptions`.
        seed: of task 0; the next has the next.
        first: number of the first task; its last digit decides what kind of task it is.
        plain: the tests are a program judged by its exit code (a third of the processor time).
        said: is told the result so far after every sample.

    Raises:
        OSError: no room for a temporary folder.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    place = Path(tempfile.mkdtemp(prefix="soak-"))
    before, temporary = tempfile.tempdir, place / "tmp"
    for folder in (temporary, place / "runs"):
        folder.mkdir()
    tempfile.tempdir = str(temporary)
    started = time.monotonic()
    common = FixOptions(repo=place, budget_tests=BUDGET, sandbox=sandbox, python=python, seed=seed)
    if plain:
        common = replace(common, test_command=f"{python or sys.executable} {_PROGRAM}")
    statuses: Counter[str] = Counter()
    largest = 0
    start = _sample(place, 0, started)
    samples: list[Sample] = []
    try:
        with ThreadPoolExecutor(parallel, thread_name_prefix="soak") as pool:
            for done in range(0, tasks, every):
                batch = range(first + done, first + min(done + every, tasks))
                for status, size in pool.map(lambda n: _task(place, n, common), batch):
                    statuses[status] += 1
                    largest = max(largest, size)
                samples.append(_sample(place, batch[-1] + 1 - first, started))
                said(_result(start, samples, statuses, largest, parallel))
    finally:
        tempfile.tempdir = before
        shutil.rmtree(place, ignore_errors=True)
    return _result(start, samples, statuses, largest, parallel)


def _result(
    start: Sample, samples: Sequence[Sample], statuses: Counter[str], largest: int, parallel: int
) -> dict[str, Any]:
    return {
        "tasks": samples[-1].tasks,
        "seconds": samples[-1].seconds,
        "statuses": dict(sorted(statuses.items())),
        "largest_run_bytes": largest,
        "left_behind": left_behind(start, samples[-1], parallel),
        "growth": growth(samples),
        "start": asdict(start),
        "samples": [asdict(sample) for sample in samples],
    }


def left_behind(start: Sample, end: Sample, parallel: int) -> dict[str, int]:
    """What is there at the end and was not at the start (workers' threads excepted)."""
    return {
        "processes": end.processes - start.processes,
        "mounts": end.mounts - start.mounts,
        "temporary files": end.temporary - start.temporary,
        "run folders": end.kept - start.kept,
        "sockets": end.sockets - start.sockets,
        "shared memory": end.shared - start.shared,
        "threads": max(0, end.threads - start.threads - parallel),
    }


def growth(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Slopes of memory and descriptors once caches are warm; empty with too few samples."""
    warm = samples[int(len(samples) * _WARM_UP) :]
    if len(warm) < 8:
        return {}
    at = [sample.tasks for sample in warm]
    found = {
        "rss bytes": slope(at, [sample.rss for sample in warm]),
        "descriptors": slope(at, [sample.descriptors for sample in warm]),
    }
    return {name: asdict(one) for name, one in found.items()}


def slope(at: Sequence[float], values: Sequence[float], seed: int = 0) -> Slope:
    """Least squares, with an interval from resampled blocks of residuals (neighbours depend)."""
    rate, residuals = _least_squares(at, values)
    size = max(1, round(len(at) ** 0.5))
    random = Random(seed)
    drawn = []
    for _ in range(_RESAMPLES):
        noise: list[float] = []
        while len(noise) < len(at):
            first = random.randrange(len(at) - size + 1)
            noise += residuals[first : first + size]
        drawn.append(_least_squares(at, noise[: len(at)])[0])
    drawn.sort()
    low, high = drawn[int(_RESAMPLES * 0.025)], drawn[int(_RESAMPLES * 0.975)]
    return Slope(*(round(1000 * one, 3) for one in (rate, rate + low, rate + high)))


def _least_squares(at: Sequence[float], values: Sequence[float]) -> tuple[float, list[float]]:
    middle, level = fmean(at), fmean(values)
    spread = sum((x - middle) ** 2 for x in at)
    rate = sum((x - middle) * (y - level) for x, y in zip(at, values, strict=True)) / spread
    return rate, [y - level - rate * (x - middle) for x, y in zip(at, values, strict=True)]


# -- tasks ---------------------------------------------------------------------------------


def _task(place: Path, number: int, common: FixOptions) -> tuple[str, int]:
    """One repair of a new repository; the status and the bytes of its run's folder."""
    repo, out = place / "runs" / f"repo-{number}", place / "runs" / f"run-{number}"
    kind = number % 10
    issue = "price(2) should be 7" if kind == 5 else ""
    _write_repository(repo, number // 10 * 6 + kind, kind)
    options = replace(common, repo=repo, out=out, seed=common.seed + number, issue=issue)
    try:
        result = _stopped_and_resumed(options) if kind == 7 else fix(options)
    except MeritreeError as error:
        return f"error: {error}".replace(str(place), "."), 0
    else:
        left = [entry.name for entry in out.iterdir() if entry.name == "work"]
        return f"{result.status}, scratch left" if left else result.status, _bytes(out)
    finally:
        for folder in (repo, out):
            shutil.rmtree(folder, ignore_errors=True)


def _write_repository(repo: Path, number: int, kind: int) -> None:
    repo.mkdir()
    body = {5: _RIGHT, 6: _BEYOND_REACH, 9: _RIGHT}.get(kind, _FAULTS[number % len(_FAULTS)])
    text = f"def price(n):\n    return {body}\n\n\ndef fee(n):\n    return n + 1\n"
    (repo / "price.py").write_text(text, "utf-8")
    (repo / "test_price.py").write_text(_TESTS, "utf-8")
    (repo / _PROGRAM).write_text(_CALLS, "utf-8")
    if kind == 8:
        (repo / "test_untidy.py").write_text(_UNTIDY, "utf-8")


def _stopped_and_resumed(options: FixOptions) -> FixResult:
    steps = 0

    def stop(progress: Progress) -> None:
        nonlocal steps
        if progress.node is not None:
            steps += 1
            if steps == 3:
                raise KeyboardInterrupt

    stopped = fix(options, stop)
    assert options.out is not None
    return resume(options.out) if stopped.status == "interrupted" else stopped


# -- looking at this process -----------------------------------------------------------------


def _sample(place: Path, tasks: int, started: float) -> Sample:
    gc.collect()
    descriptors = _descriptors()
    return Sample(
        tasks=tasks,
        seconds=round(time.monotonic() - started, 1),
        rss=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        descriptors=len(descriptors),
        sockets=sum(stat.S_ISSOCK(mode) for mode in descriptors),
        threads=threading.active_count(),
        processes=len(living_descendants()),
        mounts=Path("/proc/self/mountinfo").read_text().count(f" {place}/"),
        temporary=sum(1 for _ in (place / "tmp").rglob("*")),
        kept=len(list((place / "runs").iterdir())),
        shared=sum(name.startswith(_SHARED) for name in os.listdir("/dev/shm"))
        if os.path.isdir("/dev/shm")
        else 0,
    )


def _descriptors() -> list[int]:
    modes = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the listing's own descriptor is closed again
            modes.append(os.fstat(int(name)).st_mode)
    return modes


def living_descendants() -> list[int]:
    """Processes below this one that have not ended; dead orphans are reaped on the way."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        with suppress(OSError, ValueError):
            state, parent = (
                Path(f"/proc/{int(entry)}/stat").read_text().rsplit(")", 1)[1].split()[:2]
            )
            if state not in "ZX":
                parents[int(entry)] = int(parent)
    found: list[int] = []
    wanted = {os.getpid()}
    while wanted:
        wanted = {pid for pid, parent in parents.items() if parent in wanted}
        found += wanted
    return found


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
