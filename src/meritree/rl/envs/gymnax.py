"""Environments of gymnax (CartPole, MinAtar, bsuite ...) for the trainers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.rl.envs.env import Array, Box, Discrete, EnvSpec, Key, Outcome, State
from meritree.rl.keys import quick


@dataclass(frozen=True)
class Gymnax:
    """An environment of gymnax by its name.

    Attributes:
        name: as gymnax registers it (``CartPole-v1``, ``Breakout-MinAtar``, ``Catch-bsuite``).
        params: fields of its parameters that differ from the default, as pairs.
        options: arguments of its constructor, as pairs.

    Raises:
        BadInput: no such environment or field.
    """

    name: str
    params: tuple[tuple[str, Any], ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        _ = self._made

    @cached_property
    def _made(self) -> tuple[Any, Any]:
        import gymnax

        if self.name not in gymnax.registered_envs:
            raise BadInput(
                f"gymnax has no environment {self.name!r}; it has "
                f"{', '.join(sorted(gymnax.registered_envs))}"
            )
        env, params = gymnax.make(self.name, **dict(self.options))
        try:
            return env, params.replace(**dict(self.params))
        except TypeError:
            known = sorted(vars(params))
            raise BadInput(
                f"gymnax {self.name}: parameters {[name for name, _ in self.params]}; it knows "
                f"{known}"
            ) from None

    @property
    def settings(self) -> Any:
        """Its parameters, as gymnax has them."""
        return self._made[1]

    @cached_property
    def spec(self) -> EnvSpec:
        env, params = self._made
        action, obs = env.action_space(params), env.observation_space(params)
        if hasattr(action, "n"):
            actions: Discrete | Box = Discrete(int(action.n))
        else:
            low, high = jnp.min(jnp.asarray(action.low)), jnp.max(jnp.asarray(action.high))
            actions = Box(tuple(action.shape), float(low), float(high))
        # MinAtar's planes are 0 or 1: a replay buffer holds them in a quarter of the room.
        dtype = jnp.bool_ if self.name.endswith("-MinAtar") else jnp.float32
        return EnvSpec(self.name, tuple(obs.shape), actions, obs_dtype=dtype)

    def reset(self, key: Key) -> tuple[State, Array]:
        env, params = self._made
        obs, state = env.reset_env(quick(key), params)
        return state, self._seen(obs)

    def step(self, key: Key, state: State, action: Array) -> tuple[State, Outcome]:
        env, params = self._made
        obs, state, reward, terminated, _ = env.step_env(quick(key), state, action, params)
        truncated = env.is_truncated(state, params) & ~jnp.asarray(terminated)
        reward = jnp.asarray(reward, jnp.float32).reshape(1)
        return state, Outcome(self._seen(obs), reward, jnp.asarray(terminated), truncated)

    def _seen(self, obs: Array) -> Array:
        return jnp.asarray(obs).astype(self.spec.obs_dtype).reshape(self.spec.obs_shape)
