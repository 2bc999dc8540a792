"""Small stored trees, one a strategy: no change of the engine may move a single node unnoticed.

A wanted change is stored by running this file: ``python tests/search/test_golden.py``.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from meritree.search import (
    EXHAUSTED,
    STRATEGIES,
    Backup,
    Child,
    Discounted,
    Kind,
    Lehmer,
    Max,
    MaxExpansions,
    SearchTree,
    Strategy,
    make_strategy,
)
from meritree.search.features import FileFacts, SweFeatures
from meritree.search.selectors import UCT
from meritree.value.estimate import Estimate

STORED = Path(__file__).with_name("golden_trees.json")
STEPS = 90
PATCHES = ("+x = 1", "+x = 2", "-x = 1\n+x = 10", "")


def strategy(name: str) -> Strategy:
    """A named strategy, or UCT with another backup."""
    backups: dict[str, Backup] = {"max": Max(), "discounted": Discounted(0.9), "lehmer": Lehmer(3)}
    if name in STRATEGIES:
        return make_strategy(name)
    return Strategy(name, UCT(), backups[name.removeprefix("uct-")], MaxExpansions(3))


NAMES = (*STRATEGIES, "uct-max", "uct-discounted", "uct-lehmer", "uct-and-or")


def grow(name: str, workers: int) -> SearchTree:
    """A tree with terminal, exhausted, repeated and cancelled steps; facts for moatless."""
    mixed = name == "uct-and-or"
    engine, rng = SearchTree(strategy("uct" if mixed else name), seed=5), random.Random(11)
    engine.start("root", Estimate(0.4), next_prior=0.5, features=SweFeatures())
    out = []
    for step in range(STEPS):
        while len(out) < workers and (ticket := engine.ask()) is not None:
            out.append(ticket)
        if not out:
            break
        ticket = out.pop(rng.randrange(len(out)))
        made, draw = engine.tree.raw[ticket.node].expansions, rng.random()
        if draw < 0.04:
            engine.cancel(ticket)
        elif draw < 0.10 and ticket.node:
            engine.tell(ticket, EXHAUSTED)
        else:
            facts = SweFeatures(
                rng.choice(["View", "RequestCodeChange"]),
                expects_correction=rng.random() < 0.3,
                files={
                    rng.choice("ab"): FileFacts(frozenset(rng.choice("fg")), rng.choice(PATCHES))
                },
            )
            child = Child(
                rng.randrange(step + 1) if rng.random() < 0.05 else step,
                None,
                Estimate(round(rng.random(), 2)),
                0.5 * 0.8**made,
                terminal=rng.random() < 0.1,
                next_prior=0.5 * 0.8 ** (made + 1),
                kind=Kind.AND if mixed and rng.random() < 0.3 else Kind.OR,
                features=facts,
            )
            verdict = {0: mixed, 1: False, 2: False}.get(rng.randrange(60))
            engine.tell(ticket, child._replace(solved=verdict))
    for ticket in out:
        engine.cancel(ticket)
    return engine


def summary(name: str, workers: int) -> dict[str, Any]:
    """The parents of all nodes in order, and what was backed up."""
    tree = grow(name, workers).tree
    return {
        "parents": [node.parent for node in tree.nodes[1:]],
        "aliases": [[alias.parent, alias.target] for alias in tree.aliases],
        "visits": [node.visits for node in tree.nodes],
        "values": [round(node.value, 6) for node in tree.nodes],
        "solved": [node.id for node in tree.nodes if node.solved],
    }


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_tree_is_the_stored_one(name: str, workers: int) -> None:
    stored = json.loads(STORED.read_text(encoding="utf-8"))[f"{name}/{workers}"]
    found = summary(name, workers)
    assert found["parents"] == stored["parents"]
    assert found["values"] == pytest.approx(stored["values"], abs=2e-6)
    assert {**found, "values": 0} == {**stored, "values": 0}
    assert len(stored["parents"]) > 20


if __name__ == "__main__":
    trees = {f"{name}/{workers}": summary(name, workers) for name in NAMES for workers in (1, 3)}
    rows = (f" {json.dumps(key)}: {json.dumps(tree)}" for key, tree in trees.items())
    STORED.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
