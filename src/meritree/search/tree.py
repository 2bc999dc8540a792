"""The search tree as data: nodes, aliases and how to read them.

Knows nothing of worlds, policies, selectors or journals: whoever grows the tree is in
`engine`, whoever decides where is in `selectors`.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, NamedTuple, Protocol

from meritree.errors import MeritreeError
from meritree.value.estimate import Estimate

UNLIMITED = sys.maxsize
"""The `cap` of a node that may get any number of children."""

ROOT_PARENT = -1
"""The parent id of the root."""


class SearchError(MeritreeError):
    """The engine was used against its contract (value out of range, unknown ticket, ...)."""


class Kind(Enum):
    """How a node's children combine: one solved child is enough (OR), or all are needed (AND)."""

    OR = "or"
    AND = "and"


class Node:
    """One state of the search, with the statistics of the subtree below it.

    Attributes:
        id: position in `Tree.nodes`; children always have larger ids than their parent.
        parent: id of the parent, `ROOT_PARENT` for the root.
        depth: edges from the root.
        key: identity of the state (equal keys are one node).
        kind: OR or AND.
        action: what led here from the parent; opaque to the engine.
        prior: the policy's probability of that action, >= 0.
        estimate: the judgement of this state alone, as it was told.
        own: `estimate.mean`, in [0, 1].
        next_prior: prior of this node's next untried proposal, None while unknown.
        features: facts about the state that a selector may read; opaque to the engine.
        terminal: the world ends here.
        children: ids of the children, in the order they were told.
        expansions: answered expansions: children plus aliases.
        cap: expansions at which the node takes no more (0 when terminal, exhausted, cut or
            too deep; `UNLIMITED` when nothing limits it).
        exhausted: the policy has no further proposal.
        cut: decided, so that nothing below it is worth a step (its subtree is skipped).
        solved: True solved, False failed, None undecided.
        decided: children (aliases included) that count towards `solved`: failed ones of an OR
            node, solved ones of an AND node; -1 when one child decided the node alone.
        visits: evaluations in the subtree, this node's own included; >= 1 (0 is possible only
            where the backup counts observations alone).
        total: sum of the values backed up, as the strategy's backup defines it.
        weight: second sum, used by the Lehmer mean only.
        best: best value backed up.
        value: the backed-up value that selectors read as Q, in [0, 1].
        pending: tickets out for this very node.
        virtual: tickets out in the subtree, this node's own included (descending selectors;
            a lone ticket is entered when the next question is asked).
        open: the children in whose subtree something can be expanded now, oldest first
            (descending selectors).
        available: something can be expanded now, here or (descending selectors) below.
        stamp: version of the node's entry in the frontier (global selectors).
        dirty: the frontier must score the node again (global selectors).
    """

    __slots__ = (
        "action",
        "available",
        "best",
        "cap",
        "children",
        "cut",
        "decided",
        "depth",
        "dirty",
        "estimate",
        "exhausted",
        "expansions",
        "features",
        "id",
        "key",
        "kind",
        "next_prior",
        "open",
        "own",
        "parent",
        "pending",
        "prior",
        "solved",
        "stamp",
        "terminal",
        "total",
        "value",
        "virtual",
        "visits",
        "weight",
    )

    def __init__(
        self,
        id: int,
        parent: int,
        depth: int,
        key: Hashable,
        estimate: Estimate,
        action: Any = None,
        prior: float = 1.0,
        kind: Kind = Kind.OR,
        terminal: bool = False,
        solved: bool | None = None,
        features: Any = None,
        cap: int = UNLIMITED,
        next_prior: float | None = None,
    ) -> None:
        own = estimate.mean
        self.id = id
        self.parent = parent
        self.depth = depth
        self.key = key
        self.estimate = estimate
        self.own = own
        self.action = action
        self.prior = prior
        self.next_prior = next_prior
        self.kind = kind
        self.terminal = terminal
        self.solved = solved
        self.features = features
        self.cap = cap
        # Most nodes are leaves: they get their lists with their first child.
        self.children: list[int] | tuple[()] = ()
        self.open: list[Node] | tuple[()] = ()
        self.expansions = 0
        self.exhausted = False
        self.cut = False
        self.decided = 0
        self.pending = 0
        self.virtual = 0
        self.available = False
        self.stamp = 0
        self.dirty = False
        self.visits = 1
        self.total = own
        self.weight = 0.0
        self.best = own
        self.value = own

    def __repr__(self) -> str:
        return (
            f"Node(id={self.id}, parent={self.parent}, depth={self.depth}, key={self.key!r}, "
            f"own={self.own:.4g}, value={self.value:.4g}, best={self.best:.4g}, "
            f"visits={self.visits}, expansions={self.expansions})"
        )

    @property
    def expandable(self) -> bool:
        """Another expansion of this very node may be asked for now."""
        return self.expansions + self.pending < self.cap


class Alias(NamedTuple):
    """An expansion that led to a state already in the tree.

    The edge exists only here: `target` keeps its one place in the tree and its statistics. The
    parent (and its ancestors) received one visit with `value`, the target's own estimate, as if
    the state were a leaf that happened to be known; nothing flows over the edge later, so no
    cycle can arise and nothing below the target counts twice.
    """

    parent: int
    target: int
    action: Any
    prior: float
    value: float


class Statistics(Protocol):
    """The part of a backup that rebuilds subtree statistics from scratch (see `backups`)."""

    counts_estimates: ClassVar[bool]

    def begin(self, node: Node) -> None: ...
    def fold(self, node: Node, value: float) -> float: ...
    def merge(self, parent: Node, child: Node) -> None: ...
    def finish(self, node: Node) -> None: ...


