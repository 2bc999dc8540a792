"""A selector of one's own that gives no number is named, not believed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from meritree.search import Child, MaxExpansions, Mean, SearchTree, Strategy
from meritree.search.frontier import Frontier
from meritree.search.scheduling import Descent, Scheduler
from meritree.search.tree import Node, SearchError, Tree
from meritree.search.widening import Widening
from meritree.value.estimate import Estimate


@dataclass(frozen=True)
class Everywhere:
    """Compares all nodes."""

    score_of_all: float
    reads_subtrees = False

    def score(self, tree: Tree, node: Node) -> float:
        return self.score_of_all

    def touched(self, tree: Tree, node: Node) -> tuple[Node, ...]:
        return ()

    visited = touched

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        return Frontier(tree, self)


@dataclass(frozen=True)
class Downwards:
    """Walks from the root down."""

    level: float

    def time(self, node: Node) -> float:
        return 1.0

    def line(self, child: Node) -> tuple[float, float]:
        return self.level, 0.0

    def through(self, node: Node) -> Node:
        return node

    def widen(self, node: Node) -> float:
        return math.inf

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        return Descent(tree, self, widening)


def grow(selector: Everywhere | Downwards, nodes: int) -> SearchTree:
    engine = SearchTree(Strategy("own", selector, Mean(), MaxExpansions(2)))
    engine.start(0, Estimate(0.5))
    for number in range(1, nodes):
        ticket = engine.ask()
        assert ticket is not None
        engine.tell(ticket, Child(number, None, Estimate(0.5), 0.5))
    return engine


@pytest.mark.parametrize("selector", [Everywhere(math.nan), Downwards(math.nan)])
def test_nan_is_refused_and_its_source_named(selector: Everywhere | Downwards) -> None:
    with pytest.raises(SearchError, match=rf"{type(selector).__name__}.* node 0.*nan"):
        grow(selector, 8)


@dataclass(frozen=True)
class Nowhere(Downwards):
    """Whose methods forget to return something."""

    forgets: str = "bind"

    def widen(self, node: Node) -> float:
        return None if self.forgets == "widen" else 0.0  # type: ignore[return-value]

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        if self.forgets == "bind":
            return None  # type: ignore[return-value]
        return Downwards.bind(self, tree, widening, seed)


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        (Everywhere(None), "Everywhere scored the root as None"),  # type: ignore[arg-type]
        (Nowhere(0.0), r"Nowhere\.bind gave None; return a scheduler"),
        (Nowhere(0.0, "widen"), r"Nowhere\.widen gave None at node 0"),
    ],
)
def test_none_is_refused_and_its_source_named(selector: Everywhere | Downwards, said: str) -> None:
    with pytest.raises(SearchError, match=said):
        grow(selector, 8)


@pytest.mark.parametrize("selector", [Everywhere(-1e300), Downwards(-1e300)])
def test_any_number_will_do(selector: Everywhere | Downwards) -> None:
    assert len(grow(selector, 8).tree) == 8
