"""The last choice of the study of search: the ranking, and debates of known quality."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meritree.respond.data import Request
from meritree.respond.scripted import FunctionModel
from meritree.respond.server import ModelServer
from meritree.studies.swe.cases import OpenTask, Passing, task_named, with_one_test
from meritree.studies.swe.contestants import for_repair
from meritree.studies.swe.debating import chosen, debate_of
from meritree.swe.discriminator import Candidate, choose
from meritree.swe.passing import SearchLimits
from meritree.swe.prepared import Prepared
from meritree.swe.verify import Checks, rank_and_verify

LOCAL = {"model": "", "base_url": "", "debaters": 0.5}
NAMES = ("wrong", "fine", "bad", "worse")


def passing(name: str) -> Passing:
    line = f"return {name}"
    patch = f"--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-return 0\n+{line}\n"
    return Passing(name, patch, {"a.py": f"def f():\n    {line}\n"}, name == "fine")


FOUND = [passing(name) for name in NAMES]


def right_of(quality: float, seeds: range) -> float:
    debates = (debate_of(LOCAL, FOUND, seed, quality) for seed in seeds)
    return sum(chosen(FOUND, "it fails", one)[0].right for one in debates) / len(seeds)


def test_without_a_debate_the_ranking_s_first_is_taken_and_nobody_is_paid() -> None:
    assert chosen(FOUND, "it fails", None) == (FOUND[0], 0)


def test_a_debate_of_those_who_know_finds_the_right_patch_and_costs_tokens() -> None:
    one, tokens = chosen(FOUND, "it fails", debate_of(LOCAL, FOUND, 0, 1.0))
    assert one.key == "fine"
    assert tokens > 1000


def test_the_better_debaters_know_the_more_often_they_are_right() -> None:
    none, some, most = (right_of(quality, range(40)) for quality in (0.0, 0.4, 0.8))
    assert none < 0.5 < some < most


def test_debaters_hear_each_other_and_change_their_votes() -> None:
    changed = 0
    for seed in range(30):
        debate = debate_of(LOCAL, FOUND, seed, 0.4)
        choice = choose([Candidate(one.key, one.patch) for one in FOUND], debate=debate)
        votes: dict[str, list[str | None]] = {}
        for turn in choice.transcript:
            assert not turn.note
            votes.setdefault(turn.speaker, []).append(turn.vote)
        changed += any(len(set(said)) > 1 for who, said in votes.items() if who != "judge")
    assert changed >= 3


def test_an_endpoint_debates_where_one_is_named_but_curves_keep_local_debaters() -> None:
    asked = []

    def said(request: Request) -> str:
        asked.append(request)
        return "I cannot tell."

    with ModelServer(FunctionModel(said)) as server:
        settings = {**LOCAL, "model": server.base_url}
        one, tokens = chosen(FOUND, "it fails", debate_of(settings, FOUND, 0))
        heard = len(asked)
        curve, _ = chosen(FOUND, "it fails", debate_of(settings, FOUND, 0, 1.0))
    assert heard > 0
    assert tokens > 0
    assert one == FOUND[0]  # nobody can tell: the order given
    assert (len(asked), curve.key) == (heard, "fine")


def test_one_failing_test_is_shown_another_for_each_seed_and_the_others_are_hidden() -> None:
    task = task_named("inflection-0.5.1/single-003")
    every = {*task.shown, *task.held_out}
    shown = set()
    for seed in range(6):
        barely = with_one_test(task, seed)
        assert len(barely.shown) == 1
        assert {*barely.shown, *barely.held_out} == every
        assert not set(barely.shown) & set(barely.held_out)
        assert barely == with_one_test(task, seed)
        shown.update(barely.shown)
    assert len(shown) > 3


@pytest.fixture(scope="module")
def barely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenTask]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        made = OpenTask(with_one_test(task_named("parcel-2.3.0/single-001"), 0), False)
    yield made
    made.close()


def test_passing_patches_come_in_the_order_that_fix_gives_them(barely: OpenTask) -> None:
    found = barely.passing_by_repair(for_repair("best-first"), 0, 40)
    assert len(found) > 1
    assert {one.right for one in found} == {True, False}
    search = barely._repair_search(for_repair("best-first"), 0, 40, SearchLimits())
    search.run()
    prepared: Prepared = barely._case.prepared
    known = {
        search.states[node].key: {"verified": True, "reason": "", "tests": []}
        for node in search.found
    }
    ranked, _ = rank_and_verify(
        prepared, search, lambda *_: None, lambda *_: None, known, Checks(99, lambda: 1.0)
    )
    assert [one.key for one in found] == [search.states[one.node].key for one in ranked]