@dataclass(frozen=True, slots=True)
class TreeSize:
    """Counts for people and reports."""

    nodes: int
    aliases: int
    depth: int
    terminal: int
    exhausted: int


class Tree:
    """All nodes of one search in the order they were told.

    Selectors that look only at a node itself do not need subtree statistics at every step; for
    them the statistics are rebuilt when somebody reads (`settle`), in one pass over the nodes,
    so that a chain of depth d costs O(d) and not O(d^2). The result does not depend on when or
    how often one reads.
    """

    def __init__(self, backup: Statistics) -> None:
        self.raw: list[Node] = []
        """The nodes; subtree statistics may be stale. Everybody but the engine reads `nodes`."""
        self.aliases: list[Alias] = []
        self.stale = False
        self._backup = backup
        self.by_key: dict[Hashable, int] = {}
        """Id of the node with a key."""
        self._alias_targets: dict[int, list[int]] = {}
        self._alias_parents: dict[int, list[int]] = {}

    # ------------------------------------------------------------------ growing (engine only)

    def add(self, node: Node) -> None:
        """Append a node (its id must be the next one) and hang it below its parent."""
        raw, number, above = self.raw, node.id, node.parent
        raw.append(node)
        self.by_key[node.key] = number
        if above >= 0:
            parent = raw[above]
            parent.expansions += 1
            if isinstance(parent.children, list):
                parent.children.append(number)
            else:
                parent.children = [number]

    def add_alias(self, alias: Alias) -> None:
        """Record an expansion that led to a known state."""
        self.aliases.append(alias)
        self.raw[alias.parent].expansions += 1
        self._alias_targets.setdefault(alias.parent, []).append(alias.target)
        self._alias_parents.setdefault(alias.target, []).append(alias.parent)

    def settle(self) -> None:
        """Rebuild all subtree statistics if a step was taken since; O(nodes)."""
        if not self.stale:
            return
        backup, raw = self._backup, self.raw
        for node in raw:
            backup.begin(node)
        for alias in self.aliases:
            if backup.counts_estimates:
                parent = raw[alias.parent]
                parent.visits += 1
                backup.fold(parent, alias.value)
        for node in reversed(raw):
            backup.finish(node)
            if node.parent >= 0:
                backup.merge(raw[node.parent], node)
        self.stale = False

    # ------------------------------------------------------------------ reading

    @property
    def nodes(self) -> list[Node]:
        """All nodes with up-to-date statistics; ``nodes[i].id == i``."""
        self.settle()
        return self.raw

    @property
    def root(self) -> Node:
        """Node 0.

        Raises:
            SearchError: the search was not started.
        """
        if not self.raw:
            raise SearchError("the tree is empty: call start(key, estimate) first")
        return self.nodes[0]

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, node_id: int) -> Node:
        if not 0 <= node_id < len(self.raw):
            raise SearchError(f"no node {node_id}: the tree has nodes 0 to {len(self.raw) - 1}")
        return self.nodes[node_id]

    def find(self, key: Hashable) -> Node | None:
        """The node with this key, None if the state is not in the tree."""
        node_id = self.by_key.get(key)
        return None if node_id is None else self.raw[node_id]

    def path(self, node_id: int) -> list[Node]:
        """Nodes from the root to this one, both included."""
        nodes = self.nodes
        path = [self[node_id]]
        while path[-1].parent >= 0:
            path.append(nodes[path[-1].parent])
        return path[::-1]

    def children(self, node_id: int) -> list[Node]:
        """Children in the order they were told (aliases are in `aliases`)."""
        nodes = self.nodes
        return [nodes[i] for i in self[node_id].children]

    def alias_targets(self, parent: int) -> list[Node]:
        """Known nodes that expansions of this node led to again."""
        return [self.raw[i] for i in self._alias_targets.get(parent, ())]

    def alias_parents(self, target: int) -> list[int]:
        """Ids of the nodes with an alias edge to this one."""
        return self._alias_parents.get(target, [])

    def best(self) -> Node:
        """The node of highest own estimate; the oldest among equals."""
        if not self.raw:
            raise SearchError("the tree is empty: call start(key, estimate) first")
        return max(self.raw, key=lambda node: node.own)

    def walk(self) -> Iterator[Node]:
        """Depth first, children in the order told; iterative, any depth."""
        nodes = self.nodes
        stack = [0] if nodes else []
        while stack:
            node = nodes[stack.pop()]
            yield node
            stack.extend(reversed(node.children))

    def size(self) -> TreeSize:
        """Counts of the whole tree; O(nodes)."""
        return TreeSize(
            nodes=len(self.raw),
            aliases=len(self.aliases),
            depth=max((node.depth for node in self.raw), default=0),
            terminal=sum(node.terminal for node in self.raw),
            exhausted=sum(node.exhausted for node in self.raw),
        )

    def dump(self) -> dict[str, Any]:
        """The tree as plain data (JSON-able if keys and actions are): equal trees, equal dumps."""
        return {
            "nodes": [_row(node) for node in self.nodes],
            "aliases": [alias._asdict() for alias in self.aliases],
        }


def _row(node: Node) -> dict[str, Any]:
    return {
        "id": node.id,
        "parent": node.parent,
        "depth": node.depth,
        "key": node.key,
        "kind": node.kind.value,
        "action": node.action,
        "prior": node.prior,
        "next_prior": node.next_prior,
        "own": node.own,
        "visits": node.visits,
        "total": node.total,
        "best": node.best,
        "value": node.value,
        "terminal": node.terminal,
        "exhausted": node.exhausted,
        "solved": node.solved,
        "expansions": node.expansions,
        "virtual": node.virtual,
    }
