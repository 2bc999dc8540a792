"""Searches a world of your own: the loop that asks the tree, lets workers act, and tells it back.

Knows no world, policy or value function, only their protocols. What the flagship adds (replay
of a killed run, processes that run tests) is not here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from meritree.errors import BadInput, BudgetExceeded
from meritree.run.ledger import Ledger, Limits, Reservation
from meritree.search.backups import Backup, Mean
from meritree.search.engine import SearchTree
from meritree.search.exchange import EXHAUSTED, Child, Exhausted, Ticket
from meritree.search.selectors import PUCT
from meritree.search.strategy import Selector, Strategy
from meritree.search.tree import Node, Tree
from meritree.search.widening import Unlimited, Widening
from meritree.search.worlds import Policy, Proposal, Step, Store, Value, View, World
from meritree.value.estimate import Cost

S = TypeVar("S")
A = TypeVar("A")

__all__ = ["Policy", "Proposal", "Searched", "Step", "Store", "Value", "View", "World", "search"]


@dataclass(frozen=True, slots=True)
class Searched(Generic[S]):
    """What a search found.

    Attributes:
        tree: all nodes.
        states: the state of each node, by node id.
        stopped_because: "the space is exhausted", or which limit was reached.
    """

    tree: Tree
    states: Sequence[S]
    stopped_because: str

    @property
    def best(self) -> S:
        """The state of highest own value; the oldest among equals."""
        return self.states[self.tree.best().id]


async def search(
    world: World[S, A],
    policy: Policy[S, A],
    value: Value[S],
    *,
    selector: Selector | None = None,
    backup: Backup | None = None,
    widening: Widening | None = None,
    max_depth: int | None = None,
    budget: Limits | Ledger,
    workers: int = 1,
    store: Store | None = None,
    seed: int = 0,
    batch: int = 8,
) -> Searched[S]:
    """Search until the budget or the space ends.

    Deterministic from the seed with one worker (if world, policy and value are); more workers
    expand different nodes at once under virtual loss. Every step costs one evaluation of the
    budget at least, reserved before it starts, so that no limit is ever exceeded; what the
    estimate says of seconds, tokens and money is booked beside it.

    Args:
        world, policy, value: see the protocols.
        selector: where to expand; PUCT when None.
        backup: what ancestors learn; the mean when None.
        widening: how many children a node may have; any number when None.
        max_depth: states this many actions from the root are not expanded.
        budget: limits of this search, or a ledger shared with other work.
        workers: expansions under way at once, >= 1.
        store: gets an event before each step and one after it; actions must then be JSON values.
        seed: for selectors that draw at random.
        batch: actions asked from the policy at a time.

    Raises:
        BadInput: impossible arguments, or a budget with no limit at all.
        SearchError: a value or prior out of range.
    """
    ledger = budget if isinstance(budget, Ledger) else Ledger(budget)
    _check(ledger.limits, workers, batch)
    rules = Strategy(
        "search", selector or PUCT(), backup or Mean(), widening or Unlimited(), max_depth
    )
    run = _Run(world, policy, value, SearchTree(rules, seed), ledger, store, batch)
    return await run.until_the_end(workers)


@dataclass(slots=True)
class _Run(Generic[S, A]):
    """One search under way."""

    world: World[S, A]
    policy: Policy[S, A]
    value: Value[S]
    engine: SearchTree
    ledger: Ledger
    store: Store | None
    batch: int
    states: list[S] = field(default_factory=list)
    waiting: dict[int, deque[Proposal[A]]] = field(default_factory=dict)
    proposed: dict[int, list[Proposal[A]]] = field(default_factory=dict)
    locks: dict[int, asyncio.Lock] = field(default_factory=dict)
    stopped: str = ""

    async def until_the_end(self, workers: int) -> Searched[S]:
        await self._start()
        running: dict[asyncio.Task[tuple[Child, S] | None], Ticket] = {}
        try:
            while True:
                while len(running) < workers and (begun := self._begin()) is not None:
                    ticket, reservation = begun
                    running[asyncio.create_task(self._expand(ticket, reservation))] = ticket
                if not running:
                    break
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda t: running[t].id):
                    self._tell(running.pop(task), task.result())
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        reason = self.stopped or "the space is exhausted"
        return Searched(self.engine.tree, self.states, reason)

    async def _start(self) -> None:
        root = self.world.root()
        estimate = await self.value(root)
        self.engine.start(
            root.identity,
            estimate,
            kind=root.kind,
            terminal=root.terminal,
            features=root.features,
        )
        self.states.append(root.state)
        self._record("start", {"mean": estimate.mean})

    def _begin(self) -> tuple[Ticket, Reservation] | None:
        """The next expansion, paid for; None when there is none now."""
        if self.stopped or (ticket := self.engine.ask()) is None:
            return None
        try:
            return ticket, self.ledger.reserve(Cost(evaluations=1))
        except BudgetExceeded as stop:
            self.stopped = str(stop)
            self.engine.cancel(ticket)
            return None

    async def _expand(self, ticket: Ticket, reservation: Reservation) -> tuple[Child, S] | None:
        """Work on one ticket; None if the policy has nothing more to propose there."""
        with reservation:  # whatever happens, it is settled
            proposal = await self._next_proposal(self.engine.tree.raw[ticket.node])
            if proposal is None:
                reservation.release()
                return None
            self._record(
                "step", {"ticket": ticket.id, "node": ticket.node, "action": proposal.action}
            )
            step = await self.world.step(self.states[ticket.node], proposal.action)
            estimate = await self.value(step)
            cost = estimate.cost
            spent = Cost(cost.seconds, max(1, cost.evaluations), cost.tokens, cost.usd)
            reservation.book(spent)
        waiting = self.waiting[ticket.node]
        child = Child(
            step.identity,
            proposal.action,
            estimate,
            proposal.prior,
            step.terminal,
            waiting[0].prior if waiting else None,
            step.solved,
            step.kind,
            step.features,
        )
        return child, step.state

    async def _next_proposal(self, node: Node) -> Proposal[A] | None:
        # Workers at the same node take turns: the second must see what the first was given.
        async with self.locks.setdefault(node.id, asyncio.Lock()):
            waiting = self.waiting.setdefault(node.id, deque())
            if not waiting:
                waiting.extend(await self.policy.propose(self._view(node), self.batch))
            if not waiting:
                return None
            proposal = waiting.popleft()
            self.proposed.setdefault(node.id, []).append(proposal)
            return proposal

    def _view(self, node: Node) -> View[S, A]:
        raw = self.engine.tree.raw
        told = [(raw[i].action, raw[i].own) for i in node.children]
        proposed = tuple(self.proposed.get(node.id, ()))
        return View(self.states[node.id], node.depth, proposed, told, node.estimate)

    def _tell(self, ticket: Ticket, result: tuple[Child, S] | None) -> None:
        answer: Child | Exhausted = EXHAUSTED if result is None else result[0]
        node = self.engine.tell(ticket, answer)
        if result is None:
            self._record("exhausted", {"ticket": ticket.id})
            return
        if node.id == len(self.states):
            self.states.append(result[1])
        self._record(
            "outcome", {"ticket": ticket.id, "node": node.id, "mean": result[0].estimate.mean}
        )

    def _record(self, kind: str, payload: dict[str, Any]) -> None:
        if self.store is not None:
            self.store.append(kind, payload)


def _check(limits: Limits, workers: int, batch: int) -> None:
    for name, number in (("workers", workers), ("batch", batch)):
        if number < 1:
            raise BadInput(f"{name}={number}: must be at least 1")
    if limits == Limits():
        raise BadInput("a search needs a limit; give budget=Limits(evaluations=1000), for instance")
