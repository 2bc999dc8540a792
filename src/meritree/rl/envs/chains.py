"""Chains on which exploration and estimation are studied: a river, a lock, layers."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.rl.envs.env import Array, Discrete, EnvSpec, Key, Outcome
from meritree.rl.envs.tables import At, Tables, blank, finish


@dataclass(frozen=True)
class RiverSwim:
    """Swimming right (action 1) is uncertain and pays 1 at the far bank; left pays 0.005.

    Right moves on with 0.35 (0.6 from the near bank), drifts back with 0.05 (0.4 at the far one),
    else stays. Never ends. Observes the place one-hot. Source: Strehl and Littman (2008).

    Attributes:
        states: places, at least 2.
        limit: steps of an episode; None: goes on for ever.
    """

    states: int = 6
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.states < 2:
            raise BadInput(f"states={self.states}: a river has two banks")

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("river-swim", (self.states,), Discrete(2))

    def reset(self, key: Key) -> tuple[At, Array]:
        return At(jnp.int32(0), jnp.int32(0)), jax.nn.one_hot(0, self.states)

    def step(self, key: Key, state: At, action: Array) -> tuple[At, Outcome]:
        far = self.states - 1
        on = jnp.where(state.s == 0, 0.6, jnp.where(state.s == far, 0.0, 0.35))
        back = jnp.where(state.s == 0, 0.0, jnp.where(state.s == far, 0.4, 0.05))
        u = jax.random.uniform(key)
        swim = jnp.where(u < on, 1, jnp.where(u < on + back, -1, 0))
        reward = jnp.where(action == 1, 1.0 * (state.s == far), 0.005 * (state.s == 0))
        s = jnp.maximum(state.s + jnp.where(action == 1, swim, -1), 0).astype(jnp.int32)
        seen = jax.nn.one_hot(s, self.states)
        return finish(At(s, state.t + 1), seen, reward, jnp.zeros((), bool), self)

    def index(self, state: At) -> Array:
        return state.s

    def tables(self) -> Tables:
        out = blank(self.states, 2)
        for s in range(self.states):
            out.P[s, 0, max(s - 1, 0)] = 1.0
            out.P[s, 1, [max(s - 1, 0), s, min(s + 1, self.states - 1)]] = 0.05, 0.6, 0.35
        out.P[0, 1, :2] = 0.4, 0.6
        out.P[-1, 1, -2:] = 0.4, 0.6
        out.R[0, 0], out.R[-1, 1] = 0.005, 1.0
        out.mu0[0] = 1.0
        return out


@dataclass(frozen=True)
class ComboLock:
    """The right digit leads on, any other ends; the last right one pays 1 and ends.

    Observes the place in the code one-hot.

    Attributes:
        code: digits, each in 0 .. actions - 1.
        actions: digits to choose from.
    """

    code: tuple[int, ...] = (0, 2, 1, 1)
    actions: int = 3

    def __post_init__(self) -> None:
        if not self.code or not all(0 <= digit < self.actions for digit in self.code):
            raise BadInput(f"code={self.code}: at least one digit, all in 0 .. {self.actions - 1}")

    @property
    def limit(self) -> None:
        return None

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("combo-lock", (len(self.code) + 1,), Discrete(self.actions))

    def reset(self, key: Key) -> tuple[At, Array]:
        return At(jnp.int32(0), jnp.int32(0)), jax.nn.one_hot(0, len(self.code) + 1)

    def step(self, key: Key, state: At, action: Array) -> tuple[At, Outcome]:
        n = len(self.code)
        right = action == jnp.asarray(self.code)[jnp.minimum(state.s, n - 1)]
        s = jnp.where(right, state.s + 1, n).astype(jnp.int32)
        reward = right & (state.s == n - 1)
        seen = jax.nn.one_hot(s, n + 1)
        return finish(At(s, state.t + 1), seen, reward, s == n, self)

    def index(self, state: At) -> Array:
        return state.s

    def tables(self) -> Tables:
        """State t waits for digit t; the last one is the end."""
        n = len(self.code)
        out = blank(n + 1, self.actions)
        out.P[:, :, n] = 1.0
        for t, digit in enumerate(self.code):
            out.P[t, digit] = 0.0
            out.P[t, digit, t + 1] = 1.0
        out.R[n - 1, self.code[-1], n] = 1.0
        out.ends[n] = True
        out.mu0[0] = 1.0
        return out


@dataclass(frozen=True)
class LayeredChain:
    """A process without choices: uniform moves from layer to layer, a coin at the end (S067).

    Begins in any state of the first layer; after the last one 1 is paid with probability ``p``.
    Observes the state one-hot.

    Attributes:
        width: states of a layer.
        depth: layers.
        p: probability of winning.
    """

    width: int = 4
    depth: int = 3
    p: float = 0.5

    def __post_init__(self) -> None:
        if self.width < 1 or self.depth < 1 or not 0.0 <= self.p <= 1.0:
            raise BadInput(
                f"width={self.width}, depth={self.depth}, p={self.p}: at least 1, at least 1, in "
                "[0, 1]"
            )

    @property
    def limit(self) -> None:
        return None

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("layered-chain", (self.width * self.depth + 2,), Discrete(1))

    def reset(self, key: Key) -> tuple[At, Array]:
        s = jax.random.randint(key, (), 0, self.width)
        return At(s, jnp.int32(0)), self._seen(s)

    def step(self, key: Key, state: At, action: Array) -> tuple[At, Outcome]:
        n, layer = self.width * self.depth, state.s // self.width
        moving, tossing = jax.random.split(key)
        onward = (layer + 1) * self.width + jax.random.randint(moving, (), 0, self.width)
        won = jax.random.bernoulli(tossing, self.p)
        over = layer + 1 >= self.depth
        s = jnp.where(over, jnp.where(won, n, n + 1), onward).astype(jnp.int32)
        return finish(At(s, state.t + 1), self._seen(s), over & won, over, self)

    def index(self, state: At) -> Array:
        return state.s

    def tables(self) -> Tables:
        """Layer t holds states t width .. (t + 1) width - 1; then the won and the lost end."""
        n = self.width * self.depth
        out = blank(n + 2, 1)
        for s in range(n - self.width):
            onward = (s // self.width + 1) * self.width
            out.P[s, 0, onward : onward + self.width] = 1.0 / self.width
        out.P[n - self.width : n, 0, n:] = self.p, 1.0 - self.p
        out.P[[n, n + 1], 0, [n, n + 1]] = 1.0
        out.R[n - self.width : n, 0, n] = 1.0
        out.ends[n:] = True
        out.mu0[: self.width] = 1.0 / self.width
        return out

    def _seen(self, s: Array) -> Array:
        return jax.nn.one_hot(s, self.width * self.depth + 2)
