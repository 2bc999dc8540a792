"""Faults of the disk below a journal: full, read-only, torn at the end, with changed bytes.

Small disks are mounted where that is allowed; elsewhere the row says why not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meritree.bench.faults import REFUSED, Range, Row
from meritree.errors import JournalError


class NoMount(Exception):
    """This process may not mount; the message says why."""


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    mount = place / "disk"
    mount.mkdir(exist_ok=True)
    try:
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mount)],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise NoMount(str(error)) from error
    if made.returncode:
        raise NoMount(made.stderr.strip())
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def full(range_: Range, points: int) -> Row:
    """A disk that becomes full in mid run; then room is made and the run resumed."""
    row = Row("full disk: a mounted one of 2 MB")
    try:
        with small_disk(range_.place, "2m") as disk:
            for point in range(points):
                folder = disk / f"run-{point}"
                folder.mkdir()
                ballast = disk / "ballast"
                room = 4096 * (2 + point * range_.log_bytes // 4096 // points)
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                ballast.write_bytes(b"\0" * max(0, free - room))
                child = range_.search(folder)
                ballast.unlink()
                range_.judge(row, folder, child, struck=child.code == REFUSED)
    except NoMount as why:
        row.note = f"not made: {why}"
    return row


def read_only(range_: Range, points: int) -> Row:
    """A disk that is read-only when a killed run is to be resumed: readable, refused, unchanged."""
    row = Row("read-only disk")
    try:
        with small_disk(range_.place, "8m") as disk:
            for point in range(points):
                folder, child = range_.killed("append.committed", 5 + point * 55 // points)
                moved = Path(shutil.move(folder, disk / folder.name))
                _remount(disk, "ro")
                refused = range_.search(moved).code == REFUSED
                lost = max(0, child.acknowledged - range_.stored(moved))
                _remount(disk, "rw")
                row.count(struck=refused, lost=lost, same=range_.ends_alike(moved))
                shutil.rmtree(moved)
    except NoMount as why:
        row.note = f"not made: {why}"
    return row


def _remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True, capture_output=True)


def torn_log(range_: Range, points: int) -> Row:
    """The end of the log never reached the disk (a power cut): a beginning is left, and goes on.

    Events that the cut took were acknowledged to a run that does not ask for `durable`; they are
    made again and not counted as lost.
    """
    row = Row("power cut: the log ends at an arbitrary byte")
    original, _ = range_.killed("close.begun", 1)
    whole = len(range_.story)
    taken = 0
    for point in range(points):
        folder = _copy(range_, original)
        log = folder / "run.db-wal"
        os.truncate(log, point * range_.log_bytes // points + point * 37 % 4120)
        found = range_.stored(folder)
        taken += whole - max(0, found)
        row.count(struck=True, lost=found == -1, same=range_.ends_alike(folder))
        shutil.rmtree(folder)
    row.note = f"{taken} events cut off and made again"
    shutil.rmtree(original)
    return row


def changed_bytes(range_: Range, points: int) -> Row:
    """Eight changed bytes anywhere in the database or its log, after a kill or a clean end."""
    row = Row("bad disk: eight bytes changed in run.db or its log")
    chance = range_.random
    killed, _ = range_.killed("close.begun", 1)
    closed, _ = range_.killed("close.folded", 1)
    for point in range(points):
        folder = _copy(range_, (killed, closed)[point % 2])
        file = folder / ("run.db-wal", "run.db")[point % 2]
        at = chance.randrange(file.stat().st_size - 8) if point > 8 else point * 12
        _overwrite(file, at, chance.randbytes(8))
        _judge_damaged(range_, row, folder)
    for folder in (killed, closed):
        shutil.rmtree(folder)
    return row


def cut_database(range_: Range, points: int) -> Row:
    """run.db itself ends too early, or a page of it is empty."""
    row = Row("bad disk: run.db cut short, or a page of zeros")
    closed, _ = range_.killed("close.folded", 1)
    size = (closed / "run.db").stat().st_size
    for point in range(points):
        folder = _copy(range_, closed)
        at = point * size // points
        if point % 2:
            os.truncate(folder / "run.db", at)
        else:
            _overwrite(folder / "run.db", at // 4096 * 4096, bytes(4096))
        _judge_damaged(range_, row, folder)
    shutil.rmtree(closed)
    return row


def _judge_damaged(range_: Range, row: Row, folder: Path) -> None:
    """Refused by name, or nothing that matters was hit: events are a beginning, the end alike."""
    try:
        beginning = range_.stored(folder) != -1
    except JournalError:
        beginning = True  # named as damaged
    child = range_.search(folder)
    refused = child.code == REFUSED
    same = beginning and child.code == 0 and child.digest == range_.digest
    row.count(struck=True, lost=0, same=same, refused=refused and beginning)
    shutil.rmtree(folder)


def _overwrite(file: Path, at: int, content: bytes) -> None:
    with file.open("r+b") as handle:
        handle.seek(at)
        handle.write(content)


def _copy(range_: Range, original: Path) -> Path:
    folder = range_.folder()
    for name in ("run.db", "run.db-wal"):
        if (original / name).exists():
            shutil.copy(original / name, folder / name)
    return folder
