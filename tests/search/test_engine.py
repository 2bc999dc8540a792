"""The ask/tell core: what a ticket does, what is kept, and what is refused."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.search import (
    EXHAUSTED,
    STRATEGIES,
    Child,
    Discounted,
    Kind,
    Lehmer,
    Max,
    MaxExpansions,
    Mean,
    Progressive,
    SearchError,
    SearchTree,
    Strategy,
    Unlimited,
    make_strategy,
)
from meritree.search.selectors import PUCT, UCT, Newest
from meritree.value.estimate import Estimate


def child(key: object, value: float, **facts: object) -> Child:
    return Child(key, f"to {key}", Estimate(value), **facts)  # type: ignore[arg-type]


def grow(strategy: Strategy, steps: int, seed: int = 0, workers: int = 1) -> SearchTree:
    """Grow a tree with random values; answers come back in random order."""
    engine = SearchTree(strategy, seed)
    rng = random.Random(seed)
    engine.start("root", Estimate(0.5), next_prior=0.5)
    out: list = []
    for step in range(steps):
        while len(out) < workers and (ticket := engine.ask()) is not None:
            out.append(ticket)
        if not out:
            break
        ticket = out.pop(rng.randrange(len(out)))
        made = engine.tree.raw[ticket.node].expansions
        if rng.random() < 0.05:
            engine.tell(ticket, EXHAUSTED)
            continue
        key = rng.choice(["root", 0, 1]) if rng.random() < 0.05 else step
        engine.tell(
            ticket,
            Child(
                key,
                step,
                Estimate(round(rng.random(), 2)),
                prior=0.5 * 0.8**made,
                next_prior=0.5 * 0.8 ** (made + 1),
                terminal=rng.random() < 0.1,
            ),
        )
    for ticket in out:
        engine.cancel(ticket)
    return engine


@pytest.mark.parametrize("name", STRATEGIES)
def test_same_asks_and_tells_give_the_same_tree(name: str) -> None:
    first = grow(make_strategy(name), 200, seed=3, workers=3)
    second = grow(make_strategy(name), 200, seed=3, workers=3)
    assert first.tree.dump() == second.tree.dump()


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_answered_ticket_is_one_visit_and_no_virtual_loss_stays(
    name: str, workers: int
) -> None:
    tree = grow(make_strategy(name), 150, seed=1, workers=workers).tree
    assert tree.root.visits == len(tree) + len(tree.aliases)
    assert all(node.virtual == node.pending == 0 for node in tree.nodes)
    for node in tree.nodes:
        aliases = sum(alias.parent == node.id for alias in tree.aliases)
        below = sum(tree[i].visits for i in node.children)
        assert node.visits == 1 + aliases + below
        assert node.expansions == aliases + len(node.children)


@pytest.mark.parametrize("backup", [Mean(), Max(), Discounted(0.9), Lehmer(3.0)])
def test_statistics_kept_step_by_step_equal_those_rebuilt_from_scratch(backup: object) -> None:
    kept = grow(Strategy("uct", UCT(), backup, MaxExpansions(3)), 200).tree  # type: ignore[arg-type]
    before = [(n.visits, n.total, n.best, n.value) for n in kept.nodes]
    kept.stale = True
    after = [(n.visits, n.total, n.best, n.value) for n in kept.nodes]
    for left, right in zip(before, after, strict=True):
        assert left == pytest.approx(right, abs=1e-12)


def test_backups_on_a_chain_of_three_have_their_closed_forms() -> None:
    values = (0.2, 0.4, 1.0)
    expected = {
        Mean(): 1.6 / 3,
        Max(): 1.0,
        Discounted(0.5): (0.2 + 0.5 * 0.4 + 0.25 * 1.0) / 3,
        Lehmer(2.0): (0.04 + 0.16 + 1.0) / 1.6,
    }
    for backup, value in expected.items():
        engine = SearchTree(Strategy("uct", UCT(), backup, MaxExpansions(1)))
        engine.start(0, Estimate(values[0]))
        for key in (1, 2):
            engine.tell(engine.ask(), child(key, values[key]))  # type: ignore[arg-type]
        assert engine.tree.root.value == pytest.approx(value)


@settings(deadline=None)
@given(st.floats(allow_nan=True).filter(lambda x: not 0 <= x <= 1))
def test_a_value_outside_the_unit_interval_is_refused_and_changes_nothing(value: float) -> None:
    engine = SearchTree(make_strategy("uct"))
    engine.start("root", Estimate(0.5))
    ticket = engine.ask()
    assert ticket is not None
    with pytest.raises(SearchError, match=r"outside \[0, 1\]"):
        engine.tell(ticket, child("x", value))
    assert len(engine.tree) == 1
    assert engine.outstanding == 1


def test_a_second_answer_to_a_ticket_changes_nothing() -> None:
    engine = SearchTree(make_strategy("uct"))
    engine.start("root", Estimate(0.5))
    ticket = engine.ask()
    assert ticket is not None
    node = engine.tell(ticket, child("x", 0.7))
    before = engine.tree.dump()
    assert engine.tell(ticket, child("y", 0.1)) is node
    assert engine.tree.dump() == before
    with pytest.raises(SearchError, match="already answered"):
        engine.cancel(ticket)


def test_cancel_restores_the_tree_and_the_next_question() -> None:
    engine = grow(make_strategy("uct"), 60)
    before = engine.tree.dump()
    first = engine.ask()
    assert first is not None
    engine.cancel(first)
    engine.cancel(first)
    assert engine.tree.dump() == before
    again = engine.ask()
    assert again is not None
    assert again.node == first.node
    with pytest.raises(SearchError, match="cancelled"):
        engine.tell(first, EXHAUSTED)


def test_virtual_loss_sends_parallel_workers_to_different_nodes() -> None:
    engine = SearchTree(Strategy("uct", UCT(0.5), Mean(), MaxExpansions(2)))
    engine.start("root", Estimate(0.5))
    for key in ("a", "b"):
        engine.tell(engine.ask(), child(key, 0.5))  # type: ignore[arg-type]
    tickets = [engine.ask() for _ in range(2)]
    assert {ticket.node for ticket in tickets if ticket} == {1, 2}


def test_a_known_state_becomes_an_alias_edge_and_never_a_cycle() -> None:
    engine = SearchTree(make_strategy("puct"))
    engine.start("root", Estimate(0.4))
    engine.tell(engine.ask(), child("a", 0.6))  # type: ignore[arg-type]
    ticket = engine.ask_at(1)
    assert engine.tell(ticket, child("root", 0.4)).id == 0
    tree = engine.tree
    assert [(alias.parent, alias.target) for alias in tree.aliases] == [(1, 0)]
    assert len(tree) == 2
    assert tree[1].visits == 2
    assert tree.root.visits == 3
    assert tree.root.total == pytest.approx(0.4 + 0.6 + 0.4)
    assert engine.node_of("a") == 1
    assert engine.node_of("b") is None


def test_search_ends_when_every_node_is_exhausted() -> None:
    for name in STRATEGIES:
        engine = SearchTree(make_strategy(name))
        engine.start("root", Estimate(0.5))
        while (ticket := engine.ask()) is not None:
            full = len(engine.tree[ticket.node].children) >= 2 or engine.tree[ticket.node].depth > 1
            result = EXHAUSTED if full else child(len(engine.tree), 0.5)
            engine.tell(ticket, result)
        assert engine.finished
        assert engine.outstanding == 0


def test_nodes_at_the_depth_limit_are_not_expanded() -> None:
    for name in STRATEGIES:
        tree = grow(make_strategy(name, max_depth=3), 120).tree
        assert max(node.depth for node in tree.nodes) == 3


def test_a_chain_of_ten_thousand_needs_no_recursion() -> None:
    engine = SearchTree(make_strategy("linear"))
    engine.start(0, Estimate(0.5))
    for key in range(1, 10_001):
        engine.tell(engine.ask(), child(key, 0.5))  # type: ignore[arg-type]
    assert engine.tree.root.visits == 10_001
    assert len(engine.tree.path(10_000)) == 10_001
    assert sum(1 for _ in engine.tree.walk()) == 10_001


def test_uct_descends_deeper_than_the_recursion_limit() -> None:
    engine = SearchTree(Strategy("uct", UCT(), Mean(), MaxExpansions(1)))
    engine.start(0, Estimate(0.5))
    for key in range(1, 1_501):
        engine.tell(engine.ask(), child(key, 0.5))  # type: ignore[arg-type]
    assert engine.tree.root.visits == 1_501


def test_a_node_takes_less_than_a_kilobyte() -> None:
    tracemalloc.start()
    try:
        engine = grow(Strategy("uct", UCT(), Mean(), MaxExpansions(3)), 2_000)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / len(engine.tree) < 1_000


def test_progressive_widening_keeps_children_below_its_bound() -> None:
    engine = SearchTree(Strategy("uct", UCT(), Mean(), Progressive(2.0, 0.5)))
    engine.start(0, Estimate(0.5))
    for key in range(1, 400):
        engine.tell(engine.ask(), child(key, 0.5))  # type: ignore[arg-type]
    for node in engine.tree.nodes:
        assert len(node.children) <= 2.0 * node.visits**0.5 + 1


@settings(deadline=None)
@given(
    st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6),
    st.integers(0, 10_000),
    st.floats(0.0, 5.0),
)
def test_puct_with_children_revealed_one_by_one_equals_puct_with_all_revealed(
    priors: list[float], seed: int, c: float
) -> None:
    priors = sorted(priors, reverse=True)
    values = random.Random(seed)
    worth: dict[tuple[int, ...], float] = {}

    def value(path: tuple[int, ...]) -> float:
        return worth.setdefault(path, round(values.random(), 3))

    rule = PUCT(c=c, mix=0.5, fpu=0.05)
    lazy = SearchTree(Strategy("puct", rule, Mean(), Unlimited(), max_depth=3))
    lazy.start((), Estimate(value(())))
    eager = _RevealedUpFront(rule, priors, value, max_depth=3)
    for _ in range(40):
        ticket = lazy.ask()
        path = eager.step()
        if ticket is None:
            assert path is None
            break
        node = lazy.tree[ticket.node]
        made = node.expansions
        if made == len(priors):
            lazy.tell(ticket, EXHAUSTED)
            ticket = lazy.ask()
            while ticket is not None and lazy.tree[ticket.node].expansions == len(priors):
                lazy.tell(ticket, EXHAUSTED)
                ticket = lazy.ask()
            if ticket is None:
                assert path is None
                break
            node = lazy.tree[ticket.node]
            made = node.expansions
        key = (*node.key, made)  # type: ignore[misc]
        assert key == path
        following = priors[made + 1] if made + 1 < len(priors) else 0.0
        told = Child(key, made, Estimate(value(key)), priors[made], next_prior=following)
        lazy.tell(ticket, told)
        if made + 1 == len(priors):  # the policy says so at once: no arm without a proposal
            lazy.tell(lazy.ask_at(node.id), EXHAUSTED)


class _RevealedUpFront:
    """Textbook PUCT by recursion-free recomputation: all arms exist, some are unvisited."""

    def __init__(self, rule: PUCT, priors: list[float], value: object, max_depth: int) -> None:
        self.rule, self.priors, self.value, self.max_depth = rule, priors, value, max_depth
        self.seen: list[tuple[int, ...]] = [()]

    def below(self, path: tuple[int, ...]) -> list[float]:
        return [self.value(p) for p in self.seen if p[: len(path)] == path]  # type: ignore[operator]

    def q(self, path: tuple[int, ...]) -> float:
        found = self.below(path)
        mix = self.rule.mix
        return mix * (sum(found) / len(found)) + (1 - mix) * max(found)

    def full(self, path: tuple[int, ...]) -> bool:
        if len(path) == self.max_depth:
            return path in self.seen
        arms = [(*path, i) for i in range(len(self.priors))]
        return all(arm in self.seen and self.full(arm) for arm in arms)

    def step(self) -> tuple[int, ...] | None:
        if self.full(()):
            return None
        path: tuple[int, ...] = ()
        while path in self.seen:
            n = len(self.below(path))
            best, chosen = -1.0, path
            for i, prior in enumerate(self.priors):
                arm = (*path, i)
                visits = len(self.below(arm))
                if arm in self.seen and self.full(arm):
                    continue
                q = self.q(arm) if visits else max(0.0, self.q(path) - self.rule.fpu)
                score = q + self.rule.c * prior * n**0.5 / (1 + visits)
                if score > best + 1e-12:
                    best, chosen = score, arm
            path = chosen
        self.seen.append(path)
        return path


def test_and_or_planning_finds_the_only_solution_and_proves_the_rest_hopeless() -> None:
    """Root OR of two plans; each plan AND of two tasks; only plan B's tasks are both solvable."""
    world = {
        "root": [("A", Kind.AND), ("B", Kind.AND)],
        "A": [("a1", Kind.OR), ("a2", Kind.OR)],
        "B": [("b1", Kind.OR), ("b2", Kind.OR)],
        "a1": [("a1+", Kind.OR)],
        "a2": [("a2-", Kind.OR)],
        "b1": [("b1-", Kind.OR), ("b1+", Kind.OR)],
        "b2": [("b2+", Kind.OR)],
    }
    for name in ("uct", "puct", "best-first", "best-of-n"):
        engine = SearchTree(make_strategy(name))
        engine.start("root", Estimate(0.5))
        for _ in range(100):
            ticket = engine.ask()
            if ticket is None:
                break
            node = engine.tree[ticket.node]
            todo = world[str(node.key)][node.expansions :]
            if not todo:
                engine.tell(ticket, EXHAUSTED)
                continue
            key, kind = todo[0]
            solved = None if key[-1] not in "+-" else key[-1] == "+"
            value = 0.5 if solved is None else float(solved)
            told = Child(key, key, Estimate(value), kind=kind, solved=solved)
            engine.tell(ticket, told._replace(terminal=solved is not None))
        tree = engine.tree
        solved = {str(n.key): n.solved for n in tree.nodes}
        if name == "best-of-n":  # one child per node: cannot reveal an AND node's second task
            assert solved["root"] is None
            continue
        assert solved["root"] is True
        assert solved["B"] is True
        assert solved.get("A") in (None, False)
        assert engine.finished


