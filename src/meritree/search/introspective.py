"""Introspective search: many states proposed and judged, few of them tried (I-MCTS).

Asks a policy for children one after the other, a judge for their priors, and tries the one that
looks best; knows neither, only their protocols. Liang et al. (2025), arXiv 2502.14693.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Generic, Literal, TypeVar, cast

from meritree.errors import BadInput, BudgetExceeded
from meritree.run.ledger import Ledger, Limits
from meritree.search.backups import Observed
from meritree.search.engine import SearchTree
from meritree.search.exchange import Child
from meritree.search.global_uct import GlobalUct
from meritree.search.strategy import Strategy
from meritree.search.tree import Node, SearchError, Tree
from meritree.search.widening import Unlimited
from meritree.search.worlds import Policy, Proposal, Step, Store, Value, View, World
from meritree.value.estimate import Cost, Estimate

S = TypeVar("S")
A = TypeVar("A")
Variant = Literal["paper", "released"]
Descent = Literal["prior", "random"]

MOST_REPEATS = 200  # rollouts in a row that try nothing new, after which the search is over
_UNJUDGED = Estimate(0.0)


@dataclass(frozen=True, slots=True)
class Rollout:
    """One simulation.

    Attributes:
        node: what was tried.
        reward: what that gave.
        fresh: it was really tried and paid; else its reward was known.
        stuck: the released code would not have returned from it (see `introspective_search`).
    """

    node: int
    reward: float
    fresh: bool
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class Introspected(Generic[S]):
    """What the search found.

    Attributes:
        tree: all nodes; `Node.own` is the prior, `visits` and `total` are of rewards.
        states: the state of each node, by node id.
        rollouts: in their order.
        stopped_because: which limit was reached, or that nothing new came.
    """

    tree: Tree
    states: Sequence[S]
    rollouts: Sequence[Rollout]
    stopped_because: str

    @property
    def best(self) -> S:
        """The tried state of highest reward, the oldest among equals."""
        return self.states[max(self.rollouts, key=lambda one: one.reward).node]


async def introspective_search(
    world: World[S, A],
    policy: Policy[S, A],
    judge: Value[S] | None,
    trial: Value[S],
    *,
    budget: Limits | Ledger,
    children: int = 5,
    selector: GlobalUct | None = None,
    variant: Variant = "paper",
    descent: Descent = "prior",
    alike: Callable[[S], Hashable] | None = None,
    seed: int = 0,
    store: Store | None = None,
    past: Iterable[tuple[str, Mapping[str, Any]]] = (),
) -> Introspected[S]:
    """Search until the budget ends or nothing new is tried any more.

    A rollout selects a node anywhere in the tree. If it was tried before and has no children,
    these are proposed one by one: each proposal sees the state's report (what trying it gave)
    and the proposals before it, never those after. Then the child of highest prior is followed
    downwards, what is found there is tried, and the reward goes to it and all its ancestors.

    ``variant="released"`` repeats what jokieleung/I-MCTS does: the judge's call is never awaited
    in expansions, so that children keep the prior 0 and, of equals, the last one is taken. Below
    such a child the released loop finds no prior above 0 and never ends; here the node where it
    hangs is tried again and the rollout is marked ``stuck``.

    Args:
        world: where actions lead.
        policy: asked for one proposal at a time.
        judge: gives priors in [0, 1], never paid as an evaluation; None: all priors are 0.
        trial: gives rewards in [0, 1]; each is one evaluation of the budget.
        children: proposals of one expansion, >= 1.
        selector: I-MCTS's constants when None. ``c_v=0`` is UCT without a prior.
        descent: ``random`` picks children by chance, as SELA does.
        alike: states equal under it are tried once, and then known; the state's key when None.
        seed: for random choices.
        store: gets an event for each proposal and trial; actions must then be JSON values.
        past: events (kind, payload) of the same search, stopped earlier: nobody is asked for
            these again, the tree becomes the same. They count in the budget.

    Raises:
        BadInput: impossible arguments, a budget with no limit at all.
        SearchError: a value out of range, ``past`` of another search.
    """
    if children < 1:
        raise BadInput(f"children={children}: must be at least 1")
    ledger = budget if isinstance(budget, Ledger) else Ledger(budget)
    if ledger.limits == Limits():
        raise BadInput("a search needs a limit; give budget=Limits(evaluations=10), for instance")
    rules = Strategy("introspective", selector or GlobalUct(), Observed(), Unlimited())
    tools = _Tools(world, policy, judge, trial, ledger, store, deque(past))
    choose = _Choice(variant, descent, seed)
    return await _Run(tools, choose, SearchTree(rules, seed), children, alike).until_the_end()


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which of several children is followed."""

    variant: Variant
    descent: Descent
    seed: int

    def after_expansion(self, nodes: Sequence[Node], rollout: int) -> Node:
        if self.descent == "random":
            return self._random(nodes, rollout)
        if self.variant == "released":
            nodes = nodes[::-1]  # `>=` in a loop: the last of equals
        return max(nodes, key=lambda node: node.own)

    def below(self, nodes: Sequence[Node], rollout: int) -> Node | None:
        """None where the released loop finds nothing above 0."""
        if self.descent == "random":
            return self._random(nodes, rollout)
        best = max(nodes, key=lambda node: node.own)
        return None if self.variant == "released" and best.own <= 0.0 else best

    def _random(self, nodes: Sequence[Node], rollout: int) -> Node:
        # One generator a choice: a resumed search needs no generator state.
        return random.Random(f"{self.seed}:{rollout}:{nodes[0].id}").choice(nodes)


