"""Two faults: the tree goes on from a patch for one test; where none mends both, it is shown."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meritree.cli import app
from meritree.run.journal import Journal
from meritree.swe import fix_search
from meritree.swe.answer import Ending, not_found
from meritree.swe.fix import fix
from meritree.swe.partial import PARTIAL, _mended
from meritree.swe.passing import SearchLimits
from meritree.swe.result import FixOptions, Partial
from meritree.swe.resuming import Budget, ended, resume
from meritree.swe.testing.types import Outcome, TestResult
from meritree.view.store import load_run
from meritree.view.summary import run_markdown, run_summary

SHOP = """def total(prices):
    result = 0
    for price in prices:
        result -= price
    return result


def largest(prices):
    best = prices[0]
    for price in prices:
        if price < best:
            best = price
    return best
"""
TESTS = """from shop import largest, total


def test_total():
    assert total([1, 2, 3]) == 6


def test_largest():
    assert largest([1, 5, 3]) == 5
"""
BEYOND_REACH = """

def test_words():
    assert total(["a", "b"]) == "a and b"
"""


def shop(folder: Path, *more: str) -> Path:
    folder.mkdir()
    (folder / "shop.py").write_text(SHOP)
    (folder / "test_shop.py").write_text(TESTS + "".join(more))
    return folder


def told(out: Path, kind: str) -> list[dict[str, object]]:
    with Journal.open(out / "run.db", read_only=True) as journal:
        return [event.payload for event in journal.events() if event.kind == kind]


def test_two_independent_faults_are_mended_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fix_search, "SearchLimits", partial(SearchLimits, stop_at_first=True))
    result = fix(FixOptions(shop(tmp_path / "shop"), out=tmp_path / "run", budget_tests=200))
    assert result.status == "verified"
    assert len(result.candidates[0].edits) == 2
    assert result.partial is None
    assert not (tmp_path / "run" / "partial.diff").exists()


def test_a_patch_for_some_of_the_tests_is_kept_and_never_called_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo, out = shop(tmp_path / "shop", BEYOND_REACH), tmp_path / "run"
    given = ["--out", str(out), "--budget-tests", "12", "--failing", "test_total"]
    assert app.run(["fix", str(repo), *given, "--failing", "test_words"]) == 1
    said = capsys.readouterr().out
    result = ended(out)
    assert result is not None
    assert (result.status, result.candidates) == ("not-found", ())
    assert result.partial is not None
    assert result.partial.mends == ("test_shop.py::test_total",)
    assert result.partial.fails == ("test_shop.py::test_words",)
    assert len(result.partial.edits) == 1
    assert not (out / "patch.diff").exists()
    for part in (
        "no patch found  the budget of 12 evaluations is spent",
        "partial  mends 1 of 2 failing tests and breaks none; not verified as a whole",
        "+        result += price", "still fails test_shop.py::test_words", "partial.diff",
        f"meritree fix {repo}", f"`meritree resume {out} --budget-tests 24`",
    ):  # fmt: skip
        assert part in said, part
    assert said.count("no patch found") == 1
    assert "verified:" not in said
    document = json.loads((out / "result.json").read_text())
    assert (document["patch"], document["partial"]["mends"]) == (None, list(result.partial.mends))
    page = (out / "report.html").read_text()
    assert "A patch for some of the failing tests" in page
    run = load_run(out)
    assert "test\\_words" in run_markdown(run_summary(run, out))
    assert "mends 1 target test, not all" in " ".join(m.words for m in run.log.timeline)

    longer = resume(out, budget=Budget(budget_tests=13))  # what was checked is not checked again
    assert longer.partial == result.partial
    assert [one["held"] for one in told(out, PARTIAL)] == [True]
    subprocess.run(["git", "apply", str(out / "partial.diff")], cwd=repo, check=True)
    assert "result += price" in (repo / "shop.py").read_text()


@pytest.mark.parametrize(
    ("outcome", "mended"),
    [
        ({"a": True, "b": False}, 1),
        ({"a": False, "b": False}, 0),
        ({"a": True}, 1),  # the other one was not run
        ({"a": True, "b": False, "regressions": ("c",)}, 0),
        ({"a": True, "b": False, "invalid": "does not compile"}, 0),
        ({"a": True, "b": True, "passed_all": True}, 0),
    ],
)
def test_only_what_mends_some_tests_and_breaks_none_counts(
    outcome: dict[str, Any], mended: int
) -> None:
    results = {
        name: TestResult(name, "passed" if outcome.pop(name) else "failed")
        for name in ("a", "b") if name in outcome
    }  # fmt: skip
    said = Outcome(**{"passed_all": False, "results": results, **outcome})
    prepared = SimpleNamespace(targets=("a", "b"))
    search = SimpleNamespace(states={1: SimpleNamespace(outcome=said)})
    assert _mended(prepared, search, 1) == mended  # type: ignore[arg-type]


def test_the_advice_names_what_can_be_done_now() -> None:
    options = FixOptions(Path("shop"), budget_tests=9)
    end = Ending("every proposal was tried", 5, 2, False, "/run")
    said = not_found(options, None, end)
    assert said.startswith("no patch found: 5 candidates judged; every proposal was tried. To go")
    assert "one failing test after the other with --failing" in said
    assert "meritree resume" not in said
    assert "resume /run --budget-seconds 600" in not_found(
        options, None, replace(end, time_is_over=True)
    )
    some = Partial("", ("a.py",), ("x",), 3, ("t::a",), ("t::b",))
    said = not_found(options, some, replace(end, evaluations=9))
    assert "the budget of 9 evaluations is spent. partial.diff mends 1 of 2 failing tests" in said
    assert (
        "`meritree resume /run --budget-tests 18`, or apply it and run `meritree fix shop`" in said
    )
