"""How unlike the expanded states a state is: the diversity term of moatless-tree-search.

Exact as long as no more than ``sample`` states were expanded; from then on a uniform sample of
the expanded states stands for all of them (Vitter 1985, reservoir sampling), drawn from the seed.
A similarity costs far more than anything else in a search, so each is computed only when a
choice hangs on it.
"""

from __future__ import annotations

import random
from array import array

from meritree.search.features import SweFeatures, similarity
from meritree.search.tree import Node, Tree

_UNKNOWN = -1.0


class Diversity:
    """1 - mean similarity of a node to the expanded nodes other than itself; 1 if there is none."""

    def __init__(self, sample: int, seed: int) -> None:
        self._size = max(1, sample)
        self._random = random.Random(f"diversity:{seed}")
        self._sample: list[int] = []
        self._places: dict[int, int] = {}
        self._known: dict[int, array[float]] = {}
        self._seen = 0

    def expanded(self, node: Node) -> bool:
        """Note that ``node`` got its first child; True if the sample (and all scores) changed.

        Nodes whose files are not known take no part: there is nothing to compare.
        """
        if not isinstance(node.features, SweFeatures) or not node.features.files:
            return False
        self._seen += 1
        place = len(self._sample)
        if place < self._size:
            self._sample.append(node.id)
            for known in self._known.values():
                known.append(_UNKNOWN)
        else:
            place = self._random.randrange(self._seen)
            if place >= self._size:
                return False
            del self._places[self._sample[place]]
            self._sample[place] = node.id
            for known in self._known.values():
                known[place] = _UNKNOWN
        self._places[node.id] = place
        return True

    def upper(self, node: Node) -> float:
        """An upper bound in [0, 1]: similarities not yet computed count as 0."""
        others = len(self._sample) - (node.id in self._places)
        if not others:
            return 1.0
        known = self._known.get(node.id)
        if known is None:
            return 1.0
        own = self._places.get(node.id)
        total = sum(
            likeness for place, likeness in enumerate(known) if likeness > 0.0 and place != own
        )
        return 1.0 - total / others

    def refine(self, tree: Tree, node: Node) -> bool:
        """Compute one more similarity; False if all are known, so that `upper` is exact."""
        known = self._known.get(node.id)
        if known is None:
            known = self._known[node.id] = array("d", [_UNKNOWN]) * len(self._sample)
        own = self._places.get(node.id)
        for place, likeness in enumerate(known):
            if likeness == _UNKNOWN and place != own:
                other = tree.raw[self._sample[place]]
                known[place] = similarity(node.features.files, other.features.files)
                return True
        return False

    def forget(self, node: Node) -> None:
        """The node takes no more children: what is known of it is not needed any more."""
        self._known.pop(node.id, None)
