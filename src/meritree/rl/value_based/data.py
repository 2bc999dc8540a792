"""Where updates take their transitions from: replay buffers as pure functions.

Buffers hold ``[time, world]`` so that n steps in a row can be read; what is drawn are windows of
n steps, folded into one transition by `fold` after rewards were relabelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.value.transforms import Step

Array: TypeAlias = Any
Key: TypeAlias = Any
DataState: TypeAlias = Any


class Drawn(NamedTuple):
    """A batch of windows."""

    steps: Step  # leaves [B, n, ...]
    weight: Array  # [B] importance weights, mean about 1
    index: Any  # where they came from, for `Data.update`


class Data(Protocol):
    """Slot 10 of the value trainer."""

    def init(self, example: Step) -> DataState:
        """Room for steps like this one, leaves ``[n_env, ...]``."""
        ...

    def add(self, state: DataState, step: Step) -> DataState:
        """One step of all worlds."""
        ...

    def sample(self, state: DataState, key: Key, size: int) -> Drawn: ...

    def update(self, state: DataState, index: Any, error: Array) -> DataState:
        """|error| ``[B]`` of rows drawn before, after they were learned from."""
        ...


class Ring(NamedTuple):
    """The last ``capacity`` steps of every world."""

    steps: Step  # leaves [capacity, n_env, ...]
    at: Array  # where the next one goes
    filled: Array  # how many there are


@dataclass(frozen=True)
class Uniform:
    """A replay buffer in which every window is equally likely.

    Attributes:
        capacity: steps of one world that are kept (n_env times as many transitions).
        n_step: length of a window; needs as many steps before the first draw.
    """

    capacity: int
    n_step: int = 1

    def __post_init__(self) -> None:
        _check(self.capacity, self.n_step)

    def init(self, example: Step) -> Ring:
        return _ring(self.capacity, example)

    def add(self, state: Ring, step: Step) -> Ring:
        return _put(self.capacity, state, step)

    def sample(self, state: Ring, key: Key, size: int) -> Drawn:
        worlds = state.steps.last.shape[1]
        which, when = jax.random.split(key)
        world = jax.random.randint(which, (size,), 0, worlds)
        start = jax.random.randint(when, (size,), 0, state.filled - self.n_step + 1)
        time = (state.at - state.filled + start) % self.capacity
        return Drawn(
            _windows(state.steps, time, world, self.n_step, self.capacity), jnp.ones(size), ()
        )

    def update(self, state: Ring, index: Any, error: Array) -> Ring:
        return state


class PrioritisedRing(NamedTuple):
    """A ring and the priority of each window's first step; 0 where none may begin."""

    ring: Ring
    priority: Array  # [capacity, n_env]
    highest: Array  # largest priority seen: what a new step gets


