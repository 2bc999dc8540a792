"""The terms of a score sum to what the selector itself computes."""

from __future__ import annotations

import math
import random

import pytest

from meritree.search import STRATEGIES, Child, SearchTree, make_strategy
from meritree.search.features import FileFacts, SweFeatures
from meritree.search.frontier import Frontier
from meritree.search.root_share import RootShare
from meritree.search.scheduling import Descent
from meritree.search.terms import score_terms
from meritree.search.tree import Node
from meritree.value.estimate import Estimate

SETTINGS = [
    ("best-first", {}),
    ("best-first", {"prior_weight": 0.0}),
    ("best-first", {"path_prior": False, "tolerance": 0.0}),
    ("uct", {}),
    ("puct", {"mix": 0.3}),
    ("swe-search-paper", {}),
    ("swe-search-dev", {"reward_threshold": 90.0}),
    ("swe-search-moatless", {"depth_bonus": 2.0}),
    ("linear", {}),
    ("i-mcts", {}),
    ("i-mcts", {"c_v": 0.0, "c": 0.7}),
]


def grown(name: str, settings: dict[str, float], seed: int) -> SearchTree:
    """A tree of a random world with repeated states, unknown priors and all features."""
    rng = random.Random(seed)
    search = SearchTree(make_strategy(name, **settings), seed)
    search.start("root", Estimate(rng.random()))
    files: list[dict[str, FileFacts]] = [
        {},
        {"a.py": FileFacts(frozenset({"f"}), "+1")},
        {"a.py": FileFacts(frozenset({"f", "g"}), "+2")},
        {"b.py": FileFacts()},
    ]
    for _ in range(120):
        ticket = search.ask()
        if ticket is None:
            break
        key = f"state {rng.randrange(150)}"
        facts = SweFeatures(
            finished=rng.random() < 0.1,
            action_kind=rng.choice(["", "Edit", "RequestCodeChange"]),
            expects_correction=rng.random() < 0.3,
            files=rng.choice(files),
        )
        value = rng.choice([0.0, 0.1, 0.3, 0.77, 0.9, 1.0])
        following = rng.choice([None, 0.0, 0.2])
        child = Child(key, "x", Estimate(value), rng.random(), features=facts, next_prior=following)
        search.tell(ticket, child)
    return search


def own_score(search: SearchTree, node: Node) -> float | None:
    """What the search compares: as its scheduler computes it."""
    scheduler = search.scheduler
    if isinstance(scheduler, RootShare):
        scheduler = scheduler.inner
    if isinstance(scheduler, Frontier):
        scorer = scheduler.scorer
        sharpen = getattr(scorer, "sharpen", None)
        while sharpen is not None:
            value, _, exact = sharpen(search.tree, node)
            if exact:
                return value
        return scorer.score(search.tree, node)
    assert isinstance(scheduler, Descent)
    if node.parent < 0:
        return None
    rule = search.strategy.selector
    level, slope = rule.line(node)  # type: ignore[attr-defined]
    return level + slope * rule.time(search.tree.raw[node.parent])  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
@pytest.mark.parametrize("seed", range(4))
def test_the_terms_sum_to_the_selectors_own_score(
    name: str, settings: dict[str, float], seed: int
) -> None:
    search = grown(name, settings, seed)
    for node in search.tree.nodes:
        own, terms = own_score(search, node), score_terms(search, node.id)
        if own is None:
            assert terms == ()
            continue
        assert math.fsum(term.value for term in terms) == pytest.approx(own, rel=1e-12, abs=1e-9)


WITHOUT_SCORE = {
    "ab-mcts": "draws from posteriors",
    "best-of-n": "goes on with its chain",
    "guarded": "goes on with its chain, or leaves it",
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_named_strategy_explains_itself(name: str) -> None:
    search = grown(name, {}, 0)
    if name in WITHOUT_SCORE:
        assert not any(score_terms(search, node.id) for node in search.tree.nodes)
        return
    assert any(score_terms(search, node.id) for node in search.tree.nodes)