@dataclass(slots=True)
class _Tools(Generic[S, A]):
    """Whoever is asked, each answer recorded, or read from the record of an earlier run."""

    world: World[S, A]
    policy: Policy[S, A]
    judge: Value[S] | None
    trial: Value[S]
    ledger: Ledger
    store: Store | None
    past: deque[tuple[str, Mapping[str, Any]]]

    async def first(self, step: Step[S]) -> Estimate:
        """The root's prior."""
        known = self._known("start", 0)
        estimate = _read(known) if known else await self._judged(step)
        self._keep("start", {"node": 0, **_written(estimate)}, known)
        self._pay(estimate)
        return estimate

    async def proposal(
        self, view: View[S, A], node: int, judged: bool
    ) -> tuple[Proposal[A], Step[S], Estimate] | None:
        """A child of the node with its prior; None when there is no further one."""
        known = self._known("proposed", node)
        if known is not None and "action" not in known:
            return None
        if known is not None:
            proposal = Proposal(cast("A", known["action"]), float(known["prior"]))
            step = await self.world.step(view.state, proposal.action)
            estimate = _read(known)
        else:
            found = await self.policy.propose(view, 1)
            if not found:
                self._keep("proposed", {"node": node}, None)
                return None
            proposal = found[0]
            step = await self.world.step(view.state, proposal.action)
            estimate = await self._judged(step) if judged else _UNJUDGED
            told = {"node": node, "action": proposal.action, "prior": proposal.prior}
            self._keep("proposed", {**told, **_written(estimate)}, None)
        self._pay(estimate)
        return proposal, step, estimate

    async def reward(self, step: Step[S], node: int) -> Estimate:
        """What trying a state gives; one evaluation at least."""
        with self.ledger.reserve(Cost(evaluations=1)) as reservation:
            known = self._known("tried", node)
            estimate = _read(known) if known else await self.trial(step)
            cost = estimate.cost
            reservation.book(Cost(cost.seconds, max(1, cost.evaluations), cost.tokens, cost.usd))
        self._keep("tried", {"node": node, **_written(estimate)}, known)
        return estimate

    def has_a_trial_left(self) -> None:
        """Raise `BudgetExceeded` if no trial can be paid: judging its candidates is no use then."""
        self.ledger.reserve(Cost(evaluations=1)).release()

    async def _judged(self, step: Step[S]) -> Estimate:
        return _UNJUDGED if self.judge is None else await self.judge(step)

    def _pay(self, estimate: Estimate) -> None:
        cost = estimate.cost
        if cost != Cost():
            paid = Cost(cost.seconds, 0, cost.tokens, cost.usd)
            with self.ledger.reserve(Cost()) as reservation:
                reservation.book(paid)

    def _known(self, kind: str, node: int) -> Mapping[str, Any] | None:
        if not self.past:
            return None
        found, payload = self.past.popleft()
        if (found, payload.get("node")) != (kind, node):
            raise SearchError(
                f"the recorded search goes on with {found!r} at node {payload.get('node')}, this "
                f"one with {kind!r} at node {node}: it was of other settings; start anew"
            )
        return payload

    def _keep(self, kind: str, payload: dict[str, Any], known: Mapping[str, Any] | None) -> None:
        if self.store is not None and known is None:
            self.store.append(kind, payload)


