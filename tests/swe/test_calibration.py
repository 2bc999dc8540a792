"""Verdicts are kept, read back and turned into a risk; damaged journals are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from meritree.errors import BadInput
from meritree.swe.calibration import FEWEST, Judged, acceptance, append, in_words, read


def journal(folder: Path, rights: list[bool]) -> Path:
    path = folder / "deep" / "calibration.jsonl"
    for number, right in enumerate(rights):
        append(path, Judged(float(number), right, "a test", f"run-{number}#1"))
    return path


def test_entries_are_read_back_with_their_time(tmp_path: Path) -> None:
    (entry,) = read(journal(tmp_path, [True]))
    assert (entry.score, entry.right, entry.run) == (0.0, True, "run-0#1")
    assert entry.time.startswith("20")


def test_the_later_verdict_on_one_patch_counts(tmp_path: Path) -> None:
    path = journal(tmp_path, [True, True])
    append(path, Judged(0.0, False, "a test", "run-0#1"))
    assert [entry.right for entry in read(path)] == [True, False]


def test_too_few_verdicts_bound_nothing(tmp_path: Path) -> None:
    assert acceptance(None) is None
    assert acceptance(journal(tmp_path / "a", [True] * (FEWEST - 1))) is None
    assert acceptance(journal(tmp_path / "b", [True] * FEWEST)) is not None


def test_the_risk_falls_with_the_score(tmp_path: Path) -> None:
    rule = acceptance(journal(tmp_path, [False] * 5 + [True] * 15))
    assert rule is not None
    assert rule.risk(0.0) > rule.risk(4.0) > rule.risk(5.0) > 1.0 / 21.0
    assert rule.risk(100.0) == rule.risk(5.0)


def test_the_risk_in_words_is_rounded_up() -> None:
    assert "at most 13 %" in in_words(0.121, 40)
    assert "40 judged patches" in in_words(0.121, 40)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2"),
        ("[1]", "no JSON object"),
        ('{"score": 1}', "no 'right'"),
        ('{"score": 1, "right": 1}', "true or false"),
        ('{"score": NaN, "right": true}', "finite"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = journal(tmp_path, [True])
    path.write_text(path.read_text("utf-8") + line + "\n", "utf-8")
    with pytest.raises(BadInput, match=says):
        read(path)


def test_a_journal_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path / "nothing.jsonl")
