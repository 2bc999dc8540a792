"""Reading a run's folder: result and journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meritree.errors import BadInput
from meritree.run.journal import Journal
from meritree.view.run_log import RunLog
from meritree.view.store import load_run, read_journal, tree_of


def step(ticket: int, node: int, key: str, rationale: str = "an edit") -> tuple[str, dict]:
    edit = {"path": "a.py", "line": 3, "rationale": rationale}
    return "step", {"ticket": ticket, "node": node, "key": key, "edit": edit}


def outcome(ticket: int, mean: float, passed: bool = False) -> tuple[str, dict]:
    estimate = {"mean": mean, "channels": {"targets": mean}, "reasons": {"targets": "why"}}
    return "outcome", {"ticket": ticket, "passed_all": passed, "estimate": estimate}


STEPS = [
    ("prepared", {"anything": 1}),
    step(0, 0, "k1", "first"),
    outcome(0, 0.4),
    ("exhausted", {"ticket": 1}),
    step(2, 1, "k2", "second"),
    step(3, 0, "k3", "third"),
    outcome(3, 0.2),
    outcome(2, 1.0, passed=True),
    step(4, 0, "k4", "never answered"),
    ("a kind of a later version", {}),
]


def test_nodes_are_numbered_in_the_order_of_their_outcomes() -> None:
    tree = tree_of(STEPS)
    assert [(n.id, n.parent, n.value) for n in tree.nodes.values()] == [
        (0, None, 0.0), (1, 0, 0.4), (2, 0, 0.2), (3, 1, 1.0),
    ]  # fmt: skip
    assert tree.nodes[3].label == "second (a.py:3)"
    assert tree.nodes[3].kind == "passed"
    assert tree.nodes[3].reasons == {"targets": "why"}
    assert tree.best == (0, 1, 3)


def test_a_state_reached_twice_is_one_node() -> None:
    again = [*STEPS, step(5, 2, "k1"), outcome(5, 0.4)]
    assert len(tree_of(again).nodes) == len(tree_of(STEPS).nodes)


def test_the_best_candidate_and_its_verdict_come_from_the_result() -> None:
    document: dict[str, Any] = {"candidates": [{"node": 3, "verified": True}]}
    tree = tree_of(STEPS, document)
    assert tree.nodes[3].kind == "verified"
    assert tree.best == (0, 1, 3)


def test_a_run_under_way_has_a_tree_and_no_result(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run.db", {}) as journal:
        journal.append_many(STEPS)
        run = load_run(tmp_path)
    assert run.document is None
    assert len(run.tree.nodes) == 4


def test_a_run_that_never_began_to_search_has_an_empty_tree(tmp_path: Path) -> None:
    Journal.create(tmp_path / "run.db", {}).close()
    assert load_run(tmp_path).tree.root is None


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no run"):
        load_run(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "one"}', "\x00"])
def test_a_damaged_result_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(BadInput, match=r"result\.json"):
        load_run(tmp_path)


def test_a_result_alone_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"schema": 1, "candidates": []}))
    run = load_run(tmp_path)
    assert run.document == {"schema": 1, "candidates": []}
    assert run.tree.root is None


def test_a_model_driven_run_only_needs_to_record_its_words() -> None:
    log = RunLog()
    said: dict[str, Any] = {
        "ticket": 0,
        "node": 0,
        "key": "k",
        "kind": "view",
        "action": "view_file",
    }
    log.take("step", {**said, "label": "look at a.py", "cost": {"tokens": 900, "usd": 0.01}})
    estimate = {"mean": 0.5, "channels": {"agent": 0.5}, "reasons": {"agent": "on the way"}}
    log.take("outcome", {"ticket": 0, "estimate": estimate, "observation": "<b>1: x</b>"})
    node = log.nodes[1]
    assert (node.kind, node.action, node.label) == ("view", "view_file", "look at a.py")
    assert node.observation == "<b>1: x</b>"
    assert node.cost == {"tokens": 900.0, "usd": 0.01}
    assert log.spent == node.cost


def test_events_that_make_no_sense_are_passed_over_and_said() -> None:
    log = RunLog()
    for kind, payload in STEPS[:3]:
        log.take(kind, payload)
    for kind in ("step", "outcome", "alias", "search-ended", "verdict"):
        log.take(kind, {"ticket": [], "next_priors": {"x": "y"}, "node": "x"})
    assert len(log.nodes) == 2
    assert sum("could not be read" in moment.words for moment in log.timeline) == 3


def test_a_journal_is_read_on_from_where_it_was_left(tmp_path: Path) -> None:
    log = RunLog()
    with Journal.create(tmp_path / "run.db", {"options": {"strategy": "uct"}}) as journal:
        journal.append_many(STEPS[:4])
        assert read_journal(tmp_path / "run.db", log)
        assert (len(log.nodes), log.seq, log.strategy) == (2, 4, "uct")
        assert not read_journal(tmp_path / "run.db", log)
        journal.append_many(STEPS[4:])
        assert read_journal(tmp_path / "run.db", log)
    assert [n.value for n in log.nodes] == [n.value for n in tree_of(STEPS).nodes.values()]


def test_an_agents_run_is_read_as_it_records_itself() -> None:
    log = RunLog(meta={"options": {"strategy": "uct"}})
    log.take("prepared", {"base": "tree0", "targets": []})
    log.take("root", {"estimate": {"mean": 0.2}})
    log.differences.compare = lambda before, after: f"{before} -> {after}"
    seen = {"text": "1: x = 0", "expects_correction": False}
    for ticket, (key, tree) in enumerate((("a", "tree0"), ("b", "tree1"), ("a", "tree0"))):
        log.take("ask", {"ticket": ticket, "node": ticket})
        spent = {"tokens": 100 * (ticket + 1), "usd": 0.0}
        log.take("reply", {"ticket": ticket, "role": "policy", "reply": {}, "spent": spent})
        if ticket == 2:
            log.take("alias", {"ticket": 2, "key": key, "action": {"name": "view"}})
            continue
        step = {"ticket": ticket, "node": ticket, "key": key, "label": f"step {key}"}
        step |= {"kind": "view_file", "action": {"name": "view_file"}, "tree": tree}
        log.take("step", {**step, "observation": seen})
        if ticket == 1:
            log.take("tests", {"ticket": 1, "observation": {"text": "2 failed"}, "evaluations": 1})
        log.take("outcome", {"ticket": ticket, "estimate": {"mean": 0.5}, "passed_all": False})
    one, two = log.nodes[1:]
    assert (one.kind, one.action, one.label) == ("view_file", "view_file", "step a")
    assert (one.observation, two.observation) == ("1: x = 0", "2 failed")
    assert one.cost == {"tokens": 100.0, "usd": 0.0}
    assert log.spent["tokens"] == 300
    assert log.differences.between(0, 1) == ""
    assert log.differences.between(1, 2) == "tree0 -> tree1"
    assert log.aliases == {2: 1}
    search = log.told.search("uct")
    assert search is not None
    assert [n.visits for n in search.tree.nodes] == [4, 3, 2]
    assert log.told.search("puct") is None  # the journal does not tell its priors
    assert log.told.search("swe-search-moatless") is None


def test_the_timeline_of_a_resumed_run_never_goes_back() -> None:
    log = RunLog()
    log.take("prepared", {"targets": ["t"], "seconds_so_far": 2.0}, 1002.0)
    log.take("interrupted", {"seconds_so_far": 5.0}, 1005.0)
    log.take("budget", {"budget_tests": 9, "seconds_so_far": 5.0}, 1400.0)
    log.take("budget", {"budget_tests": 9}, 1500.0)  # resumed after eight minutes
    log.take(*step(0, 0, "k1"), 1501.0)
    log.take(*outcome(0, 1.0, passed=True), 1502.0)
    log.take("clock", {"seconds_so_far": 7.0}, 1502.0)
    log.take("search-ended", {"because": "enough", "seconds_so_far": 8.0}, 1503.0)
    assert [moment.seconds for moment in log.timeline] == [2.0, 5.0, 5.0, 7.0, 7.0, 8.0]
    assert log.timeline[2].words == "gone on with another budget: budget_tests 9"
    assert log.nodes[1].time == 7.0
    assert log.seconds == 8.0
