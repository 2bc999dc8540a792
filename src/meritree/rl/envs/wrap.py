"""Worlds around worlds: limits, noise, other actions, other rewards, other observations.

Each takes an environment and is one. Running statistics belong to all worlds together, so
`Normalised` goes around a vector of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.rl.envs.env import (
    Array,
    Box,
    Discrete,
    Env,
    EnvSpec,
    Key,
    Outcome,
    State,
    VectorEnv,
    VectorOutcome,
)


class Counted(NamedTuple):
    """A state and the steps taken."""

    inner: State
    t: Array


@dataclass(frozen=True)
class TimeLimit:
    """Cuts an episode short (truncated) after a number of steps, unless it ends then."""

    env: Env
    limit: int

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise BadInput(f"limit={self.limit}: an episode has at least one step")

    @property
    def spec(self) -> EnvSpec:
        return self.env.spec

    def reset(self, key: Key) -> tuple[Counted, Array]:
        inner, obs = self.env.reset(key)
        return Counted(inner, jnp.int32(0)), obs

    def step(self, key: Key, state: Counted, action: Array) -> tuple[Counted, Outcome]:
        inner, out = self.env.step(key, state.inner, action)
        t = state.t + 1
        cut = out.truncated | ((t >= self.limit) & ~out.terminated)
        return Counted(inner, t), out._replace(truncated=cut)


class Sticking(NamedTuple):
    """A state and the action before."""

    inner: State
    last: Array
    begun: Array  # bool: there was one


@dataclass(frozen=True)
class StickyActions:
    """With probability ``p`` the last action is repeated instead of the one that was chosen.

    The first action of an episode is always the chosen one. Source: Machado et al. (2018),
    arXiv:1709.06009.
    """

    env: Env
    p: float = 0.25

    def __post_init__(self) -> None:
        if not 0.0 <= self.p <= 1.0:
            raise BadInput(f"p={self.p}: must lie in [0, 1]")

    @property
    def spec(self) -> EnvSpec:
        return self.env.spec

    def reset(self, key: Key) -> tuple[Sticking, Array]:
        inner, obs = self.env.reset(key)
        action = self.spec.action
        none = jnp.int32(0) if isinstance(action, Discrete) else jnp.zeros(action.shape)
        return Sticking(inner, none, jnp.zeros((), bool)), obs

    def step(self, key: Key, state: Sticking, action: Array) -> tuple[Sticking, Outcome]:
        sticking, going = jax.random.split(key)
        again = state.begun & jax.random.bernoulli(sticking, self.p)
        done = jnp.where(again, state.last, action).astype(state.last.dtype)
        inner, out = self.env.step(going, state.inner, done)
        return Sticking(inner, done, jnp.ones((), bool)), out


@dataclass(frozen=True)
class NoisyReward:
    """Adds normal noise with standard deviation ``std`` to every reward channel."""

    env: Env
    std: float

    def __post_init__(self) -> None:
        if self.std < 0.0:
            raise BadInput(f"std={self.std}: must not be negative")

    @property
    def spec(self) -> EnvSpec:
        return self.env.spec

    def reset(self, key: Key) -> tuple[State, Array]:
        return self.env.reset(key)

    def step(self, key: Key, state: State, action: Array) -> tuple[State, Outcome]:
        going, adding = jax.random.split(key)
        state, out = self.env.step(going, state, action)
        noise = self.std * jax.random.normal(adding, out.reward.shape)
        return state, out._replace(reward=out.reward + noise)


@dataclass(frozen=True)
class Discretised:
    """Real actions chosen from a grid: ``each`` evenly spaced values in every dimension.

    Action 0 is low everywhere; the last dimension changes fastest.

    Raises:
        BadInput: actions that are not real, or too many of them.
    """

    env: Env
    each: int = 3

    def __post_init__(self) -> None:
        action = self.env.spec.action
        if not isinstance(action, Box) or not all(map(math.isfinite, (action.low, action.high))):
            raise BadInput(
                f"environment {self.env.spec.name}: its actions {action} are no bounded real "
                "numbers, there is nothing to make discrete"
            )
        if self.each < 2 or self.each ** math.prod(action.shape) > 10_000:
            raise BadInput(
                f"each={self.each}: {self.each}^{math.prod(action.shape)} actions; at least 2 in "
                "a dimension and at most 10000 in all"
            )

    @property
    def _box(self) -> Box:
        action = self.env.spec.action
        assert isinstance(action, Box)
        return action

    @property
    def spec(self) -> EnvSpec:
        count = self.each ** math.prod(self._box.shape)
        return replace(self.env.spec, action=Discrete(count))

    def reset(self, key: Key) -> tuple[State, Array]:
        return self.env.reset(key)

    def step(self, key: Key, state: State, action: Array) -> tuple[State, Outcome]:
        return self.env.step(key, state, self.real(action))

    def real(self, action: Array) -> Array:
        """The real action that a number stands for."""
        box, size = self._box, math.prod(self._box.shape)
        digits = jnp.asarray(action) // self.each ** jnp.arange(size - 1, -1, -1) % self.each
        return jnp.linspace(box.low, box.high, self.each)[digits].reshape(box.shape)


@dataclass(frozen=True)
class Flattened:
    """Observations as one row of numbers, float32."""

    env: Env

    @property
    def spec(self) -> EnvSpec:
        spec = self.env.spec
        return replace(spec, obs_shape=(math.prod(spec.obs_shape),), obs_dtype=jnp.float32)

    def reset(self, key: Key) -> tuple[State, Array]:
        state, obs = self.env.reset(key)
        return state, self._flat(obs)

    def step(self, key: Key, state: State, action: Array) -> tuple[State, Outcome]:
        state, out = self.env.step(key, state, action)
        return state, out._replace(obs=self._flat(out.obs))

    def _flat(self, obs: Array) -> Array:
        return obs.reshape(-1).astype(jnp.float32)


class Remembered(NamedTuple):
    """A state and its observation."""

    inner: State
    obs: Array


# (obs, action, what the step brought) to [C] rewards.
Split: TypeAlias = Callable[[Array, Array, Outcome], Array]


@dataclass(frozen=True)
class ChannelRewards:
    """Rewards written anew as channels.

    Attributes:
        env: whose rewards.
        split: (obs, action, outcome) to rewards [C].
        weights: what each counts in the return that is reported.
    """

    env: Env
    split: Split
    weights: tuple[float, ...]

    @property
    def spec(self) -> EnvSpec:
        return replace(self.env.spec, weights=self.weights)

    def reset(self, key: Key) -> tuple[Remembered, Array]:
        inner, obs = self.env.reset(key)
        return Remembered(inner, obs), obs

    def step(self, key: Key, state: Remembered, action: Array) -> tuple[Remembered, Outcome]:
        inner, out = self.env.step(key, state.inner, action)
        reward = jnp.asarray(self.split(state.obs, action, out), jnp.float32)
        if reward.shape != (len(self.weights),):
            raise BadInput(
                f"split gave rewards of shape {reward.shape} for {len(self.weights)} weights"
            )
        return Remembered(inner, out.obs), out._replace(reward=reward)


def summed(env: Env) -> ChannelRewards:
    """One channel: what the reward channels come to by their weights."""
    weights = jnp.asarray(env.spec.weights)
    return ChannelRewards(env, lambda obs, action, out: (out.reward @ weights)[None], (1.0,))


class Statistics(NamedTuple):
    """Of all observations so far."""

    count: Array
    mean: Array  # [*obs]
    square: Array  # [*obs] sum of squared deviations

    @staticmethod
    def new(shape: tuple[int, ...]) -> Statistics:
        return Statistics(jnp.zeros(()), jnp.zeros(shape), jnp.zeros(shape))

    def add(self, obs: Array) -> Statistics:
        """With [n, *obs] more; the update of Chan, Golub and LeVeque for two samples."""
        n, mean = obs.shape[0], jnp.mean(obs, axis=0)
        count = self.count + n
        away = mean - self.mean
        square = self.square + jnp.sum((obs - mean) ** 2, axis=0)
        square = square + away**2 * self.count * n / count
        return Statistics(count, self.mean + away * n / count, square)

    def scale(self, obs: Array, clip: float) -> Array:
        """(obs - mean)/std, cut at +-clip; as it is before anything was seen."""
        std = jnp.sqrt(self.square / jnp.maximum(self.count, 1.0) + 1e-8)
        return jnp.clip((obs - self.mean) / std, -clip, clip)


class Measured(NamedTuple):
    """State of `Normalised`."""

    inner: State
    seen: Statistics


@dataclass(frozen=True)
class Normalised:
    """Observations less their running mean, over their running standard deviation.

    Statistics are in the state and shared by all worlds; what a replay buffer holds was scaled
    by those of its time. ``frozen`` gives worlds for evaluation that scale by fixed ones.

    Attributes:
        env: worlds that run side by side (`vectorise`).
        clip: largest size of a scaled number.
        fixed: statistics to use instead of running ones.
    """

    env: VectorEnv
    clip: float = 10.0
    fixed: Statistics | None = None

    @property
    def spec(self) -> EnvSpec:
        return replace(self.env.spec, obs_dtype=jnp.float32)

    @property
    def n(self) -> int:
        return self.env.n

    def frozen(self, state: Measured, env: VectorEnv | None = None) -> Normalised:
        """The same worlds, or others, scaled by what ``state`` has measured."""
        return Normalised(env or self.env, self.clip, state.seen)

    def reset(self, key: Key) -> tuple[Measured, Array]:
        inner, obs = self.env.reset(key)
        obs = obs.astype(jnp.float32)
        seen = self.fixed
        if seen is None:
            seen = Statistics.new(self.spec.obs_shape).add(obs)
        return Measured(inner, seen), seen.scale(obs, self.clip)

    def step(self, key: Key, state: Measured, action: Array) -> tuple[Measured, VectorOutcome]:
        inner, out = self.env.step(key, state.inner, action)
        obs, reached = out.obs.astype(jnp.float32), out.reached.astype(jnp.float32)
        seen = state.seen.add(obs) if self.fixed is None else self.fixed
        out = out._replace(obs=seen.scale(obs, self.clip), reached=seen.scale(reached, self.clip))
        return Measured(inner, seen), out
