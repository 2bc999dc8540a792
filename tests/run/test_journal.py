"""The journal under real processes and real files."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.errors import JournalError
from meritree.run.journal import Event, Journal

from .journals import WRITER, fill, numbers, python

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