@dataclass(frozen=True)
class Prioritised:
    """Windows are drawn in proportion to (|error| + epsilon)^alpha.

    Source: Schaul et al. (2016), arXiv:1511.05952. Drawing costs time linear in the capacity.

    Attributes:
        capacity: steps of one world that are kept.
        n_step: length of a window.
        alpha: 0 is uniform.
        beta: 1 corrects the bias in full by importance weights, divided by their mean.
        epsilon: floor of a priority.
    """

    capacity: int
    n_step: int = 1
    alpha: float = 0.6
    beta: float = 0.4
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _check(self.capacity, self.n_step)
        if self.alpha < 0.0 or self.beta < 0.0 or self.epsilon <= 0.0:
            raise BadInput(
                f"Prioritised: alpha={self.alpha}, beta={self.beta} must be >= 0 and "
                f"epsilon={self.epsilon} > 0"
            )

    def init(self, example: Step) -> PrioritisedRing:
        ring = _ring(self.capacity, example)
        shape = (self.capacity, *example.last.shape)
        return PrioritisedRing(ring, jnp.zeros(shape), jnp.ones(()))

    def add(self, state: PrioritisedRing, step: Step) -> PrioritisedRing:
        ring = state.ring
        # A step can begin a window once the window is full; what is overwritten cannot.
        ready = (ring.at - self.n_step + 1) % self.capacity
        full = ring.filled + 1 >= self.n_step
        priority = state.priority.at[ring.at].set(0.0)
        priority = priority.at[ready].set(
            jnp.where(full, state.highest**self.alpha, priority[ready])
        )
        return PrioritisedRing(_put(self.capacity, ring, step), priority, state.highest)

    def sample(self, state: PrioritisedRing, key: Key, size: int) -> Drawn:
        worlds = state.priority.shape[1]
        flat = state.priority.reshape(-1)
        below = jnp.cumsum(flat)
        # One draw from each of B equal strata: the same law for each row, less noise together.
        wanted = (jnp.arange(size) + jax.random.uniform(key, (size,))) / size * below[-1]
        index = jnp.minimum(jnp.searchsorted(below, wanted, side="right"), flat.shape[0] - 1)
        p = jnp.maximum(flat[index], 1e-30) / below[-1]
        weight = (1.0 / p) ** self.beta
        time, world = index // worlds, index % worlds
        steps = _windows(state.ring.steps, time, world, self.n_step, self.capacity)
        return Drawn(steps, weight / jnp.mean(weight), index)

    def update(self, state: PrioritisedRing, index: Any, error: Array) -> PrioritisedRing:
        size = jnp.abs(error) + self.epsilon
        priority = state.priority.reshape(-1).at[index].set(size**self.alpha)
        highest = jnp.maximum(state.highest, jnp.max(size))
        return state._replace(priority=priority.reshape(state.priority.shape), highest=highest)


def fold(steps: Step, reward: Array) -> Step:
    """Windows ``[B, n, ...]`` as one transition each, up to the first end within the window.

    Args:
        steps: the window; its boot is gamma (1 - terminated) of each step.
        reward: ``[B, n, C]``, relabelled.

    Returns:
        Reward sum_i gamma^i r_i, boot gamma^m (1 - terminated) and the next observation after m
        steps: m = n, or fewer where an episode ended.
    """
    n = steps.last.shape[1]
    if n == 1:
        one = jax.tree.map(lambda leaf: leaf[:, 0], steps)
        return one._replace(reward=reward[:, 0])
    going = jnp.cumprod(1.0 - steps.last[:, :-1].astype(reward.dtype), axis=1)
    inside = jnp.concatenate([jnp.ones_like(going[:, :1]), going], axis=1)
    discount = jnp.cumprod(steps.boot, axis=1)
    before = jnp.concatenate([jnp.ones_like(discount[:, :1]), discount[:, :-1]], axis=1)
    end = jnp.sum(inside, axis=1).astype(jnp.int32) - 1
    rows = jnp.arange(end.shape[0])

    def at_end(leaf: Array) -> Array:
        return leaf[rows, end]

    first = jax.tree.map(lambda leaf: leaf[:, 0], steps)
    return first._replace(
        reward=jnp.sum(reward * (inside * before)[..., None], axis=1),
        boot=at_end(discount),
        last=at_end(steps.last),
        next_obs=jax.tree.map(at_end, steps.next_obs),
        next_ctx=jax.tree.map(at_end, steps.next_ctx),
    )


def _check(capacity: int, n_step: int) -> None:
    if n_step < 1 or capacity < n_step:
        raise BadInput(f"capacity={capacity}, n_step={n_step}: need capacity >= n_step >= 1")


def _ring(capacity: int, example: Step) -> Ring:
    room = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), example)
    return Ring(room, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def _put(capacity: int, ring: Ring, step: Step) -> Ring:
    steps = jax.tree.map(lambda room, leaf: room.at[ring.at].set(leaf), ring.steps, step)
    return Ring(steps, (ring.at + 1) % capacity, jnp.minimum(ring.filled + 1, capacity))


def _windows(steps: Step, time: Array, world: Array, n: int, capacity: int) -> Step:
    times = (time[:, None] + jnp.arange(n)) % capacity
    return jax.tree.map(lambda leaf: leaf[times, world[:, None]], steps)
