"""The study of search at equal compute: its tasks, its contestants, and what its checks decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pytest

from meritree.cli.study import with_model
from meritree.errors import BadInput
from meritree.respond.data import Reply, Request
from meritree.respond.model import Model
from meritree.respond.server import ModelServer
from meritree.run.ledger import Spending
from meritree.stats import crossed_bootstrap
from meritree.studies.registry import study_named
from meritree.studies.rows import Rows, SeedRow
from meritree.studies.runner import run
from meritree.studies.study import Row
from meritree.studies.swe.cases import AgentSetting, OpenTask, Tried, distorted, task_named
from meritree.studies.swe.contestants import (
    ABLATIONS,
    BY_AGENT,
    BY_REPAIR,
    COLD,
    WARM,
    Agent,
    for_agent,
    for_repair,
    judged_by_model_alone,
    models,
)
from meritree.studies.swe.verdicts import (
    SOLVED,
    TOKENS,
    better,
    never_worse,
    solved_within,
)
from meritree.swe.agent.hindsight import HEADER
from meritree.swe.agent.repair_model import RepairModel
from meritree.swe.agent.setup import Models
from meritree.swe.testing.types import Outcome
from meritree.value.estimate import Estimate

LOCAL = {"model": "", "base_url": "", "slips": 0.0}


def test_every_task_of_both_scales_is_in_the_list_and_hides_nothing_it_shows() -> None:
    study = study_named("swe-search")
    for size in study.scales.values():
        for name in size.settings["tasks"]:
            task = task_named(name)
            assert task.shown
            assert not set(task.shown) & set(task.held_out)
    with pytest.raises(BadInput, match=r"unknown; there are .*parcel"):
        task_named("nothing")


def test_faults_of_several_edits_show_a_test_for_each() -> None:
    tasks = [
        task_named(name) for name in study_named("swe-search").scales["full"].settings["tasks"]
    ]
    several = [task for task in tasks if len(task.faults) > 1]
    assert len(several) >= 3
    for task in several:
        assert sum(len(splices) for splices in task.edits.values()) >= 2
        assert len(task.shown) >= 2


def test_every_contestant_is_a_strategy_and_only_linear_ends_after_one_chain() -> None:
    for name in BY_REPAIR:
        assert for_repair(name).widening.cap(0) > 1 or name == "linear"
    for name in BY_AGENT:
        agent = for_agent(name)
        assert agent.rules.max_depth is not None or name == "linear"
        assert agent.limits.most_found == 1


def test_each_ablation_takes_one_part_away() -> None:
    whole = for_agent("best-first")
    made = {name: without(whole) for name, without in ABLATIONS.items()}
    assert not made[COLD].limits.hindsight
    assert made[WARM].limits.hindsight
    assert made[COLD].temperature == made[WARM].temperature == 1.0
    assert not made["without explanations"].limits.explanations
    assert made["without the execution channel"].weights.execution == 0.0
    assert models(LOCAL, made["without the model channel"], 0).value is None
    assert len({repr(agent) for agent in [whole, *made.values()]}) == 6


def test_the_settings_name_the_model_and_curves_keep_the_local_judge() -> None:
    settings = {**LOCAL, "model": "some-model", "base_url": "http://127.0.0.1:9/v1"}
    plain = models(settings, for_agent("uct"), 0)
    assert plain.agent.name == "some-model"
    assert plain.value is plain.agent
    curve = models(settings, judged_by_model_alone(for_agent("uct"), 0.0, 50.0), 0)
    assert curve.agent.name == "some-model"
    assert curve.value is not None
    assert curve.value.name == "noisy-value"


def test_a_value_is_made_worse_alike_for_the_same_patch_and_never_becomes_a_pass() -> None:
    distort = distorted(0.0, 1.0, 3)
    values = [distort(Estimate(0.5), f"patch {n}").mean for n in range(200)]
    assert distort(Estimate(0.5), "patch 7").mean == values[7]
    assert len(set(values)) > 50
    assert 0.0 <= min(values) < 0.1 < 0.9 < max(values) < 1.0
    assert distorted(0.2, 0.0, 0)(Estimate(0.5), "any").mean == pytest.approx(0.7)


# ---- checks on rows of known figures -------------------------------------------------------


def made(
    system: str, shares: tuple[float, ...], data: str = "D", seeds: int = 10
) -> Iterator[SeedRow]:
    """A task a share: solved by that share of the seeds."""
    for number, share in enumerate(shares):
        for seed in range(seeds):
            done = seed < share * seeds
            yield SeedRow(seed, system, data, SOLVED, 100.0 * done, f"t{number}")
            yield SeedRow(seed, system, data, TOKENS, 50.0 if done else 900.0, f"t{number}")


def test_better_holds_when_every_task_gains_and_ties_do_not() -> None:
    rows = Rows.of([*made("a", (1.0,) * 4), *made("b", (0.2,) * 4), *made("c", (0.2,) * 4)])
    outcome, text, interval = better("a", "b", "D")(rows)
    assert outcome == "holds"
    assert interval is not None
    assert interval.mean == pytest.approx(80.0)
    assert "4 tasks" in text
    assert better("b", "a", "D")(rows)[0] == "does not hold"
    assert better("b", "c", "D")(rows)[0] == "does not hold"
    assert better("a", "b", "D", solved_within(100.0))(rows)[0] == "holds"
    assert better("a", "b", "D", solved_within(10.0))(rows)[0] == "does not hold"


def test_two_tasks_decide_nothing() -> None:
    rows = Rows.of([*made("a", (1.0, 1.0)), *made("b", (0.0, 0.0))])
    assert better("a", "b", "D")(rows)[0] == "inconclusive"
    assert never_worse("a", "b", ("D",))(rows)[0] == "inconclusive"


def test_never_worse_must_hold_on_all_data() -> None:
    rows = Rows.of(
        [
            *made("a", (0.5,) * 4, "D"), *made("b", (0.5,) * 4, "D"),
            *made("a", (0.1,) * 4, "E"), *made("b", (0.9,) * 4, "E"),
        ]
    )  # fmt: skip
    assert never_worse("a", "b", ("D",))(rows)[0] == "holds"
    outcome, text, _ = never_worse("a", "b", ("D", "E"))(rows)
    assert outcome == "does not hold"
    assert "E: -80" in text


def test_the_crossed_bootstrap_draws_tasks_and_seeds() -> None:
    by_task = [[1.0] * 8, [0.0] * 8]  # tasks differ, seeds do not
    by_seed = [[1.0, 0.0] * 4] * 2
    both = crossed_bootstrap(by_task), crossed_bootstrap(by_seed)
    assert [one.mean for one in both] == [0.5, 0.5]
    assert (both[0].low, both[0].high) == (0.0, 1.0)
    assert 0.05 < both[1].low < 0.3
    assert both[0].n == 2
    with pytest.raises(BadInput, match="same columns"):
        crossed_bootstrap([[1.0, 2.0], [1.0]])


# ---- a real model in place of the local one --------------------------------------------------


def test_a_model_is_measured_as_such_and_only_where_a_study_asks_one() -> None:
    study = study_named("swe-search")

    def measure(seed: int, settings: object) -> Iterator[Row]:
        yield Row("s", "d", str(settings["model"]), float(seed))  # type: ignore[index]

    asked = with_model(
        replace(study, measure=measure, checks=study.checks[:0] or (_always,)), "m", "http://h/v1"
    )
    result = run(asked, "smoke", seeds=1)
    assert result.provenance.command.endswith("--model m --base-url http://h/v1")
    assert result.provenance.settings["model"] == "m"
    assert [row.metric for row in result.rows] == ["m"]
    assert "m" in result.part
    with pytest.raises(BadInput, match="asks no language model"):
        with_model(study_named("dr-es"), "m", "")
    with pytest.raises(BadInput, match="name the model too"):
        with_model(study, "", "http://h/v1")


def _always(rows: Rows):  # type: ignore[no-untyped-def]
    from meritree.studies.checks import Finding

    return Finding("it ran", "holds", f"{len(rows)} rows")


# ---- searches of the bundled sample -----------------------------------------------------------


@dataclass
class Listening:
    """A model, and what it was asked and said."""

    model: Model
    name: str = "listening"
    heard: list[tuple[Request, Reply]] = field(default_factory=list)

    def ask(self, request: Request) -> Reply:
        reply = self.model.ask(request)
        self.heard.append((request, reply))
        return reply

    def upper_bound(self, request: Request) -> Spending:
        return self.model.upper_bound(request)


@pytest.fixture(scope="module")
def sample() -> Iterator[OpenTask]:
    task = OpenTask(task_named("parcel-2.3.0/single-001"), keep=False)
    yield task
    task.close()


def agent_search(task: OpenTask, agent: Agent, actor: Model, tests: int) -> Tried:
    setting = AgentSetting(
        agent.rules, Models(actor), agent.limits, agent.weights, tests, tokens=500_000
    )
    return task.by_agent(setting, 0)


def test_an_outcome_that_is_known_is_not_run_again_but_counts(
    sample: OpenTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sample.by_repair(for_repair("order of prior"), 0, 2)
    ran: list[object] = []
    real = sample.tester._tester.evaluate  # type: ignore[attr-defined]

    class Counting:
        def evaluate(self, files: Mapping[str, str]) -> Outcome:
            ran.append(files)
            outcome: Outcome = real(files)
            return outcome

    monkeypatch.setattr(sample.tester, "_tester", Counting())
    assert sample.by_repair(for_repair("order of prior"), 0, 2) == first
    assert (first.tests, ran) == (2, [])
    longer = sample.by_repair(for_repair("order of prior"), 0, 3)
    assert (longer.tests, len(ran)) == (3, 1)


def test_a_patch_is_judged_by_the_hidden_tests(sample: OpenTask) -> None:
    found = sample.by_repair(for_repair("order of prior"), 0, 20)
    assert found.passed
    assert found.right
    assert not sample.right({})


def test_the_model_is_told_why_unless_explanations_are_taken_away(sample: OpenTask) -> None:
    told = {}
    for name, agent in (
        ("with", for_agent("best-first")),
        ("without", ABLATIONS["without explanations"](for_agent("best-first"))),
    ):
        actor = Listening(RepairModel())
        agent_search(sample, agent, actor, 3)
        text = "\n".join(m.text for request, _ in actor.heard for m in request.messages)
        told[name] = [line for line in text.splitlines() if line.startswith('- {"name"')]
    assert told["with"]
    assert not any(line.endswith(": not said") for line in told["with"])
    assert told["without"]
    assert all(line.endswith(": not said") for line in told["without"])


def test_the_repair_model_draws_edits_by_temperature_and_seed(sample: OpenTask) -> None:
    actor = Listening(RepairModel())
    agent_search(sample, for_agent("linear"), actor, 2)
    asked, likely = next(
        (request, reply)
        for request, reply in actor.heard
        if reply.tool_calls and reply.tool_calls[0].name == "replace"
    )
    hot = [replace(asked, temperature=1.0, seed=seed) for seed in range(20)]
    drawn = [RepairModel().ask(request).tool_calls[0].raw for request in hot]
    assert len(set(drawn)) > 3
    assert likely.tool_calls[0].raw in drawn
    assert RepairModel().ask(hot[3]).tool_calls[0].raw == drawn[3]
    cold = replace(asked, temperature=0.01, seed=5)
    assert RepairModel().ask(cold).tool_calls[0].raw == likely.tool_calls[0].raw


def test_chains_of_best_of_n_go_on_through_the_files_they_have_seen(sample: OpenTask) -> None:
    actor = Listening(RepairModel())
    tried = agent_search(sample, for_agent("best-of-n"), actor, 3)
    views = sum(bool(r.tool_calls) and r.tool_calls[0].name == "view" for _, r in actor.heard)
    assert tried.passed or tried.tests == 3
    assert views >= 3  # each chain looks for itself
    assert not any(HEADER in m.text for request, _ in actor.heard for m in request.messages)


def test_the_study_measures_an_endpoint_as_it_measures_the_local_model(sample: OpenTask) -> None:
    with ModelServer(RepairModel()) as server:
        settings = {**LOCAL, "model": server.base_url}
        agent = ABLATIONS["without the model channel"](for_agent("best-first"))
        asked = models(settings, agent, 0).agent
        served = agent_search(sample, agent, asked, 3)
        here = agent_search(sample, agent, RepairModel(), 3)
    assert (served.passed, served.tests) == (here.passed, here.tests)
    assert served.tokens > 1000
