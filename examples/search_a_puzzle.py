"""Search over a world of your own: the eight puzzle, by a value that is nobody's but yours.

A world says where actions lead, a policy which actions there are, a value how good a state is.
One class can be all three.
"""

import asyncio

from meritree.run.ledger import Limits
from meritree.search import make_strategy
from meritree.search.driver import Proposal, Step, search
from meritree.value import Estimate

GOAL = "12345678."
MOVES = {"up": -3, "down": 3, "left": -1, "right": 1}


class EightPuzzle:
    """A state is nine letters, row by row; the dot is the hole."""

    def __init__(self, start):
        self.start = start

    def root(self):
        return Step(self.start)

    async def step(self, state, action):
        hole = state.index(".")
        other = hole + MOVES[action]
        tiles = list(state)
        tiles[hole], tiles[other] = tiles[other], "."
        reached = "".join(tiles)
        return Step(reached, terminal=reached == GOAL, solved=reached == GOAL or None)

    async def propose(self, view, k):
        row, column = divmod(view.state.index("."), 3)
        inside = {"up": row > 0, "down": row < 2, "left": column > 0, "right": column < 2}
        moves = [Proposal(name, 1 / 4) for name, possible in inside.items() if possible]
        return moves[len(view.proposed) :][:k]

    async def __call__(self, step):
        """1 at the goal; less the farther the tiles are from their places."""
        places = [(step.state.index(tile), goal) for goal, tile in enumerate("12345678")]
        far = sum(abs(a // 3 - b // 3) + abs(a % 3 - b % 3) for a, b in places)
        return Estimate(1 - far / 24, channels={"near": 1 - far / 24})


puzzle = EightPuzzle("6.7831254")  # solvable, far from the goal
for name in ("best-first", "puct", "uct", "linear"):
    rules = make_strategy(name)
    run = search(
        puzzle, puzzle, puzzle, selector=rules.selector, backup=rules.backup,
        widening=rules.widening, budget=Limits(evaluations=3000),
    )  # fmt: skip
    found = asyncio.run(run)
    best = found.tree.best()
    print(f"{name:10} best value {best.own:.2f}, {best.depth:3} moves, {found.stopped_because}")
    if best.own == 1.0:
        print("           ", " ".join(node.action[0] for node in found.tree.path(best.id)[1:]))
