"""A world of one's own, searched through the public driver.

The toy: from 1, reach a target number by doubling, adding 1 or adding 3. A state is the number;
its value is how near it is to the target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from meritree.errors import BadInput
from meritree.run.journal import Journal
from meritree.run.ledger import Ledger, Limits
from meritree.search import MaxExpansions
from meritree.search.driver import Proposal, Searched, Step, View, search
from meritree.search.selectors import UCT, BestFirst, Newest
from meritree.value.estimate import Cost, Estimate

ACTIONS = (Proposal("double", 0.5), Proposal("add 1", 0.3), Proposal("add 3", 0.2))


class Numbers:
    """Doubling, adding 1 and adding 3; beyond the target the world ends."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.steps = 0
        self.at_once = 0
        self.most_at_once = 0

    def root(self) -> Step[int]:
        return Step(1)

    async def step(self, state: int, action: str) -> Step[int]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        self.steps += 1
        number = {"double": 2 * state, "add 1": state + 1, "add 3": state + 3}[action]
        return Step(number, terminal=number >= self.target, solved=number == self.target or None)


class Three:
    """Always the same three actions, one at a time if asked so."""

    async def propose(self, view: View[int, str], k: int) -> Sequence[Proposal[str]]:
        return ACTIONS[len(view.proposed) :][:k]


class Nearness:
    """1 at the target, falling linearly; says that it costs 2 tokens."""

    def __init__(self, target: int) -> None:
        self.target = target

    async def __call__(self, step: Step[int]) -> Estimate:
        near = max(0.0, 1.0 - abs(self.target - step.state) / self.target)
        return Estimate(near, cost=Cost(tokens=2))


def run(world: Numbers, **settings: object) -> Searched[int]:
    settings.setdefault("budget", Limits(evaluations=300))
    value = Nearness(world.target)
    return asyncio.run(search(world, Three(), value, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("selector", [None, UCT(), BestFirst()])
@pytest.mark.parametrize("batch", [1, 8])
def test_the_driver_finds_the_number(selector: object, batch: int) -> None:
    found = run(Numbers(37), selector=selector, batch=batch)
    assert found.best == 37
    path = [node.action for node in found.tree.path(found.tree.best().id)]
    number = 1
    for action in path[1:]:
        number = {"double": 2 * number, "add 1": number + 1, "add 3": number + 3}[action]
    assert number == 37
    assert [node.key for node in found.tree.nodes] == list(found.states)


def test_one_worker_gives_the_same_tree_again() -> None:
    assert run(Numbers(97)).tree.dump() == run(Numbers(97)).tree.dump()


@pytest.mark.parametrize("workers", [1, 4])
def test_the_budget_is_spent_and_never_exceeded(workers: int) -> None:
    world, ledger = Numbers(10**9), Ledger(Limits(evaluations=57))
    found = run(world, workers=workers, budget=ledger, selector=UCT())
    assert world.steps == 57
    assert ledger.snapshot().spent.evaluations == 57
    assert ledger.snapshot().spent.tokens == 114
    assert ledger.snapshot().reservations == 0
    assert "57" in found.stopped_because
    assert world.most_at_once <= workers
    assert (world.most_at_once > 1) is (workers > 1)


def test_many_workers_leave_no_ticket_and_no_virtual_loss() -> None:
    found = run(Numbers(10**6), workers=5, selector=UCT())
    assert all(node.pending == node.virtual == 0 for node in found.tree.nodes)
    assert found.tree.root.visits == len(found.tree) + len(found.tree.aliases)


def test_a_finite_space_ends_by_itself() -> None:
    class Unmarked(Numbers):
        async def step(self, state: int, action: str) -> Step[int]:
            return replace(await super().step(state, action), solved=None)

    found = run(Unmarked(5))
    assert found.stopped_because == "the space is exhausted"
    assert sorted(found.states) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_solved_root_ends_the_search() -> None:
    found = run(Numbers(64), selector=Newest())
    assert found.best == 64
    assert found.tree.root.solved
    assert len(found.tree) < 20


def test_every_step_is_written_down_before_it_is_taken(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run.db", {}) as journal:
        found = run(Numbers(50), store=journal, budget=Limits(evaluations=20), selector=Newest())
        events = list(journal.events())
    assert [e.kind for e in events].count("step") == 20
    assert events[0].kind == "start"
    begun: set[int] = set()
    for event in events[1:]:
        ticket = event.payload["ticket"]
        if event.kind == "step":
            begun.add(ticket)
        elif event.kind == "outcome":
            assert ticket in begun
            assert found.tree[event.payload["node"]].own == event.payload["mean"]


def test_an_error_in_the_world_reaches_the_caller_and_is_paid_for() -> None:
    class Broken(Numbers):
        async def step(self, state: int, action: str) -> Step[int]:
            if self.steps == 3:
                raise RuntimeError("the world broke")
            return await super().step(state, action)

    ledger = Ledger(Limits(evaluations=100))
    with pytest.raises(RuntimeError, match="the world broke"):
        run(Broken(1000), budget=ledger, workers=3)
    assert ledger.snapshot().reservations == 0
    assert ledger.snapshot().spent.evaluations >= 4


def test_impossible_arguments_are_bad_input() -> None:
    with pytest.raises(BadInput, match="workers=0"):
        run(Numbers(9), workers=0)
    with pytest.raises(BadInput, match="budget=Limits"):
        run(Numbers(9), budget=Limits())
    assert run(Numbers(9), widening=MaxExpansions(1)).tree.size().depth > 1
