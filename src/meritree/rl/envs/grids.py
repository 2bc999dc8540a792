"""Small worlds on a grid with one reward: four rooms, a key and its door, a maze with pitfalls.

Cells are (row, column); actions are up, right, down, left. What ends an episode is in the class.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from meritree.errors import BadInput
from meritree.rl.envs.env import Array, Discrete, EnvSpec, Key, Outcome
from meritree.rl.envs.tables import Tables, blank, finish

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
Cell: TypeAlias = tuple[int, int]
Mask: TypeAlias = NDArray[np.bool_]


class Walk(NamedTuple):
    """Where the agent is, and where it should go."""

    at: Array  # [2]
    goal: Array  # [2]
    t: Array


@dataclass(frozen=True)
class FourRooms:
    """Four rooms with a door in each wall between them; reaching the goal pays 1 and ends.

    Observes two planes [size, size, 2]: the agent and the goal.

    Attributes:
        size: side of the grid, odd and at least 5.
        start: first cell; None: drawn anew among free cells other than the goal.
        goal: None: drawn anew in every episode. Negative numbers count from the far side.
        limit: steps of an episode.

    Raises:
        BadInput: no such size; start or goal outside or in a wall.
    """

    size: int = 11
    start: Cell | None = (0, 0)
    goal: Cell | None = (-1, -1)
    limit: int = 500

    def __post_init__(self) -> None:
        if self.size < 5 or self.size % 2 == 0:
            raise BadInput(
                f"size={self.size}: must be odd and at least 5, so that a wall halves it"
            )
        for name, cell in (("start", self.start), ("goal", self.goal)):
            if cell is not None and not _free(self.open, cell):
                raise BadInput(f"{name}={cell}: not a free cell of the {self.size} x {self.size}")

    @cached_property
    def open(self) -> Mask:
        """[size, size] free cells."""
        free = np.ones((self.size, self.size), bool)
        middle, door = self.size // 2, self.size // 4
        free[middle, :] = free[:, middle] = False
        for place in (door, self.size - 1 - door):
            free[middle, place] = free[place, middle] = True
        return free

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("four-rooms", (self.size, self.size, 2), Discrete(4))

    def reset(self, key: Key) -> tuple[Walk, Array]:
        cells = jnp.asarray(np.argwhere(self.open))
        first, second = jax.random.split(key)
        j = jax.random.randint(first, (), 0, len(cells))
        if self.goal is not None:
            j = jnp.asarray(_number(self.open, self.goal))
        i = jax.random.randint(second, (), 0, len(cells) - 1)
        start = i + (i >= j)  # any cell but the goal
        if self.start is not None:
            start = jnp.asarray(_number(self.open, self.start))
        state = Walk(cells[start], cells[j], jnp.int32(0))
        return state, self._seen(state)

    def step(self, key: Key, state: Walk, action: Array) -> tuple[Walk, Outcome]:
        at = moved(self.open, state.at, action)
        state = Walk(at, state.goal, state.t + 1)
        there = jnp.all(at == state.goal)
        return finish(state, self._seen(state), there, there, self)

    def index(self, state: Walk) -> Array:
        return _numbers(self.open)[state.at[0], state.at[1]]

    def tables(self) -> Tables:
        """Free cells, row by row.

        Raises:
            BadInput: the goal is drawn anew, so that a cell is not a state.
        """
        if self.goal is None:
            raise BadInput("goal=None: tables need a fixed goal; name one")
        end = _number(self.open, self.goal)
        P = walk_table(self.open)
        P[end] = 0.0
        P[end, :, end] = 1.0
        out = blank(len(P), 4)._replace(P=P)
        out.R[:, :, end] = 1.0
        out.R[end] = 0.0
        out.ends[end] = True
        if self.start is None:
            out.mu0[:] = 1.0 / (len(P) - 1)
            out.mu0[end] = 0.0
        else:
            out.mu0[_number(self.open, self.start)] = 1.0
        return out

    def _seen(self, state: Walk) -> Array:
        shape = (self.size, self.size)
        return jnp.stack([plane(shape, state.at), plane(shape, state.goal)], axis=-1)


class Keeper(NamedTuple):
    """Where the agent is, and whether it has the key."""

    at: Array  # [2]
    key: Array  # bool
    t: Array


@dataclass(frozen=True)
class KeyDoor:
    """Two rooms; the key lies in the near one, its door leads to the goal, which pays 1 and ends.

    The agent starts in the top left corner; the key lies in the bottom left one, the goal in the
    bottom right one, the door in the middle of the wall. Observes planes [size, size, 3]: the
    agent, the key where it still lies, the door while it is locked.

    Attributes:
        size: side of the grid, at least 4.
        limit: steps of an episode.
    """

    size: int = 8
    limit: int = 400

    def __post_init__(self) -> None:
        if self.size < 4:
            raise BadInput(f"size={self.size}: must be at least 4 to hold two rooms and a wall")

    @cached_property
    def open(self) -> Mask:
        """[size, size] free cells, the door among them."""
        free = np.ones((self.size, self.size), bool)
        free[:, self.size // 2] = False
        free[self.door] = True
        return free

    @property
    def door(self) -> Cell:
        return self.size // 2, self.size // 2

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("key-door", (self.size, self.size, 3), Discrete(4))

    def reset(self, key: Key) -> tuple[Keeper, Array]:
        state = Keeper(jnp.zeros(2, jnp.int32), jnp.zeros((), bool), jnp.int32(0))
        return state, self._seen(state)

    def step(self, key: Key, state: Keeper, action: Array) -> tuple[Keeper, Outcome]:
        passable = jnp.asarray(self.open).at[self.door].set(state.key)
        at = moved(passable, state.at, action)
        found = state.key | jnp.all(at == jnp.asarray((self.size - 1, 0)))
        there = jnp.all(at == self.size - 1)
        state = Keeper(at, found, state.t + 1)
        return finish(state, self._seen(state), there, there, self)

    def index(self, state: Keeper) -> Array:
        numbers = _numbers(self.open)
        return numbers[state.at[0], state.at[1]] + state.key * int(self.open.sum())

    def tables(self) -> Tables:
        """Free cells row by row, first without the key, then with it."""
        shut, n = self.open.copy(), int(self.open.sum())
        shut[self.door] = False
        spot, end = _number(self.open, (self.size - 1, 0)), n - 1
        out = blank(2 * n, 4)
        keep = np.flatnonzero(shut[self.open])
        out.P[np.ix_(keep, np.arange(4), keep)] = walk_table(shut)
        door = _number(self.open, self.door)
        out.P[door, :, door] = 1.0  # nobody gets there without the key
        out.P[n:, :, n:] = walk_table(self.open)
        out.P[:n, :, n + spot] = out.P[:n, :, spot]
        out.P[:n, :, spot] = 0.0
        for last in (end, n + end):
            out.P[last] = 0.0
            out.P[last, :, last] = 1.0
            out.R[:, :, last] = 1.0
            out.ends[last] = True
        out.R[out.ends] = 0.0
        out.mu0[0] = 1.0
        return out

    def _seen(self, state: Keeper) -> Array:
        shape = (self.size, self.size)
        lying = plane(shape, (self.size - 1, 0)) * ~state.key
        return jnp.stack(
            [plane(shape, state.at), lying, plane(shape, self.door) * ~state.key], axis=-1
        )


class Spot(NamedTuple):
    """Where the agent is."""

    at: Array  # [2]
    t: Array


@dataclass(frozen=True)
class PitfallMaze:
    """A square with pitfalls and moves that go wrong (the maze of Deep Variance Weighting).

    Actions are up, right, down, left, stay. Each of them that is possible happens with
    probability ``noise``, the chosen one with what remains. A step that begins on the goal, in
    the far corner, pays 1 and the episode goes on; a pitfall ends it. Source: Kitamura et al.
    (2023), arXiv:2305.13185, and their code, where a pitfall holds the agent for ever (the same
    values), pitfalls are drawn with replacement and features have five normal numbers.

    Attributes:
        noise: in [0, 0.2].
        size: side of the square, at least 4.
        pitfalls: their number; none lies within a step of start or goal.
        features: a cell is observed as so many fixed standard normal numbers; 0: as its row and
            its column, each one-hot.
        seed: of pitfalls and features.
        limit: steps of an episode.

    Raises:
        BadInput: numbers out of range.
    """

    noise: float = 0.1
    size: int = 25
    pitfalls: int = 8
    features: int = 5
    seed: int = 0
    limit: int = 200

    def __post_init__(self) -> None:
        if not 0.0 <= self.noise <= 0.2:
            raise BadInput(f"noise={self.noise}: must lie in [0, 0.2], there are five moves")
        room = self.size**2 - 8
        if self.size < 4 or not 0 <= self.pitfalls <= room or self.features < 0:
            raise BadInput(
                f"size={self.size}, pitfalls={self.pitfalls}, features={self.features}: the size "
                f"is at least 4, and {max(0, room)} cells may be pitfalls"
            )

    @cached_property
    def pits(self) -> Mask:
        """[size, size] where the pitfalls are."""
        free = np.ones((self.size, self.size), bool)
        free[:2, :2] = free[-2:, -2:] = False
        cells = np.argwhere(free)
        chosen = np.random.default_rng(self.seed).choice(len(cells), self.pitfalls, replace=False)
        pits = np.zeros_like(free)
        pits[tuple(cells[chosen].T)] = True
        return pits

    @cached_property
    def look(self) -> NDArray[np.float32]:
        """[size, size, F] what each cell looks like."""
        rng = np.random.default_rng(self.seed + 1)
        if self.features:
            return rng.standard_normal((self.size, self.size, self.features)).astype(np.float32)
        one = np.eye(self.size, dtype=np.float32)
        rows = np.repeat(one[:, None], self.size, axis=1)
        return np.concatenate([rows, rows.swapaxes(0, 1)], axis=2)

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("pitfall-maze", (self.look.shape[2],), Discrete(5))

    def reset(self, key: Key) -> tuple[Spot, Array]:
        return Spot(jnp.zeros(2, jnp.int32), jnp.int32(0)), jnp.asarray(self.look)[0, 0]

    def step(self, key: Key, state: Spot, action: Array) -> tuple[Spot, Outcome]:
        wanted = state.at + jnp.asarray((*MOVES, (0, 0)))  # [5, 2]
        possible = jnp.all((wanted >= 0) & (wanted < self.size), axis=1)
        wrong = self.noise * possible
        odds = wrong.at[action].add(1.0 - jnp.sum(wrong))
        move = jax.random.categorical(key, jnp.log(odds))
        at = jnp.where(possible[move], wanted[move], state.at)
        reward = jnp.all(state.at == self.size - 1)
        seen = jnp.asarray(self.look)[at[0], at[1]]
        return finish(
            Spot(at, state.t + 1), seen, reward, jnp.asarray(self.pits)[at[0], at[1]], self
        )

    def index(self, state: Spot) -> Array:
        return state.at[0] * self.size + state.at[1]

    def tables(self) -> Tables:
        """Cells, row by row."""
        n = self.size**2
        sure = walk_table(np.ones((self.size, self.size), bool))
        sure = np.concatenate([sure, np.eye(n)[:, None]], axis=1)  # [S, 5, S]
        possible = np.einsum("sas->sa", sure) == 0.0
        possible[:, 4] = True
        wrong = self.noise * np.einsum("sa,sat->st", possible, sure)
        rest = 1.0 - self.noise * possible.sum(axis=1)
        out = blank(n, 5)._replace(P=wrong[:, None] + rest[:, None, None] * sure)
        out.R[n - 1] = 1.0
        ends = np.flatnonzero(self.pits)
        out.P[ends] = 0.0
        out.P[ends, :, ends] = 1.0
        out.ends[ends] = True
        out.mu0[0] = 1.0
        return out


def moved(free: Any, at: Array, action: Array) -> Array:
    """The cell that a move leads to; a wall or the edge keeps the agent where it is."""
    free, wanted = jnp.asarray(free), at + jnp.asarray(MOVES)[action]
    inside = jnp.all((wanted >= 0) & (wanted < jnp.asarray(free.shape)))
    row, column = jnp.clip(wanted, 0, jnp.asarray(free.shape) - 1)
    return jnp.where(inside & free[row, column], wanted, at).astype(jnp.int32)


def plane(shape: Cell, cell: Any) -> Array:
    """1.0 at one cell, 0.0 elsewhere."""
    row, column = cell
    return jax.nn.one_hot(row, shape[0])[:, None] * jax.nn.one_hot(column, shape[1])


def walk_table(free: Mask) -> NDArray[np.float64]:
    """[S, 4, S] sure moves between free cells, which are numbered row by row."""
    cells = [(int(i), int(j)) for i, j in np.argwhere(free)]
    number = {cell: k for k, cell in enumerate(cells)}
    P = np.zeros((len(cells), 4, len(cells)))
    for cell, s in number.items():
        for a, (down, right) in enumerate(MOVES):
            P[s, a, number.get((cell[0] + down, cell[1] + right), s)] = 1.0
    return P


def _free(free: Mask, cell: Cell) -> bool:
    inside = all(-side <= place < side for place, side in zip(cell, free.shape, strict=True))
    return inside and bool(free[cell])


def _numbers(free: Mask) -> Array:
    return jnp.asarray(np.cumsum(free).reshape(free.shape) - 1)


def _number(free: Mask, cell: Cell) -> int:
    return int((np.cumsum(free).reshape(free.shape) - 1)[cell])
