"""The journal under real processes, real files and a real full disk."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.errors import JournalError
from meritree.run.journal import SCHEMA_VERSION, Event, Journal

WRITER = """
import sys
from pathlib import Path
from meritree.run.journal import Journal
path = Path(sys.argv[1])
journal = Journal.open(path) if path.exists() else Journal.create(path, {"seed": 7})
number = journal.last_seq
while True:
    number += 1
    seq = journal.append("step", {"number": number, "text": "x" * (number * 37 % 3000)})
    sys.stdout.write(f"{seq}\\n")
    sys.stdout.flush()
"""


def fill(path: Path, count: int) -> None:
    with Journal.create(path, {"seed": 1}) as journal:
        for number in range(count):
            journal.append("step", {"number": number})


def numbers(path: Path) -> list[int]:
    with Journal.open(path, read_only=True) as journal:
        return [event.payload["number"] for event in journal.events()]


def python(code: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(payloads=st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=5))
def test_every_json_payload_comes_back_as_it_went_in(
    payloads: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "run.db"
    with Journal.create(path, {"seed": 1}) as journal:
        assert [journal.append("k", p) for p in payloads] == list(range(1, len(payloads) + 1))
    with Journal.open(path) as journal:
        assert [event.payload for event in journal.events()] == payloads


def test_numbers_go_on_where_an_earlier_writer_stopped_and_meta_stays(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    before = time.time()
    with Journal.create(path, {"seed": 3, "settings": {"strategy": "puct"}}) as journal:
        assert journal.append("start", {"a": 1}) == 1
    with Journal.open(path) as journal:
        assert journal.meta == {"seed": 3, "settings": {"strategy": "puct"}}
        assert journal.append_many([("b", {}), ("c", {"d": None})]) == range(2, 4)
        assert [(e.seq, e.kind) for e in journal.events()] == [(1, "start"), (2, "b"), (3, "c")]
        assert [e.seq for e in journal.events(since=2)] == [3]
        assert all(before <= e.time <= time.time() for e in journal.events())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.db", "run.db.lock"]


def test_a_batch_is_recorded_whole_or_not_at_all(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run.db", {}) as journal:
        with pytest.raises(JournalError, match=r"event 'bad'.*not plain JSON"):
            journal.append_many([("good", {}), ("bad", {"x": object()})])
        assert journal.last_seq == 0
        assert list(journal.events()) == []
        assert journal.append("good", {}) == 1


@pytest.mark.parametrize("payload", [{"x": float("nan")}, {"x": {1, 2}}, {"x": b"bytes"}])
def test_what_is_not_json_is_refused_and_named(payload: dict[str, object], tmp_path: Path) -> None:
    with (
        Journal.create(tmp_path / "run.db", {}) as journal,
        pytest.raises(JournalError, match=r"event 'step'.*run\.db.*not plain JSON"),
    ):
        journal.append("step", payload)


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    fill(path, 3)
    with pytest.raises(JournalError, match="exists already; resume"):
        Journal.create(path, {})
    assert numbers(path) == [0, 1, 2]


def test_the_log_of_a_deleted_run_does_not_enter_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    writer = python(WRITER, path)
    assert writer.stdout is not None
    for _ in range(20):
        writer.stdout.readline()
    writer.kill()
    writer.communicate()
    assert path.with_name("run.db-wal").stat().st_size > 0
    path.unlink()
    fill(path, 2)
    assert numbers(path) == [0, 1]


def test_kill_nine_at_random_moments_loses_no_acknowledged_event(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    chance = random.Random(11)
    acknowledged = 0
    for _ in range(15):
        writer = python(WRITER, path)
        assert writer.stdout is not None
        acknowledged = int(writer.stdout.readline())  # a busy machine starts programs slowly
        threading.Timer(chance.random() * 0.15, writer.kill).start()
        for line in writer.stdout:
            if line.endswith("\n"):
                acknowledged = int(line)
        assert writer.wait() == -signal.SIGKILL, writer.stderr
        if path.exists():
            found = numbers(path)
            assert found == list(range(1, len(found) + 1))
            assert len(found) >= acknowledged
    assert acknowledged > 200


def test_a_second_writer_is_told_the_pid_of_the_first_and_may_follow_its_death(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.db"
    writer = python(WRITER, path)
    assert writer.stdout is not None
    writer.stdout.readline()
    with pytest.raises(JournalError, match=rf"being written by process {writer.pid};"):
        Journal.open(path)
    with pytest.raises(JournalError, match=rf"process {writer.pid}"):
        Journal.create(path, {})
    writer.kill()
    writer.communicate()
    with Journal.open(path) as journal:
        assert journal.append("resumed", {}) == journal.last_seq
        with pytest.raises(JournalError, match=rf"process {os.getpid()}"):
            Journal.open(path)


def test_a_forked_child_that_lives_on_neither_holds_the_lock_nor_writes(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    journal = Journal.create(path, {})
    journal.append("step", {"number": 1})
    context = multiprocessing.get_context("fork")
    said, release = context.SimpleQueue(), context.Event()

    def child() -> None:
        try:
            journal.append("step", {"number": 2})
        except JournalError as error:
            said.put(str(error))
        journal.close()
        release.wait(30)

    process = context.Process(target=child)
    process.start()
    assert "belongs to the parent process" in said.get()
    assert journal.append("step", {"number": 3}) == 2
    journal.close()
    with Journal.open(path) as again:  # the child is alive, yet the lock is free
        assert process.is_alive()
        assert again.append("step", {"number": 4}) == 3
    release.set()
    process.join()
    assert numbers(path) == [1, 3, 4]


def test_readers_see_a_growing_prefix_while_the_writer_writes(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    writer = python(WRITER, path)
    assert writer.stdout is not None
    writer.stdout.readline()
    try:
        first, second = (Journal.open(path, read_only=True) for _ in range(2))
        lengths = []
        for _ in range(20):
            acknowledged = int(writer.stdout.readline())
            found = [event.payload["number"] for event in first.events()]
            assert found == list(range(1, len(found) + 1))
            assert len(found) >= acknowledged
            lengths.append(len(found))
            assert second.last_seq >= len(found)
        assert lengths == sorted(lengths)
        assert lengths[-1] > lengths[0]
        with pytest.raises(JournalError, match="read-only"):
            first.append("step", {})
        first.close()
        second.close()
    finally:
        writer.kill()
        writer.communicate()


def test_reading_in_the_middle_of_an_iteration_sees_later_events_and_blocks_nobody(
    tmp_path: Path,
) -> None:
    with Journal.create(tmp_path / "run.db", {}) as journal:
        journal.append_many([("step", {"n": n}) for n in range(1200)])
        events = journal.events()
        first = next(events)
        assert first == Event(1, "step", {"n": 0}, first.time)
        journal.append("step", {"n": 1200})
        assert sum(1 for _ in events) == 1200


def test_threads_share_a_journal(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run.db", {}) as journal:
        seqs: list[int] = []

        def work(name: int) -> None:
            seqs.extend(journal.append("step", {"thread": name}) for _ in range(100))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(seqs) == list(range(1, 401))


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


def test_the_file_names_no_code(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    fill(path, 50)
    content = path.read_bytes()
    assert b"meritree.run" not in content
    assert b"__main__" not in content


def test_a_closed_journal_says_so_and_closing_twice_is_harmless(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "run.db", {})
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="is closed"):
        journal.append("step", {})
    with pytest.raises(JournalError, match="is closed"):
        next(journal.events())


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


def test_durable_journals_behave_alike(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with Journal.create(path, {}, durable=True) as journal:
        assert [journal.append("step", {"number": n}) for n in range(3)] == [1, 2, 3]
    assert numbers(path) == [0, 1, 2]


@pytest.mark.parametrize("many", [False, True])
def test_an_interrupt_right_after_the_commit_loses_no_count(tmp_path: Path, many: bool) -> None:
    """Ctrl-C can strike when the event is stored and not yet counted: the next one must fit."""

    class Struck:
        """The connection, whose write is followed by the interrupt."""

        def __init__(self, inner: sqlite3.Connection) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def execute(self, sql: str, *arguments: object) -> sqlite3.Cursor:
            done = self.inner.execute(sql, *arguments)
            if sql.startswith("INSERT") or sql == "COMMIT":
                raise KeyboardInterrupt
            return done

    with Journal.create(tmp_path / "run.db", {}) as journal:
        journal.append("first", {})
        whole = journal._connection
        assert whole is not None
        journal._connection = Struck(whole)  # type: ignore[assignment]
        more = [("second", {}), ("third", {})] if many else [("second", {})]
        write = journal.append_many if many else lambda events: journal.append(*events[0])
        with pytest.raises(KeyboardInterrupt):
            write(more)  # type: ignore[no-untyped-call]
        journal._connection = whole
        last = journal.append("last", {})
        assert [event.seq for event in journal.events()] == list(range(1, last + 1))
        assert last == (4 if many else 3)


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


def test_deleting_a_journal_leaves_nothing_and_whoever_comes_next_has_it_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.db"
    journal = Journal.create(path, {})
    journal.append("step", {})
    journal.delete()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(JournalError, match="closed"):
        journal.delete()
    with Journal.create(path, {}), pytest.raises(JournalError, match="being written by"):
        Journal.open(path)


def test_a_lock_file_that_is_removed_while_it_is_being_locked_locks_nobody_out_or_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second process may have opened the file that the first removes with its run."""
    import fcntl

    from meritree.run import _writer_lock
    from meritree.run._writer_lock import WriterLock

    guarded, lock_file = tmp_path / "run.db", tmp_path / "run.db.lock"
    plain, removed = fcntl.flock, []

    def flock(descriptor: int, how: int) -> None:
        if not removed:
            removed.append(lock_file.unlink())
        plain(descriptor, how)

    monkeypatch.setattr(_writer_lock.fcntl, "flock", flock)
    lock = WriterLock.acquire(guarded)
    assert lock_file.exists()
    with pytest.raises(JournalError, match="being written by"):
        WriterLock.acquire(guarded)
    lock.release()


def test_a_released_lock_is_free_also_while_a_starting_program_holds_a_copy_of_its_descriptor(
    tmp_path: Path,
) -> None:
    """Between the fork and the exec of a program the child shares every open file."""
    from meritree.run._writer_lock import WriterLock

    lock = WriterLock.acquire(tmp_path / "run.db")
    assert lock._descriptor is not None
    copy = os.dup(lock._descriptor)  # shares the open file, as a forked child's does
    try:
        lock.release()
        WriterLock.acquire(tmp_path / "run.db").release()
    finally:
        os.close(copy)
