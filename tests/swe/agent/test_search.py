"""The agent's search over a real repository with real tests and scripted models."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meritree.errors import BudgetExceeded
from meritree.respond import FunctionModel, ScriptedModel
from meritree.respond.data import Reply, Request, ToolCall
from meritree.respond.errors import EmptyReply, PromptTooLong, ScriptEnded
from meritree.run.ledger import Limits
from meritree.search import STRATEGIES
from meritree.swe.agent.hindsight import HEADER
from meritree.swe.agent.noise import ErringModel, NoisyValueModel
from meritree.swe.agent.recorded import spent_in
from meritree.swe.agent.repair_model import RepairModel
from meritree.swe.agent.setup import final_verdict
from meritree.swe.agent.steps import AgentLimits

from .conftest import MEND, VIEW, Events, Lab, says, steps

WRONG = says("replace", path="half.py", old="n // 3", new="n // 4")


def test_a_model_mends_the_fault_step_by_step(lab: Lab) -> None:
    events = Events()
    model = ScriptedModel([VIEW, MEND])
    search = lab.search(model, events=events)
    search.run()
    assert search.labels(search.found[0]) == (
        "view half.py",
        "`n // 3` becomes `n // 2` in half.py",
    )
    assert search.files(search.found[0]) == {"half.py": lab.prepared.repository.sources[
        "half.py"].replace("n // 3", "n // 2")}  # fmt: skip
    state = search.states[search.found[0]]
    assert state.estimate.mean == 1.0
    assert {"targets", "kept", "rules"} <= set(state.estimate.channels)
    assert "all 1 target tests pass" in state.observation.text
    assert search.stopped_because == "enough steps were taken after the first candidate"
    assert final_verdict(search, search.found[0])["verified"]
    # What is done is written down before it is done.
    assert events.kinds() == [
        "ask", "asking", "reply", "step", "outcome",
        "ask", "asking", "reply", "step", "tests", "outcome",
    ]  # fmt: skip
    asked = model.requests[1].messages
    assert [m.role for m in asked] == ["system", "user", "assistant", "tool"]
    assert "half.py:2" in asked[1].text
    assert "    2\t    return n // 3" in asked[3].text


def test_a_known_tree_is_rejected_before_tests_or_a_value_cost_anything(lab: Lab) -> None:
    events = Events()
    value = ScriptedModel([says("judge", explanation="hm", value=0)], again=True)
    search = lab.search(ScriptedModel([WRONG, VIEW, WRONG]), value=value, events=events)
    steps(search, 0, 0, 2)  # the edit; a view beside it; the same edit below the view
    assert [s.words for s in search.states.values()][1:] == [
        "`n // 3` becomes `n // 4` in half.py", "view half.py"
    ]  # fmt: skip
    assert events.kinds()[-3:] == ["asking", "reply", "alias"]
    assert (search.evaluations, search.transpositions, len(value.requests)) == (1, 1, 2)
    assert search.tree.tree.aliases[0].target == 1


def test_hindsight_tells_what_siblings_did_and_can_be_switched_off(lab: Lab) -> None:
    for hindsight in (True, False):
        model = ScriptedModel([WRONG, says("plan", text="think"), MEND])
        search = lab.search(
            model, strategy="uct", limits=AgentLimits(patience=0, hindsight=hindsight)
        )
        search.run()
        second = model.requests[1].messages[-1].text
        assert second.startswith(HEADER) == hindsight
        if hindsight:
            assert '"new": "n // 4"' in second
            assert "the tests" in second


def test_a_silent_or_looping_model_ends_branches_not_the_run(lab: Lab) -> None:
    silent = lab.search(FunctionModel(lambda request: ""))
    silent.run()
    assert silent.stopped_because == "every branch has ended"
    assert all(s.action is None for s in silent.states.values())
    assert {s.estimate.mean for n, s in silent.states.items() if n} == {0.0}
    looping = lab.search(FunctionModel(lambda request: VIEW))
    looping.run()
    assert looping.stopped_because == "every branch has ended"
    assert len(looping.states) == 2
    assert looping.transpositions == 2 * AgentLimits().idle


def test_a_complaint_is_repaired_and_every_reply_is_booked(lab: Lab) -> None:
    model = ScriptedModel(["I would look around.", says("fly"), VIEW, EmptyReply("empty"), MEND])
    search = lab.search(model)
    search.run()
    assert search.found
    assert "your reply makes no tool call" in model.requests[1].messages[-1].text
    assert "there is no tool 'fly'" in model.requests[2].messages[-1].text
    assert "it was empty" in model.requests[4].messages[-1].text
    assert lab.ledger.snapshot().spent.tokens > 0


def test_a_value_model_is_one_visible_channel_beside_rules_and_tests(lab: Lab) -> None:
    value = ScriptedModel(
        [says("judge", explanation="looks at the right place", value=80), "no number", "value: 200",
         "All in all: Value: -50"],
    )  # fmt: skip
    model = ScriptedModel([VIEW, says("find_text", text="half"), says("find_text", text="n"), MEND])
    search = lab.search(model, value=value, strategy="linear")
    search.run()
    first, second, third, last = (search.states[n].estimate for n in (1, 2, 3, 4))
    assert first.channels["model"] == pytest.approx(0.9)
    assert first.reasons["model"] == "looks at the right place"
    assert "model" not in second.channels
    assert "no value: the value 200 lies outside" in second.reasons["model"]
    assert third.channels["model"] == pytest.approx(0.25)
    assert "The latest action shows code" in value.requests[0].messages[0].text
    assert "The latest action searches" in value.requests[1].messages[0].text
    # What the tests settle, nobody is asked about.
    assert last.mean == 1.0
    assert value.left == 0


def test_the_same_knowledge_in_another_order_is_one_node(lab: Lab) -> None:
    spare = says("view", path="spare.py")
    search = lab.search(ScriptedModel([VIEW, spare, spare, VIEW]), strategy="uct")
    steps(search, 0, 1, 0, 3)  # A, B below it; then B, A below it
    assert search.transpositions == 1
    assert len(search.states) == 4


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_carries_the_agent(lab: Lab, strategy: str) -> None:
    search = lab.search(RepairModel(), strategy=strategy, budget=Limits(evaluations=40))
    search.run()
    assert search.found, search.stopped_because


def test_several_workers_find_the_same_patch(lab: Lab) -> None:
    search = lab.search(RepairModel(), workers=3, strategy="uct")
    search.run()
    assert search.files(search.found[0])["half.py"] is not None
    assert lab.ledger.snapshot().reservations == 0


def test_slips_of_a_model_cost_steps_not_the_result(lab: Lab) -> None:
    model = ErringModel(RepairModel(), wrong=0.2, malformed=0.15, silent=0.15, seed=3)
    value = NoisyValueModel(bias=10, noise=30, seed=1)
    search = lab.search(model, value=value, limits=AgentLimits(patience=0, idle=6))
    search.run()
    assert search.found
    again = lab.search(model, value=value, limits=AgentLimits(patience=0, idle=6))
    again.run()
    assert again.tree.tree.dump() == search.tree.tree.dump()


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Limits(tokens=10), "the limit of 10 tokens would be exceeded"),
        (Limits(evaluations=0), "the limit of 0 evaluations is reached"),
        (Limits(seconds=0), "the limit of 0 seconds is reached"),
    ],
)
def test_an_exhausted_budget_ends_the_search_with_its_name(
    lab: Lab, budget: Limits, said: str
) -> None:
    search = lab.search(ScriptedModel([WRONG], again=True), budget=budget)
    search.run()
    assert said in search.stopped_because
    assert search.tree.outstanding == 0


def test_a_deleted_file_that_is_needed_fails_and_one_that_is_not_is_part_of_a_patch(
    lab: Lab,
) -> None:
    script = [says("delete", path="spare.py"), MEND]
    search = lab.search(ScriptedModel(script), strategy="linear")
    search.run()
    assert search.files(search.found[0])["spare.py"] is None
    verdict = final_verdict(search, search.found[0])
    assert verdict["verified"], verdict["reason"]
    bad = lab.search(ScriptedModel([says("delete", path="half.py")]), strategy="linear")
    with pytest.raises(ScriptEnded):
        bad.run()
    assert not bad.found
    assert bad.states[1].outcome is not None
    assert not bad.states[1].outcome.passed_all


def test_a_patch_may_create_the_module_that_mends(lab: Lab) -> None:
    script = [
        says("create", path="quotient.py", text="def by_two(n):\n    return n // 2\n"),
        says("replace", path="half.py", old="    return n // 3",
             new="    from quotient import by_two\n\n    return by_two(n)"),
    ]  # fmt: skip
    search = lab.search(ScriptedModel(script), strategy="linear")
    search.run()
    verdict = final_verdict(search, search.found[0])
    assert verdict["verified"], verdict["reason"]


def test_replaying_a_journal_gives_the_same_tree_without_asking(
    lab: Lab, tree_of: Callable[[Any], Any]
) -> None:
    events = Events()
    model = ErringModel(RepairModel(), wrong=0.2, malformed=0.1, silent=0.1, seed=5)
    whole = lab.search(
        model, value=NoisyValueModel(), events=events, strategy="swe-search-moatless"
    )
    whole.run()
    nobody = ScriptedModel([])
    for cut in (len(events), *range(1, len(events), 7)):
        past = events[:cut]
        spent = spent_in(past)
        again = lab.search(nobody if cut == len(events) else model, value=NoisyValueModel(),
                           strategy="swe-search-moatless")  # fmt: skip
        again.finish_waiting(again.replay(iter(past)))
        if cut < len(events):
            again.run()
        assert tree_of(again) == tree_of(whole), cut
        assert spent.evaluations <= whole.evaluations


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip
FIELDS = ("path", "old", "new", "text", "start", "tests", "name", "query", "summary", "line", "x")
CALLS = st.builds(
    lambda name, given: Reply("", (ToolCall("1", name, given),)),
    st.sampled_from(
        ["view", "replace", "create", "delete", "insert", "write_test", "run_tests", "plan", "fly",
         "find_text", "find_class", "search", "list_files", "finish", "reject"]
    ),
    st.dictionaries(
        st.sampled_from(FIELDS),
        st.sampled_from(["half.py", "..", "n // 3", "n // 2", 0, 1, "a/b.py"]) | ANY_JSON,
        max_size=4,
    ),
)  # fmt: skip
SAID = st.one_of(
    st.binary(max_size=60).map(lambda data: Reply(data.decode("utf-8", "surrogateescape"))),
    st.binary(max_size=60).map(lambda data: Reply(data.decode("utf-16", "surrogatepass"
        if len(data) % 2 == 0 else "replace"))),
    CALLS,
)  # fmt: skip


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(said=st.lists(SAID, min_size=1, max_size=8), value=SAID)
def test_no_output_of_a_model_crashes_the_loop(lab: Lab, said: list[Reply], value: Reply) -> None:
    replies = itertools.cycle(said)
    events = Events()
    search = lab.search(
        FunctionModel(lambda request: next(replies)),
        value=FunctionModel(lambda request: value),
        budget=Limits(evaluations=6, tokens=2_000_000),
        events=events,
        strategy="swe-search-moatless",
    )
    count = itertools.count()
    real = search.tree.ask
    search.tree.ask = lambda: real() if next(count) < 30 else None  # type: ignore[method-assign]
    search.run()
    assert search.stopped_because or search.tree.outstanding == 0
    again = lab.search(ScriptedModel([]), strategy="swe-search-moatless")
    assert again.replay(iter(list(events))) == []
    assert again.tree.tree.dump() == search.tree.tree.dump()


def test_a_dead_budget_is_an_error_of_the_ledger_only(lab: Lab) -> None:
    def broke(request: Request) -> Reply:
        raise BudgetExceeded("nothing is left")

    search = lab.search(FunctionModel(broke))
    search.run()
    assert search.stopped_because == "nothing is left"


def test_a_prompt_beyond_the_context_is_halved_until_it_fits_or_said(lab: Lab) -> None:
    asked: list[int] = []

    def small(request: Request) -> Reply:
        size = sum(len(message.text) for message in request.messages)
        asked.append(size)
        if size > limit:
            raise PromptTooLong(f"{size} are more than {limit}")
        return says("plan", "hm " * 600, text=f"{len(asked)}")

    limit = 9_000
    search = lab.search(
        FunctionModel(small), strategy="linear", limits=AgentLimits(patience=0, idle=1)
    )
    steps(search, *range(9))
    assert max(asked) > limit
    assert asked[-1] <= limit
    limit = 100
    with pytest.raises(PromptTooLong, match="more than 100"):
        lab.search(FunctionModel(small)).run()
