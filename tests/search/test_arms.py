"""Nodes with very many children: the tournament against a scan of all of them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.search import EXHAUSTED, Child, Mean, SearchTree, Strategy, Unlimited
from meritree.search.arms import Arms
from meritree.search.scheduling import FEW
from meritree.search.selectors import PUCT, UCT
from meritree.search.tree import Node
from meritree.search.widening import Progressive
from meritree.value.estimate import Estimate

Lines = dict[int, tuple[float, float]]
FLAT = st.sampled_from([0.0, 0.25, 0.5])  # few values: many exact ties


def members(count: int) -> list[Node]:
    nodes = [Node(i, 0, 1, i, Estimate(0.5)) for i in range(count)]
    for node in nodes:
        node.available = True
    return nodes


def scan(nodes: list[Node], lines: Lines, t: float) -> int:
    scores = [(-lines[n.id][0] - lines[n.id][1] * t, n.id) for n in nodes if n.available]
    return min(scores)[1]


@settings(deadline=None)
@given(
    st.lists(st.tuples(FLAT, FLAT), min_size=70, max_size=70),
    st.lists(st.tuples(st.integers(0, 69), FLAT, FLAT, st.booleans(), st.floats(0.0, 9.0))),
)
def test_the_winner_is_the_oldest_of_the_highest_at_every_t(
    start: list[tuple[float, float]], changes: list[tuple[int, float, float, bool, float]]
) -> None:
    nodes, lines = members(70), dict(enumerate(start))
    arms = Arms(nodes[:40], lambda node: lines[node.id])
    present = 40
    for which, level, slope, available, t in changes:
        if which >= present and present < 70:
            arms.add(nodes[present])
            present += 1
        which %= present
        lines[which] = (level, slope)
        nodes[which].available = available or which == 0
        arms.changed(nodes[which])
        score, best = arms.best(t)
        assert best.id == scan(nodes[:present], lines, t)
        assert score == lines[best.id][0] + lines[best.id][1] * t


def scanned(engine: SearchTree) -> int:
    """The descent's choice by scoring all open children everywhere."""
    rule, widening = engine.strategy.selector, engine.strategy.widening
    assert isinstance(rule, UCT | PUCT)
    node = engine.tree.raw[0]
    while node.open:
        t = rule.time(node)
        scores = [level + slope * t for level, slope in map(rule.line, node.open)]
        top = max(scores)
        if node.expandable and widening.admits(node) and rule.widen(node) > top:
            return node.id
        node = node.open[scores.index(top)]
    return node.id


@pytest.mark.parametrize("workers", [1, 5])
@pytest.mark.parametrize(
    "strategy",
    [
        Strategy("uct", UCT(), Mean(), Progressive(8.0, 0.9)),
        Strategy("puct", PUCT(fpu=0.0), Mean(), Unlimited()),
    ],
)
def test_a_search_of_wide_nodes_takes_the_steps_of_a_full_scan(
    strategy: Strategy, workers: int
) -> None:
    engine, rng, out = SearchTree(strategy), random.Random(workers), []
    engine.start("root", Estimate(0.5), next_prior=0.1)
    for step in range(1500):
        while len(out) < workers:
            if engine.outstanding == 1:  # a lone ticket is entered by the next question
                engine.cancel(engine.ask())  # type: ignore[arg-type]
            expected = scanned(engine)
            ticket = engine.ask()
            assert ticket is not None
            assert ticket.node == expected
            out.append(ticket)
        ticket = out.pop(rng.randrange(len(out)))
        made = engine.tree.raw[ticket.node].expansions
        if made > 2 and ticket.node and rng.random() < 0.1:
            engine.tell(ticket, EXHAUSTED)
        elif rng.random() < 0.05:
            engine.cancel(ticket)
        else:
            value, prior = round(rng.random(), 2), 0.1 / (1 + made)
            told = Child(step, None, Estimate(value), prior, next_prior=0.1 / (2 + made))
            engine.tell(ticket, told._replace(terminal=rng.random() < 0.1))
    assert max(len(node.children) for node in engine.tree.raw) > 2 * FEW
