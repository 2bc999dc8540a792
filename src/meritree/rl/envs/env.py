"""What an environment is to the trainers: pure functions of keys, states and actions.

An `Env` is one world; `vectorise` runs n of them side by side and begins a new episode where one
ended. Ends of the task (terminated) and cuts by a limit (truncated) are kept apart. Knows no
learner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.rl.keys import plain

Array: TypeAlias = Any
Key: TypeAlias = Any
State: TypeAlias = Any  # a pytree that only the environment reads


class Discrete(NamedTuple):
    """Actions 0 ... n-1, as int32."""

    n: int


class Box(NamedTuple):
    """Real actions of a shape, each entry in [low, high], as float32."""

    shape: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True)
class EnvSpec:
    """What a learner must know of an environment beforehand.

    Attributes:
        name: how reports call it.
        obs_shape: shape of one observation.
        action: the set of actions.
        weights: what each reward channel counts in the return that is reported; as many as
            there are channels.
        obs_dtype: type of an observation's entries; a replay buffer stores them as they come.
    """

    name: str
    obs_shape: tuple[int, ...]
    action: Discrete | Box
    weights: tuple[float, ...] = (1.0,)
    obs_dtype: Any = jnp.float32

    @property
    def channels(self) -> int:
        """C, the number of reward channels."""
        return len(self.weights)

    @property
    def actions(self) -> int:
        """A, the number of actions.

        Raises:
            BadInput: the actions are real numbers.
        """
        if isinstance(self.action, Discrete):
            return self.action.n
        raise BadInput(
            f"environment {self.name}: its actions are real numbers {self.action.shape}, but "
            "values per action need a finite set; use on_policy_trainer, or discretise the actions"
        )


class Outcome(NamedTuple):
    """What one step of one world brings."""

    obs: Array  # [*obs_shape], of the state reached, even where the episode ended there
    reward: Array  # [C]
    terminated: Array  # bool: the task ended, nothing follows
    truncated: Array  # bool: cut short, the state reached still has a value


class Env(Protocol):
    """One world. All methods can be traced; nothing is kept between calls."""

    @property
    def spec(self) -> EnvSpec: ...

    def reset(self, key: Key) -> tuple[State, Array]:
        """A first state and its observation."""
        ...

    def step(self, key: Key, state: State, action: Array) -> tuple[State, Outcome]:
        """The next state; never begins a new episode by itself."""
        ...


class VectorOutcome(NamedTuple):
    """What one step of n worlds brings."""

    obs: Array  # [n, *obs_shape] to act on next: the first of a new episode where one ended
    reached: Array  # [n, *obs_shape] of the states reached: what a value is bootstrapped from
    reward: Array  # [n, C]
    terminated: Array  # [n] bool
    truncated: Array  # [n] bool


class VectorEnv(Protocol):
    """n worlds that begin anew by themselves."""

    @property
    def spec(self) -> EnvSpec: ...

    @property
    def n(self) -> int: ...

    def reset(self, key: Key) -> tuple[State, Array]:
        """First states and observations [n, *obs_shape]."""
        ...

    def step(self, key: Key, state: State, action: Array) -> tuple[State, VectorOutcome]:
        """One step of all; actions [n, ...]."""
        ...


@dataclass(frozen=True)
class Vectorised:
    """See `vectorise`."""

    env: Env
    n: int

    @property
    def spec(self) -> EnvSpec:
        return self.env.spec

    def reset(self, key: Key) -> tuple[State, Array]:
        return jax.vmap(self.env.reset)(plain(jax.random.split(key, self.n)))

    def step(self, key: Key, state: State, action: Array) -> tuple[State, VectorOutcome]:
        going, anew = jax.random.split(key)
        after, out = jax.vmap(self.env.step)(plain(jax.random.split(going, self.n)), state, action)
        last = out.terminated | out.truncated
        first, obs = self.reset(anew)
        state = jax.tree.map(lambda new, old: where_rows(last, new, old), first, after)
        return state, VectorOutcome(
            where_rows(last, obs, out.obs), out.obs, out.reward, out.terminated, out.truncated
        )


def vectorise(env: Env | VectorEnv, n: int) -> VectorEnv:
    """n copies of a world; what is vectorised already is handed back.

    Raises:
        BadInput: no environment of ours, n below 1, or another number than a ready vector has.
    """
    from meritree.rl.envs.given import check_env  # it knows this module

    if n < 1:
        raise BadInput(f"n_env={n}: must be at least 1")
    check_env(env, n)
    ready = getattr(env, "n", None)
    if ready is None:
        return Vectorised(env, n)  # type: ignore[arg-type]
    if ready != n:
        raise BadInput(
            f"environment {env.spec.name} runs {ready} worlds, but n_env={n}: give n_env={ready}"
        )
    return env  # type: ignore[return-value]


def where_rows(mask: Array, yes: Array, no: Array) -> Array:
    """Row i of ``yes`` where mask[i], else of ``no``; also for random keys."""
    if jnp.issubdtype(jnp.asarray(yes).dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(
            where_rows(mask, jax.random.key_data(yes), jax.random.key_data(no)),
            impl=jax.random.key_impl(yes),
        )
    yes, no = jnp.asarray(yes), jnp.asarray(no)
    return jnp.where(mask.reshape(mask.shape + (1,) * (yes.ndim - mask.ndim)), yes, no)
