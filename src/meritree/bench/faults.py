"""The journal under fire: kills, torn writes, full and read-only disks, clocks, two writers.

Each point runs a small search in a child, strikes, looks at what is stored and resumes. Survived
means: no acknowledged event lost, and the same events and tree as without the fault, or, where
the disk itself changed bytes, a refusal that names the journal.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from meritree.bench.fault_world import Ending, run, story_of
from meritree.errors import MeritreeError
from meritree.run import fault_points

_PATIENCE = 60  # seconds until a child counts as hanging
REFUSED, _BROKEN = 3, 4  # exit codes of a child: a MeritreeError, anything else
Strike = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Child:
    """How one search in a process of its own ended.

    Attributes:
        code: exit code, negative for a signal (SIGALRM: it hung).
        acknowledged: number of the last event that it was told is safe.
        digest: of the ending; empty when there was none.
    """

    code: int
    acknowledged: int
    digest: str


@dataclass(slots=True)
class Row:
    """One kind of fault.

    Attributes:
        fault: in words.
        points: how many faults were made.
        survived: see the module.
        lost: acknowledged events missing afterwards, over all points.
        different: resumed searches that came to other events or another tree.
        refused: points at which the journal was refused as damaged (and named).
        struck: points at which the fault did strike.
        note: what else is to be said, also why a fault could not be made.
    """

    fault: str
    points: int = 0
    survived: int = 0
    lost: int = 0
    different: int = 0
    refused: int = 0
    struck: int = 0
    note: str = ""

    def count(self, *, struck: bool, lost: int, same: bool, refused: bool = False) -> None:
        """Add one point; a refusal is no difference."""
        self.points += 1
        self.struck += struck
        self.lost += lost
        self.refused += refused
        self.different += not same and not refused
        self.survived += lost == 0 and (same or refused)


class Range:
    """Where faults are made: folders, the ending without a fault, seeds."""

    def __init__(self, place: Path, seed: int = 0) -> None:
        self.place = place
        self.random = Random(seed)
        self._count = 0
        whole = self.folder()
        self.passed = self._passings(whole)
        self.story = story_of(whole / "run.db")
        done = self.search(whole)
        self.digest = done.digest
        self.log_bytes = self._log_bytes()

    def folder(self) -> Path:
        """A new empty folder."""
        self._count += 1
        made = self.place / f"run-{self._count}"
        made.mkdir()
        return made

    def search(self, folder: Path, strike: Strike | None = None) -> Child:
        """Run or resume the search of a folder in a child; ``strike`` is called in it first."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            _in_child(folder, write, strike)
        os.close(write)
        data = _read_all(read)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        numbers, digest = (data[:-64], data[-64:].decode()) if code == 0 else (data, "")
        last = len(numbers) // 4 * 4
        acknowledged = int.from_bytes(numbers[last - 4 : last], "big") if last else 0
        return Child(code, acknowledged, digest)

    def judge(self, row: Row, folder: Path, child: Child, *, struck: bool) -> None:
        """Look at what is stored after a fault, resume, and add the point to a row."""
        found = self.stored(folder)
        lost = max(0, child.acknowledged - found)
        row.count(struck=struck, lost=lost, same=self.ends_alike(folder))
        shutil.rmtree(folder)

    def stored(self, folder: Path) -> int:
        """How many events are there; -1 when they are not a beginning of the story."""
        path = folder / "run.db"
        if not path.exists():
            return 0
        events = story_of(path)
        return len(events) if events == self.story[: len(events)] else -1

    def ends_alike(self, folder: Path) -> bool:
        """Whether the resumed search comes to the ending of the undisturbed one."""
        child = self.search(folder)
        return child.code == 0 and child.digest == self.digest

    def killed(self, name: str, number: int) -> tuple[Path, Child]:
        """A folder whose search was killed at a fault point."""
        folder = self.folder()
        child = self.search(folder, killing(name, number))
        return folder, child

    def _passings(self, folder: Path) -> Counter[str]:
        read, write = os.pipe()
        if os.fork() == 0:
            names: list[str] = []
            fault_points.strike_with(names.append)
            null = os.open(os.devnull, os.O_WRONLY)
            run(folder / "run.db", null)
            os.write(write, " ".join(names).encode())
            os._exit(0)
        os.close(write)
        with open(read, "rb") as file:
            names = file.read().decode().split()
        os.wait()
        return Counter(names)

    def _log_bytes(self) -> int:
        """Size of the log when everything was written and nothing folded."""
        folder, _ = self.killed("close.begun", 1)
        return (folder / "run.db-wal").stat().st_size


def killing(name: str, number: int) -> Strike:
    """A strike that kills the child at the ``number``-th passing of a fault point."""
    return lambda: fault_points.strike_with(fault_points.kill_at(name, number))


def _in_child(folder: Path, descriptor: int, strike: Strike | None) -> None:
    """Never returns."""
    code = _BROKEN
    try:
        signal.alarm(_PATIENCE)
        if strike is not None:
            strike()
        ending: Ending = run(folder / "run.db", descriptor)
        os.write(descriptor, ending.digest().encode())
        code = 0
    except MeritreeError:
        code = REFUSED
    finally:
        os._exit(code)


def _read_all(descriptor: int) -> bytes:
    """Everything that a child says; one that hangs is ended by its own alarm."""
    with open(descriptor, "rb") as file:
        return file.read()


# -- the faults ------------------------------------------------------------------------------


