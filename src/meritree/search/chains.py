"""Independent chains one after the other, and a search that is held to them.

The second is the fallback rule of "never worse than best-of-n": it may only leave the chains for
a bounded share of the tickets, and only where the values stand out from their own noise.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from meritree.errors import BadInput
from meritree.search.frontier import Frontier
from meritree.search.scheduling import Scheduler
from meritree.search.selectors import BestFirst
from meritree.search.tree import Node, Tree
from meritree.search.widening import Widening
from meritree.value.sums import in_order


@dataclass(frozen=True, slots=True)
class Chains:
    """Go on from where the last step led; when the chain ends, again from the root. No value.

    A step that leads to a known state goes on from that state with its next proposal.
    """

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        return ChainSchedule(tree)


class ChainSchedule:
    """Where the present chain stands.

    Steps that somebody else took at the chain's state are followed before new ones are asked for,
    so a chain makes the same steps whether or not another schedule shares its tree.
    """

    reads_subtrees = False
    virtual_loss = False

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._at = 0
        self._led: dict[int, list[int]] = {}  # node -> where its expansions led, in order
        self._followed: dict[int, int] = {}  # node -> how many of them chains went along

    def next(self, ticket: int) -> Node | None:
        raw = self._tree.raw
        while True:
            led, followed = self._led.get(self._at, ()), self._followed.get(self._at, 0)
            node = raw[self._at]
            if followed < len(led):
                self._followed[self._at] = followed + 1
                self._at = led[followed]
            elif node.expandable and not node.cut:
                return node
            elif self._at == 0:
                return None
            else:
                self._at = 0

    def added(self, node: Node) -> None:
        if node.parent >= 0:
            self._led.setdefault(node.parent, []).append(node.id)

    def aliased(self, parent: Node) -> None:
        self._led.setdefault(parent.id, []).append(self._tree.aliases[-1].target)

    def changed(self, node: Node) -> None:
        """Nothing to remember: caps are read when asked."""

    def visited(self, node: Node) -> None:
        """Nothing to remember."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """Best-of-n's chains; at most ``share`` of the tickets go to a search, where it is confident.

    Confident: the state that ``search`` would expand is no root, and its value stands above the
    median of all values by ``margin`` and by more than the largest of n draws of noise is likely
    to, s (1 + sqrt(2 ln n)), with s the root mean square of the other values' distance above it.

    With proposals that depend on the state and on their number alone, and no depth limit:

    1. as long as nothing stands out, the tickets are best-of-n's, one by one;
    2. of the first t tickets at least t - floor(share t) go to the chains, which make best-of-n's
       steps: what best-of-n reaches with n tickets is reached with ceil(n / (1 - share)) at most.

    Never worse at the *same* number of tickets cannot be promised by any rule that leaves the
    chains at all: best-of-n may find its answer with its very last ticket.

    Attributes:
        share: in [0, 1).
        margin: > 0, on the scale of values.
        search: where to go instead.
    """

    share: float = 0.5
    margin: float = 0.02
    search: BestFirst = field(default_factory=lambda: BestFirst(0.03, 0.05, True))

    def __post_init__(self) -> None:
        if not 0.0 <= self.share < 1.0:
            raise BadInput(f"guarded share={self.share}: must lie in [0, 1)")
        if not 0.0 < self.margin < math.inf:
            raise BadInput(f"guarded margin={self.margin}: must be a finite number above 0")

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        return GuardedSchedule(tree, self)


class GuardedSchedule:
    """Takes turns by the ticket's number; keeps all values in order."""

    reads_subtrees = False
    virtual_loss = False

    def __init__(self, tree: Tree, rules: Guarded) -> None:
        self._rules = rules
        self._chains = ChainSchedule(tree)
        self._search = Frontier(tree, rules.search)
        self._values: list[float] = []  # of all states but the root, ascending

    def next(self, ticket: int) -> Node | None:
        share = self._rules.share
        if math.floor((ticket + 1) * share) > math.floor(ticket * share):
            node = self._search.next(ticket)
            if node is not None and node.parent >= 0 and self._stands_out(node.own):
                return node
        return self._chains.next(ticket)

    def _stands_out(self, value: float) -> bool:
        return stands_out(value, self._values, self._rules.margin)

    def added(self, node: Node) -> None:
        if node.parent >= 0:
            insort(self._values, node.own)
        self._chains.added(node)
        self._search.added(node)

    def aliased(self, parent: Node) -> None:
        self._chains.aliased(parent)
        self._search.aliased(parent)

    def changed(self, node: Node) -> None:
        self._search.changed(node)

    def visited(self, node: Node) -> None:
        self._search.visited(node)


def stands_out(value: float, ascending: Sequence[float], margin: float) -> bool:
    """Whether a value lies above the median of values (itself among them) beyond their noise."""
    n = len(ascending)
    median = ascending[(n - 1) // 2]
    gap = value - median
    if gap < margin:
        return False
    above = [one - median for one in ascending if one >= median]
    squares = in_order(one * one for one in above) - gap * gap
    noise = math.sqrt(max(0.0, squares) / max(1, len(above) - 1))
    return gap > noise * (1.0 + math.sqrt(2.0 * math.log(max(2, n))))
