"""Laws of actions: what a policy's raw outputs mean, for finite sets and for real numbers.

A law reads raw outputs ``[..., O]`` only; it knows neither networks nor learners.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.objectives import policy
from meritree.rl.envs.env import Box, Discrete, EnvSpec

Array: TypeAlias = Any
Key: TypeAlias = Any


class ActionLaw(Protocol):
    """A family of laws over actions."""

    @property
    def outputs(self) -> int:
        """How many numbers the network gives per state."""
        ...

    @property
    def free(self) -> Array | None:
        """First values of parameters that depend on no state, behind the outputs; or None."""
        ...

    def sample(self, key: Key, raw: Array) -> Array:
        """Actions ``[..., *action]``."""
        ...

    def best(self, raw: Array) -> Array:
        """The most probable action."""
        ...

    def log_prob(self, raw: Array, action: Array) -> Array:
        """``[...]``; a density where actions are real."""
        ...

    def entropy(self, raw: Array) -> Array:
        """``[...]`` in nats."""
        ...

    def kl(self, raw: Array, other: Array) -> Array:
        """KL(raw || other) in nats, ``[...]``."""
        ...

    def played(self, action: Array) -> Array:
        """What the environment is given of a sampled action."""
        ...


@dataclass(frozen=True)
class Categorical:
    """Logits of a finite set of actions, ``[..., n]``."""

    n: int

    @property
    def outputs(self) -> int:
        return self.n

    @property
    def free(self) -> Array | None:
        return None

    def sample(self, key: Key, raw: Array) -> Array:
        return jax.random.categorical(key, raw).astype(jnp.int32)

    def best(self, raw: Array) -> Array:
        return jnp.argmax(raw, axis=-1).astype(jnp.int32)

    def log_prob(self, raw: Array, action: Array) -> Array:
        return policy.categorical_log_prob(raw, action)

    def entropy(self, raw: Array) -> Array:
        return policy.categorical_entropy(raw)

    def kl(self, raw: Array, other: Array) -> Array:
        return policy.categorical_kl(raw, other)

    def played(self, action: Array) -> Array:
        return action


@dataclass(frozen=True)
class Gaussian:
    """Independent normals, their spread the same in all states; the world gets them clipped.

    Raw outputs are means ``[D]`` and log standard deviations ``[D]``. The log density is that of
    the action before clipping, as in CleanRL.

    Attributes:
        box: the set of actions.
        log_std: first log standard deviation.
    """

    box: Box
    log_std: float = 0.0

    @property
    def outputs(self) -> int:
        return math.prod(self.box.shape)

    @property
    def free(self) -> Array | None:
        return jnp.full(self.outputs, self.log_std)

    def sample(self, key: Key, raw: Array) -> Array:
        mean, log_std = self._split(raw)
        return self._shaped(mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape))

    def best(self, raw: Array) -> Array:
        return self._shaped(self._split(raw)[0])

    def log_prob(self, raw: Array, action: Array) -> Array:
        mean, log_std = self._split(raw)
        return policy.gaussian_log_prob(action.reshape(mean.shape), mean, log_std)

    def entropy(self, raw: Array) -> Array:
        return policy.gaussian_entropy(self._split(raw)[1])

    def kl(self, raw: Array, other: Array) -> Array:
        return policy.gaussian_kl(*self._split(raw), *self._split(other))

    def played(self, action: Array) -> Array:
        return jnp.clip(action, self.box.low, self.box.high)

    def _split(self, raw: Array) -> tuple[Array, Array]:
        return raw[..., : self.outputs], raw[..., self.outputs :]

    def _shaped(self, flat: Array) -> Array:
        return flat.reshape(*flat.shape[:-1], *self.box.shape)


def law_of(spec: EnvSpec) -> ActionLaw:
    """The usual law of an environment's actions."""
    if isinstance(spec.action, Discrete):
        return Categorical(spec.action.n)
    return Gaussian(spec.action)


def check_law(law: ActionLaw, spec: EnvSpec) -> None:
    """Raises BadInput where the law cannot be of this environment's actions."""
    discrete = isinstance(spec.action, Discrete)
    n = spec.action.n if isinstance(spec.action, Discrete) else math.prod(spec.action.shape)
    if isinstance(law, Categorical) != discrete and isinstance(law, Categorical | Gaussian):
        raise BadInput(
            f"law={type(law).__name__}: environment {spec.name} has "
            f"{'a finite set of' if discrete else 'real'} actions; leave law out"
        )
    if law.outputs != n and isinstance(law, Categorical | Gaussian):
        raise BadInput(
            f"law={law}: has {law.outputs} outputs, environment {spec.name} needs {n}; leave it out"
        )
