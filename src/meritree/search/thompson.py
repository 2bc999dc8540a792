"""Wider or deeper by Thompson sampling: AB-MCTS-A, beside its formula.

Inoue et al. (2025), "Wider or deeper? Scaling LLM inference-time compute with adaptive branching
tree search" (arXiv 2503.04412), in the form of its code, TreeQuest. Knows no world and no policy.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import NamedTuple

from meritree.errors import BadInput
from meritree.search.scheduling import Descent
from meritree.search.selectors import PUCT
from meritree.search.tree import Kind, Node, Tree
from meritree.search.widening import Widening


class Sums(NamedTuple):
    """How many values, their sum and the sum of their squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def plus(self, value: float) -> Sums:
        """With one more value."""
        return Sums(self.n + 1, self.total + value, self.squares + value * value)

    def minus(self, other: Sums) -> Sums:
        """Without those of another; never below nothing."""
        return Sums(
            self.n - other.n, self.total - other.total, max(0.0, self.squares - other.squares)
        )


@dataclass(frozen=True, slots=True)
class Posterior:
    """Normal-inverse-gamma prior (m, kappa, nu, tau2) of a mean; `draw` samples it given values.

    kappa_n = kappa + n, nu_n = nu + n, m_n = (kappa m + sum r) / kappa_n,
    nu_n tau2_n = nu tau2 + sum (r - r_mean)^2 + n kappa (m - r_mean)^2 / kappa_n;
    sigma2 ~ InvGamma(nu_n / 2, nu_n tau2_n / 2), mu ~ Normal(m_n, sigma2 / kappa_n).

    Attributes:
        m: prior mean of the values.
        kappa: how many values it counts for, > 0.
        nu: how many values the prior variance counts for, > 0.
        tau2: prior variance, > 0.
    """

    m: float = 0.0
    kappa: float = 1.0
    nu: float = 1.0
    tau2: float = 0.1

    def __post_init__(self) -> None:
        for name in ("kappa", "nu", "tau2"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise BadInput(f"Thompson prior {name}={getattr(self, name)}: must be above 0")

    def given(self, seen: Sums) -> Posterior:
        """The posterior after values with these sums."""
        if not seen.n:
            return self
        mean = seen.total / seen.n
        spread = max(0.0, seen.squares - seen.n * mean * mean)
        kappa, nu = self.kappa + seen.n, self.nu + seen.n
        far = seen.n * self.kappa * (self.m - mean) ** 2 / kappa
        tau2 = (self.nu * self.tau2 + spread + far) / nu
        return Posterior((self.kappa * self.m + seen.total) / kappa, kappa, nu, tau2)

    def draw(self, rng: random.Random) -> float:
        """A sample of the mean."""
        sigma2 = 0.5 * self.nu * self.tau2 / rng.gammavariate(0.5 * self.nu, 1.0)
        return rng.gauss(self.m, math.sqrt(sigma2 / self.kappa))


@dataclass(frozen=True, slots=True)
class AbMcts:
    """From the root: sample GEN and CONT; GEN wins: a new child here; else the child sampled best.

    GEN's values are those of the node's children when they were made, CONT's those of everything
    below the children, a child's those of its whole subtree (its own included). Each has the
    posterior of `Posterior`. A node without children takes one; what cannot be expanded now has
    no part in the draw. A proposal that led to a known state counts as a child with its value.

    Draws depend on the seed and the ticket's number alone. Tickets that are out are not seen:
    parallel workers differ by their draws. O(open children on the path) a question.
    """

    prior: Posterior = field(default_factory=Posterior)

    def bind(self, tree: Tree, widening: Widening, seed: int) -> ThompsonDescent:
        return ThompsonDescent(tree, self.prior, widening, seed)


class ThompsonDescent:
    """The memory of `AbMcts` for one tree: sums of values by node, and which subtrees are open."""

    reads_subtrees = True  # for AND nodes, where the weakest child is followed
    virtual_loss = False

    def __init__(self, tree: Tree, prior: Posterior, widening: Widening, seed: int) -> None:
        self._tree = tree
        self._prior = prior
        self._widening = widening
        self._seed = seed
        self._below: list[Sums] = []  # by node: values of its subtree, its own included
        self._made: list[Sums] = []  # by node: values of its children when they were made
        self._paths = Descent(tree, PUCT(), widening)  # knows which subtrees are open

    def next(self, ticket: int) -> Node | None:
        node = self._tree.raw[0]
        if not node.available:
            return None
        rng = random.Random(f"{self._seed}:{ticket}")
        while True:
            may_widen = node.expansions + node.pending < node.cap
            if not node.open:
                return node
            if node.kind is not Kind.OR:
                if may_widen:
                    return node
                node = min(node.open, key=lambda child: (child.value, child.id))
                continue
            may_widen = may_widen and self._widening.admits(node)
            if may_widen and self._wider(node, rng):
                return node
            node = max(node.open, key=lambda c: self._prior.given(self._below[c.id]).draw(rng))

    def _wider(self, node: Node, rng: random.Random) -> bool:
        made = self._made[node.id]
        deeper = self._below[node.id].minus(made).minus(Sums().plus(node.own))
        return self._prior.given(made).draw(rng) >= self._prior.given(deeper).draw(rng)

    def added(self, node: Node) -> None:
        self._below.append(Sums().plus(node.own))
        self._made.append(Sums())
        if node.parent >= 0:
            self._told(node.parent, node.own)
        self._paths.added(node)

    def aliased(self, parent: Node) -> None:
        self._told(parent.id, self._tree.aliases[-1].value)
        self._paths.aliased(parent)

    def _told(self, parent: int, value: float) -> None:
        self._made[parent] = self._made[parent].plus(value)
        while parent >= 0:
            self._below[parent] = self._below[parent].plus(value)
            parent = self._tree.raw[parent].parent

    def changed(self, node: Node) -> None:
        self._paths.changed(node)

    def visited(self, node: Node) -> None:
        """Nothing to remember: `added` and `aliased` tell all."""
