"""Grids with several rewards, one channel for each: fruits to collect and a maze of no return."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from meritree.errors import BadInput
from meritree.rl.envs.env import Array, Discrete, EnvSpec, Key, Outcome
from meritree.rl.envs.grids import MOVES, Cell, moved, plane, walk_table
from meritree.rl.envs.tables import LARGEST, Tables, blank, finish

PLACES = ((0, 0), (0, 9), (1, 2), (3, 6), (4, 4), (5, 7), (6, 2), (7, 7), (8, 8), (9, 0))


class Basket(NamedTuple):
    """Where the agent is and which fruits are left."""

    at: Array  # [2]
    left: Array  # [places] bool
    t: Array


@dataclass(frozen=True)
class FruitCollection:
    """Some of the places hold a fruit; each is a reward channel; ends when all are eaten.

    Observes the agent's cell one-hot, then a number for each place that holds a fruit; starts on
    a cell that is no place. Source: van Seijen et al. (2017), arXiv:1706.04208; the small game of
    their code, which mirrors the places when it looks for a first cell: there the agent may begin
    on a fruit.

    Attributes:
        size: side of the grid.
        places: (row, column) where a fruit may be.
        fruits: how many there are in an episode.
        worth: reward of a fruit, repeated over the places where it has fewer entries.
        limit: steps of an episode.

    Raises:
        BadInput: places outside the grid or twice; more fruits than places.
    """

    size: int = 10
    places: tuple[Cell, ...] = PLACES
    fruits: int = 5
    worth: tuple[float, ...] = (1.0,)
    limit: int = 300

    def __post_init__(self) -> None:
        odd = [cell for cell in self.places if not all(0 <= x < self.size for x in cell)]
        if odd or len(set(self.places)) != len(self.places) or not self.worth:
            raise BadInput(
                f"places={self.places}: each once and inside the {self.size} x {self.size}; "
                f"worth={self.worth}: at least one number"
            )
        if not 1 <= self.fruits <= len(self.places) < self.size**2:
            raise BadInput(
                f"fruits={self.fruits}: between 1 and the {len(self.places)} places, and a cell "
                "must be left to start from"
            )

    @property
    def worths(self) -> NDArray[np.float32]:
        """[C] reward of the fruit at each place."""
        return np.resize(np.asarray(self.worth, np.float32), len(self.places))

    @property
    def masks(self) -> NDArray[np.float32]:
        """[C, obs] what concerns each channel: the agent's cell and the place's own number."""
        count = len(self.places)
        return np.hstack([np.ones((count, self.size**2)), np.eye(count)]).astype(np.float32)

    @property
    def spec(self) -> EnvSpec:
        count = len(self.places)
        return EnvSpec("fruit-collection", (self.size**2 + count,), Discrete(4), (1.0,) * count)

    def reset(self, key: Key) -> tuple[Basket, Array]:
        choosing, placing = jax.random.split(key)
        starts = jnp.asarray(self._starts)
        at = starts[jax.random.randint(placing, (), 0, len(starts))]
        order = jax.random.permutation(choosing, len(self.places))
        state = Basket(at, order < self.fruits, jnp.int32(0))
        return state, self._seen(state)

    def step(self, key: Key, state: Basket, action: Array) -> tuple[Basket, Outcome]:
        at = moved(np.ones((self.size, self.size), bool), state.at, action)
        eaten = state.left & jnp.all(at == jnp.asarray(self.places), axis=1)
        state = Basket(at, state.left & ~eaten, state.t + 1)
        done = ~jnp.any(state.left)
        return finish(state, self._seen(state), eaten * jnp.asarray(self.worths), done, self)

    def index(self, state: Basket) -> Array:
        which = jnp.sum(state.left * 2 ** jnp.arange(len(self.places)))
        return which * self.size**2 + state.at[0] * self.size + state.at[1]

    def tables(self) -> Tables:
        """Cells row by row within sets of fruits left (bit k: place k); for small grids only."""
        cells, count = self.size**2, len(self.places)
        if cells * 2**count > LARGEST:
            raise BadInput(
                f"{cells} cells x 2^{count} sets of fruits: at most {LARGEST} states have tables; "
                "take a smaller size and fewer places"
            )
        out = blank(cells * 2**count, 4)
        out.P[:cells, :, :cells] = np.eye(cells)[:, None]
        out.ends[:cells] = True
        after = walk_table(np.ones((self.size, self.size), bool)).argmax(axis=2)
        fruit = {row * self.size + column: k for k, (row, column) in enumerate(self.places)}
        for left in range(1, 2**count):
            for (s, a), to in np.ndenumerate(after):
                k = fruit.get(int(to))
                eats = k is not None and left >> k & 1
                target = (left - (1 << k if eats and k is not None else 0)) * cells + to
                out.P[left * cells + s, a, target] = 1.0
                if eats and k is not None:
                    out.R[left * cells + s, a, target] = self.worths[k]
        for chosen in combinations(range(count), self.fruits):
            where = sum(1 << k for k in chosen) * cells + self._starts @ [self.size, 1]
            out.mu0[where] = 1.0
        return out._replace(mu0=out.mu0 / out.mu0.sum())

    @cached_property
    def _starts(self) -> NDArray[np.int32]:
        cells = np.argwhere(np.ones((self.size, self.size), bool)).astype(np.int32)
        taken = (cells[:, None] == np.asarray(self.places)).all(axis=2).any(axis=1)
        return cells[~taken]

    def _seen(self, state: Basket) -> Array:
        cell = jax.nn.one_hot(state.at[0] * self.size + state.at[1], self.size**2)
        return jnp.concatenate([cell, state.left.astype(jnp.float32)])


# Cells stand at odd rows and columns, passages between them: = is open both ways, an arrow
# one way, # closed; S is the start, a letter a reward. Facts of the released maps.
MAZES = {
    "exclusive": """