def kill_points(range_: Range) -> Row:
    """kill -9 at every place of the journal, each time it is passed."""
    row = Row("kill -9 at an event boundary")
    points = [(name, n + 1) for name, count in range_.passed.items() for n in range(count)]
    for name, number in points:
        folder, child = range_.killed(name, number)
        range_.judge(row, folder, child, struck=child.code == -signal.SIGKILL)
    return row


def kill_twice(range_: Range, points: int) -> Row:
    """kill -9 of a run, and again of the run that resumes it."""
    row = Row("kill -9 again while resuming")
    chance = range_.random
    for _ in range(points):
        folder, first = range_.killed("append.committed", chance.randrange(1, 50))
        name = chance.choice(["open.connected", "append.begun", "append.committed"])
        number = 1 if name == "open.connected" else chance.randrange(1, 15)
        second = range_.search(folder, killing(name, number))
        last = Child(second.code, max(first.acknowledged, second.acknowledged), "")
        range_.judge(row, folder, last, struck=second.code == -signal.SIGKILL)
    return row


def kill_inside(range_: Range, points: int) -> Row:
    """kill -9 by the kernel in the middle of a write: the file ends at an arbitrary byte."""
    row = Row("torn write: killed inside a write, at a byte of the file")

    def limit(size: int) -> Strike:
        def strike() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        return strike

    for size in sizes(range_, points):
        folder = range_.folder()
        child = range_.search(folder, limit(size))
        range_.judge(row, folder, child, struck=child.code == -signal.SIGXFSZ)
    return row


def file_limit(range_: Range, points: int) -> Row:
    """No file may grow beyond a size (what a quota does): refused, named, resumed with room."""
    row = Row("full disk: no file may grow further")

    def limit(size: int) -> Strike:
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    for size in sizes(range_, points):
        folder = range_.folder()
        child = range_.search(folder, limit(size))
        range_.judge(row, folder, child, struck=child.code == REFUSED)
    return row


def clocks(range_: Range, points: int) -> Row:
    """The wall clock jumps by up to thirty years at every event."""
    row = Row("clock that jumps")

    def jump(seed: int) -> Strike:
        def strike() -> None:
            chance, true = Random(seed), time.time
            time.time = lambda: true() + chance.uniform(-1e9, 1e9)

        return strike

    for point in range(points):
        folder = range_.folder()

        def strike(seed: int = point) -> None:
            jump(seed)()
            name = "append.committed"
            fault_points.strike_with(fault_points.kill_at(name, 1 + seed * 17 % 60))

        child = range_.search(folder, strike)
        range_.judge(row, folder, child, struck=child.code == -signal.SIGKILL)
    return row


def sizes(range_: Range, points: int) -> list[int]:
    """Byte positions: a few below the size of the shared index, most across the log."""
    low = [int(n * 32_768 / max(1, points // 5)) for n in range(points // 5)]
    rest = points - len(low)
    step = (range_.log_bytes - 32_768) / max(1, rest)
    return low + [int(32_769 + n * step + n * 37 % 4120) for n in range(rest)]


def spread(points: Sequence[Any], most: int) -> Sequence[Any]:
    """At most so many of the points, evenly."""
    if len(points) <= most:
        return points
    return [points[i * len(points) // most] for i in range(most)]


def table(rows: Sequence[Row]) -> str:
    """For people."""
    head = f"{'fault':58} {'points':>6} {'struck':>6} {'survived':>8} {'lost':>5} {'differ':>6}"
    lines = [f"{head} {'refused':>7}", "-" * (len(head) + 8)]
    lines += [
        f"{row.fault:58} {row.points:6} {row.struck:6} {row.survived:8} {row.lost:5} "
        f"{row.different:6} {row.refused:7}" + (f"  {row.note}" if row.note else "")
        for row in rows
    ]
    return "\n".join(lines)


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """For programs."""
    return {
        "points": sum(row.points for row in rows),
        "survived": sum(row.survived for row in rows),
        "rows": [asdict(row) for row in rows],
    }


def measure(
    points: int,
    *,
    fixes: int = 0,
    python: Path | None = None,
    seed: int = 0,
    folder: Path | None = None,
    said: Callable[[Row], None] = lambda _: None,
) -> list[Row]:
    """About ``points`` faults of the journal, and ``fixes`` kills of a real `meritree fix`.

    Args:
        points: at least every place of the journal is struck once.
        fixes: 0 leaves the real command out.
        python: interpreter of the repaired repository's tests.
        seed: of what is drawn.
        folder: on whose disk it happens; that of temporary files when None.
        said: is told each row.
    """
    from meritree.bench import fault_disks, fault_fix, fault_writers

    rest = max(0, points - 200)
    share = max(4, rest // 6)
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        said(row)

    with tempfile.TemporaryDirectory(prefix="faults-", dir=folder) as name:
        place = Path(name)
        range_ = Range(place, seed)
        add(kill_points(range_))
        add(kill_twice(range_, share))
        add(kill_inside(range_, share))
        add(file_limit(range_, share))
        add(fault_disks.full(range_, max(4, share // 3)))
        add(fault_disks.read_only(range_, max(3, share // 4)))
        add(fault_disks.torn_log(range_, share))
        add(fault_disks.changed_bytes(range_, share))
        add(fault_disks.cut_database(range_, max(4, share // 2)))
        add(clocks(range_, max(4, share // 3)))
        add(fault_writers.two_writers(range_, max(3, share // 4)))
        if fixes:
            whole = fault_fix.Fixes(place, python)
            add(fault_fix.kills(whole, fixes))
            add(fault_fix.full_disk(whole, max(2, fixes // 4)))
            add(fault_fix.resumed_beside(whole, max(1, fixes // 8)))
    return rows
