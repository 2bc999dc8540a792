"""Where the next expansion goes: what a scheduler is, and the descent from the root.

A scheduler keeps what must be known between two questions (here: which subtrees are open); the
formulas it asks for are in `selectors`. The other great scheduler is in `frontier`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from typing import Protocol

from meritree.search.arms import Arms
from meritree.search.tree import Kind, Node, SearchError, Tree
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
                if bar is None:
                    raise SearchError(
                        f"{type(scorer).__name__}.widen gave None at node {node.id}; return a "
                        "number, -inf where the node may take no further child"
                    )
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
    if best is node:
        raise SearchError(
            f"{type(scorer).__name__} scored no open child of node {node.id} above -inf: its "
            "line() or time() gives nan or -inf; return finite numbers"
        )
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
