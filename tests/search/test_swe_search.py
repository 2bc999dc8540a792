"""The SWE-Search scores against a plain re-evaluation of every open node at every step."""

from __future__ import annotations

import difflib
import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.search import Child, Node, SearchTree, make_strategy
from meritree.search.features import FileFacts, SweFeatures, similarity
from meritree.search.swe_search import SweSearchDev, SweSearchPaper
from meritree.value.estimate import Estimate

FACTS = [
    {"a.py": FileFacts(frozenset({"f"}), "+x = 1")},
    {"a.py": FileFacts(frozenset({"f", "g"}), "+x = 2")},
    {"b.py": FileFacts(frozenset({"h"}), "")},
    {},
]


def reward(node: Node, root: float) -> float:
    return 200.0 * node.own - 100.0 if node.parent >= 0 else root


def paper(nodes: list[Node], n: Node) -> float:
    up = nodes[n.parent].visits if n.parent >= 0 else 1
    value = 200.0 * n.total / n.visits - 100.0
    depth = 200.0 * math.exp(-0.8 * (n.depth - 1)) - 0.8 * math.sqrt(n.depth)
    return value + 1.41 * math.sqrt(math.log(up) / n.visits) + depth


def dev(nodes: list[Node], n: Node) -> float:
    r, d = reward(n, 0.0), n.depth + 1
    below = [reward(nodes[i], 0.0) for i in n.children]
    if sum(nodes[i].terminal for i in n.children) > 2:
        return -math.inf
    return (
        r
        - 0.8 * math.sqrt(d)
        + (200.0 * math.exp(-0.8 * (d - 1)) if d <= 1 and below else 0.0)
        + (20.0 if not below and r >= 55 else 0.0)
        + (5 * (r - below[0]) if len(below) == 1 and r >= 55 and below[0] <= 50 else 0.0)
        - (5.0 if below and r >= 55 and max(below) >= 75 else 0.0)
        + (
            5 * (55 - r)
            if n.parent >= 0 and not below and r <= 50 and reward(nodes[n.parent], 0.0) > 55
            else 0.0
        )
    )


def moatless(nodes: list[Node], n: Node, aliases: Counter[int]) -> float:
    r = reward(n, 100.0)
    up = nodes[n.parent] if n.parent >= 0 else None
    kids = [nodes[i] for i in n.children]
    below = [reward(k, 100.0) for k in kids]
    s = r + math.sqrt(math.log(up.visits if up else 1) / n.visits) - 0.8 * math.sqrt(n.depth)
    s += 50.0 if not kids and r >= 50 else 0.0
    if len(kids) == 1 and r >= 50 and below[0] <= 0:
        s += 5 * (r - below[0]) if kids[0].features.action_kind == "RequestCodeChange" else 0.0
    s -= 5.0 if below and max(below) >= 75 else 0.0
    s += 50 - r if not kids and r <= 0 and up and reward(up, 100.0) > 50 else 0.0
    stack, finished = list(kids), False
    while stack:
        k = stack.pop()
        finished |= k.terminal and reward(k, 100.0) >= 100
        stack.extend(nodes[i] for i in k.children)
    s -= 50.0 if finished and n.parent >= 0 else 0.0
    if n.features.expects_correction and not (up and up.features.expects_correction):
        s += 50.0 / (1 + n.expansions**2)
    others = [o for o in nodes if o.children and o is not n and o.features.files]
    if n.features.files:
        alike = [similarity(n.features.files, o.features.files) for o in others]
        s += 100.0 * (1 - sum(alike) / len(alike)) if alike else 100.0
    s -= 25.0 * aliases[n.id] ** 2
    kinds = Counter(k.features.action_kind for k in kids)
    return s - 50.0 * sum((c - 1) ** 2 for c in kinds.values())


def plain_score(name: str, nodes: list[Node], n: Node, aliases: Counter[int]) -> float:
    if name == "swe-search-moatless":
        return moatless(nodes, n, aliases)
    return paper(nodes, n) if name == "swe-search-paper" else dev(nodes, n)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["swe-search-paper", "swe-search-dev", "swe-search-moatless"])
