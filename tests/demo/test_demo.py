"""The sample repository: its issue, its failing tests and the repair that mends it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dulwich.porcelain import status
from dulwich.repo import Repo

from meritree.demo import issue_text, unpack

REPAIR = (
    ("parcel/tariffs.py", "[0] <= grams", "[0] < grams"),
    ("parcel/model.py", "(short + long)", "(short + middle)"),
)


def failing(repo: Path, *edits: tuple[str, str, str]) -> set[str]:
    for name, old, new in edits:
        file = repo / name
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()
    return {line.split(" - ")[0].split()[1] for line in lines if line.startswith("FAILED")}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return failing(unpack(tmp_path_factory.mktemp("as-is")))


def test_the_sample_fails_where_the_issue_says(broken: set[str], tmp_path: Path) -> None:
    assert any("2000-630" in test for test in broken)
    assert any("test_girth" in test for test in broken)
    repo = unpack(tmp_path)
    assert issue_text() == (repo / "issue.md").read_text()
    for name, line, code in (
        ("parcel/quoting.py", 31, "base = tariff_for(zone).price(billed)"),
        ("parcel/tariffs.py", 34, "raise TooHeavy("),
    ):
        assert f'File "{name}", line {line}' in issue_text()
        assert code in (repo / name).read_text().splitlines()[line - 1]


def test_the_repair_mends_it_and_needs_both_edits(tmp_path: Path, broken: set[str]) -> None:
    assert failing(unpack(tmp_path / "both"), *REPAIR) == set()
    left = [failing(unpack(tmp_path / str(n)), edit) for n, edit in enumerate(REPAIR)]
    assert all(0 < len(some) < len(broken) for some in left)
    assert left[0] | left[1] == broken


def test_the_copy_is_a_clean_git_repository_of_its_own(tmp_path: Path) -> None:
    repo = unpack(tmp_path)
    assert repo == tmp_path / "parcel"
    with Repo(str(repo)) as git:
        changes = status(git)
        assert not changes.untracked
        assert not any(changes.staged.values())
    assert unpack() != unpack()