def test_an_and_node_is_worth_the_product_or_the_minimum_of_its_children() -> None:
    from meritree.search.andor import Conjunction

    for rule, expected in ((Conjunction.PRODUCT, 0.12), (Conjunction.MIN, 0.3)):
        engine = SearchTree(Strategy("uct", UCT(), Mean(), MaxExpansions(2), conjunction=rule))
        engine.start("root", Estimate(0.5), kind=Kind.AND)
        for key, value in (("a", 0.3), ("b", 0.4)):
            engine.tell(engine.ask(), child(key, value))  # type: ignore[arg-type]
        assert engine.tree.root.value == pytest.approx(expected)


def test_contract_violations_are_named() -> None:
    engine = SearchTree(make_strategy("uct"))
    with pytest.raises(SearchError, match="start"):
        engine.ask()
    engine.start("root", Estimate(0.5))
    with pytest.raises(SearchError, match="twice"):
        engine.start("root", Estimate(0.5))
    ticket = engine.ask()
    assert ticket is not None
    with pytest.raises(SearchError, match="never given"):
        engine.tell(ticket._replace(id=7), EXHAUSTED)
    with pytest.raises(SearchError, match="prior"):
        engine.tell(ticket, child("x", 0.5, prior=-1.0))
    with pytest.raises(SearchError, match="no node"):
        engine.tree[99]


def test_an_unknown_strategy_or_parameter_is_bad_input_that_lists_the_names() -> None:
    with pytest.raises(BadInput, match="swe-search-moatless"):
        make_strategy("astar")
    with pytest.raises(BadInput, match="colour"):
        make_strategy("uct", colour="red")
    with pytest.raises(BadInput, match="max_depth=0"):
        make_strategy("uct", max_depth=0)
    assert isinstance(make_strategy("linear").selector, Newest)
