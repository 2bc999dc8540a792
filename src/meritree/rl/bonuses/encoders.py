"""Encodings of observations that bonuses measure newness in: random ones, and learned ones.

Knows observations and actions; no bonus and no learner of policies.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from meritree.objectives import policy
from meritree.rl.envs.env import Discrete, EnvSpec
from meritree.rl.nets import orthogonal

Array: TypeAlias = Any
Key: TypeAlias = Any
Params: TypeAlias = Any


class Mlp(nn.Module):
    """Dense layers with relu between them: [..., F] -> [..., widths[-1]]."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for i, width in enumerate(self.widths):
            x = nn.relu(x) if i else x
            x = nn.Dense(width, kernel_init=orthogonal(math.sqrt(2.0)))(x)
        return x


class Function(NamedTuple):
    """An `Mlp` of flattened inputs of a known size."""

    module: Mlp
    inputs: int

    def init(self, key: Key) -> Params:
        return self.module.init(key, jnp.zeros(self.inputs))["params"]

    def __call__(self, params: Params, x: Array) -> Array:
        return self.module.apply({"params": params}, x)


def mlp(inputs: int, *widths: int) -> Function:
    """A function [..., inputs] -> [..., widths[-1]]."""
    return Function(Mlp(tuple(widths)), inputs)


def flattened(spec: EnvSpec, obs: Array) -> Array:
    """[..., *obs_shape] -> [..., F] as float32."""
    lead = obs.shape[: obs.ndim - len(spec.obs_shape)]
    return obs.reshape(*lead, obs_size(spec)).astype(jnp.float32)


def obs_size(spec: EnvSpec) -> int:
    """F, entries of one observation."""
    return math.prod(spec.obs_shape)


def action_size(spec: EnvSpec) -> int:
    """How many numbers `action_code` has."""
    return spec.actions if isinstance(spec.action, Discrete) else math.prod(spec.action.shape)


def action_code(spec: EnvSpec, action: Array) -> Array:
    """Actions as vectors [..., A]: one-hot where they are a finite set."""
    if isinstance(spec.action, Discrete):
        return jax.nn.one_hot(action, spec.actions)
    lead = action.shape[: action.ndim - len(spec.action.shape)]
    return action.reshape(*lead, action_size(spec))


class Fitted(NamedTuple):
    """Parameters that learn, with the state of their optimiser."""

    params: Params
    optimizer: Any


class Inverse(NamedTuple):
    """An encoder that learns which action led from one state to the next.

    Its features keep what actions can change and drop the rest.
    """

    spec: EnvSpec
    encoder: Function
    guess: Function

    def init(self, key: Key) -> Params:
        first, second = jax.random.split(key)
        return {"encoder": self.encoder.init(first), "guess": self.guess.init(second)}

    def encode(self, params: Params, obs: Array) -> Array:
        """[..., latent]."""
        return self.encoder(params["encoder"], flattened(self.spec, obs))

    def loss(self, params: Params, obs: Array, action: Array, next_obs: Array) -> Array:
        """Of the action guessed from both encodings: cross-entropy, or squares for real ones."""
        both = [self.encode(params, obs), self.encode(params, next_obs)]
        guessed = self.guess(params["guess"], jnp.concatenate(both, axis=-1))
        if isinstance(self.spec.action, Discrete):
            return -jnp.mean(policy.categorical_log_prob(guessed, action))
        return jnp.mean((guessed - action_code(self.spec, action)) ** 2)


def inverse(spec: EnvSpec, latent: int, width: int) -> Inverse:
    """The encoder of one environment."""
    return Inverse(
        spec, mlp(obs_size(spec), width, latent), mlp(2 * latent, width, action_size(spec))
    )


def adam_step(rate: float, loss: Any, fitted: Fitted) -> tuple[Fitted, Array]:
    """One step of Adam on loss(params), and the loss before it."""
    optimizer = optax.adam(rate)
    value, gradient = jax.value_and_grad(loss)(fitted.params)
    change, state = optimizer.update(gradient, fitted.optimizer)
    return Fitted(optax.apply_updates(fitted.params, change), state), value


def fitted(rate: float, params: Params) -> Fitted:
    """Parameters that have learned nothing yet."""
    return Fitted(params, optax.adam(rate).init(params))
