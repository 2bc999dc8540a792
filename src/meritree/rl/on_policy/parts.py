"""What the slots of the on-policy trainer see, and their contracts."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias

import jax.numpy as jnp

from meritree.rl.nets import Network
from meritree.rl.on_policy.laws import ActionLaw
from meritree.value.heads import ValueHead

Array: TypeAlias = Any
Key: TypeAlias = Any
Params: TypeAlias = Any


class Actor(NamedTuple):
    """A policy: a network and what its outputs mean."""

    network: Network
    law: ActionLaw

    def init(self, key: Key, obs: Array, ctx: Array | None) -> Params:
        params = {"net": self.network.init(key, obs, ctx)}
        return params if self.law.free is None else params | {"free": self.law.free}

    def raw(self, params: Params, obs: Array, ctx: Array | None) -> Array:
        """``[B, O]``, parameters that depend on no state included."""
        _, raw = self.network.apply(params["net"], obs, ctx)
        if "free" not in params:
            return raw
        free = jnp.broadcast_to(params["free"], (*raw.shape[:-1], *params["free"].shape))
        return jnp.concatenate([raw, free], axis=-1)


class Critic(NamedTuple):
    """A value of states: a network and a head of one action."""

    network: Network
    head: ValueHead

    def init(self, key: Key, obs: Array, ctx: Array | None) -> Params:
        return self.network.init(key, obs, ctx)

    def raw(self, params: Params, obs: Array, ctx: Array | None) -> Array:
        """``[B, O]``."""
        return self.network.apply(params, obs, ctx)[1]

    def loss(self, raw: Array, target: Any) -> Array:
        """The head's loss, ``[B]``."""
        return self.head.loss(self.head.pick(raw, first(raw)), target)

    def score(self, raw: Array, ctx: Array | None = None) -> Array:
        """One number per state, ``[B]``."""
        return self.head.score(self.head.value(raw), ctx)[..., 0]


class Choices(NamedTuple):
    """What a policy learns from: N actions taken, one a row."""

    obs: Array  # [N, ...]
    ctx: Array | None  # [N, D]
    action: Array  # [N, ...] before clipping to the box
    raw: Array  # [N, O] of the policy that chose
    log_pi: Array  # [N] of the action, by the policy that chose
    advantage: Array  # [N]


class Judgements(NamedTuple):
    """What a critic learns from: N states with targets."""

    obs: Array  # [N, ...]
    ctx: Array | None  # [N, D]
    raw: Array  # [N, O] of the critic before the update
    target: Any  # leaves [N, ...], as the head's loss wants it


class PolicyStep(Protocol):
    """Slot: how advantages change the policy."""

    def init(self, params: Params) -> Any:
        """State, of an optimiser for example."""
        ...

    def step(
        self, actor: Actor, params: Params, state: Any, data: Choices, key: Key, progress: Array
    ) -> tuple[Params, Any, dict[str, Array]]:
        """New parameters, state and numbers for the log; progress in [0, 1) of the whole run."""
        ...


class ValueStep(Protocol):
    """Slot: how targets change the critic."""

    def init(self, params: Params) -> Any: ...

    def step(
        self, critic: Critic, params: Params, state: Any, data: Judgements, key: Key,
        progress: Array,
    ) -> tuple[Params, Any, dict[str, Array]]: ...  # fmt: skip


def first(raw: Array) -> Array:
    """Action 0 of every row: the only one that a critic's head has."""
    return jnp.zeros(raw.shape[:-1], jnp.int32)
