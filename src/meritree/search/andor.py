"""AND/OR search: what subgoals make of each other, and which nodes are thereby decided.

An OR node is solved by one solved child; an AND node needs all of its children solved. Decisions
only ever go from open to decided, so they may flow over alias edges without danger of a cycle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from enum import Enum

from meritree.search.backups import Backup
from meritree.search.tree import Kind, Node, Tree


class Conjunction(Enum):
    """The value of an AND node from its children's values.

    PRODUCT treats subgoals as independent chances, MIN as a chain as strong as its weakest link.
    """

    PRODUCT = "product"
    MIN = "min"

    def combine(self, values: Iterable[float]) -> float:
        return math.prod(values) if self is Conjunction.PRODUCT else min(values, default=1.0)


def and_or_fold(
    tree: Tree, backup: Backup, conjunction: Conjunction
) -> Callable[[Node, float], float]:
    """The fold of a tree that holds AND nodes.

    An AND node is recomputed from its children's present values; subgoals not yet revealed count
    as 1 (an optimistic bound, as in AO*) and an alias counts with its target's present value.
    An OR node folds what comes up as ever, except that a backup which takes the best child
    (`Backup.best_child`) recomputes it too, because an AND child's value may fall.
    """
    nodes = tree.raw

    def fold(node: Node, value: float) -> float:
        if node.kind is Kind.OR and not backup.best_child:
            return backup.fold(node, value)
        parts = [nodes[i] for i in node.children] + tree.alias_targets(node.id)
        combine = max if node.kind is Kind.OR else conjunction.combine
        node.value = combine(part.value for part in parts)
        node.best = combine(part.best for part in parts)
        node.total = node.value * node.visits
        return node.value

    return fold


class Decisions:
    """Spreads solved and failed from the leaves to the root; iterative, each node once."""

    def __init__(self, tree: Tree, close_solved: bool, on_change: Callable[[Node], None]) -> None:
        self._tree = tree
        self._close_solved = close_solved
        self._on_change = on_change

    def reconsider(self, node: Node) -> None:
        """Decide ``node`` if its children now decide it, then its parents, and so on."""
        undecided = [node]
        while undecided:
            candidate = undecided.pop()
            if candidate.solved is None:
                verdict = _verdict(candidate)
                if verdict is not None:
                    candidate.solved = verdict
                    undecided.extend(self._announce(candidate))

    def told(self, node: Node) -> None:
        """A node arrived that was decided when it was told."""
        for parent in self._announce(node):
            self.reconsider(parent)

    def aliased(self, parent: Node, target: Node) -> None:
        """``parent`` received an alias edge to ``target``."""
        if target.solved is not None:
            _count(parent, target)
            self.reconsider(parent)

    def _announce(self, node: Node) -> list[Node]:
        """Count a newly decided node with all its parents; return those parents."""
        tree = self._tree
        if node.solved is False or self._close_solved:
            node.cut = True
            node.cap = 0
            self._on_change(node)
        parents = [tree.raw[i] for i in tree.alias_parents(node.id)]
        if node.parent >= 0:
            parents.append(tree.raw[node.parent])
        for parent in parents:
            _count(parent, node)
        return parents


def _count(parent: Node, child: Node) -> None:
    """One more decided child; a child that decides alone settles its parent at once."""
    if child.solved is (parent.kind is Kind.OR):
        parent.decided = -1  # a solved child of OR, a failed child of AND
    elif parent.decided >= 0:
        parent.decided += 1


def _verdict(node: Node) -> bool | None:
    if node.decided < 0:
        return node.kind is Kind.OR
    if node.exhausted and node.pending == 0 and node.decided == node.expansions:
        return node.kind is Kind.AND
    return None
