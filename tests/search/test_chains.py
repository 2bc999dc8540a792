"""Chains through known states, and the law of the search that is held to them."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.search import EXHAUSTED, Child, SearchTree, make_strategy
from meritree.search.chains import stands_out
from meritree.value.estimate import Estimate

Value = Callable[[str], float]


def grown(name: str, value: Value, tickets: int, seed: int = 0, **more: float) -> SearchTree:
    """A tree over paths: the k-th proposal of a state is its path and k; ends are drawn by it."""
    engine = SearchTree(make_strategy(name, **more), seed)
    engine.start("", Estimate(value("")))
    for _ in range(tickets):
        ticket = engine.ask()
        if ticket is None:
            break
        node = engine.tree.raw[ticket.node]
        dice = random.Random(f"{seed}/{node.key}")
        if node.id and node.expansions >= dice.randrange(1, 5):
            engine.tell(ticket, EXHAUSTED)
            continue
        key = f"{node.key}/{node.expansions}"
        ends = random.Random(f"{seed}:{key}").random() < 0.4
        engine.tell(ticket, Child(key, None, Estimate(value(key)), terminal=ends))
    return engine


def keys(engine: SearchTree) -> set[object]:
    return {node.key for node in engine.tree.raw}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 60),
    share=st.sampled_from([0.2, 0.5, 0.75]),
    noise=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_guarded_reaches_what_best_of_n_reaches_within_its_share(
    seed: int, n: int, share: float, noise: float
) -> None:
    def value(key: str) -> float:
        return random.Random(f"{seed}{key}").random() * noise

    chains = grown("best-of-n", value, n, seed)
    tickets = -int(-n // (1.0 - share))  # n / (1 - share), rounded up
    guarded = grown("guarded", value, tickets, seed, share=share)
    assert keys(chains) <= keys(guarded)


def test_guarded_is_best_of_n_step_by_step_while_nothing_stands_out() -> None:
    one, other = (grown(name, lambda _: 0.4, 80, 3).tree for name in ("best-of-n", "guarded"))
    assert [node.key for node in one.raw] == [node.key for node in other.raw]


def children_of_the_promising(name: str) -> int:
    """60 tickets where the second first step looks good and no second step leads anywhere."""
    engine = SearchTree(make_strategy(name))
    engine.start("", Estimate(0.3))
    for _ in range(60):
        ticket = engine.ask()
        assert ticket is not None
        node = engine.tree.raw[ticket.node]
        key = f"{node.key}/{node.expansions}"
        value = Estimate(0.8 if key == "/1" else 0.3)
        engine.tell(ticket, Child(key, None, value, 0.1, terminal=node.depth == 1))
    return engine.tree.raw[engine.node_of("/1") or 0].expansions


def test_guarded_goes_where_a_value_stands_out() -> None:
    assert children_of_the_promising("best-of-n") == 1
    assert children_of_the_promising("guarded") > 20


def test_a_chain_goes_on_from_a_known_state() -> None:
    engine = SearchTree(make_strategy("best-of-n"))
    engine.start("root", Estimate(0.5))
    where = []
    for key, ends in [("view", False), ("a", True), ("view", False), ("b", True), ("view", False)]:
        ticket = engine.ask()
        assert ticket is not None
        where.append(ticket.node)
        engine.tell(ticket, Child(key, None, Estimate(0.5), terminal=ends))
    assert where == [0, 1, 0, 1, 0]


def test_the_largest_of_many_noisy_values_does_not_stand_out() -> None:
    rng = random.Random(5)
    false = sum(
        stands_out(values[-1], values, 0.02)
        for values in (sorted(rng.gauss(0.5, 0.1) for _ in range(60)) for _ in range(200))
    )
    assert false < 20
    clear = sorted([0.3] * 40 + [0.1] * 20 + [0.5])
    assert stands_out(0.5, clear, 0.02)
    assert not stands_out(0.31, sorted([*clear, 0.31]), 0.02)


@pytest.mark.parametrize("wrong", [{"share": 1.0}, {"share": -0.1}, {"margin": 0.0}])
def test_shares_and_margins_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        make_strategy("guarded", **wrong)
