"""Where the next expansion goes: by descent from the root, or from a frontier of all open nodes.

A scheduler keeps what must be known between two questions (which subtrees are open, which
scores are out of date); the formulas it asks for are in `selectors` and `swe_search`.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left, insort
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Protocol

from meritree.search.arms import Arms
from meritree.search.tree import Kind, Node, Tree
from meritree.search.widening import Widening

_OR = Kind.OR
_INF = math.inf


class Scheduler(Protocol):
    """Answers which node to expand next; is told of everything that may change the answer."""

    reads_subtrees: bool
    """Whether `visits`, `value` and `best` of inner nodes must be kept at each step."""
    virtual_loss: bool
    """Whether tickets must be counted (`Node.virtual`) on the path to the root."""

    def next(self, ticket: int) -> Node | None:
        """The node to expand now, None if there is none; `ticket` numbers the question."""

    def added(self, node: Node) -> None:
        """A new node (the root, or a child whose parent's ticket was answered by it)."""

    def changed(self, node: Node) -> None:
        """A node's `cap`, `pending` or `cut` changed."""

    def visited(self, node: Node) -> None:
        """The statistics of a node and of all its ancestors changed."""

    def aliased(self, parent: Node) -> None:
        """A node received an alias edge (`visited` was called before)."""


class DescentScorer(Protocol):
    """A formula that compares the children of one node: score = level + slope t."""

    def time(self, node: Node) -> float:
        """t, the same for all children of `node`."""

    def line(self, child: Node) -> tuple[float, float]:
        """Level and slope of a child; they change only with the child's own statistics."""

    def through(self, node: Node) -> Node:
        """Descend as far as nothing but the plain formula can matter; `node` itself is allowed.

        A short cut for speed: what it does must equal what `Descent.next` would do.
        """

    def widen(self, node: Node) -> float:
        """The score of trying the node's next proposal instead; a child wins a tie."""


FEW = 32
"""Open children up to which scoring them all is the fastest way."""


class Descent:
    """From the root, step into the best open child until the widen arm beats all children.

    A subtree in which nothing can be expanded now (terminal, exhausted, at its caps, or waiting
    for tickets) is absent from its parent's `open` list, so it costs nothing to skip; lists are
    mended along one path at most, O(depth). Nodes with many children keep them in `Arms`.

    At an AND node the weakest child matters, so children are compared by 1 - Q with a UCT bonus;
    a new subgoal is revealed before any known one is worked on.
    """

    reads_subtrees = True
    virtual_loss = True

    def __init__(self, tree: Tree, scorer: DescentScorer, widening: Widening) -> None:
        self._nodes = tree.raw
        self._scorer = scorer
        self._widening = widening
        self._arms: dict[int, Arms] = {}

    def next(self, ticket: int) -> Node | None:
        node = self._nodes[0]
        if not node.available:
            return None
        scorer, admits = self._scorer, self._widening.admits
        while True:
            node = scorer.through(node)
            if not node.open:
                return node
            bar = -_INF
            if node.expansions + node.pending < node.cap and admits(node):
                bar = scorer.widen(node) if node.kind is _OR else _INF
                if bar == _INF:
                    return node
            if node.kind is not _OR:
                top, child = _weakest(node)
            elif len(node.open) <= FEW:
                top, child = _highest(scorer, node)
            else:
                top, child = self._highest_of_many(node)
            if bar > top:
                return node
            node = child

    def _highest_of_many(self, node: Node) -> tuple[float, Node]:
        arms = self._arms.get(node.id)
        if arms is None:
            children = [self._nodes[i] for i in node.children]
            arms = self._arms[node.id] = Arms(children, self._scorer.line)
        return arms.best(self._scorer.time(node))

    def added(self, node: Node) -> None:
        if self._arms and node.parent in self._arms:
            self._arms[node.parent].add(node)
        if node.expansions + node.pending < node.cap:
            node.available = True
            self._enter(node)

    def changed(self, node: Node) -> None:
        free = node.expansions + node.pending < node.cap
        available = (free or bool(node.open)) and not node.cut
        if available is node.available:
            return
        node.available = available
        if available:
            self._enter(node)
        else:
            self._leave(node)

    def visited(self, node: Node) -> None:
        if not self._arms:
            return
        nodes, arms = self._nodes, self._arms
        while node.parent >= 0:
            if node.parent in arms:
                arms[node.parent].changed(node)
            node = nodes[node.parent]

    def aliased(self, parent: Node) -> None:
        self.changed(parent)

    def _enter(self, node: Node) -> None:
        nodes = self._nodes
        while node.parent >= 0:
            parent = nodes[node.parent]
            if not isinstance(parent.open, list):
                parent.open = [node]
            elif not parent.open or parent.open[-1].id < node.id:
                parent.open.append(node)
            else:
                insort(parent.open, node, key=_id)
            self._reopened(node)
            if parent.available or parent.cut:
                return
            parent.available = True
            node = parent

    def _leave(self, node: Node) -> None:
        nodes = self._nodes
        while node.parent >= 0:
            parent = nodes[node.parent]
            assert isinstance(parent.open, list)
            del parent.open[bisect_left(parent.open, node.id, key=_id)]
            self._reopened(node)
            if parent.open or parent.expandable or not parent.available:
                return
            parent.available = False
            node = parent

    def _reopened(self, child: Node) -> None:
        if self._arms and child.parent in self._arms:
            self._arms[child.parent].changed(child)


def _highest(scorer: DescentScorer, node: Node) -> tuple[float, Node]:
    """The open child with the highest level + slope t, the oldest among equals."""
    line, t = scorer.line, scorer.time(node)
    top, best = -_INF, node
    for child in node.open:
        level, slope = line(child)
        score = level + slope * t
        if score > top:
            top, best = score, child
    return top, best


def _weakest(node: Node) -> tuple[float, Node]:
    """(1 - Q) + sqrt(ln N / n): UCT for the child that holds an AND node back."""
    log_n = math.log(node.visits + node.virtual)
    scores = [
        1.0 - child.value + math.sqrt(log_n / (child.visits + child.virtual)) for child in node.open
    ]
    top = max(scores)
    return top, node.open[scores.index(top)]


def _id(node: Node) -> int:
    return node.id


class GlobalScorer(Protocol):
    """A formula that compares all nodes that may be expanded, wherever they are."""

    @property
    def reads_subtrees(self) -> bool:
        """Whether the formula reads `visits`, `value` or `best`."""

    def score(self, tree: Tree, node: Node) -> float | None:
        """The node's score, None if it is not eligible (in its present situation)."""

    def touched(self, tree: Tree, node: Node) -> Iterable[Node]:
        """Nodes, besides itself and its parent, whose scores a new `node` changes."""

    def visited(self, tree: Tree, node: Node) -> Iterable[Node]:
        """Nodes, besides itself, whose scores a visit to `node` (by an alias) changes."""


class Frontier:
    """The expandable node of highest global score; among equals the oldest.

    A heap with lazy deletion: a step marks the few nodes whose scores it changes as dirty, the
    next question scores those again. Entries of an older version are dropped when they surface
    and swept out when they outnumber the living.

    With ``temperature`` T > 0 a node is drawn with probability proportional to exp(score / T)
    instead, O(open nodes) a question.
    """

    virtual_loss = False

    def __init__(
        self, tree: Tree, scorer: GlobalScorer, *, seed: int = 0, temperature: float = 0.0
    ) -> None:
        self.reads_subtrees = scorer.reads_subtrees
        self._tree = tree
        self._scorer = scorer
        self._seed = seed
        self._temperature = temperature
        self._heap: list[tuple[float, int, int]] = []
        self._dirty: list[Node] = []
        self._living = 0
        self._any_cut = False

    def next(self, ticket: int) -> Node | None:
        self._rescore()
        heap, nodes = self._heap, self._tree.raw
        while heap:
            _, node_id, stamp = heap[0]
            node = nodes[node_id]
            if stamp == node.stamp and not self._is_cut(node):
                return self._draw(ticket) if self._temperature > 0.0 else node
            heappop(heap)
        return None

    def added(self, node: Node) -> None:
        self._mark(node)
        if node.parent >= 0:
            self._mark(self._tree.raw[node.parent])
        for other in self._scorer.touched(self._tree, node):
            self._mark(other)

    def visited(self, node: Node) -> None:
        """Nothing to do: `added` and `aliased` name the scores that a visit changes."""

    def changed(self, node: Node) -> None:
        self._any_cut = self._any_cut or node.cut
        self._mark(node)

    def aliased(self, parent: Node) -> None:
        self._mark(parent)
        for other in self._scorer.visited(self._tree, parent):
            self._mark(other)

    def _mark(self, node: Node) -> None:
        if not node.dirty:
            node.dirty = True
            self._dirty.append(node)

    def _rescore(self) -> None:
        tree, score, heap = self._tree, self._scorer.score, self._heap
        for node in self._dirty:
            node.dirty = False
            node.stamp += 1
            if node.expansions + node.pending < node.cap:
                value = score(tree, node)
                if value is not None:
                    heappush(heap, (-value, node.id, node.stamp))
        self._dirty.clear()
        if len(heap) > 2 * self._living + 1024:
            nodes = tree.raw
            heap[:] = [entry for entry in heap if entry[2] == nodes[entry[1]].stamp]
            heapify(heap)
            self._living = len(heap)

    def _draw(self, ticket: int) -> Node:
        nodes = self._tree.raw
        entries = sorted(
            (node_id, -negative)
            for negative, node_id, stamp in self._heap
            if stamp == nodes[node_id].stamp and not self._is_cut(nodes[node_id])
        )
        top = max(score for _, score in entries)
        weights = [
            1.0 if score == top else math.exp((score - top) / self._temperature)
            for _, score in entries
        ]
        # One generator per ticket: a resumed search needs no generator state.
        chosen = random.Random(f"{self._seed}:{ticket}").choices(entries, weights)
        return nodes[chosen[0][0]]

    def _is_cut(self, node: Node) -> bool:
        """Whether an ancestor is decided, so that nothing below it matters."""
        if not self._any_cut:
            return False
        nodes = self._tree.raw
        while node.parent >= 0:
            node = nodes[node.parent]
            if node.cut:
                return True
        return False
