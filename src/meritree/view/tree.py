"""A search tree as data for pictures: nodes, children, the path to the best node.

Built from rows of plain values; knows neither the engine nor the journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

_EMPTY: Mapping[str, str] = MappingProxyType({})
_NO_NUMBERS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One node of a search tree, as it is shown.

    Attributes:
        id: number in the order of making; the root has the smallest.
        parent: id of the parent, None for the root.
        label: what the action does, in words.
        value: its value in [0, 1].
        visits: how often the search went through it (at least 1).
        kind: ``root``, ``passed`` (its patch passes in the search), ``verified``, else what
            sort of action led here: ``edit``, ``view``, ``search``, ...
        channels: channel -> value in [0, 1].
        reasons: channel -> why, in words.
        action: short name of the action (an edit's template, a tool's name).
        place: where it acts (``path:line``), may be empty.
        observation: what came back, in words.
        diff: change against the parent as text, empty where none is known (yet).
        prior: the policy's probability of the action, None where unknown.
        at: candidate evaluations spent when it was judged.
        time: seconds since the run began.
        cost: what it cost: ``seconds``, ``tokens``, ``usd``, ...
    """

    id: int
    parent: int | None
    label: str
    value: float
    visits: int = 1
    kind: str = "edit"
    channels: Mapping[str, float] = field(default_factory=lambda: _NO_NUMBERS)
    reasons: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    action: str = ""
    place: str = ""
    observation: str = ""
    diff: str = ""
    prior: float | None = None
    at: int = 0
    time: float = 0.0
    cost: Mapping[str, float] = field(default_factory=lambda: _NO_NUMBERS)


@dataclass(frozen=True, slots=True)
class SearchTreeView:
    """Nodes by id, children in order of making, the root's id, what was left out.

    Attributes:
        nodes: id -> node.
        children: id -> ids of its children; leaves may be missing.
        best: ids from the root to the best node, both included; empty for an empty tree.
        left_out: how many nodes `most_visited` dropped.
    """

    nodes: Mapping[int, TreeNode]
    children: Mapping[int, tuple[int, ...]]
    best: tuple[int, ...]
    left_out: int = 0

    @property
    def root(self) -> TreeNode | None:
        """The root, None for an empty tree."""
        return self.nodes[self.best[0]] if self.best else None


def build_tree(
    nodes: Iterable[TreeNode],
    best: int | None = None,
    repeats: Mapping[int, int] = MappingProxyType({}),
) -> SearchTreeView:
    """Put nodes together; nodes whose parent is unknown are left out.

    Visits are counted here: a node's visits are at least the number of nodes below it plus 1,
    plus ``repeats``: how often an expansion of it led to a state already known.
    ``best`` names the best node; without it the one of the highest value is taken (the earliest
    on a tie).
    """
    known: dict[int, TreeNode] = {}
    for node in sorted(nodes, key=lambda node: node.id):
        if node.parent is None and not known:
            known[node.id] = replace(node, kind="root")
        elif node.parent in known and node.id not in known:
            known[node.id] = node
    below = {key: 1 + repeats.get(key, 0) for key in known}
    children: dict[int, list[int]] = {}
    for node in reversed(known.values()):
        if node.parent is not None:
            below[node.parent] += below[node.id]
            children.setdefault(node.parent, []).append(node.id)
    counted = {
        key: replace(node, visits=max(node.visits, below[key])) for key, node in known.items()
    }
    ordered = {key: tuple(reversed(ids)) for key, ids in children.items()}
    if best not in counted:
        best = max(counted, key=lambda key: (counted[key].value, -key), default=None)
    return SearchTreeView(counted, ordered, _path_to(counted, best))


def _path_to(nodes: Mapping[int, TreeNode], target: int | None) -> tuple[int, ...]:
    path: list[int] = []
    while target is not None:
        path.append(target)
        target = nodes[target].parent
    return tuple(reversed(path))


def most_visited(tree: SearchTreeView, limit: int) -> SearchTreeView:
    """The tree cut to about ``limit`` nodes: the best path, then the most visited.

    A kept node's ancestors are kept too (they are visited at least as often).
    """
    if len(tree.nodes) <= limit:
        return tree
    shown = {"verified": 2, "passed": 1}
    order = sorted(
        tree.nodes.values(),
        key=lambda node: (-shown.get(node.kind, 0), -node.visits, -node.value, node.id),
    )
    keep = set(tree.best)
    for node in order:
        if len(keep) >= limit:
            break
        step: int | None = node.id
        while step is not None and step not in keep:
            keep.add(step)
            step = tree.nodes[step].parent
    nodes = {key: node for key, node in tree.nodes.items() if key in keep}
    children = {
        key: tuple(child for child in ids if child in keep)
        for key, ids in tree.children.items()
        if key in keep
    }
    return SearchTreeView(nodes, children, tree.best, len(tree.nodes) - len(nodes))
