"""Each named strategy on a puzzle with a known answer, and its shape."""

from __future__ import annotations

import pytest

from meritree.search import EXHAUSTED, STRATEGIES, Child, SearchTree, make_strategy
from meritree.search.features import SweFeatures
from meritree.value.estimate import Estimate

MOVES = ((2, "double"), (1, "add one"), (3, "add three"))


def move(number: int, which: int) -> int:
    return number * 2 if which == 0 else number + MOVES[which][0]


def solve(name: str, target: int, budget: int, **settings: object) -> SearchTree:
    """Build ``target`` from 1 by doubling, adding 1 or adding 3."""
    engine = SearchTree(make_strategy(name, **settings))
    engine.start(1, Estimate(1 / target), next_prior=0.5)
    for _ in range(budget):
        ticket = engine.ask()
        if ticket is None:
            break
        node = engine.tree.raw[ticket.node]
        tried = node.expansions
        if tried == len(MOVES):
            engine.tell(ticket, EXHAUSTED)
            continue
        number = move(int(str(node.key)), tried)
        value = max(0.0, 1.0 - abs(target - number) / target)
        priors = (0.5, 0.3, 0.2, 0.0)
        engine.tell(
            ticket,
            Child(
                number,
                MOVES[tried][1],
                Estimate(value),
                priors[tried],
                terminal=number >= target,
                next_prior=priors[tried + 1],
            ),
        )
    return engine


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {"linear", "best-of-n", "guarded"}))
def test_a_searching_strategy_finds_the_number(name: str) -> None:
    engine = solve(name, 37, 400)
    assert engine.tree.find(37) is not None
    assert engine.tree.best().key == 37


def test_a_line_only_doubles_and_so_finds_powers_of_two_alone() -> None:
    assert solve("linear", 64, 50).tree.best().own == 1.0
    assert solve("linear", 37, 50).tree.best().own < 1.0


def test_best_of_n_makes_chains_one_after_the_other() -> None:
    engine = SearchTree(make_strategy("best-of-n", n=3, max_depth=4))
    engine.start("root", Estimate(0.5))
    order = []
    while (ticket := engine.ask()) is not None:
        order.append(ticket.node)
        engine.tell(ticket, Child(len(engine.tree), None, Estimate(0.5)))
    assert order == [0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11]


def test_a_beam_keeps_the_best_of_each_level_and_starts_again() -> None:
    values = {1: 0.1, 2: 0.9, 3: 0.5, 4: 0.2, 5: 0.3, 6: 0.4}
    engine = SearchTree(make_strategy("beam", width=1, expansions=3, max_depth=2))
    engine.start(0, Estimate(0.5))
    order = []
    for key in range(1, 8):
        ticket = engine.ask()
        assert ticket is not None
        order.append(ticket.node)
        engine.tell(ticket, Child(key, None, Estimate(values.get(key, 0.5))))
    assert order == [0, 0, 0, 2, 2, 2, 0]


def test_a_beam_judges_a_level_only_when_all_of_its_tickets_are_answered() -> None:
    engine = SearchTree(make_strategy("beam", width=1, expansions=2, max_depth=2))
    engine.start(0, Estimate(0.5))
    first, second = engine.ask(), engine.ask()
    assert first is not None
    assert second is not None
    assert engine.ask() is None
    engine.tell(first, Child(1, None, Estimate(0.5)))
    assert engine.ask() is None
    engine.tell(second, Child(2, None, Estimate(0.6)))
    third = engine.ask()
    assert third is not None
    assert third.node == 2


def test_best_first_leaves_a_state_whose_proposals_become_improbable() -> None:
    engine = SearchTree(
        make_strategy("best-first", prior_weight=0.1, tolerance=1.0, root_share=0.0)
    )
    engine.start("root", Estimate(0.5), next_prior=0.5)
    ticket = engine.ask()
    assert ticket is not None
    engine.tell(ticket, Child("a", None, Estimate(0.45), next_prior=1e-6))
    ticket = engine.ask()
    assert ticket is not None
    assert ticket.node == 1


def test_best_first_never_expands_a_state_far_below_its_parent() -> None:
    engine = SearchTree(make_strategy("best-first", prior_weight=0.0, tolerance=0.05))
    engine.start("root", Estimate(0.5))
    for key in range(20):
        ticket = engine.ask()
        assert ticket is not None
        assert ticket.node == 0
        engine.tell(ticket, Child(key, None, Estimate(0.4)))


def test_best_first_gives_the_root_its_share_of_the_expansions() -> None:
    engine = SearchTree(make_strategy("best-first", root_share=0.5))
    engine.start("root", Estimate(0.1), next_prior=0.1)
    nodes = []
    for key in range(40):
        ticket = engine.ask()
        assert ticket is not None
        nodes.append(ticket.node)
        engine.tell(ticket, Child(key, None, Estimate(0.9), prior=0.1, next_prior=0.1))
    assert nodes.count(0) >= 20
    assert len(set(nodes)) > 1


@pytest.mark.parametrize(("value", "first_steps"), [(0.4, range(32, 36)), (0.9, range(20, 24))])
def test_the_root_gives_up_part_of_its_share_to_a_state_that_is_half_way(
    value: float, first_steps: range
) -> None:
    engine = SearchTree(make_strategy("best-first", root_share=0.8))
    engine.start("root", Estimate(0.1), next_prior=0.1)
    nodes = []
    for key in range(40):
        ticket = engine.ask()
        assert ticket is not None
        nodes.append(ticket.node)
        engine.tell(ticket, Child(key, None, Estimate(value), prior=1.0, next_prior=0.1))
    assert nodes.count(0) in first_steps


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_spends_its_whole_budget_where_most_states_are_dead_ends(
    name: str, workers: int
) -> None:
    engine = SearchTree(make_strategy(name))
    engine.start("root", Estimate(0.5), next_prior=0.1)
    spent, out = 0, []
    while spent < 200:
        while len(out) < workers and (ticket := engine.ask()) is not None:
            out.append(ticket)
        assert out, f"{name} ended after {spent} of 200"
        ticket, spent = out.pop(0), spent + 1
        facts = SweFeatures(finished=False)
        told = Child(spent, None, Estimate(0.4), 0.1, next_prior=0.1, features=facts)
        engine.tell(ticket, told._replace(terminal=spent % 10 > 0))


def test_limits_double_only_when_nothing_is_left_within_them() -> None:
    engine = SearchTree(make_strategy("swe-search-paper", max_expansions=2, max_depth=2))
    engine.start("root", Estimate(0.5))
    parents = []
    for key in range(14):
        ticket = engine.ask()
        assert ticket is not None
        parents.append(ticket.node)
        engine.tell(ticket, Child(key, None, Estimate(0.5)))
    # 2 children of the root and 2 of each of these; then, with 4 each, the same again
    assert sorted(parents[:6]) == [0, 0, 1, 1, 2, 2]
    assert parents[6:].count(0) == 2
    assert max(len(node.children) for node in engine.tree.nodes) <= 4


def test_a_line_of_one_chain_stops_at_its_end() -> None:
    engine = SearchTree(make_strategy("linear", chains=1))
    engine.start("root", Estimate(0.5))
    ticket = engine.ask()
    assert ticket is not None
    engine.tell(ticket, Child("a", None, Estimate(0.1), terminal=True))
    assert engine.ask() is None
    assert engine.finished
