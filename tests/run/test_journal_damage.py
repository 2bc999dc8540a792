"""Journals on bad, full and read-only disks, and files that are no journal."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from meritree.errors import JournalError
from meritree.run.journal import SCHEMA_VERSION, Journal

from .journals import WRITER, fill, numbers, python


def test_a_torn_last_write_costs_only_what_was_not_acknowledged(tmp_path: Path) -> None:
    path, log = tmp_path / "run.db", tmp_path / "run.db-wal"
    writer = python(WRITER, path)
    assert writer.stdout is not None
    for _ in range(30):
        writer.stdout.readline()
    writer.kill()
    writer.communicate()
    whole = len(numbers(path))
    torn = tmp_path / "torn"
    for cut in (1, 100, 4119):  # inside the last frame of the log (24 + 4096 bytes)
        torn.mkdir(exist_ok=True)
        (torn / "run.db").write_bytes(path.read_bytes())
        (torn / "run.db-wal").write_bytes(log.read_bytes()[:-cut])
        found = numbers(torn / "run.db")
        assert found == list(range(1, len(found) + 1))
        # One step, or none where the killed process had begun to write another one.
        assert whole - 1 <= len(found) <= whole
        with Journal.open(torn / "run.db") as journal:
            assert journal.append("step", {}) == len(found) + 1
        for file in torn.iterdir():
            file.unlink()


def test_a_truncated_or_overwritten_database_is_reported_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    fill(path, 2000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(JournalError, match=r"cannot open journal .*run\.db"):
        Journal.open(path)
    path.write_bytes(data[:8192] + os.urandom(len(data) - 8192))
    with pytest.raises(JournalError, match=r"journal .*run\.db.*damaged"):
        Journal.open(path)
    with pytest.raises(JournalError, match=r"journal .*run\.db"):
        numbers(path)


@pytest.mark.parametrize("content", [b"", b"not a database at all, only text\n" * 40])
def test_a_file_that_is_no_journal_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(JournalError, match=r"run\.db"):
            Journal.open(path, read_only=read_only)
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    content = path.read_bytes()
    with pytest.raises(JournalError, match="is not a Meritree journal"):
        Journal.open(path)
    assert path.read_bytes() == content


def test_a_missing_journal_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"no journal at .*gone\.db"):
        Journal.open(tmp_path / "gone.db")
    with pytest.raises(JournalError, match=r"no-folder"):
        Journal.create(tmp_path / "no-folder" / "run.db", {})


def test_a_newer_version_says_which_and_how_to_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    fill(path, 1)
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    raw.close()
    for read_only in (False, True):
        with pytest.raises(JournalError, match=rf"version {SCHEMA_VERSION + 1}.*--upgrade"):
            Journal.open(path, read_only=read_only)


FULL = """
import sys, resource
from pathlib import Path
from meritree.errors import JournalError
from meritree.run.journal import Journal
path, cap = Path(sys.argv[1]), int(sys.argv[2])
if cap:
    resource.setrlimit(resource.RLIMIT_FSIZE, (cap, resource.RLIM_INFINITY))
with Journal.create(path, {"seed": 1}) as journal:
    done = 0
    try:
        while done < 20_000:
            done = journal.append("step", {"number": done, "text": "x" * 500})
    except JournalError as error:
        print(error)
    assert [e.payload["number"] for e in journal.events()] == list(range(done)), "lost"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    for ballast in path.parent.glob("ballast"):
        ballast.unlink()
    assert journal.append("step", {"number": done}) == done + 1
