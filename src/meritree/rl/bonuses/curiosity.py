"""Newness as the error of a model of the world: ICM."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.rl.bonuses.encoders import (
    Fitted,
    action_code,
    action_size,
    adam_step,
    fitted,
    inverse,
    mlp,
)
from meritree.rl.envs.env import EnvSpec
from meritree.value.transforms import RewardTransform, Step

Array: TypeAlias = Any
Key: TypeAlias = Any


def icm(spec: EnvSpec, *, latent: int = 16, width: int = 64, rate: float = 1e-3) -> RewardTransform:
    """Mean squared error of predicting the next encoding from this one and the action.

    The encoder learns to tell actions apart; as in rllte, the sum of both losses trains it, so
    that features which nobody can predict are also shrunk.

    Source: Pathak et al. (2017), arXiv:1705.05363.
    """
    if min(latent, width) < 1 or rate <= 0.0:
        raise BadInput(f"icm: latent={latent}, width={width}, rate={rate}: must be above 0")
    net, forward = inverse(spec, latent, width), mlp(latent + action_size(spec), width, latent)

    def init(key: Key) -> Fitted:
        first, second = jax.random.split(key)
        return fitted(rate, net.init(first) | {"forward": forward.init(second)})

    def error(params: Any, step: Step) -> Array:
        before = net.encode(params, step.obs)
        after = net.encode(params, step.next_obs)
        known = jnp.concatenate([before, action_code(spec, step.action)], axis=-1)
        return jnp.mean((forward(params["forward"], known) - after) ** 2, axis=-1)

    def sample(state: Fitted, step: Step) -> Array:
        return error(state.params, step)[..., None]

    def fit(state: Fitted, batch: Step, key: Key) -> tuple[Fitted, dict[str, Array]]:
        def loss(params: Any) -> Array:
            guessed = net.loss(params, batch.obs, batch.action, batch.next_obs)
            return guessed + jnp.mean(error(params, batch))

        state, value = adam_step(rate, loss, state)
        return state, {"icm_loss": value}

    return RewardTransform(
        lambda _: 1, init, lambda state, step: (state, sample(state, step)), sample, fit
    )
