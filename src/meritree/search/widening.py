"""How many children a node may have: a fixed number, one that grows with visits, or any.

`cap` is hard: a node that reached it is never expanded again. `admits` is soft: it only decides
between widening and descending, so a node with nothing open below may always widen up to `cap`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from meritree.errors import BadInput
from meritree.search.tree import UNLIMITED, Node


class Widening(Protocol):
    """Limits on the number of expansions of a node (aliases count: they were tried)."""

    def cap(self, depth: int) -> int:
        """Largest number of expansions of a node at this depth."""

    def admits(self, node: Node) -> bool:
        """Whether the node may widen although it could also descend."""

    def relaxed(self, cap: int) -> int:
        """The limit that takes the place of ``cap`` when all nodes are at their limits."""


@dataclass(frozen=True, slots=True)
class MaxExpansions:
    """At most k expansions of every node.

    Attributes:
        k: the limit, >= 1.
        root: another limit for the root (None: the same).
    """

    k: int = 3
    root: int | None = None

    def __post_init__(self) -> None:
        for name, limit in (("k", self.k), ("root", self.root)):
            if limit is not None and limit < 1:
                raise BadInput(f"max expansions {name}={limit}: must be at least 1")

    def cap(self, depth: int) -> int:
        return self.root if depth == 0 and self.root is not None else self.k

    def admits(self, node: Node) -> bool:
        return True

    def relaxed(self, cap: int) -> int:
        return cap


@dataclass(frozen=True, slots=True)
class Doubling:
    """At most k expansions of every node; when nothing is left within that, 2 k, 4 k, ...

    For algorithms that are defined with a small fixed number of children, where a comparison at
    equal budgets wants all of the budget used. Until the first doubling it is `MaxExpansions`.

    Attributes:
        k: the first limit, >= 1.
    """

    k: int = 3

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BadInput(f"max expansions k={self.k}: must be at least 1")

    def cap(self, depth: int) -> int:
        return self.k

    def admits(self, node: Node) -> bool:
        return True

    def relaxed(self, cap: int) -> int:
        return 2 * cap


@dataclass(frozen=True, slots=True)
class Progressive:
    """Children < k N^alpha, N the node's visits: progressive widening.

    Coulom (2007), "Computing Elo ratings of move patterns"; Couetoux et al. (2011), "Continuous
    upper confidence trees".

    Attributes:
        k: factor, >= 1 (so that a first child is always admitted).
        alpha: exponent in (0, 1].
    """

    k: float = 2.0
    alpha: float = 0.5

    def __post_init__(self) -> None:
        if self.k < 1.0:
            raise BadInput(f"progressive widening k={self.k}: must be at least 1")
        if not 0.0 < self.alpha <= 1.0:
            raise BadInput(f"progressive widening alpha={self.alpha}: must lie in (0, 1]")

    def cap(self, depth: int) -> int:
        return UNLIMITED

    def admits(self, node: Node) -> bool:
        limit: float = self.k * (node.visits + node.virtual) ** self.alpha
        return node.expansions + node.pending < limit

    def relaxed(self, cap: int) -> int:
        return cap


@dataclass(frozen=True, slots=True)
class Unlimited:
    """Any number of children: the selector's score of the widen arm decides alone."""

    def cap(self, depth: int) -> int:
        return UNLIMITED

    def admits(self, node: Node) -> bool:
        return True

    def relaxed(self, cap: int) -> int:
        return cap
