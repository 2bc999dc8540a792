"""The scratch copy is put back as it was, also what only imports had made in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from meritree.swe.harness import disk
from meritree.swe.harness.disk import Workspace


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    root, pristine = tmp_path / "scratch", tmp_path / "pristine"
    for folder in (root, pristine):
        (folder / "pack").mkdir(parents=True)
        (folder / "pack" / "code.py").write_text("x = 1\n")
    return root, pristine


def refreshed(workspace: Workspace) -> int:
    workspace._next = 0.0  # it looks only so often
    return workspace.refresh()


def test_changed_missing_and_new_files_are_put_right(folders: tuple[Path, Path]) -> None:
    root, pristine = folders
    workspace = Workspace(str(root), str(pristine))
    (root / "pack" / "code.py").write_text("x = 2\n")
    (root / "left.txt").write_text("left behind")
    assert refreshed(workspace) == 2
    assert (root / "pack" / "code.py").read_text() == "x = 1\n"
    assert not (root / "left.txt").exists()
    (root / "pack" / "code.py").unlink()
    assert refreshed(workspace) == 1
    assert (root / "pack" / "code.py").read_text() == "x = 1\n"
    assert refreshed(workspace) == 0


@pytest.mark.parametrize("gone", [True, False])
def test_a_file_that_an_import_made_is_put_back_from_memory(
    folders: tuple[Path, Path], gone: bool
) -> None:
    root, pristine = folders
    table = root / "yacctab.py"
    table.write_text("made by an import\n")
    workspace = Workspace(str(root), str(pristine))
    if gone:
        table.unlink()
    else:
        table.write_text("changed by a test\n")
    assert refreshed(workspace) == 1
    assert table.read_text() == "made by an import\n"


@pytest.mark.parametrize("gone", [True, False])
def test_one_that_is_too_large_to_remember_stays_as_tests_leave_it(
    folders: tuple[Path, Path], gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, pristine = folders
    monkeypatch.setattr(disk, "_REMEMBERED", 5)
    (root / "large.bin").write_text("0123456789")
    workspace = Workspace(str(root), str(pristine))
    if gone:
        (root / "large.bin").unlink()
    else:
        (root / "large.bin").write_text("9876543210")
    assert refreshed(workspace) == 1
    assert (root / "large.bin").exists() is not gone
    assert refreshed(workspace) == 0
