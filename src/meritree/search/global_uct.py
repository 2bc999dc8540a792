"""The selector of I-MCTS: UCT over all nodes of the tree, with a prior that gives way to evidence.

Knows no judge: the prior is a number that stands in the node's estimate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from meritree.errors import BadInput
from meritree.search.frontier import Frontier
from meritree.search.scheduling import Scheduler
from meritree.search.swe_search import later, outgrown
from meritree.search.tree import Node, Tree
from meritree.search.widening import Widening
from meritree.value.combine import visit_schedule

_BITS = 1  # significant bits of `later`
TINY = 1e-6  # as in the released code: no log of 0


@dataclass(frozen=True, slots=True)
class GlobalUct:
    """q(s) + c sqrt(ln(N(parent) + 1e-6) / max(N(s), c_v)), compared over the whole tree.

    q = w prior + (1 - w) W/N with w = c_v / (N + c_v): Liang et al. (2025), "I-MCTS", arXiv
    2502.14693, in the form of the released code (jokieleung/I-MCTS, `search_algorithm.py`); there
    is no descent from the root. With c_v = 0 the prior weighs nothing: UCT, an unvisited node
    first. N(parent) of the root counts as 1, as in `SweSearchPaper` (the released code leaves the
    root out). A ticket that is out counts as a visit of value 0.

    Attributes:
        c: exploration constant, >= 0.
        c_v: how many visits the prior is worth, >= 0.
        batch: children that are made together: an expansion once begun is finished first.
        channel: channel of the estimate that is the prior; where it is absent, or for "", the
            estimate's mean.
    """

    c: float = 2.0
    c_v: float = 0.2
    batch: int = 1
    channel: str = ""

    reads_subtrees: ClassVar[bool] = True
    takes_unvisited: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, number in (("c", self.c), ("c_v", self.c_v)):
            if not 0.0 <= number < math.inf:
                raise BadInput(f"GlobalUct {name}={number}: must be a finite number >= 0")
        if self.batch < 1:
            raise BadInput(f"GlobalUct batch={self.batch}: must be at least 1")

    def prior(self, node: Node) -> float:
        """What the judge said of the node."""
        return node.estimate.channels.get(self.channel, node.own)

    def hybrid(self, node: Node) -> float:
        """q."""
        n = node.visits + node.pending
        evidence = node.value * node.visits / n if n else 0.0
        q: float = visit_schedule(self.prior(node), evidence, n, self.c_v)
        return q

    def score(self, tree: Tree, node: Node) -> float:
        """A bound: N(parent) is taken `later`."""
        above = tree.raw[node.parent].visits if node.parent >= 0 else 0
        return self._with(node, later(above, _BITS))

    def sharpen(self, tree: Tree, node: Node) -> tuple[float, float, bool]:
        now = self._with(node, tree.raw[node.parent].visits if node.parent >= 0 else 1)
        return now, self.score(tree, node), True

    def _with(self, node: Node, parent_visits: int) -> float:
        if (node.expansions + node.pending) % self.batch:
            return math.inf
        weight = max(float(node.visits + node.pending), self.c_v)
        if weight == 0.0:
            return math.inf
        log = max(0.0, math.log(parent_visits + TINY))
        return self.hybrid(node) + self.c * math.sqrt(log / weight)

    def touched(self, tree: Tree, node: Node) -> Iterable[Node]:
        return ()

    def visited(self, tree: Tree, node: Node) -> Iterable[Node]:
        yield from outgrown(tree, node, _BITS)
        raw = tree.raw
        while True:  # q and N of the path itself
            if node.expansions < node.cap:
                yield node
            if node.parent < 0:
                return
            node = raw[node.parent]

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        return Frontier(tree, self, sharpen=self.sharpen)
