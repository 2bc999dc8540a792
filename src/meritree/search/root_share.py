"""A schedule that reserves a share of the expansions for the root."""

from __future__ import annotations

import math

from meritree.search.scheduling import Scheduler
from meritree.search.tree import Node, Tree

HALF_WAY = 0.5
LATER = 0.5


class RootShare:
    """Every 1/share-th question is answered by the root, the others by another schedule.

    Once the state that the other schedule chooses has covered ``HALF_WAY`` of the root's way to
    the value 1, the root gets at most ``LATER``: such a state deserves second steps, others seldom
    do. A function of the tree and the ticket's number, so a resumed search takes the same turns.
    """

    def __init__(self, tree: Tree, inner: Scheduler, share: float) -> None:
        self._tree = tree
        self.inner = inner
        self._shares = (share, min(share, LATER))
        self.reads_subtrees = inner.reads_subtrees
        self.virtual_loss = inner.virtual_loss

    def next(self, ticket: int) -> Node | None:
        root, chosen = self._tree.raw[0], self.inner.next(ticket)
        gained = 0.0 if chosen is None else chosen.own - root.own
        share = self._shares[gained >= HALF_WAY * (1.0 - root.own)]
        turn = math.floor((ticket + 1) * share) > math.floor(ticket * share)
        return root if turn and root.expandable else chosen

    def added(self, node: Node) -> None:
        self.inner.added(node)

    def changed(self, node: Node) -> None:
        self.inner.changed(node)

    def aliased(self, node: Node) -> None:
        self.inner.aliased(node)

    def visited(self, node: Node) -> None:
        self.inner.visited(node)
