"""What of a repository may be repaired, and what judges."""

from __future__ import annotations

from pathlib import Path

from meritree.swe.repository import judged_by, open_repository


def test_a_program_that_the_test_command_names_judges_and_is_not_edited(tmp_path: Path) -> None:
    for name in ("price.py", "check.py", "only.py"):
        (tmp_path / name).write_text("x = 1\n")
    whole = open_repository(tmp_path)
    found = judged_by(whole, "python ./check.py --fast")
    assert sorted(found.sources) == ["only.py", "price.py"]
    assert "check.py" in found.tests
    assert judged_by(whole, "pytest -q") is whole
    assert judged_by(whole, "python 'check.py") is whole
    assert judged_by(whole, "python check.py price.py only.py") is whole
