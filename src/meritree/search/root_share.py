"""A schedule that reserves a share of the expansions for the root."""

from __future__ import annotations

import math

from meritree.search.scheduling import Scheduler
from meritree.search.tree import Node, Tree


class RootShare:
    """Every 1/share-th question is answered by the root, the others by another schedule.

    A function of the ticket's number alone, so a resumed search takes the same turns.
    """

    def __init__(self, tree: Tree, inner: Scheduler, share: float) -> None:
        self._tree = tree
        self.inner = inner
        self._share = share
        self.reads_subtrees = inner.reads_subtrees
        self.virtual_loss = inner.virtual_loss

    def next(self, ticket: int) -> Node | None:
        turn = math.floor((ticket + 1) * self._share) > math.floor(ticket * self._share)
        root = self._tree.raw[0]
        return root if turn and root.expandable else self.inner.next(ticket)

    def added(self, node: Node) -> None:
        self.inner.added(node)

    def changed(self, node: Node) -> None:
        self.inner.changed(node)

    def aliased(self, node: Node) -> None:
        self.inner.aliased(node)

    def visited(self, node: Node) -> None:
        self.inner.visited(node)