@dataclass(slots=True)
class _Run(Generic[S, A]):
    """One search under way."""

    tools: _Tools[S, A]
    choose: _Choice
    engine: SearchTree
    children: int
    alike: Callable[[S], Hashable] | None
    steps: list[Step[S]] = field(default_factory=list)
    reports: dict[Hashable, Estimate] = field(default_factory=dict)
    expanded: set[int] = field(default_factory=set)
    rollouts: list[Rollout] = field(default_factory=list)

    async def until_the_end(self) -> Introspected[S]:
        reason = f"nothing new was tried in {MOST_REPEATS} rollouts"
        try:
            await self._start()
            repeats = 0
            while repeats < MOST_REPEATS:
                self.tools.has_a_trial_left()
                await self._roll_out()
                repeats = 0 if self.rollouts[-1].fresh else repeats + 1
        except BudgetExceeded as stop:
            reason = str(stop)
        states = [step.state for step in self.steps]
        return Introspected(self.engine.tree, states, self.rollouts, reason)

    async def _start(self) -> None:
        root = self.tools.world.root()
        self.engine.start(root.identity, await self.tools.first(root), features=root.features)
        self.steps.append(root)
        await self._try(self.engine.tree.raw[0])

    async def _roll_out(self) -> None:
        node = self._selected()
        if node.visits and node.id not in self.expanded and not self.steps[node.id].terminal:
            await self._expand(node)
            if node.children:
                node = self.choose.after_expansion(self._below(node), len(self.rollouts))
        elif node.children and node.visits and self.choose.variant == "released":
            node = self.choose.after_expansion(self._below(node), len(self.rollouts))
        stuck = False
        while node.children and not stuck:
            following = self.choose.below(self._below(node), len(self.rollouts))
            stuck = following is None
            node = following or node
        await self._try(node, stuck)

    def _selected(self) -> Node:
        """The highest score of all: without a limit on children no node is left out."""
        ticket = self.engine.ask()
        assert ticket is not None
        self.engine.cancel(ticket)
        return self.engine.tree.raw[ticket.node]

    def _below(self, node: Node) -> Sequence[Node]:
        raw = self.engine.tree.raw
        return [raw[i] for i in node.children]

    async def _expand(self, node: Node) -> None:
        proposed: list[Proposal[A]] = []
        step, judged = self.steps[node.id], self.choose.variant == "paper"
        report = self.reports.get(self._trial_key(step))
        for _ in range(self.children):
            told = [(child.action, child.own) for child in self._below(node)]
            view = View(step.state, node.depth, tuple(proposed), told, report)
            found = await self.tools.proposal(view, node.id, judged)
            if found is None:
                break
            proposal, reached, prior = found
            proposed.append(proposal)
            child = Child(
                reached.identity, proposal.action, prior, proposal.prior, features=reached.features
            )
            if self.engine.tell(self.engine.ask_at(node.id), child).id == len(self.steps):
                self.steps.append(reached)
        self.expanded.add(node.id)

    async def _try(self, node: Node, stuck: bool = False) -> None:
        step = self.steps[node.id]
        key = self._trial_key(step)
        report, fresh = self.reports.get(key), False
        if report is None:
            report, fresh = await self.tools.reward(step, node.id), True
            self.reports[key] = report
        self.engine.observe(node.id, report.mean)
        self.rollouts.append(Rollout(node.id, report.mean, fresh, stuck))

    def _trial_key(self, step: Step[S]) -> Hashable:
        return step.identity if self.alike is None else self.alike(step.state)


def _written(estimate: Estimate) -> dict[str, Any]:
    return {
        "mean": estimate.mean,
        "channels": dict(estimate.channels),
        "reasons": dict(estimate.reasons),
        "cost": list(astuple(estimate.cost)),
    }


def _read(payload: Mapping[str, Any]) -> Estimate:
    return Estimate(
        payload["mean"],
        channels=payload["channels"],
        reasons=payload["reasons"],
        cost=Cost(*payload["cost"]),
    )
