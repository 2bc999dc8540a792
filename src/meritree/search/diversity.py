"""How unlike the expanded states a state is: the diversity term of moatless-tree-search.

Exact as long as no more than ``sample`` states were expanded; from then on a uniform sample of
the expanded states stands for all of them (Vitter 1985, reservoir sampling), drawn from the seed.
A similarity costs far more than anything else in a search, so each is computed only when a
choice hangs on it.
"""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass

from meritree.search.features import SweFeatures, similarity
from meritree.search.tree import Node, Tree
from meritree.value.sums import in_order

_AT_ONCE = 8  # similarities between two looks at the frontier, measured to be fastest


@dataclass(slots=True)
class _Known:
    """What has been computed of one node.

    Attributes:
        likeness: similarity to each node of the sample by its place there; 0 where not computed.
        missing: places not computed yet, as bits. (A node's own place is skipped.)
        total: sum of ``likeness``.
    """

    likeness: array[float]
    missing: int
    total: float = 0.0

    def renew(self, place: int) -> bool:
        """Another node took this place of the sample; whether that changes ``total``."""
        self.missing |= 1 << place
        if not self.likeness[place]:
            return False
        self.likeness[place] = 0.0
        self.total = in_order(self.likeness)
        return True


class Diversity:
    """1 - mean similarity of a node to the expanded nodes other than itself; 1 if there is none."""

    def __init__(self, sample: int, seed: int) -> None:
        self._size = max(1, sample)
        self._random = random.Random(f"diversity:{seed}")
        self._sample: list[int] = []
        self._places: dict[int, int] = {}
        self._known: dict[int, _Known] = {}
        self._seen = 0

    def expanded(self, node: Node) -> list[int]:
        """Note that ``node`` got its first child; the other nodes whose `upper` rises by that.

        Nodes whose files are not known take no part: there is nothing to compare.
        """
        if not isinstance(node.features, SweFeatures) or not node.features.files:
            return []
        self._seen += 1
        place = len(self._sample)
        if place < self._size:
            self._sample.append(node.id)
            for known in self._known.values():
                known.likeness.append(0.0)
                known.missing |= 1 << place
            changed = list(self._known)
        else:
            place = self._random.randrange(self._seen)
            if place >= self._size:
                return []
            left = self._sample[place]
            del self._places[left]
            self._sample[place] = node.id
            changed = [n for n, known in self._known.items() if known.renew(place) or n == left]
        self._places[node.id] = place
        return changed

    def upper(self, node: Node) -> float:
        """An upper bound in [0, 1]: similarities not yet computed count as 0."""
        others = len(self._sample) - (node.id in self._places)
        known = self._known.get(node.id)
        return 1.0 - known.total / others if known is not None and others else 1.0

    def refine(self, tree: Tree, node: Node) -> bool:
        """Compute some more similarities; False if all are known now, so that `upper` is exact."""
        known = self._known.get(node.id)
        if known is None:
            size = len(self._sample)
            known = self._known[node.id] = _Known(array("d", [0.0]) * size, (1 << size) - 1)
        left = known.missing
        if not left:
            return False
        own, raw, mine = self._places.get(node.id), tree.raw, node.features.files
        sample, likeness = self._sample, known.likeness
        for _ in range(_AT_ONCE):
            bit = left & -left
            left ^= bit
            place = bit.bit_length() - 1
            if place != own:
                likeness[place] = similarity(mine, raw[sample[place]].features.files)
            if not left:
                break
        known.missing = left
        known.total = in_order(likeness)
        return left != 0

    def forget(self, node: Node) -> None:
        """The node takes no more children: what is known of it is not needed any more."""
        self._known.pop(node.id, None)
