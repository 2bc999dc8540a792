"""A run's folder belongs to the process that holds its journal, whatever the disk does."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from meritree.errors import BadInput, JournalError, MeritreeError
from meritree.run.journal import Journal
from meritree.swe.fix import fix
from meritree.swe.result import FixOptions, FixResult, Progress
from meritree.swe.resuming import resume
from meritree.swe.run_folder import RunFolder, create


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def busy(tmp_path: Path) -> object:
    """The folder of a run that another process (here: this one) is writing."""
    out = tmp_path / "run"
    (out / "work" / "copies").mkdir(parents=True)
    (out / "work" / "copies" / "scratch.py").write_text("")
    with Journal.create(out / "run.db", {"kind": "fix", "options": {}}):
        yield out


def test_resuming_a_run_that_is_going_on_does_not_touch_its_scratch_copies(busy: Path) -> None:
    with pytest.raises(JournalError, match=rf"being written by process {os.getpid()}"):
        resume(busy)
    assert (busy / "work" / "copies" / "scratch.py").is_file()


def test_a_second_run_with_the_same_folder_does_not_touch_the_first(
    busy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from meritree.swe import fix as module

    # Both saw an empty folder; the first made its journal a moment earlier.
    monkeypatch.setattr(module, "create", lambda options: RunFolder(busy))
    with pytest.raises(JournalError, match="being written by"):
        fix(FixOptions(repo=tmp_path, out=busy))
    assert (busy / "work" / "copies" / "scratch.py").is_file()
    assert (busy / "run.db").is_file()


def test_a_run_that_was_stopped_before_its_first_step_has_one_root_when_resumed(
    tmp_path: Path,
) -> None:
    repo, out = tmp_path / "repo", tmp_path / "run"
    repo.mkdir()
    (repo / "price.py").write_text("def price(n):\n    return n - 1\n")
    (repo / "test_price.py").write_text(
        "from price import price\n\n\ndef test_two():\n    assert price(2) == 3\n"
    )

    def stop(progress: Progress) -> None:
        if progress.phase == "search":
            raise KeyboardInterrupt

    assert fix(FixOptions(repo=repo, out=out, budget_tests=2), stop).status == "interrupted"
    resume(out)
    with Journal.open(out / "run.db", read_only=True) as journal:
        kinds = [event.kind for event in journal.events()]
    assert kinds.count("root") == 1
    assert kinds.index("root") < kinds.index("interrupted") < kinds.index("step")


def test_bad_input_leaves_no_folder(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    repo = tmp_path / "repo"
    repo.mkdir()
    with pytest.raises(BadInput):
        fix(FixOptions(repo=repo, out=out))
    assert not (tmp_path / "deep").exists()


def test_a_folder_of_a_run_that_was_killed_before_its_journal_existed_can_be_used_again(
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    for name in ("run.db.lock", ".run.db.new", ".run.db.new-journal"):
        (out / name).write_text("")
    folder = create(FixOptions(repo=tmp_path, out=out))
    Journal.create(folder.journal, {}).close()
    assert files(out) == {"run.db", "run.db.lock", ".run.db.new-journal"} or files(out) == {
        "run.db",
        "run.db.lock",
    }
    with pytest.raises(BadInput, match="holds an earlier run"):
        create(FixOptions(repo=tmp_path, out=out))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="not empty"):
        create(FixOptions(repo=tmp_path, out=tmp_path / "other"))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only file system"),
        shutil.Error([("a", "b", "[Errno 28] No space left on device")]),
    ],
)
def test_a_disk_that_refuses_says_how_to_go_on(error: OSError, tmp_path: Path) -> None:
    with (
        pytest.raises(MeritreeError, match=rf"(No space|Read-only).*meritree resume {tmp_path}"),
        RunFolder(tmp_path).disk_errors(),
    ):
        raise error


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), RunFolder(tmp_path).disk_errors():
        (tmp_path / "gone").read_text()


def test_a_result_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.write_result(FixResult("not-found", "first"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        folder.write_result(FixResult("not-found", "second"))
    assert json.loads(folder.result.read_text())["message"] == "first"
    assert files(tmp_path) == {"result.json"}
