"""How far each judge (channel) of a run would have steered the search elsewhere.

Reads a tree view; the distances are `value.tree_distance`.
"""

from __future__ import annotations

from typing import NamedTuple

from meritree.value.tree_distance import tree_distance
from meritree.view.tree import SearchTreeView


class JudgeDistance(NamedTuple):
    """A channel and its STARC distance from the whole value, in [0, 1]."""

    channel: str
    distance: float
    meaning: str


def judge_distances(tree: SearchTreeView) -> list[JudgeDistance]:
    """Distance of every channel from the whole value over the nodes that have the channel.

    A channel is compared on the tree of the nodes it judged; a node whose parent it did not
    judge is left out. Nearest first; empty for a tree of fewer than three judged nodes.
    """
    names = dict.fromkeys(name for node in tree.nodes.values() for name in node.channels)
    found = []
    for name in names:
        place: dict[int, int] = {}
        parents: list[int | None] = []
        whole: list[float] = []
        own: list[float] = []
        for key in sorted(tree.nodes):
            node = tree.nodes[key]
            root = node.parent is None
            if not root and (name not in node.channels or node.parent not in place):
                continue
            place[key] = len(parents)
            parents.append(None if node.parent is None else place[node.parent])
            whole.append(node.value)
            # The code as it is has no channels: it stands where a judge has no reason to move.
            own.append(node.channels.get(name, 0.0))
        if len(parents) >= 3:
            distance = tree_distance(parents, whole, own)
            found.append(JudgeDistance(name, distance, _meaning(distance)))
    return sorted(found, key=lambda one: (one.distance, one.channel))


def _meaning(distance: float) -> str:
    if distance < 0.1:
        return "would have steered almost alike"
    if distance < 0.35:
        return "mostly the same way"
    if distance <= 0.65:
        return "hardly related"
    return "rather the opposite way"
