"""A patch that the final check refuses ends no search: it goes on within its budget."""

from __future__ import annotations

import shutil
import sqlite3
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meritree.run.journal import Journal
from meritree.search import SearchTree, make_strategy
from meritree.swe import fix_search
from meritree.swe.agent.steps import AgentLimits, StepSearch
from meritree.swe.fix import fix
from meritree.swe.passing import SearchLimits
from meritree.swe.result import FixOptions
from meritree.swe.resuming import resume
from meritree.swe.setting_aside import SET_ASIDE, keys_set_aside, keys_standing, set_aside

CODE = "def price(n):\n    return n * 2 - 3\n"
# The second test reads the file, which a swapped function leaves as it was: only the final check
# sees that a patch wrote a plus sign.
TESTS = """from pathlib import Path

import price


def test_five():
    assert price.price(5) == 13


def test_the_house_style_knows_no_plus():
    assert "+" not in Path(price.__file__).read_text()
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fix_search, "SearchLimits", partial(SearchLimits, stop_at_first=True))


def events(out: Path) -> list[tuple[str, dict[str, object]]]:
    with Journal.open(out / "run.db", read_only=True) as journal:
        return [(event.kind, event.payload) for event in journal.events()]


@pytest.mark.usefixtures("impatient")
def test_the_search_goes_on_after_a_refusal_also_when_it_was_killed_there(tmp_path: Path) -> None:
    repo, out, killed = tmp_path / "shop", tmp_path / "run", tmp_path / "killed"
    repo.mkdir()
    (repo / "price.py").write_text(CODE)
    (repo / "test_price.py").write_text(TESTS)
    result = fix(FixOptions(repo, out=out, budget_tests=400))
    assert result.status == "verified"
    added = [x for x in result.candidates[0].patch.splitlines() if x.startswith("+    ")]
    assert len(added) == 1
    assert "+" not in added[0][1:]
    kinds = [kind for kind, _ in events(out)]
    assert kinds.count("search-ended") == kinds.count(SET_ASIDE) + 1 >= 2
    refused = [one for one in result.candidates if not one.verified]
    assert refused
    assert all("test_the_house_style" in one.verdict for one in refused)

    shutil.copytree(out, killed)
    (killed / "result.json").unlink()
    at = kinds.index(SET_ASIDE) + 1
    with sqlite3.connect(killed / "run.db") as database:
        database.execute("DELETE FROM event WHERE seq > ?", (at,))
    again = resume(killed)
    assert again.candidates[0].patch == result.candidates[0].patch
    assert [p["key"] for k, p in events(killed) if k == "step"] == [
        p["key"] for k, p in events(out) if k == "step"
    ]


def test_what_is_set_aside_ends_nothing_and_leaves_the_rest_standing() -> None:
    recounted = []
    search = SimpleNamespace(
        found=[1, 2, 3], set_aside=set(), stopped_because="3 pass",
        states={n: SimpleNamespace(key=f"k{n}") for n in (1, 2, 3)},
        recount=lambda: recounted.append(set(search.set_aside)),
    )  # fmt: skip
    set_aside(search, {"k1", "k3", "unknown"})
    assert (keys_standing(search), search.stopped_because) == (["k2"], "")
    set_aside(search, {"k2"})
    assert keys_standing(search) == []
    assert recounted == [{1, 3}, {1, 2, 3}]
    said = [(SET_ASIDE, {"keys": ["k1"]}), ("step", {"keys": ["no"]}), (SET_ASIDE, {"keys": []})]
    assert keys_set_aside(said) == {"k1"}


def test_an_agents_patience_begins_anew_when_nothing_is_left_standing() -> None:
    part: Any = None  # no step is taken
    search = StepSearch(SearchTree(make_strategy("best-first")), part, [], AgentLimits())
    search.found, search.set_aside, search.first_found_at = [4, 5], {4}, 7
    search.recount()
    assert search.first_found_at == 7
    search.set_aside = {4, 5}
    search.recount()
    assert search.first_found_at is None