###########
#S=a#######
#=#v#######
#b>.=a#####
###=#v#####
###b>.=a###
#####=#v###
#####b>.=a#
#######=#v#
#######b>.=
###########""",
    "inclusive": """
###########
#S=a=b=.###
#=#####v###
#.=.=.>.=a#
#######=#=#
#######.#b#
#######v#=#
=.<.=.=.<.#
#=#####=###
#.<b=a=.###
#=#########""",
    "four": """
#=#########
#a=.=b=.#.=
#######=#=#
#######.=.#
#######=###
###S=.=c###
#####=#####
=.=.=d#####
#####=#####
#####.#####
#####=#####""",
}
RANGES = {
    "exclusive": ((0.2, 0.6), (0.4, 0.9)),
    "inclusive": ((0.2, 0.6), (0.4, 0.9)),
    "four": ((0.2, 0.4), (0.8, 1.0), (0.3, 0.5), (0.5, 0.7)),
}


class Trail(NamedTuple):
    """Where the agent is and which cells have closed behind it."""

    at: Array  # [2]
    closed: Array  # [5, 5] bool
    t: Array


@dataclass(frozen=True)
class RewardMaze:
    """A 5 x 5 maze whose cells close behind the agent; a reward of each kind is a channel.

    Entering a cell with a reward pays an amount drawn uniformly from the range of its kind;
    leaving the grid by an exit ends. What cannot be entered keeps the agent where it is.
    ``exclusive``: each reward of one kind costs one of the other; ``inclusive``: both lie on one
    way; ``four``: four kinds. Observes planes [5, 5, 2 + C]: the agent, closed cells, rewards
    left. Source: Zhang et al. (2021), arXiv:2110.13578; maps and ranges as in their code.

    Attributes:
        map: which of the three.
        limit: steps of an episode.
    """

    map: Literal["exclusive", "inclusive", "four"] = "exclusive"
    limit: int = 150

    def __post_init__(self) -> None:
        if self.map not in MAZES:
            raise BadInput(f"map={self.map!r}: there are {', '.join(MAZES)}")

    @cached_property
    def drawing(self) -> NDArray[np.str_]:
        """[11, 11] characters of the map."""
        return np.asarray([list(row) for row in MAZES[self.map].split("\n")[1:]])

    @cached_property
    def passage(self) -> NDArray[np.bool_]:
        """[5, 5, 4] whether each move is possible from each cell, closed cells aside."""
        arrows = np.asarray(["=^", "=>", "=v", "=<"])
        found = np.zeros((5, 5, 4), bool)
        for row, column, a in np.ndindex(found.shape):
            sign = self.drawing[2 * row + 1 + MOVES[a][0], 2 * column + 1 + MOVES[a][1]]
            found[row, column, a] = sign in str(arrows[a])
        return found

    @cached_property
    def kinds(self) -> NDArray[np.float32]:
        """[5, 5, C] which reward lies where."""
        letters = np.asarray(list("abcd")[: self.spec.channels])
        return (self.drawing[1::2, 1::2, None] == letters).astype(np.float32)

    @property
    def spec(self) -> EnvSpec:
        channels = len(RANGES[self.map])
        return EnvSpec(
            f"reward-maze-{self.map}", (5, 5, 2 + channels), Discrete(4), (1.0,) * channels
        )

    def reset(self, key: Key) -> tuple[Trail, Array]:
        cells = self.drawing[1::2, 1::2]
        start = jnp.asarray(np.argwhere(cells == "S")[0], jnp.int32)
        state = Trail(start, jnp.asarray(cells == "#"), jnp.int32(0))
        return state, self._seen(state)

    def step(self, key: Key, state: Trail, action: Array) -> tuple[Trail, Outcome]:
        row, column = state.at
        wanted = state.at + jnp.asarray(MOVES)[action]
        inside = jnp.all((wanted >= 0) & (wanted < 5))
        i, j = jnp.clip(wanted, 0, 4)
        goes = jnp.asarray(self.passage)[row, column, action] & ~(inside & state.closed[i, j])
        low, high = jnp.asarray(RANGES[self.map]).T
        amount = low + (high - low) * jax.random.uniform(key, low.shape)
        enters = goes & inside
        reward = enters * jnp.asarray(self.kinds)[i, j] * amount
        closed = state.closed.at[row, column].set(state.closed[row, column] | enters)
        state = Trail(jnp.where(enters, wanted, state.at), closed, state.t + 1)
        return finish(state, self._seen(state), reward, goes & ~inside, self)

    def _seen(self, state: Trail) -> Array:
        here = plane((5, 5), state.at)
        left = jnp.asarray(self.kinds) * ((1.0 - here) * ~state.closed)[..., None]
        closed = state.closed.astype(jnp.float32)
        return jnp.concatenate([here[..., None], closed[..., None], left], axis=-1)
