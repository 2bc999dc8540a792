"""How unlike the expanded states a state is: the diversity term of moatless-tree-search.

Exact as long as no more than ``sample`` states were expanded; from then on a uniform sample of
the expanded states stands for all of them (Vitter 1985, reservoir sampling), drawn from the seed.
"""

from __future__ import annotations

import random

from meritree.search.features import SweFeatures, similarity
from meritree.search.tree import Node, Tree


class Diversity:
    """1 - mean similarity of a node to the expanded nodes other than itself; 1 if there is none."""

    def __init__(self, sample: int, seed: int) -> None:
        self._size = max(1, sample)
        self._random = random.Random(f"diversity:{seed}")
        self._sample: list[int] = []
        self._known: list[dict[int, float]] = []
        self._seen = 0

    def expanded(self, node: Node) -> bool:
        """Note that ``node`` got its first child; True if the sample (and all scores) changed.

        Nodes whose files are not known take no part: there is nothing to compare.
        """
        if not isinstance(node.features, SweFeatures) or not node.features.files:
            return False
        self._seen += 1
        if len(self._sample) < self._size:
            self._sample.append(node.id)
            self._known.append({})
            return True
        place = self._random.randrange(self._seen)
        if place >= self._size:
            return False
        self._sample[place] = node.id
        self._known[place] = {}
        return True

    def of(self, tree: Tree, node: Node) -> float:
        """In [0, 1]."""
        total, count = 0.0, 0
        for other, known in zip(self._sample, self._known, strict=True):
            if other == node.id:
                continue
            count += 1
            likeness = known.get(node.id)
            if likeness is None:
                likeness = similarity(node.features.files, tree.raw[other].features.files)
                known[node.id] = likeness
            total += likeness
        return 1.0 - total / count if count else 1.0
