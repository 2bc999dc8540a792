"""Where a developer's fix stands among the policy's edits, on a small real repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from meritree.bench.history_cases import Case
from meritree.bench.reach import Target, reach
from meritree.errors import BadInput
from meritree.swe.edits import Edit, Splice

BEFORE = '''class A:
    """Doc."""

    def f(self, x):
        # note
        if x < 3:
            return self.g(x)
        return 0

    def g(self, x):
        return x
'''
AFTER = BEFORE.replace("x < 3", "(x <= 3)").replace("# note", "# other").replace("Doc.", "New.")


def _edit(old: str, new: str) -> Edit:
    start = BEFORE.index(old)
    splice = Splice(start, start + len(old), new)
    return Edit("m.py", (splice,), "cmp_op", 1.0, 6, "A.f")


def test_an_edit_is_the_fix_whatever_comments_docstrings_and_parentheses_say() -> None:
    target = Target(BEFORE, AFTER)
    assert target.made_by(_edit("x < 3", "x <= 3"))
    assert not target.made_by(_edit("x < 3", "x <= 4"))
    assert not target.made_by(_edit("return x", "return 0"))


def test_only_lines_of_the_changed_function_are_looked_at() -> None:
    assert Target(BEFORE, AFTER).lines() == [4, 6, 7, 8]


def test_texts_without_a_change_of_code_are_refused() -> None:
    with pytest.raises(BadInput, match="no code differs"):
        Target(BEFORE, BEFORE.replace("# note", "# else"))


def test_an_added_definition_cannot_be_made_by_an_edit() -> None:
    after = BEFORE + "\n    def h(self):\n        return 1\n"
    assert Target(BEFORE, after).added_only


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_place_of_a_fix_in_a_repository(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    (tmp_path / "m.py").write_text(BEFORE)
    (tmp_path / "test_m.py").write_text("")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-qm", "start")
    (tmp_path / "m.py").write_text(AFTER)
    (tmp_path / "test_m.py").write_text("def test_f():\n    assert A().f(3) == 3\n")
    _git(tmp_path, "commit", "-qam", "fix the bound")
    case = Case(
        "m", str(tmp_path), _git(tmp_path, "rev-parse", "HEAD"),
        _git(tmp_path, "rev-parse", "HEAD~1"), "m.py", ("test_m.py",),
    )  # fmt: skip
    found = reach(case, most=300)
    assert "cmp_op" in found.templates
    assert found.place is not None
    assert found.place <= 30
    assert reach(case, most=found.place - 1).place is None
