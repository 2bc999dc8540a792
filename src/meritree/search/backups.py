"""What a node learns from the values found below it: mean, max, discounted, Lehmer mean.

Each backup is a few lines of arithmetic on one node; walking the path is the engine's work.
All are incremental, O(1) a node, and can rebuild their sums from scratch (`begin`, `merge`,
`finish`) with the same meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from meritree.errors import BadInput
from meritree.search.tree import Node


class Backup(Protocol):
    """How the values of a subtree become the node's `value`.

    The engine has already counted the visit when it calls `fold`.
    """

    best_child: ClassVar[bool]
    """The value is that of the best child, and must be recomputed if a child's value can fall."""
    counts_estimates: ClassVar[bool]
    """A new node's estimate is a visit; else only what `SearchTree.observe` is told is one."""

    def begin(self, node: Node) -> None:
        """Set a node's sums to its own estimate alone (one visit)."""

    def fold(self, node: Node, value: float) -> float:
        """Take in a value found just below `node`; return what the node's parent is to take in."""

    def climb(self, nodes: list[Node], node: Node, value: float) -> None:
        """Count a visit and `fold` at `node` and all its ancestors."""

    def merge(self, parent: Node, child: Node) -> None:
        """Add a child's finished sums, visits included, to its parent's."""

    def finish(self, node: Node) -> None:
        """Set `node.value` from the sums."""


def _begin(node: Node) -> None:
    own = node.own
    node.visits = 1
    node.total = own
    node.best = own
    node.value = own


def climb(backup: Backup, nodes: list[Node], node: Node, value: float) -> None:
    """The ordinary `Backup.climb`."""
    fold = backup.fold
    while True:
        node.visits += 1
        value = fold(node, value)
        above = node.parent
        if above < 0:
            return
        node = nodes[above]


@dataclass(frozen=True, slots=True)
class Mean:
    """Q = (1/N) sum of all own estimates in the subtree, the node's own included.

    The ordinary Monte-Carlo backup (Kocsis and Szepesvari 2006).
    """

    best_child: ClassVar[bool] = False
    counts_estimates: ClassVar[bool] = True

    def begin(self, node: Node) -> None:
        _begin(node)

    def fold(self, node: Node, value: float) -> float:
        node.total = total = node.total + value
        if value > node.best:
            node.best = value
        node.value = total / node.visits
        return value

    def climb(self, nodes: list[Node], node: Node, value: float) -> None:
        while True:  # `fold`, written out for speed: this is the inner loop of UCT
            node.visits = visits = node.visits + 1
            node.total = total = node.total + value
            node.value = total / visits
            if value > node.best:
                node.best = value
            above = node.parent
            if above < 0:
                return
            node = nodes[above]

    def merge(self, parent: Node, child: Node) -> None:
        parent.visits += child.visits
        parent.total += child.total
        if child.best > parent.best:
            parent.best = child.best

    def finish(self, node: Node) -> None:
        node.value = node.total / node.visits


@dataclass(frozen=True, slots=True)
class Max:
    """Q = largest own estimate in the subtree: what the best continuation found so far is worth.

    Right when the world is deterministic and only the best state counts.
    """

    best_child: ClassVar[bool] = True
    counts_estimates: ClassVar[bool] = True

    def begin(self, node: Node) -> None:
        _begin(node)

    def fold(self, node: Node, value: float) -> float:
        node.total += value
        if value > node.best:
            node.best = node.value = value
        return value

    def climb(self, nodes: list[Node], node: Node, value: float) -> None:
        climb(self, nodes, node, value)

    def merge(self, parent: Node, child: Node) -> None:
        parent.visits += child.visits
        parent.total += child.total
        if child.best > parent.best:
            parent.best = child.best

    def finish(self, node: Node) -> None:
        node.value = node.best


@dataclass(frozen=True, slots=True)
class Discounted:
    """Q = (1/N) sum of gamma^k v over the subtree, k the number of edges down to the estimate v.

    `best` is discounted alike. A discount replaces hand-made depth terms: found deeper is worth
    less.

    Attributes:
        gamma: in (0, 1]; 1 is the plain mean.
    """

    best_child: ClassVar[bool] = False
    counts_estimates: ClassVar[bool] = True
    gamma: float = 0.95

    def __post_init__(self) -> None:
        if not 0.0 < self.gamma <= 1.0:
            raise BadInput(f"discount gamma={self.gamma}: must lie in (0, 1]")

    def begin(self, node: Node) -> None:
        _begin(node)

    def fold(self, node: Node, value: float) -> float:
        value *= self.gamma
        node.total = total = node.total + value
        if value > node.best:
            node.best = value
        node.value = total / node.visits
        return value

    def climb(self, nodes: list[Node], node: Node, value: float) -> None:
        climb(self, nodes, node, value)

    def merge(self, parent: Node, child: Node) -> None:
        parent.visits += child.visits
        parent.total += self.gamma * child.total
        if self.gamma * child.best > parent.best:
            parent.best = self.gamma * child.best

    def finish(self, node: Node) -> None:
        node.value = node.total / node.visits


@dataclass(frozen=True, slots=True)
class Lehmer:
    """Q = sum v^p / sum v^(p-1) over the subtree's own estimates: from mean (p = 1) to max.

    The Lehmer mean weighs every value by its own (p-1)-th power: p = 2 is the contraharmonic
    mean, p -> infinity the maximum. A subtree of zeros has value 0.

    Attributes:
        p: >= 1.
    """

    best_child: ClassVar[bool] = False
    counts_estimates: ClassVar[bool] = True
    p: float = 2.0

    def __post_init__(self) -> None:
        if not 1.0 <= self.p < float("inf"):
            raise BadInput(f"Lehmer mean p={self.p}: must be finite and at least 1 (1 is the mean)")

    def begin(self, node: Node) -> None:
        own = node.own
        node.visits = 1
        node.weight = own ** (self.p - 1.0)
        node.total = own * node.weight
        node.best = own
        node.value = own

    def fold(self, node: Node, value: float) -> float:
        weight = value ** (self.p - 1.0)
        node.total += value * weight
        node.weight += weight
        if value > node.best:
            node.best = value
        self.finish(node)
        return value

    def climb(self, nodes: list[Node], node: Node, value: float) -> None:
        climb(self, nodes, node, value)

    def merge(self, parent: Node, child: Node) -> None:
        parent.visits += child.visits
        parent.total += child.total
        parent.weight += child.weight
        if child.best > parent.best:
            parent.best = child.best

    def finish(self, node: Node) -> None:
        node.value = node.total / node.weight if node.weight > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class Observed:
    """Q = W / N over what was observed in the subtree; a node's own estimate is a prior only.

    For searches that propose more states than they can afford to try (I-MCTS): a new node has
    no visit until `SearchTree.observe` tells what trying it gave. Until then its `value` is the
    prior. Selectors must take unvisited nodes (`GlobalUct` does).
    """

    best_child: ClassVar[bool] = False
    counts_estimates: ClassVar[bool] = False

    def begin(self, node: Node) -> None:
        node.visits = 0
        node.total = 0.0
        node.best = 0.0
        node.value = node.own

    def fold(self, node: Node, value: float) -> float:
        node.total += value
        node.best = max(node.best, value)
        node.value = node.total / node.visits
        return value

    def climb(self, nodes: list[Node], node: Node, value: float) -> None:
        climb(self, nodes, node, value)

    def merge(self, parent: Node, child: Node) -> None:
        parent.visits += child.visits
        parent.total += child.total
        parent.best = max(parent.best, child.best)

    def finish(self, node: Node) -> None:
        if node.visits:
            node.value = node.total / node.visits
