"""The expandable node of highest score anywhere in the tree: a heap that is mended lazily.

The formulas it is given are in `selectors` and `swe_search`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import Protocol

from meritree.search.tree import Node, SearchError, Tree

_Entry = tuple[float, int, int]  # - score (or - bound), node id, version
Sharpen = Callable[[Tree, Node], tuple[float, float, bool]]


class GlobalScorer(Protocol):
    """A formula that compares all nodes that may be expanded, wherever they are."""

    @property
    def reads_subtrees(self) -> bool:
        """Whether the formula reads `visits`, `value` or `best`."""

    def score(self, tree: Tree, node: Node) -> float | None:
        """The node's score, None if it is not eligible.

        An upper bound of it where the frontier is given a way to sharpen it. Either must hold
        until the node is named as changed.
        """

    def touched(self, tree: Tree, node: Node) -> Iterable[Node]:
        """Nodes, besides itself and its parent, whose scores a new `node` changes."""

    def visited(self, tree: Tree, node: Node) -> Iterable[Node]:
        """Nodes whose scores one more visit of `node` and all its ancestors changes."""


class Frontier:
    """The expandable node of highest global score; among equals the oldest.

    A heap with lazy deletion: a step marks the few nodes whose scores it changes as dirty, the
    next question scores those again. Entries of an older version are dropped when they surface
    and swept out when they outnumber the living. Where the heap holds upper bounds, those that
    surface are made sharp until a sharp one is the highest: the choice is exact, most scores are
    never computed.

    ``sharpen`` does a piece of work on a node and gives the lowest bound now, a bound that holds
    until the node is named as changed, and whether the first is the score itself.

    With ``temperature`` T > 0 a node is drawn with probability proportional to exp(score / T)
    instead, O(open nodes) a question.
    """

    virtual_loss = False

    def __init__(
        self,
        tree: Tree,
        scorer: GlobalScorer,
        *,
        seed: int = 0,
        temperature: float = 0.0,
        sharpen: Sharpen | None = None,
    ) -> None:
        self.reads_subtrees = scorer.reads_subtrees
        self._tree = tree
        self.scorer = scorer
        self._seed = seed
        self._temperature = temperature
        self._sharpen = sharpen
        self._heap: list[_Entry] = []
        self._dirty: list[Node] = []
        self._living = 0
        self._any_cut = False

    def next(self, ticket: int) -> Node | None:
        self._rescore()
        if self._temperature > 0.0:
            return self._draw(ticket)
        if self._sharpen is not None:
            return self._sharpest(self._sharpen)
        heap, nodes = self._heap, self._tree.raw
        while heap:
            node = nodes[heap[0][1]]
            if self._lives(heap[0], node):
                return node
            heappop(heap)
        return None

    def _sharpest(self, sharpen: Sharpen) -> Node | None:
        heap, tree = self._heap, self._tree
        nodes = tree.raw
        best: _Entry | None = None
        sharp: list[_Entry] = []
        while heap and (best is None or heap[0] < best):
            entry = heappop(heap)
            _, node_id, stamp = entry
            node = nodes[node_id]
            if not self._lives(entry, node):
                continue
            value, bound, exact = sharpen(tree, node)
            if not exact:
                heappush(heap, (-bound, node_id, stamp))
                continue
            sharp.append((-bound, node_id, stamp))
            candidate = (-value, node_id, stamp)
            if best is None or candidate < best:
                best = candidate
        for entry in sharp:
            heappush(heap, entry)
        return None if best is None else nodes[best[1]]

    def added(self, node: Node) -> None:
        self._mark(node)
        if node.parent >= 0:
            self._mark(self._tree.raw[node.parent])
        for other in self.scorer.touched(self._tree, node):
            self._mark(other)

    def visited(self, node: Node) -> None:
        for other in self.scorer.visited(self._tree, node):
            self._mark(other)

    def changed(self, node: Node) -> None:
        self._any_cut = self._any_cut or node.cut
        self._mark(node)

    def aliased(self, parent: Node) -> None:
        self._mark(parent)

    def _mark(self, node: Node) -> None:
        if not node.dirty:
            node.dirty = True
            self._dirty.append(node)

    def _rescore(self) -> None:
        tree, score, heap = self._tree, self.scorer.score, self._heap
        for node in self._dirty:
            node.dirty = False
            node.stamp += 1
            if node.expansions + node.pending < node.cap:
                value = score(tree, node)
                if value is None:
                    if node.parent < 0 and not node.children:
                        raise SearchError(
                            f"{type(self.scorer).__name__} scored the root as None, so that "
                            "nothing could be expanded; return a number (is a `return` missing?)"
                        )
                    continue
                if value != value:
                    raise SearchError(
                        f"{type(self.scorer).__name__} scored node {node.id} as nan; return a "
                        "number, or None where the node may not be expanded"
                    )
                heappush(heap, (-value, node.id, node.stamp))
        self._dirty.clear()
        if len(heap) > 2 * self._living + 1024:
            nodes = tree.raw
            heap[:] = [entry for entry in heap if entry[2] == nodes[entry[1]].stamp]
            heapify(heap)
            self._living = len(heap)

    def _lives(self, entry: _Entry, node: Node) -> bool:
        return entry[2] == node.stamp and not (self._any_cut and self._is_cut(node))

    def _draw(self, ticket: int) -> Node | None:
        tree, nodes = self._tree, self._tree.raw
        entries = sorted(
            (node_id, -negative if self._sharpen is None else self._exactly(tree, nodes[node_id]))
            for negative, node_id, stamp in self._heap
            if self._lives((negative, node_id, stamp), nodes[node_id])
        )
        if not entries:
            return None
        top = max(score for _, score in entries)
        weights = [
            1.0 if score == top else math.exp((score - top) / self._temperature)
            for _, score in entries
        ]
        # One generator per ticket: a resumed search needs no generator state.
        chosen = random.Random(f"{self._seed}:{ticket}").choices(entries, weights)
        return nodes[chosen[0][0]]

    def _exactly(self, tree: Tree, node: Node) -> float:
        assert self._sharpen is not None
        while True:
            value, _, exact = self._sharpen(tree, node)
            if exact:
                return value

    def _is_cut(self, node: Node) -> bool:
        """Whether an ancestor is decided, so that nothing below it matters."""
        nodes = self._tree.raw
        while node.parent >= 0:
            node = nodes[node.parent]
            if node.cut:
                return True
        return False
