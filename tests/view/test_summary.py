"""`show`: the same facts in the terminal, as JSON and as Markdown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from meritree.cli import app
from meritree.run.journal import Journal

from .pages import OPTIONS, begin, grow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Journal.create(tmp_path / "run.db", {"options": OPTIONS}) as journal:
        begin(journal)
        grow(journal, 1, 12, passed=7)
        journal.append("interrupted", {})
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert app.run(["show", *arguments]) == 0
    return capsys.readouterr().out


def test_the_terminal_shows_tree_ledger_and_timeline_of_a_run_under_way(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(capsys, str(folder))
    for part in ("the code as it is", "edit 7", "meritree resume", "ledger",
                 "candidate evaluations", "of 500", "timeline", "interrupted"):  # fmt: skip
        assert part in out, part


def test_one_node_tells_what_was_done_what_came_back_and_its_score(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(capsys, str(folder), "--node", "7")
    for part in ("node 7: edit 7", "passed", "from 0: the code as it is", "assert 7",
                 "targets", "why 7", "own value", "path to here"):  # fmt: skip
        assert part in out, part


def test_json_is_one_document_with_every_node(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads(shown(capsys, str(folder), "--format", "json"))
    assert (told["status"], len(told["nodes"]), told["best"]) == ("interrupted", 12, [0, 1, 7])
    node = json.loads(shown(capsys, str(folder), "--format", "json", "--node", "7"))
    assert [one["id"] for one in node["way"]] == [0, 1]
    assert sum(term["value"] for term in node["score"]) == pytest.approx(
        1.0 + 0.03 * (2 * -2.302585), abs=1e-6
    )


def test_hostile_texts_cannot_become_markdown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--node", "2"]):
        text = shown(capsys, str(folder), "--format", "md", *more)
        outside = re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", text)
        assert "edit 2" in outside
        assert not re.search(r"(?<!\\)<", outside)


def test_a_wrong_node_or_format_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["show", str(folder), "--node", "99"]) == 2
    assert "there are 0 to 11" in capsys.readouterr().err
    assert app.run(["show", str(folder), "--format", "xml"]) == 2
    assert "text, json, md" in capsys.readouterr().err
