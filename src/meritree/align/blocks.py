"""Search over blocks of tokens: a policy writes several continuations, a value keeps the best.

The tree, its beam and its budget are `meritree.search`'s; the value at a block's end is a critic's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from meritree.align._torch import Module, Tensor, torch
from meritree.align.critic import prefix_values
from meritree.align.data import Ids
from meritree.align.guided import Guided
from meritree.align.guides import at_rest
from meritree.errors import BadInput
from meritree.run.ledger import Ledger, Limits
from meritree.search.driver import search
from meritree.search.selectors import Beam
from meritree.search.worlds import Proposal, Step, View
from meritree.value.estimate import Cost, Estimate

State = tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """What a block search ended with.

    Attributes:
        response: the finished answer of highest value; the best unfinished one where the budget
            ended before any.
        value: the critic's.
        tokens: positions that policy and critic read.
        stopped_because: see `meritree.search.driver.Searched`.
    """

    response: list[int]
    value: float
    tokens: int
    stopped_because: str


@dataclass(frozen=True)
class BlockSearch:
    """Beam search whose steps are blocks of drawn tokens, judged by a value at their ends.

    Attributes:
        policy: draws the blocks; with guides or plain.
        critic: see `meritree.align.critic.Critic`.
        width: beginnings that are kept.
        branch: blocks drawn for each.
        block: tokens of a block.
    """

    policy: Guided
    critic: Module
    width: int = 2
    branch: int = 4
    block: int = 4

    def __post_init__(self) -> None:
        for name in ("width", "branch", "block"):
            if getattr(self, name) < 1:
                raise BadInput(f"BlockSearch: {name} is {getattr(self, name)}; at least 1")

    def sample(
        self,
        prompts: Sequence[Ids],
        *,
        longest: int,
        end: int,
        seed: int = 0,
        budget: Limits | Ledger | None = None,
    ) -> list[Found]:
        """One answer to each prompt; not inside a running event loop (there await `find`).

        Raises:
            BadInput: see `find`.
        """
        return [
            asyncio.run(self.find(p, longest=longest, end=end, seed=seed + i, budget=budget))
            for i, p in enumerate(prompts)
        ]

    async def find(
        self,
        prompt: Ids,
        *,
        longest: int,
        end: int,
        seed: int = 0,
        budget: Limits | Ledger | None = None,
    ) -> Found:
        """Search the answers to one prompt.

        Args:
            prompt: token ids.
            longest: most tokens of an answer.
            end: the token that ends one.
            seed: of the draws.
            budget: limits of this search, or a ledger shared with other work, in evaluations (one
                a block) and tokens; None: as many blocks as a whole beam takes.

        Raises:
            BadInput: an empty prompt, or a critic that does not give one value a token.
        """
        if not len(prompt):
            raise BadInput("BlockSearch: give a prompt of at least one token")
        run = _Blocks(self, tuple(prompt), longest, end, seed)
        levels = -(-longest // self.block)
        done = await search(
            run, run, run,
            selector=Beam(self.width, self.branch, restart=False),
            budget=budget or Limits(evaluations=levels * self.width * self.branch),
            batch=self.branch,
        )  # fmt: skip
        ended = [state for state in done.states if run.finished(state)]
        best = max(ended or done.states[1:] or done.states, key=run.values.__getitem__)
        return Found(list(best), run.values[best], run.tokens, done.stopped_because)


@dataclass
class _Blocks:
    """World, policy and value of one search: states are beginnings of the answer."""

    rules: BlockSearch
    prompt: State
    longest: int
    end: int
    seed: int
    values: dict[State, float] = field(default_factory=dict)
    costs: dict[State, int] = field(default_factory=dict)
    tokens: int = 0
    calls: int = 0

    def finished(self, state: State) -> bool:
        return bool(state) and (state[-1] == self.end or len(state) >= self.longest)

    def root(self) -> Step[State]:
        self._judge([()])
        return Step(())

    async def step(self, state: State, action: State) -> Step[State]:
        grown = state + action
        return Step(grown, terminal=self.finished(grown))

    async def propose(self, view: View[State, State], k: int) -> Sequence[Proposal[State]]:
        if view.proposed:
            return []
        state, rules = view.state, self.rules
        self.calls += 1
        (blocks,) = rules.policy.sample(
            [self.prompt + state], n=k, longest=min(rules.block, self.longest - len(state)),
            end=self.end, seed=self.seed * 1_000_003 + self.calls,
        )  # fmt: skip
        grown = [state + tuple(block) for block in blocks]
        self._judge(grown)
        for one in grown:  # the policy read all but the last token, the critic the whole
            size = len(self.prompt) + len(one)
            self.costs[one] = 2 * size - 1
            self.tokens += size - 1
        return [Proposal(tuple(block), 1.0 / k) for block in blocks]

    async def __call__(self, step: Step[State]) -> Estimate:
        value = self.values[step.state]
        # The engine compares means in [0, 1]; any increasing map will do.
        cost = Cost(tokens=self.costs.get(step.state, 0))
        return Estimate(0.5 + 0.5 * value / (1.0 + abs(value)), cost=cost)

    def _judge(self, states: Sequence[State]) -> None:
        critic = self.rules.critic
        rows = [[*self.prompt, *state] for state in states]
        width = max(map(len, rows))
        device = next(critic.parameters()).device
        ids: Tensor = torch.tensor([r + [self.end] * (width - len(r)) for r in rows], device=device)
        seen = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows], device=device)
        with at_rest(critic):
            values = prefix_values(critic, ids, seen)
        for number, (state, row) in enumerate(zip(states, rows, strict=True)):
            self.values[state] = float(values[number, len(row) - 1])
            self.tokens += len(row)
