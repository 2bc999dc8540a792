"""The best child of a node with very many children, without scoring them all.

UCT and PUCT have the form level + slope t, with t the same for all children and growing with
every visit of the parent. The upper envelope of such lines is kept by a kinetic tournament
(Basch, Guibas and Hershberger 1997): a binary tree of winners, each with the interval of t in
which it wins. A visit costs O(log children), and the winner is the one a full scan would find.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable

from meritree.search.tree import Node

Line = Callable[[Node], tuple[float, float]]

_INF = math.inf


class Arms:
    """A tournament of the children of one node, in the order in which they were told.

    Args:
        children: all children of the node so far, open or not.
        line: level and slope (>= 0) of a child's score at present.
    """

    __slots__ = (
        "_dirty",
        "_level",
        "_line",
        "_since",
        "_size",
        "_slope",
        "_until",
        "_win",
        "nodes",
    )

    def __init__(self, children: list[Node], line: Line) -> None:
        self.nodes = children
        self._line = line
        self._build()

    def add(self, child: Node) -> None:
        """A new youngest child."""
        self.nodes.append(child)
        if len(self.nodes) > self._size:
            self._build()
        else:
            self._dirty.add(child.id)

    def changed(self, child: Node) -> None:
        """A child's statistics changed, or whether it is open."""
        self._dirty.add(child.id)

    def best(self, t: float) -> tuple[float, Node]:
        """The open child of highest score, the oldest among equals; at least one must be open."""
        if self._dirty:
            self._update(t)
        if not self._since[1] <= t <= self._until[1]:
            self._refresh(1, t)
        winner = self._win[1]
        return self._level[winner] + self._slope[winner] * t, self.nodes[winner]

    def _build(self) -> None:
        size = 64
        while size < len(self.nodes):
            size *= 2
        self._size = size
        self._level = array("d", [-_INF]) * size
        self._slope = array("d", [0.0]) * size
        # Place 1 is the final, 2 k and 2 k + 1 play for place k, child i starts at size + i. An
        # empty interval says "not yet played".
        self._win = array("i", range(-size, size))
        self._since = array("d", [_INF]) * size + array("d", [-_INF]) * size
        self._until = array("d", [-_INF]) * size + array("d", [_INF]) * size
        self._dirty: set[int] = set()
        for place, child in enumerate(self.nodes):
            self._set(place, child)

    def _set(self, place: int, child: Node) -> None:
        level, slope = self._line(child) if child.available else (-_INF, 0.0)
        self._level[place] = level
        self._slope[place] = slope

    def _update(self, t: float) -> None:
        nodes = self.nodes
        for child_id in sorted(self._dirty):
            place = bisect_left(nodes, child_id, key=_id)
            self._set(place, nodes[place])
            match = (self._size + place) >> 1
            while match:
                self._play(match, t)
                match >>= 1
        self._dirty.clear()

    def _refresh(self, match: int, t: float) -> None:
        """Play the matches whose winner may be another at ``t``; log2(children) deep at most."""
        if self._since[match] <= t <= self._until[match]:
            return
        self._refresh(2 * match, t)
        self._refresh(2 * match + 1, t)
        self._play(match, t)

    def _play(self, match: int, t: float) -> None:
        """Note the winner at ``t`` and how long it stays so (if both sides were up to date)."""
        level, slope, since, until = self._level, self._slope, self._since, self._until
        one, other = 2 * match, 2 * match + 1
        winner, loser = self._win[one], self._win[other]
        if level[loser] + slope[loser] * t > level[winner] + slope[winner] * t:
            winner, loser = loser, winner
        self._win[match] = winner
        start = max(since[one], since[other])
        end = min(until[one], until[other])
        faster = slope[loser] - slope[winner]
        if faster and level[loser] != -_INF:
            meet = (level[winner] - level[loser]) / faster
            # Rounding must not hide that the other is already as good: look a little earlier.
            margin = 1e-15 * (1.0 + level[winner] + slope[winner] * abs(meet)) / abs(faster)
            if faster > 0.0:
                end = min(end, meet - margin)
            else:
                start = max(start, meet + margin)
        since[match], until[match] = start, end


def _id(node: Node) -> int:
    return node.id
