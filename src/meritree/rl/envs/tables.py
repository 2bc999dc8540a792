"""What an environment with finitely many states is as arrays: for exact solutions and for tests.

Also runs any such arrays as an environment. Knows neither solvers nor learners.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from meritree.errors import BadInput
from meritree.rl.envs.env import Array, Discrete, Env, EnvSpec, Key, Outcome, State

Floats = NDArray[np.floating[Any]]
LARGEST = 5000  # states: tables grow with their square


class Tables(NamedTuple):
    """A finite decision process; limits on the number of steps are not part of it.

    Attributes:
        P: [S, A, S] probability of s' after a in s; an end leads to itself.
        R: [S, A, S] expected reward on arriving at s', channels added up by their weights.
        mu0: [S] probability of the first state.
        ends: [S] bool, where episodes stop.
    """

    P: Floats
    R: Floats
    mu0: Floats
    ends: NDArray[np.bool_]


class Finite(Env, Protocol):
    """An environment that knows its tables."""

    def tables(self) -> Tables: ...

    def index(self, state: State) -> Array:
        """Number of a state, as in the tables."""
        ...


def blank(states: int, actions: int) -> Tables:
    """Arrays of zeros to write into.

    Raises:
        BadInput: too many states for dense tables.
    """
    if states > LARGEST:
        raise BadInput(f"{states} states: tables are dense; at most {LARGEST} are written out")
    shape = (states, actions, states)
    return Tables(np.zeros(shape), np.zeros(shape), np.zeros(states), np.zeros(states, bool))


class At(NamedTuple):
    """State of `Tabular`."""

    s: Array
    t: Array


@dataclass(frozen=True, eq=False)
class Tabular:
    """Any finite decision process as an environment; observes the state one-hot.

    Attributes:
        P: [S, A, S].
        R: [S, A] or [S, A, S].
        mu0: [S]; None: all states alike.
        limit: steps of an episode that no end stops; None: none.
        name: how reports call it.

    Raises:
        BadInput: shapes that do not belong together, rows that do not sum to 1.
    """

    P: Floats
    R: Floats
    mu0: Floats | None = None
    limit: int | None = None
    name: str = "tabular"

    def __post_init__(self) -> None:
        shape = np.shape(self.P)
        if len(shape) != 3 or shape[0] != shape[2] or np.shape(self.R) not in (shape, shape[:2]):
            raise BadInput(
                f"P {shape} and R {np.shape(self.R)}: expected [S, A, S] and [S, A] or [S, A, S]"
            )
        mu0 = np.full(shape[0], 1.0 / shape[0]) if self.mu0 is None else np.asarray(self.mu0)
        object.__setattr__(self, "mu0", mu0)
        sums = np.append(np.sum(self.P, axis=2).ravel(), np.sum(mu0))
        if mu0.shape != shape[:1] or np.min(self.P) < 0 or not np.allclose(sums, 1.0):
            raise BadInput("P and mu0 must hold probabilities: none below 0, each row with sum 1")

    @property
    def spec(self) -> EnvSpec:
        states, actions, _ = np.shape(self.P)
        return EnvSpec(self.name, (states,), Discrete(actions))

    def tables(self) -> Tables:
        P = np.asarray(self.P, float)
        R = np.broadcast_to(self.R if np.ndim(self.R) == 3 else self.R[..., None], P.shape)
        own = np.einsum("sas->sa", P) >= 1.0 - 1e-12
        ends = np.all(own & (np.einsum("sas->sa", R) == 0.0), axis=1)
        assert self.mu0 is not None
        return Tables(P, R, self.mu0, ends)

    def index(self, state: At) -> Array:
        return state.s

    def reset(self, key: Key) -> tuple[At, Array]:
        s = jax.random.categorical(key, jnp.log(jnp.asarray(self.mu0))).astype(jnp.int32)
        return At(s, jnp.int32(0)), self._seen(s)

    def step(self, key: Key, state: At, action: Array) -> tuple[At, Outcome]:
        tables = self.tables()
        row = jnp.asarray(tables.P, jnp.float32)[state.s, action]
        s = jax.random.categorical(key, jnp.log(row)).astype(jnp.int32)
        reward = jnp.asarray(tables.R, jnp.float32)[state.s, action, s]
        return finish(At(s, state.t + 1), self._seen(s), reward, jnp.asarray(tables.ends)[s], self)

    def _seen(self, s: Array) -> Array:
        return jax.nn.one_hot(s, len(self.P))


class _Limited(Protocol):
    @property
    def limit(self) -> int | None: ...


def finish(
    state: Any, obs: Array, reward: Array, terminated: Array, env: _Limited
) -> tuple[Any, Outcome]:
    """State and outcome of a step; cut where ``state.t`` reaches the limit without an end."""
    ended = jnp.asarray(terminated, bool)
    cut = jnp.zeros((), bool) if env.limit is None else (state.t >= env.limit) & ~ended
    return state, Outcome(obs, jnp.asarray(reward, jnp.float32).reshape(-1), ended, cut)