print(done)
"""


def check_full_disk_report(folder: Path, cap: int) -> None:
    path = folder / "run.db"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(cap)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    message, last = done.stdout.strip().splitlines()
    count = int(last)
    assert count > 10
    assert f"journal {path}" in message
    assert f"Nothing acknowledged was lost: events 1 to {count} are stored" in message
    assert numbers(path) == list(range(count + 1))


def test_a_file_that_may_not_grow_loses_nothing_and_is_usable_after_room_is_made(
    tmp_path: Path,
) -> None:
    check_full_disk_report(tmp_path, cap=300_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> object:
    mount = tmp_path / "disk"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True
    )
    if made.returncode:
        pytest.skip(f"no right to mount a small disk: {made.stderr.decode().strip()}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_loses_nothing_and_is_usable_after_room_is_made(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"\0" * 400_000)
    check_full_disk_report(small_disk, cap=0)


def test_a_full_disk_is_named_when_a_run_begins(small_disk: Path) -> None:
    with contextlib.suppress(OSError):
        (small_disk / "ballast").write_bytes(b"\0" * 2**21)
    assert os.statvfs(small_disk).f_bavail == 0
    with pytest.raises(JournalError, match=r"(create|beside) journal .*run\.db"):
        Journal.create(small_disk / "run.db", {})
    assert sorted(p.name for p in small_disk.iterdir()) in (
        ["ballast"],
        ["ballast", "run.db.lock"],
    )


def test_a_read_only_disk_can_be_read_and_refuses_to_be_written(small_disk: Path) -> None:
    path = small_disk / "run.db"
    fill(path, 5)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert numbers(path) == [0, 1, 2, 3, 4]
    with pytest.raises(JournalError, match=r"journal .*run\.db.*[Rr]ead-only"):
        Journal.open(path)
    with pytest.raises(JournalError, match=r"journal .*new\.db.*[Rr]ead-only"):
        Journal.create(small_disk / "new.db", {})


def test_a_disk_that_turns_read_only_in_mid_run_loses_nothing(small_disk: Path) -> None:
    path = small_disk / "run.db"
    with Journal.create(path, {}) as journal:
        for number in range(5):
            journal.append("step", {"number": number})
        # A mount in use cannot be remounted; a limit of zero bytes refuses every write alike.
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            with pytest.raises(JournalError, match="events 1 to 5 are stored"):
                journal.append("step", {"number": 5})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert journal.append("step", {"number": 5}) == 6
    assert numbers(path) == [0, 1, 2, 3, 4, 5]


VERSION_1 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE event (seq INTEGER PRIMARY KEY, time REAL NOT NULL,"
    " kind TEXT NOT NULL, payload TEXT NOT NULL)",
)


def test_a_journal_of_version_1_is_read_and_written_on(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    old = sqlite3.connect(path, isolation_level=None)
    for statement in VERSION_1:
        old.execute(statement)
    old.execute("INSERT INTO meta VALUES ('seed', '7')")
    old.execute("""INSERT INTO event VALUES (1, 0.5, 'step', '{"number": 0}')""")
    old.execute("PRAGMA application_id = 0x4D545245")
    old.execute("PRAGMA user_version = 1")
    old.close()
    with Journal.open(path) as journal:
        assert journal.meta == {"seed": 7}
        assert journal.append("step", {"number": 1}) == 2
        assert list(journal.append_many([("step", {"number": 2})])) == [3]
    assert numbers(path) == [0, 1, 2]


@pytest.mark.parametrize(
    "change",
    [
        """UPDATE event SET payload = '{"number": 9}' WHERE seq = 2""",
        "UPDATE event SET kind = 'other' WHERE seq = 2",
        "UPDATE event SET time = time + 1 WHERE seq = 2",
        "UPDATE event SET seq = 9 WHERE seq = 2",
        "DELETE FROM event WHERE seq = 2",
    ],
)
def test_an_event_that_a_bad_disk_changed_or_lost_is_named(change: str, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    fill(path, 5)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute(change)
    with Journal.open(path) as journal:
        events = journal.events()
        assert next(events).payload == {"number": 0}
        with pytest.raises(JournalError, match=r"event 2 of journal .*run\.db"):
            next(events)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE meta SET value = '2' WHERE key = 'seed'",
        "DELETE FROM meta",
        "ALTER TABLE event ADD COLUMN extra TEXT",
        "DROP TABLE event",
        "CREATE TRIGGER t AFTER INSERT ON event BEGIN DELETE FROM event; END",
    ],
)
def test_a_journal_that_is_not_as_it_was_made_is_refused(change: str, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    fill(path, 2)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute(change)
    for read_only in (False, True):
        with pytest.raises(JournalError, match=r"journal .*run\.db"):
            Journal.open(path, read_only=read_only)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("SELECT count(*) FROM sqlite_master").fetchone()  # nobody holds it any more


@pytest.mark.parametrize(
    "payload",
    ["[1, 2]", "7", "[" * 100_000, '{"a": 1', "\ud800".encode("utf-8", "replace").decode()],
)
def test_a_payload_that_is_no_json_object_is_named_not_believed(
    payload: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.db"
    fill(path, 1)
    from meritree.run._journal_file import checksum

    row = (2, 1.5, "step", payload)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?)", (*row, checksum(*row)))
    with pytest.raises(JournalError, match=r"event 2 of journal"):
        numbers(path)
