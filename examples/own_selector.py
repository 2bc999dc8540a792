"""A selector of your own: Levin tree search in twenty lines, beside the ready-made ones.

Orseau et al. (2018), arXiv 1811.10928: expand the node of least depth / probability of its path.
With a policy that knows a little, the work is bounded by the probability of the solution.
"""

import asyncio
from dataclasses import dataclass

from meritree.run.ledger import Limits
from meritree.search.driver import Proposal, Step, search
from meritree.search.frontier import Frontier
from meritree.search.selectors import PUCT, UCT
from meritree.value import Estimate


@dataclass(frozen=True)
class Levin:
    """Scores are compared over the whole tree; the highest is expanded next."""

    reads_subtrees = False  # no visit counts, no backed-up values

    def score(self, tree, node):
        probability, depth = 1.0, node.depth
        while node.parent >= 0:
            probability *= node.prior
            node = tree.raw[node.parent]
        return -(depth + 1) / probability

    def touched(self, tree, node):
        return ()  # a new node changes no other node's score

    visited = touched

    def bind(self, tree, widening, seed):
        return Frontier(tree, self)


class Lock:
    """Ten digits of 0, 1, 2; only the whole right code opens it, and nothing tells half of it."""

    code = (2, 0, 1, 2, 0, 2, 0, 1, 2, 0)

    def root(self):
        return Step(())

    async def step(self, state, action):
        state = (*state, action)
        return Step(state, terminal=len(state) == 10, solved=True if state == self.code else None)

    async def propose(self, view, k):
        """After a digit, the one below it is likely (modulo 3)."""
        likely = 2 if view.depth == 0 else (view.state[-1] + 1) % 3
        order = sorted(range(3), key=lambda digit: digit != likely)
        return [Proposal(d, 0.8 if d == likely else 0.1) for d in order][len(view.proposed) :][:k]

    async def __call__(self, step):
        return Estimate(1.0 if step.solved else 0.0)


lock = Lock()
for selector in (Levin(), PUCT(), UCT()):
    run = search(lock, lock, lock, selector=selector, budget=Limits(evaluations=3000))
    found = asyncio.run(run)
    at = next((node.id for node in found.tree.nodes if node.own == 1.0), None)
    words = f"opens with state {at}" if at else f"stays shut: {found.stopped_because}"
    print(f"{type(selector).__name__:6} {words}")
