"""I-MCTS: the schedule's limits, the loop against the released code's, resuming, what is seen."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.run.journal import Journal
from meritree.run.ledger import Ledger, Limits
from meritree.search import Child, Observed, SearchError, SearchTree, Strategy, Unlimited
from meritree.search.driver import Proposal, Step, View
from meritree.search.global_uct import GlobalUct
from meritree.search.introspective import Introspected, introspective_search
from meritree.search.selectors import UCT
from meritree.search.strategies import make_strategy
from meritree.value.combine import visit_schedule, visit_weight
from meritree.value.estimate import Cost, Estimate

DEPTH, CHILDREN = 3, 3
Path_ = tuple[int, ...]


class Digits:
    """A state is the digits chosen so far; priors and rewards are drawn from them and a seed."""

    def __init__(self, seed: int = 0, depth: int = DEPTH) -> None:
        self.seed, self.depth = seed, depth
        self.views: list[View[Path_, int]] = []
        self.tried: list[Path_] = []
        self.judged = 0

    def root(self) -> Step[Path_]:
        return Step((), terminal=self.depth == 0)

    async def step(self, state: Path_, action: int) -> Step[Path_]:
        reached = (*state, action)
        return Step(reached, terminal=len(reached) == self.depth)

    async def propose(self, view: View[Path_, int], k: int) -> Sequence[Proposal[int]]:
        self.views.append(view)
        return [Proposal(len(view.proposed))]

    def number(self, kind: str, state: Path_) -> float:
        return random.Random(f"{kind}{self.seed}{state}").random()

    async def judge(self, step: Step[Path_]) -> Estimate:
        self.judged += 1
        return Estimate(self.number("prior", step.state), cost=Cost(tokens=3))

    async def trial(self, step: Step[Path_]) -> Estimate:
        self.tried.append(step.state)
        return Estimate(
            self.number("reward", step.state), n=1, reasons={"trial": f"tried {step.state}"}
        )


def run(world: Digits, evaluations: int = 12, **options: Any) -> Introspected[Path_]:
    options = {"budget": Limits(evaluations=evaluations), "children": CHILDREN, **options}
    return asyncio.run(introspective_search(world, world, world.judge, world.trial, **options))


# ------------------------------------------------------------------ the schedule


@given(st.floats(0.01, 5.0), st.integers(0, 10_000))
def test_the_prior_weighs_all_at_first_then_less_and_less(c_v: float, n: int) -> None:
    assert visit_weight(0, c_v) == 1.0
    assert visit_weight(n + 1, c_v) < visit_weight(n, c_v)


@given(st.floats(0.01, 5.0))
def test_weight_times_visits_tends_to_c_v(c_v: float) -> None:
    products = [n * visit_weight(n, c_v) for n in (1, 10, 1000, 10**8)]
    assert products == sorted(products)
    assert products[-1] == pytest.approx(c_v, rel=1e-6)


def observed(selector: GlobalUct, rng: random.Random, shift: float = 0.0) -> list[int]:
    """Ids of the nodes selected while a random tree grows."""
    engine = SearchTree(Strategy("test", selector, Observed(), Unlimited()))
    engine.start("root", Estimate(0.3 + shift))
    engine.observe(0, 0.4 + shift)
    chosen = []
    for key in range(60):
        ticket = engine.ask()
        assert ticket is not None
        chosen.append(ticket.node)
        node = engine.tree.raw[ticket.node]
        if node.visits and rng.random() < 0.6:
            engine.tell(ticket, Child(key, None, Estimate(round(rng.random() / 2, 3) + shift)))
        else:
            engine.cancel(ticket)
            engine.observe(ticket.node, round(rng.random() / 2, 3) + shift)
    return chosen


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("c_v", [0.0, 0.2])
def test_a_constant_added_to_all_values_changes_no_choice(seed: int, c_v: float) -> None:
    selector = GlobalUct(2.0, c_v)
    plain = observed(selector, random.Random(seed))
    assert observed(selector, random.Random(seed), shift=0.25) == plain
    assert len(set(plain)) > 5


@pytest.mark.parametrize("seed", range(8))
def test_without_a_prior_the_score_is_that_of_uct(seed: int) -> None:
    rng, selector = random.Random(seed), GlobalUct(1.5, 0.0)
    engine = SearchTree(Strategy("test", selector, Observed(), Unlimited()))
    engine.start("root", Estimate(0.3))
    engine.observe(0, 0.4)
    for key in range(50):
        nodes = engine.tree.raw

        def uct(node: Any, nodes: Any = nodes) -> float:
            if not node.visits:
                return math.inf
            above = nodes[node.parent].visits if node.parent >= 0 else 1
            explore = math.sqrt(math.log(above + 1e-6) / node.visits)
            return float(node.total / node.visits + 1.5 * explore)

        best = max(nodes, key=uct)
        ticket = engine.ask()
        assert ticket is not None
        assert uct(nodes[ticket.node]) == pytest.approx(uct(best), abs=1e-12)
        if nodes[ticket.node].visits and rng.random() < 0.5:
            engine.tell(ticket, Child(key, None, Estimate(rng.random())))
        else:
            engine.cancel(ticket)
            engine.observe(ticket.node, rng.random())


def test_the_hybrid_value_is_the_schedule_of_prior_and_observed_mean() -> None:
    selector = GlobalUct()
    engine = SearchTree(Strategy("test", selector, Observed(), Unlimited()))
    root = engine.start("root", Estimate(0.9, channels={"model": 0.7}))
    assert selector.hybrid(root) == 0.9
    assert GlobalUct(channel="model").hybrid(root) == 0.7
    engine.observe(0, 0.2)
    engine.observe(0, 0.4)
    assert selector.hybrid(root) == pytest.approx(visit_schedule(0.9, 0.3, 2, 0.2))


# ------------------------------------------------------------------ against the released code


class Plain:
    """The released search, written down as it stands there, on `Digits` (no engine of ours)."""

    def __init__(self, world: Digits, variant: str, c: float) -> None:
        self.world, self.paper, self.c = world, variant == "paper", c
        self.nodes: list[dict[str, Any]] = []
        self.order: list[Path_] = []
        self.stuck = 0

    def node(self, state: Path_, parent: dict[str, Any] | None) -> dict[str, Any]:
        prior = self.world.number("prior", state) if self.paper or parent is None else 0.0
        made = {"state": state, "up": parent, "prior": prior, "n": 0, "w": 0.0, "kids": []}
        self.nodes.append(made)
        return made

    def score(self, node: dict[str, Any]) -> float:
        value, n = node["prior"], 0.2
        if node["n"]:
            w = 0.2 / (node["n"] + 0.2)
            value, n = w * node["prior"] + (1 - w) * node["w"] / node["n"], node["n"]
        above = node["up"]["n"] if node["up"] else 1
        return float(value + self.c * math.sqrt(math.log(above + 1e-6) / n))

    def simulate(self, node: dict[str, Any]) -> None:
        while node["kids"]:
            best, before = 0.0, node
            for kid in node["kids"]:
                if kid["prior"] > best:
                    best, node = kid["prior"], kid
            if node is before:  # the released loop would go on for ever
                self.stuck += 1
                break
        self.order.append(node["state"])
        reward, up = self.world.number("reward", node["state"]), node
        while up is not None:
            up["n"] += 1
            up["w"] += reward
            up = up["up"]

    def expand_and_simulate(self, node: dict[str, Any]) -> None:
        if node["n"] > 0:
            if not node["kids"]:
                node["kids"] = [self.node((*node["state"], i), node) for i in range(CHILDREN)]
            best = 0.0
            for kid in node["kids"]:
                if kid["prior"] >= best:
                    best, node = kid["prior"], kid
        self.simulate(node)

    def search(self, rollouts: int, root_too: bool) -> None:
        root = self.node((), None)
        self.simulate(root)
        self.expand_and_simulate(root)
        while len(self.order) < rollouts:
            node = max(self.nodes[0 if root_too else 1 :], key=self.score)
            if len(node["state"]) == DEPTH:
                self.simulate(node)
            else:
                self.expand_and_simulate(node)


def both(seed: int, variant: str, c: float, root_too: bool) -> tuple[Introspected[Path_], Plain]:
    found = run(Digits(seed), 20, variant=variant, selector=GlobalUct(c))
    plain = Plain(Digits(seed), variant, c)
    plain.search(len(found.rollouts), root_too)
    assert [found.states[one.node] for one in found.rollouts] == plain.order
    assert sum(one.stuck for one in found.rollouts) == plain.stuck
    return found, plain


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("seed", range(6))
def test_the_rollouts_are_those_of_the_released_loop(variant: str, seed: int) -> None:
    _, plain = both(seed, variant, 2.0, root_too=False)
    assert len(plain.order) >= 20


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_with_little_exploration_the_released_loop_hangs_and_the_one_meant_does_not(
    variant: str,
) -> None:
    # The root, left out there, is a candidate of ours; that shows only when c is small.
    stuck = [both(seed, variant, 0.05, root_too=True)[1].stuck for seed in range(12)]
    assert any(stuck) is (variant == "released")


def test_as_released_the_judge_speaks_of_the_root_alone_and_the_last_child_wins() -> None:
    world = Digits()
    found = run(world, 2, variant="released")
    assert world.judged == 1
    assert [found.states[one.node] for one in found.rollouts] == [(), (CHILDREN - 1,)]
    assert {node.own for node in found.tree.nodes[1:]} == {0.0}


def test_as_meant_the_child_of_highest_prior_is_tried_first() -> None:
    world = Digits(3)
    found = run(world, 2)
    best = max(range(CHILDREN), key=lambda i: world.number("prior", (i,)))
    assert found.states[found.rollouts[1].node] == (best,)


# ------------------------------------------------------------------ what is seen, paid, kept


def test_a_proposal_sees_the_report_and_the_siblings_before_it_but_none_after() -> None:
    world = Digits()
    run(world, 15)
    assert len(world.views) > 2 * CHILDREN
    for i, view in enumerate(world.views):
        siblings = list(range(i % CHILDREN))
        assert [proposal.action for proposal in view.proposed] == siblings
        assert [action for action, _ in view.children] == siblings
        assert view.report is not None
        assert view.report.reasons == {"trial": f"tried {view.state}"}


def test_the_budget_counts_trials_and_a_known_state_is_free() -> None:
    world, ledger = Digits(), Ledger(Limits(evaluations=9))
    found = run(world, budget=ledger, alike=lambda state: sum(state))
    fresh = [one for one in found.rollouts if one.fresh]
    assert len(world.tried) == len(fresh) == len({sum(state) for state in world.tried})
    assert ledger.snapshot().spent.evaluations == len(fresh) <= 9
    assert ledger.snapshot().spent.tokens == 3 * world.judged


def test_a_small_space_ends_the_search_when_nothing_new_comes() -> None:
    world = Digits(depth=1)
    found = run(world, 100)
    assert sorted(world.tried) == [(), (0,), (1,), (2,)]
    assert "nothing new" in found.stopped_because
    assert world.number("reward", found.best) == max(r.reward for r in found.rollouts)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 60), st.sampled_from(["prior", "random"]))
def test_a_search_stopped_anywhere_goes_on_to_the_same_tree(
    seed: int, stopped: int, descent: str
) -> None:
    class Memory(list[tuple[str, dict[str, Any]]]):
        def append(self, kind: str, payload: dict[str, Any]) -> int:  # type: ignore[override]
            super().append((kind, payload))
            return len(self)

    whole, world, again = Memory(), Digits(seed), Digits(seed)
    found = run(world, 15, store=whole, descent=descent, seed=seed)
    past = whole[:stopped]
    rest = Memory()
    resumed = run(again, 15, store=rest, past=past, descent=descent, seed=seed)
    assert resumed.tree.dump() == found.tree.dump()
    assert resumed.rollouts == found.rollouts
    assert past + rest == whole
    assert again.tried == world.tried[sum(kind == "tried" for kind, _ in past) :]


def test_a_journal_on_disk_is_enough_to_go_on(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "j.sqlite", {}) as journal:
        run(Digits(5), 6, store=journal)
        past = [(event.kind, event.payload) for event in journal.events()]
        resumed = run(Digits(5), 14, store=journal, past=past)
    assert resumed.tree.dump() == run(Digits(5), 14).tree.dump()


def test_a_record_of_another_search_is_refused() -> None:
    with pytest.raises(SearchError, match="start anew"):
        run(Digits(), past=[("tried", {"node": 4})])


# ------------------------------------------------------------------ refusals, and the strategy


@pytest.mark.parametrize(
    "options", [{"budget": Limits()}, {"children": 0}], ids=["no limit", "no children"]
)
def test_impossible_arguments_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        run(Digits(), **options)


def test_a_selector_that_divides_by_visits_cannot_have_unvisited_nodes() -> None:
    with pytest.raises(BadInput, match="GlobalUct"):
        Strategy("bad", UCT(), Observed())


def test_observations_outside_the_unit_interval_are_refused() -> None:
    engine = SearchTree(make_strategy("uct"))
    engine.start("root", Estimate(0.5))
    with pytest.raises(SearchError, match="outside"):
        engine.observe(0, 1.5)
    with pytest.raises(SearchError, match="no node 3"):
        engine.observe(3, 0.5)


def test_observing_a_node_again_is_one_more_visit_of_its_path() -> None:
    engine = SearchTree(make_strategy("best-first"))  # keeps no subtree statistics by itself
    engine.start("root", Estimate(0.5))
    ticket = engine.ask()
    assert ticket is not None
    child = engine.tell(ticket, Child("a", None, Estimate(0.7)))
    engine.observe(child.id, 0.3)
    root = engine.tree.root
    assert (child.visits, root.visits) == (2, 3)
    assert (child.value, root.value) == pytest.approx((0.5, 0.5))


def test_the_strategy_makes_children_in_batches_and_the_best_batch_first() -> None:
    engine = SearchTree(make_strategy("i-mcts", children=3))
    engine.start("root", Estimate(0.5))
    parents = []
    for key in range(9):
        ticket = engine.ask()
        assert ticket is not None
        parents.append(ticket.node)
        engine.tell(ticket, Child(key, None, Estimate([0.1, 0.9, 0.2][key % 3])))
    assert parents[:6] == [0, 0, 0, 2, 2, 2]
    assert parents[6] == parents[7] == parents[8]