def test_the_incremental_choice_is_the_argmax_of_a_full_re_evaluation(name: str, seed: int) -> None:
    settings = {"sample": 1_000} if name == "swe-search-moatless" else {}
    engine = SearchTree(make_strategy(name, **settings))
    rng = random.Random(seed)

    def features() -> SweFeatures:
        return SweFeatures(
            action_kind=rng.choice(["RequestCodeChange", "View", "RunTests"]),
            expects_correction=rng.random() < 0.3,
            files=rng.choice(FACTS),
        )

    engine.start("root", Estimate(0.5), features=features())
    choices = set()
    for step in range(120):
        nodes = engine.tree.nodes
        aliases = Counter(alias.parent for alias in engine.tree.aliases)
        limit = 20 if name == "swe-search-paper" else math.inf
        scores = {
            n.id: plain_score(name, nodes, n, aliases)
            for n in nodes
            if not n.terminal and n.expansions < 3 and n.depth < limit
        }
        ticket = engine.ask()
        assert ticket is not None
        assert scores[ticket.node] == pytest.approx(max(scores.values()), abs=1e-9)
        choices.add(ticket.node)
        key = rng.choice(["root", 1]) if rng.random() < 0.1 else step
        value = rng.choice([0.0, 0.2, 0.5, 0.76, 0.8, 0.9, 1.0])
        told = Child(key, None, Estimate(value), terminal=rng.random() < 0.15, features=features())
        engine.tell(ticket, told)
    assert len(choices) > 20


def test_paper_score_of_a_root_alone_is_reward_plus_depth_bonus() -> None:
    engine = SearchTree(make_strategy("swe-search-paper"))
    root = engine.start("root", Estimate(0.75))
    expected = 50.0 + 200.0 * math.exp(0.8)
    assert SweSearchPaper().score(engine.tree, root) == pytest.approx(expected)


def test_dev_pulls_back_to_the_first_node_until_it_is_full() -> None:
    engine = SearchTree(make_strategy("swe-search-dev"))
    engine.start("root", Estimate(0.5))
    for key in range(3):
        ticket = engine.ask()
        assert ticket is not None
        assert ticket.node == 0
        engine.tell(ticket, Child(key, None, Estimate(0.9)))
    ticket = engine.ask()
    assert ticket is not None
    assert ticket.node != 0


def test_dev_leaves_a_node_with_a_child_at_the_reward_threshold() -> None:
    engine = SearchTree(make_strategy("swe-search-dev", reward_threshold=60.0))
    engine.start("root", Estimate(0.5))
    ticket = engine.ask()
    assert ticket is not None
    engine.tell(ticket, Child("a", None, Estimate(0.8)))
    assert SweSearchDev(reward_threshold=60.0).score(engine.tree, engine.tree.root) is None


def test_softmax_draws_depend_on_the_seed_only() -> None:
    def picks(seed: int) -> list[int]:
        strategy = make_strategy("swe-search-dev", temperature=50.0)
        engine, rng, out = SearchTree(strategy, seed), random.Random(0), []
        engine.start("root", Estimate(0.5))
        for key in range(60):
            ticket = engine.ask()
            assert ticket is not None
            out.append(ticket.node)
            engine.tell(ticket, Child(key, None, Estimate(rng.random())))
        return out

    assert picks(1) == picks(1)
    assert picks(1) != picks(2)


def test_similarity_has_its_closed_form() -> None:
    a = {"x": FileFacts(frozenset("ab"), "one"), "y": FileFacts()}
    b = {"x": FileFacts(frozenset("bc"), "two")}
    ratio = difflib.SequenceMatcher(None, "one", "two").ratio()
    assert similarity(a, b) == pytest.approx(0.4 * 0.5 + 0.2 / 3 + 0.4 * ratio)
    assert similarity(a, a) == pytest.approx(1.0)
    assert similarity({"x": FileFacts()}, {"y": FileFacts()}) == pytest.approx(0.6)


TEXT = st.text(st.sampled_from("ab +-\n"), max_size=60)


@settings(deadline=None)
@given(TEXT, TEXT, st.integers(1, 5))
def test_the_ratio_of_two_patches_is_difflibs(a: str, b: str, times: int) -> None:
    a, b = a * times, b * times  # also beyond the length at which difflib drops characters
    expected = difflib.SequenceMatcher(None, a, b).ratio()
    found = similarity({"x": FileFacts(patch=a)}, {"x": FileFacts(patch=b)})
    assert found == pytest.approx(0.6 + 0.4 * expected)
