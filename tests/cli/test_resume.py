"""`resume` of runs that have ended, and with more budget; what is said of an early stop."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from meritree.cli import app
from meritree.run.journal import Journal
from meritree.swe.result import FixResult
from meritree.swe.resuming import ended
from meritree.swe.run_folder import RunFolder
from meritree.view.store import load_run

QUICK = ("--sandbox", "rlimits", "--quiet")
Tree = list[tuple[int, int | None, str, float]]


@pytest.fixture
def unfair(shop: Path) -> Path:
    """A repository whose two tests no small edit satisfies."""
    (shop / "price.py").write_text("def price(n):\n    total = n - 1\n    return total\n")
    (shop / "test_price.py").write_text(
        "from price import price\n\n\ndef test_two():\n    assert price(2) == 3\n\n\n"
        "def test_five():\n    assert price(5) == 771\n"
    )
    return shop


def tree_of(folder: Path) -> Tree:
    nodes = load_run(folder).tree.nodes.values()
    return [(node.id, node.parent, node.label, node.value) for node in nodes]


def events(folder: Path, kind: str) -> int:
    with Journal.open(folder / "run.db", read_only=True) as journal:
        return sum(event.kind == kind for event in journal.events())


def test_an_ended_run_is_shown_at_once_and_more_budget_is_not_spent_in_vain(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    app.run(["fix", str(shop), *QUICK, "--final-checks", "1", "--out", str(out)])
    steps = events(out, "step")
    capsys.readouterr()
    more = ("--budget-tests", "5000")
    assert app.run(["resume", str(out), "--json", "--quiet", *more]) == 0
    second = capsys.readouterr().out
    first, *others = json.loads(second)["candidates"]
    assert (first["verified"], first["checked"]) == (True, True)
    assert {(one["verified"], one["checked"]) for one in others} == {(False, False)}
    assert all("1 patch of higher rank verified" in one["verdict"] for one in others)
    assert events(out, "verdict") == 1
    assert any("more budget changed nothing: " in note for note in json.loads(second)["warnings"])
    assert events(out, "step") == steps
    shutil.rmtree(shop)  # what is shown at once needs no repository
    assert app.run(["resume", str(out)]) == 0
    captured = capsys.readouterr()
    assert "this run has ended" in captured.err
    assert "searching" not in captured.err
    assert "verified" in captured.out
    assert app.run(["resume", str(out), "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (second, "")
    for given in (["--base-url", "http://127.0.0.1:9/v1"], ["--model", "m"]):
        assert app.run(["resume", str(out), *given]) == 2
        assert "has ended, no model is asked any more" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no such status"):
        FixResult.from_json({**json.loads(second), "status": "glorious"})


def test_more_budget_goes_on_to_the_tree_of_one_longer_run(
    unfair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    app.run(["fix", str(unfair), "--json", *QUICK, "--budget-tests", "20", "--out", str(whole)])
    one = json.loads(capsys.readouterr().out)
    app.run(["fix", str(unfair), *QUICK, "--budget-tests", "4", "--out", str(parts)])
    before = tree_of(parts)
    capsys.readouterr()
    assert app.run(["resume", str(parts), "--json", "--quiet", "--budget-tests", "20"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert "the budget of 20 evaluations is spent" in document["message"]
    assert tree_of(parts) == tree_of(whole) != before
    assert document["settings"]["budget_tests"] == 20
    assert document["nodes"] == one["nodes"]
    assert events(parts, "step") == events(whole, "step") == 20
    assert load_run(parts).log.status == "not-found"
    for given, said in (
        (["--budget-tests", "20"], "--budget-tests 20: 20 evaluations are spent"),
        (["--budget-seconds", "0.001"], "--budget-seconds 0.001: "),
        (["--budget-tests", "90", "--budget-usd", "-1"], "--budget-usd -1"),
    ):
        assert app.run(["resume", str(parts), *given]) == 2
        assert said in capsys.readouterr().err
    assert events(parts, "budget") == 1


def test_a_stop_after_the_search_names_the_run_that_can_be_resumed(
    unfair: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "write_result", stop)
        assert app.run(["fix", str(unfair), *QUICK, "--budget-tests", "2"]) == 130
    (run,) = (tmp_path / "state" / "meritree" / "runs").iterdir()
    assert f"`meritree resume {run}` continues" in capsys.readouterr().err
    for half in ("{", '{"status": "not-found"}'):  # its journal says that it ended
        (run / "result.json").write_text(half)
        assert ended(run) is None
    assert app.run(["resume", str(run), "--quiet"]) == 1
    assert "the budget of 2 evaluations is spent" in capsys.readouterr().out
    assert (found := ended(run)) is not None
    assert found.evaluations == events(run, "step") == 2
