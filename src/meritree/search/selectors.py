"""Selection rules, each beside its formula: UCT, PUCT, best-first, chains, beam.

The three SWE-Search scores are in `swe_search`. A selector is plain settings; `bind` makes the
scheduler that holds its memory of one tree. All values are in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from meritree.errors import BadInput
from meritree.search.beam import BeamSchedule
from meritree.search.frontier import Frontier
from meritree.search.root_share import RootShare
from meritree.search.scheduling import FEW, Descent, Scheduler
from meritree.search.tree import Kind, Node, Tree
from meritree.search.widening import Widening

SQRT2 = math.sqrt(2.0)
_log, _sqrt = math.log, math.sqrt  # looked up once: these lines run for every child passed
_OR = Kind.OR


@dataclass(frozen=True, slots=True)
class UCT:
    """UCT(s, a) = Q(a) + c sqrt(ln N(s) / N(a)), entered from the root down.

    Kocsis and Szepesvari (2006), "Bandit based Monte-Carlo planning". N(a) counts evaluations
    and tickets out, Q(a) the backed-up value with each ticket as a visit of value 0. The widen
    arm has score ``fpu`` (first play urgency, Gelly and Wang 2006): infinite means that a node
    takes all the children its widening admits before any of them is entered.

    Attributes:
        c: exploration constant, >= 0; sqrt(2) is the theory's for values in [0, 1].
        fpu: score of an untried proposal.
    """

    c: float = SQRT2
    fpu: float = math.inf

    def __post_init__(self) -> None:
        _check_constant("c", self.c)

    def time(self, node: Node) -> float:
        return self.c * _sqrt(_log(node.visits + node.virtual))

    def line(self, child: Node) -> tuple[float, float]:
        if not child.virtual:
            return child.value, 1.0 / _sqrt(child.visits)
        n = child.visits + child.virtual
        return child.value * child.visits / n, 1.0 / _sqrt(n)

    def through(self, node: Node) -> Node:
        if node.virtual:
            return node
        # With no ticket out below, n = visits; a full node has no arm to compare with.
        while (
            (children := node.open)
            and node.expansions >= node.cap
            and node.kind is _OR
            and len(children) <= FEW
        ):
            t = self.c * _sqrt(_log(node.visits))
            top = -1.0
            for child in children:
                score = child.value + 1.0 / _sqrt(child.visits) * t
                if score > top:
                    top = score
                    node = child
        return node

    def widen(self, node: Node) -> float:
        return self.fpu

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        return Descent(tree, self, widening)


@dataclass(frozen=True, slots=True)
class PUCT:
    """PUCT(s, a) = Q(a) + c P(a) sqrt(N(s)) / (1 + N(a)), Q = mix mean + (1 - mix) best.

    Rosin (2011), "Multi-armed bandits with episode context", in the form of Silver et al. (2017).
    N(s) counts the evaluations of s and below (the expansions plus one), N(a) those of the arm.
    The widen arm is scored exactly like an unvisited child: P is the prior of the next untried
    proposal (`Node.next_prior`) and Q = Q(s) - fpu, not below 0. If proposals come in order of
    prior, children revealed one by one are therefore chosen exactly as if all of them had been
    there from the start.

    Attributes:
        c: exploration constant, >= 0.
        mix: weight of the backed-up value against the best value found below, in [0, 1].
        fpu: first play urgency reduction, >= 0.
    """

    c: float = 4.0
    mix: float = 0.5
    fpu: float = 0.05

    def __post_init__(self) -> None:
        _check_constant("c", self.c)
        _check_constant("fpu", self.fpu)
        if not 0.0 <= self.mix <= 1.0:
            raise BadInput(f"PUCT mix={self.mix}: must lie in [0, 1] (1 is the mean alone)")

    def time(self, node: Node) -> float:
        return math.sqrt(node.visits + node.virtual)

    def line(self, child: Node) -> tuple[float, float]:
        q = self.mix * child.value + (1.0 - self.mix) * child.best
        n = child.visits + child.virtual
        if child.virtual:
            q *= child.visits / n
        return q, self.c * child.prior / (1.0 + n)

    def through(self, node: Node) -> Node:
        return node

    def widen(self, node: Node) -> float:
        prior = 1.0 if node.next_prior is None else node.next_prior
        explore = self.c * prior * math.sqrt(node.visits + node.virtual) / (1.0 + node.pending)
        if node.pending:
            return explore  # in flight: a visit of value 0
        return max(0.0, self.mix * node.value + (1.0 - self.mix) * node.best - self.fpu) + explore

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        return Descent(tree, self, widening)


@dataclass(frozen=True, slots=True)
class BestFirst:
    """f(s) = V(s) + prior_weight ln P(next proposal of s); the highest f is expanded next.

    V is the state's own estimate: greedy best-first search (Doran and Michie 1966; with language
    models Koh et al. 2024, "Tree search for language model agents"). With ``prior_weight`` > 0
    a state loses rank as its proposals become improbable. Among equals the oldest goes first.

    Attributes:
        prior_weight: weight of the log prior of the next proposal, >= 0.
        tolerance: a state worth less than its parent by more than this is not expanded; 1 keeps
            all.
        path_prior: use the probability of the whole sequence from the root, P(path) P(next
            proposal), in place of the next proposal's alone: a longer sequence must pay by its
            value for being less probable (the order of Levin tree search, Orseau et al. 2018,
            when values are equal).
        root_share: share of the expansions, in [0, 1], that the root gets whatever its rank, so
            that one child which looks good cannot keep all other first steps from being tried;
            at most a half once a state is half-way from the root's value to 1.
    """

    prior_weight: float = 0.0
    tolerance: float = 1.0
    path_prior: bool = False
    root_share: float = 0.0

    reads_subtrees: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_constant("prior_weight", self.prior_weight)
        _check_constant("tolerance", self.tolerance)
        if not 0.0 <= self.root_share <= 1.0:
            raise BadInput(f"root_share={self.root_share}: must lie in [0, 1]")

    def score(self, tree: Tree, node: Node) -> float | None:
        if node.parent >= 0 and node.own < tree.raw[node.parent].own - self.tolerance:
            return None
        own = node.own
        if self.prior_weight == 0.0:
            return own
        following = 1.0 if node.next_prior is None else node.next_prior  # unknown: hope
        if following <= 0.0:
            return -math.inf
        log_prior = math.log(following)
        while self.path_prior and node.parent >= 0:
            log_prior += math.log(max(node.prior, 1e-12))
            node = tree.raw[node.parent]
        return own + self.prior_weight * log_prior

    def touched(self, tree: Tree, node: Node) -> Iterable[Node]:
        return ()

    def visited(self, tree: Tree, node: Node) -> Iterable[Node]:
        return ()

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        frontier = Frontier(tree, self)
        return RootShare(tree, frontier, self.root_share) if self.root_share else frontier


@dataclass(frozen=True, slots=True)
class Newest:
    """f(s) = id(s): always go on from the newest node that takes a child.

    With one expansion per node this is the linear agent; with n expansions of the root, n
    independent chains one after the other: best-of-n. No value is read.
    """

    reads_subtrees: ClassVar[bool] = False

    def score(self, tree: Tree, node: Node) -> float:
        return node.id

    def touched(self, tree: Tree, node: Node) -> Iterable[Node]:
        return ()

    def visited(self, tree: Tree, node: Node) -> Iterable[Node]:
        return ()

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        return Frontier(tree, self)


@dataclass(frozen=True, slots=True)
class Beam:
    """Level by level, the ``width`` states of highest own estimate get ``expansions`` children.

    Beam search (Lowerre 1976). A level ends when each state of the beam has had its expansions;
    the best ``width`` of their children (the oldest among equals) are the next level. When a
    level has no successor and ``restart`` holds, the root gets its next ``expansions`` proposals
    and a new beam starts from these, so that any budget can be spent. Width 1 is greedy search.

    Attributes:
        width: states kept, >= 1.
        expansions: children per state and level, >= 1.
        restart: start again from the root when the beam ends.
    """

    width: int = 4
    expansions: int = 8
    restart: bool = True

    def __post_init__(self) -> None:
        for name, number in (("width", self.width), ("expansions", self.expansions)):
            if number < 1:
                raise BadInput(f"beam {name}={number}: must be at least 1")

    def bind(self, tree: Tree, widening: Widening, seed: int) -> Scheduler:
        return BeamSchedule(tree, self.width, self.expansions, self.restart)


def _check_constant(name: str, value: float) -> None:
    if not 0.0 <= value < math.inf:
        raise BadInput(f"{name}={value}: must be a finite number >= 0")
