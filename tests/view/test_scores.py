"""What a real search recorded is enough to explain every score of its selector."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from meritree.run.ledger import Ledger, Limits
from meritree.search import SearchTree, make_strategy
from meritree.search.terms import next_priors, score_terms
from meritree.swe.code_search import CodeSearch, Proposed
from meritree.swe.edits import Edit, Splice
from meritree.swe.passing import SearchLimits
from meritree.swe.testing.types import Outcome, TestResult
from meritree.value.estimate import Estimate
from meritree.view.columns import columns
from meritree.view.differences import Differences
from meritree.view.run_log import RunLog
from meritree.view.scores import Told, all_terms
from meritree.view.store import view_of

TEXT = "x = 0\ny = 0\n"


class Digits:
    """Proposes to write a digit in one of two places: many ways lead to one state."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.left: dict[str, list[tuple[int, int]]] = {}

    def propose(self, key: str, files: Mapping[str, str]) -> Proposed | None:
        text = files.get("a.py", TEXT)
        left = self.left.setdefault(
            key, [(at, d) for d in range(4) for at in (4, 10) if text[at] != str(d)]
        )
        if not left:
            return None
        at, digit = left.pop(self.rng.randrange(len(left)))
        edit = Edit("a.py", (Splice(at, at + 1, str(digit)),), "digit", 1.0, 1, "", 1.0, "write")
        return Proposed(edit, (digit + 1) / 10)

    def peek(self, key: str) -> float:
        return len(self.left.get(key, "123456")) / 7

    def allows(self, key: str) -> bool:
        return True

    def tell(self, *_: object) -> None:
        pass


class Recorded:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def append(self, kind: str, payload: dict[str, Any]) -> int:
        self.events.append((kind, payload))
        return len(self.events)


class Tests:
    __test__ = False

    def evaluate(self, files: Mapping[str, str]) -> Outcome:
        passed = files["a.py"] == "x = 3\ny = 3\n"
        status = "passed" if passed else "failed"
        result = TestResult("t.py::t", status, message="assert <b>0</b> == 3", seconds=0.5)
        return Outcome(passed, {"t.py::t": result}, (), 1, 0.5, "hot")


def searched(strategy: str, seed: int = 0) -> tuple[CodeSearch, RunLog]:
    recorded = Recorded()
    search = CodeSearch(
        tree=SearchTree(make_strategy(strategy), seed),
        policy=Digits(seed),
        judge=lambda outcome, edits, p: Estimate(min(1.0, len(edits) / 5), channels={"c": 0.5}),
        testers=[Tests()],
        base={"a.py": TEXT},
        key_of=lambda files: files.get("a.py", TEXT),
        ledger=Ledger(Limits(evaluations=40)),
        limits=SearchLimits(most_found=99),
        events=recorded,
    )
    search.start(TEXT, Estimate(0.125))
    recorded.append("prepared", {"base": TEXT, "targets": ["t.py::t"]})
    recorded.append("root", {"estimate": {"mean": 0.125}})
    search.run()
    recorded.append("search-ended", {"because": "x", "next_priors": next_priors(search.tree)})
    log = RunLog(meta={"options": {"strategy": strategy, "seed": seed}})
    for kind, payload in recorded.events:
        log.take(kind, payload)
    return search, log


@pytest.mark.parametrize("strategy", ["best-first", "uct", "puct", "swe-search-moatless"])
def test_the_journal_gives_the_same_statistics_and_scores_as_the_search_had(strategy: str) -> None:
    search, log = searched(strategy)
    again = log.told.search(strategy)
    assert again is not None
    assert search.transpositions > 2
    for mine, theirs in zip(again.tree.nodes, search.tree.tree.nodes, strict=True):
        for name in ("visits", "value", "best", "own", "expansions"):
            assert getattr(mine, name) == getattr(theirs, name), name
        if theirs.expansions:
            assert mine.next_prior == theirs.next_prior
        assert score_terms(again, mine.id) == score_terms(search.tree, theirs.id)


def test_the_view_counts_visits_as_the_engine_does() -> None:
    search, log = searched("uct")
    visits = [node.visits for node in view_of(log).nodes.values()]
    assert visits == [node.visits for node in search.tree.tree.nodes]


def test_each_node_shows_its_change_observation_prior_and_cost() -> None:
    search, log = searched("best-first")
    log.differences.read = {"a.py": TEXT}.get
    node = next(n for n in log.nodes if n.parent not in (None, 0))
    assert node.parent is not None
    old, new = (search.files(i).get("a.py", TEXT).splitlines() for i in (node.parent, node.id))
    lines = log.differences.of(node.id).splitlines()
    assert [x[1:] for x in lines[3:] if x[0] != "+"] == old
    assert [x[1:] for x in lines[3:] if x[0] != "-"] == new
    assert "assert <b>0</b> == 3" in node.observation
    assert node.prior == search.states[node.id].probability
    assert node.cost == {"seconds": 0.5}
    assert log.spent == {"seconds": search.evaluations / 2}


def test_columns_hold_every_node_its_terms_and_each_text_once() -> None:
    _, log = searched("puct")
    terms = all_terms(log.told.search("puct"))
    data = columns(view_of(log), differences=log.differences, terms=terms)
    assert len(data["texts"]) == len(set(data["texts"]))
    assert data["id"] == list(range(len(log.nodes)))
    row = data["terms"][1]
    assert [data["texts"][i] for i in row[::3]] == ["value below", "exploration"]
    assert row[2::3] == [pytest.approx(term.value, abs=1e-4) for term in terms[1]]
    later = columns(view_of(log), since=5)
    assert later["id"] == data["id"][5:]
    assert later["repeats"] == data["repeats"][5:]


def test_a_strategy_of_somebody_else_has_no_scores_and_no_error() -> None:
    _, log = searched("puct")
    assert log.told.search("a later version's") is None
    assert Told().search("puct") is None
    assert all_terms(None) == []


def test_without_the_starting_text_there_is_no_difference(tmp_path: Path) -> None:
    _, log = searched("puct")
    assert log.differences.of(1) == ""
    assert Differences({"a.py": ""}.get, log.differences.changes).of(1) == ""  # another text


def test_a_difference_has_the_line_numbers_of_the_whole_file() -> None:
    text = "".join(f"line {i}\n" for i in range(100))
    from meritree.view.differences import Change

    at = text.index("line 50\n")
    shown = Differences({"a": text}.get, {1: Change(0, "a", ((at, at + 7, "new"),))}).of(1)
    assert shown.splitlines()[2] == "@@ -48,7 +48,7 @@"
    assert "-line 50" in shown
    assert "+new" in shown
    assert len(shown.splitlines()) == 11
