"""The three scores that go by the name SWE-Search: of the paper, of the code that ran, of moatless.

Rewards there lie in [-100, 100]; our values in [0, 1] are mapped by r = 200 v - 100, so that
every constant keeps its meaning. All three compare the expandable nodes of the whole tree.
A ticket that is out counts as a child for the rules on leaves and as a visit of its node.
Exploration terms grow with every visit of the parent; the frontier therefore holds upper bounds
(`score`) and asks for the exact formula (`sharpen`) only where it matters.

Sources: Antoniades et al. (2024), "SWE-Search", for `SweSearchPaper`; the development code
(a-antoniades/swe-search, `mcts.py`) for `SweSearchDev`; moatless-tree-search (`selector.py`)
for `SweSearchMoatless`. Where code and paper differ, both are kept.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from meritree.search.diversity import Diversity
from meritree.search.features import SweFeatures
from meritree.search.frontier import Frontier
from meritree.search.scheduling import Scheduler
from meritree.search.tree import Node, Tree
from meritree.search.widening import Widening

_NO_FEATURES = SweFeatures()
_COARSE, _FINE = 1, 3  # significant bits of `later`, measured to be fastest


def reward_of(value: float) -> float:
    """r = 200 v - 100."""
    return 200.0 * value - 100.0


def later(visits: int, bits: int) -> int:
    """The next number with at most ``bits`` significant bits.

    Bounds take ln N(s) there, hold until N(s) arrives, and so are renewed O(log N(s)) times.
    """
    step = 1 << max(0, visits.bit_length() - bits)
    return (visits // step + 1) * step


def outgrown(tree: Tree, node: Node, bits: int) -> Iterator[Node]:
    """Open children of the node and of its ancestors whose `later` has come with this visit."""
    raw, few = tree.raw, 1 << bits
    while True:
        visits = node.visits
        if visits < few or not visits & ((1 << (visits.bit_length() - bits)) - 1):
            for i in node.children:
                child = raw[i]
                if child.expansions < child.cap:
                    yield child
        if node.parent < 0:
            return
        node = raw[node.parent]


@dataclass(frozen=True, slots=True)
class SweSearchPaper:
    """V(s,a) + C sqrt(ln N(s) / N(s,a)) + alpha exp(-beta (d - 1)) - gamma sqrt(d).

    V is the mean reward of the subtree, d the depth. N(s) of the root counts as 1. The depth
    terms are equal for siblings, so the formula only means something as a comparison of all
    expandable nodes, which is how it is used here. The paper's rule that abandons nodes after
    consecutive low rewards gives no number and is left out.
    """

    c: float = 1.41
    alpha: float = 200.0
    beta: float = 0.8
    gamma: float = 0.8

    reads_subtrees: ClassVar[bool] = True

    def score(self, tree: Tree, node: Node) -> float:
        """A bound: N(s) is taken `later`."""
        return self._with(
            node, later(tree.raw[node.parent].visits, _COARSE) if node.parent >= 0 else 1
        )

    def sharpen(self, tree: Tree, node: Node) -> tuple[float, float, bool]:
        now = self._with(node, tree.raw[node.parent].visits if node.parent >= 0 else 1)
        return now, self.score(tree, node), True

    def _with(self, node: Node, parent_visits: int) -> float:
        d = node.depth
        visits = node.visits + node.pending
        return (
            reward_of(node.value * node.visits / visits)
            + self.c * math.sqrt(math.log(parent_visits) / visits)
            + self.alpha * math.exp(-self.beta * (d - 1))
            - self.gamma * math.sqrt(d)
        )

    def touched(self, tree: Tree, node: Node) -> Iterable[Node]:
        return ()

    def visited(self, tree: Tree, node: Node) -> Iterable[Node]:
        yield from outgrown(tree, node, _COARSE)
        raw = tree.raw
        while True:  # V and N(s, a) of the path itself
            if node.expansions < node.cap:
                yield node
            if node.parent < 0:
                return
            node = raw[node.parent]

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        return Frontier(tree, self, sharpen=self.sharpen)


@dataclass(frozen=True, slots=True)
class SweSearchDev:
    """r + depth bonus - 0.8 sqrt(d) + leaf, bad-child and parent bonuses - good-child penalty.

    No exploration term: the code computes one and does not add it. r is the state's own reward.
    The code's root is a waiting state with one child, the first search state; our root stands
    for that child, so d is our depth + 1, and its reward is 0 as there. (Unlike there, other
    nodes are never unvisited.)

    - depth bonus: 200 exp(-0.8 (d - 1)) if d <= 1 and the node has children;
    - leaf: +20 if it has no child and r >= 55;
    - bad child: +5 (r - r_child) if r >= 55 and its only child has r_child <= 50;
    - good child: -5 if r >= 55 and a child has a reward >= 75;
    - parent: +5 (55 - r) if it has no child, r <= 50 and the parent's reward is > 55.

    Not eligible: a child reached ``reward_threshold``; more than two finished children.

    Attributes:
        reward_threshold: in [-100, 100]; None: no such rule.
        temperature: > 0 draws from softmax(score / temperature) instead of the best.
        root_reward: the root's reward in the formula.
    """

    reward_threshold: float | None = None
    temperature: float = 0.0
    root_reward: float = 0.0

    reads_subtrees: ClassVar[bool] = False

    def _reward(self, node: Node) -> float:
        return reward_of(node.own) if node.parent >= 0 else self.root_reward

    def score(self, tree: Tree, node: Node) -> float | None:
        raw = tree.raw
        r, d = self._reward(node), node.depth + 1
        children = [raw[i] for i in node.children]
        rewards = [reward_of(child.own) for child in children]
        if self.reward_threshold is not None and any(x >= self.reward_threshold for x in rewards):
            return None
        if sum(is_finished(child) for child in children) > 2:
            return None
        score = r - 0.8 * math.sqrt(d)
        if rewards:
            if d <= 1:
                score += 200.0 * math.exp(-0.8 * (d - 1))
            if r >= 55.0:
                if len(rewards) == 1 and rewards[0] <= 50.0:
                    score += 5.0 * (r - rewards[0])
                if max(rewards) >= 75.0:
                    score -= 5.0
        elif not node.pending:
            if r >= 55.0:
                score += 20.0
            if node.parent >= 0 and r <= 50.0 and self._reward(raw[node.parent]) > 55.0:
                score += 5.0 * (55.0 - r)
        return score

    def touched(self, tree: Tree, node: Node) -> Iterable[Node]:
        return ()

    def visited(self, tree: Tree, node: Node) -> Iterable[Node]:
        return ()

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        return Frontier(tree, self, seed=seed, temperature=self.temperature)


@dataclass(frozen=True, slots=True)
class SweSearchMoatless:
    """r + w sqrt(ln N(s) / N(s,a)) - 0.8 sqrt(d) + the bonuses and penalties of moatless HEAD.

    r is the state's own reward (the root's is 100), N(s) of the root counts as 1.

    - depth bonus: factor exp(0.8) at the root only (factor 0 by default);
    - leaf: +50 if it has no child and r >= 50;
    - bad child: +5 (r - r_child) if r >= 50, its only child has r_child <= 0 and an action of
      a kind in ``correctable``;
    - good child: -5 if a child has a reward >= 75;
    - parent: +(50 - r) if it has no child, r <= 0 and the parent's reward is > 50;
    - finished: -50 if the state is patched and a descendant finished with reward 100;
    - correction: +50 / (1 + children^2) if the observation expects a correction and the
      parent's did not;
    - diversity: +100 (1 - mean similarity to the expanded nodes) if files are known, else 0;
    - duplicate children: -25 dup^2, dup = aliases of the node;
    - repeated actions: -50 sum over kinds of (count - 1)^2 among the children.

    Approximated: beyond ``sample`` expanded nodes the mean similarity is taken over a uniform
    sample of them (see `diversity`), because the exact term makes every step cost O(nodes).
    Everything else is exact. Facts come from `SweFeatures`; without them the terms that need
    files, action kinds or corrections are 0.

    Attributes:
        exploration: w.
        depth_bonus: factor of the depth bonus.
        correctable: action kinds of the bad-child rule.
        diversity: weight of the diversity term; 0 switches it off.
        sample: expanded nodes a state is compared with, >= 1.
        temperature: > 0 draws from softmax(score / temperature) instead of the best.
        root_reward: the root's reward in the formula.
    """

    exploration: float = 1.0
    depth_bonus: float = 0.0
    correctable: frozenset[str] = frozenset({"RequestCodeChange"})
    diversity: float = 100.0
    sample: int = 16
    temperature: float = 0.0
    root_reward: float = 100.0

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        scorer = MoatlessScorer(self, seed)
        return Frontier(
            tree, scorer, seed=seed, temperature=self.temperature, sharpen=scorer.sharpen
        )


class MoatlessScorer:
    """The memory of `SweSearchMoatless` for one tree: diversity sample and finished paths."""

    reads_subtrees = True

    def __init__(self, settings: SweSearchMoatless, seed: int) -> None:
        self._set = settings
        self._diversity = Diversity(settings.sample, seed)
        self._on_finished: set[int] = set()
        # By node id: what the fixed part was computed from, as one number, and the part itself.
        self._stood = array("q")
        self._kept = array("d")

    def score(self, tree: Tree, node: Node) -> float:
        """A bound: N(s) is taken `later`, similarities not yet computed as 0."""
        score = self._fixed(tree, node)
        if self._set.diversity and features_of(node).files:
            score += self._set.diversity * self._diversity.upper(node)
        if node.parent >= 0:
            log_n = math.log(later(tree.raw[node.parent].visits, _FINE))
            score += self._set.exploration * math.sqrt(log_n / (node.visits + node.pending))
        return score

    def sharpen(self, tree: Tree, node: Node) -> tuple[float, float, bool]:
        """A few more similarities, or the score if all are known."""
        compares = bool(self._set.diversity and features_of(node).files)
        exact = not compares or not self._diversity.refine(tree, node)
        fixed = self._fixed(tree, node)
        if compares:
            fixed += self._set.diversity * self._diversity.upper(node)
        if node.parent < 0:
            return fixed, fixed, exact
        log_n, n = math.log(visits := tree.raw[node.parent].visits), node.visits + node.pending
        bound = fixed + self._set.exploration * math.sqrt(math.log(later(visits, _FINE)) / n)
        if not exact:
            return bound, bound, False
        return fixed + self._set.exploration * math.sqrt(log_n / n), bound, True

    def diversity_of(self, tree: Tree, node: Node) -> float:
        """1 - mean similarity to the expanded nodes, exactly."""
        while self._diversity.refine(tree, node):
            pass
        return self._diversity.upper(node)

    def _reward(self, node: Node) -> float:
        return reward_of(node.own) if node.parent >= 0 else self._set.root_reward

    def _fixed(self, tree: Tree, node: Node) -> float:
        """What only the node's own expansions (and a finish below it) change; remembered."""
        at = node.id
        stands = (
            node.expansions << 32
            | len(node.children) << 2
            | (node.pending > 0) << 1
            | (at in self._on_finished)
        )
        new = at + 1 - len(self._stood)
        if new > 0:
            self._stood.extend([-1] * new)
            self._kept.extend([0.0] * new)
        elif self._stood[at] == stands:
            return self._kept[at]
        self._stood[at] = stands
        computed = self._kept[at] = self._computed(tree, node)
        return computed

    def _computed(self, tree: Tree, node: Node) -> float:
        raw = tree.raw
        r = self._reward(node)
        parent = raw[node.parent] if node.parent >= 0 else None
        score = r - 0.8 * math.sqrt(node.depth)
        if node.children:
            score += self._children_terms(node, r, [raw[i] for i in node.children])
        elif not node.pending:
            if r >= 50.0:
                score += 50.0
            if r <= 0.0 and parent is not None and self._reward(parent) > 50.0:
                score += 50.0 - r
        if parent is None:
            score += self._set.depth_bonus * math.exp(0.8)
        aliases = node.expansions - len(node.children)
        score -= 25.0 * aliases * aliases
        return score + self._world_terms(node, parent)

    def _children_terms(self, node: Node, r: float, children: list[Node]) -> float:
        score = 0.0
        rewards = [reward_of(child.own) for child in children]
        only_bad = len(children) == 1 and rewards[0] <= 0.0
        if r >= 50.0 and only_bad and features_of(children[0]).action_kind in self._set.correctable:
            score += 5.0 * (r - rewards[0])
        if max(rewards) >= 75.0:
            score -= 5.0
        counts: dict[str, int] = {}
        for child in children:
            kind = features_of(child).action_kind
            if kind:
                counts[kind] = counts.get(kind, 0) + 1
        return score - 50.0 * sum((count - 1) ** 2 for count in counts.values())

    def _world_terms(self, node: Node, parent: Node | None) -> float:
        features, score = features_of(node), 0.0
        if node.id in self._on_finished and is_patched(node):
            score -= 50.0
        if features.expects_correction and not (
            parent is not None and features_of(parent).expects_correction
        ):
            score += 50.0 / (1.0 + node.expansions**2)
        return score

    def touched(self, tree: Tree, node: Node) -> Iterable[Node]:
        raw = tree.raw
        if is_finished(node) and reward_of(node.own) >= 100.0:
            above = node.parent
            while above >= 0 and above not in self._on_finished:
                self._on_finished.add(above)
                above = raw[above].parent
        if node.parent < 0 or not self._set.diversity:
            return ()
        parent = raw[node.parent]
        if parent.expansions >= parent.cap:
            self._diversity.forget(parent)
        if len(parent.children) == 1:
            return [raw[i] for i in self._diversity.expanded(parent)]
        return ()

    def visited(self, tree: Tree, node: Node) -> Iterable[Node]:
        return outgrown(tree, node, _FINE)


def features_of(node: Node) -> SweFeatures:
    """What is known of a state; nothing where nobody said anything."""
    return node.features if isinstance(node.features, SweFeatures) else _NO_FEATURES


def is_finished(node: Node) -> bool:
    """The state is an end: as was said, else where the world ends."""
    finished = features_of(node).finished
    return node.terminal if finished is None else finished


def is_patched(node: Node) -> bool:
    """The state differs from the root's: as was said, else below the root."""
    patched = features_of(node).patched
    return node.depth > 0 if patched is None else patched
