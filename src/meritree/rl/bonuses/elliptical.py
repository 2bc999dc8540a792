"""Newness as distance from the episode's ellipsoid: E3B."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.rl.bonuses.encoders import Fitted, adam_step, fitted, inverse
from meritree.rl.envs.env import EnvSpec
from meritree.value.transforms import RewardTransform, Step

Array: TypeAlias = Any
Key: TypeAlias = Any


class Ellipsoid(NamedTuple):
    """Every world's inverse second moments of its episode, and the encoder that learns."""

    encoder: Fitted
    inverse: Array  # [n, latent, latent]


def sherman_morrison(inverse: Array, code: Array) -> tuple[Array, Array]:
    """(b, (C + phi phi')^-1), b = phi' C^-1 phi; C^-1 is ``[..., D, D]``, phi ``[..., D]``."""
    u = jnp.einsum("...ij,...j->...i", inverse, code)
    b = jnp.sum(code * u, axis=-1)
    outer = u[..., :, None] * u[..., None, :]
    return b, inverse - outer / (1.0 + b)[..., None, None]


def e3b(
    spec: EnvSpec,
    n_env: int,
    *,
    latent: int = 16,
    width: int = 64,
    ridge: float = 0.1,
    rate: float = 1e-3,
) -> RewardTransform:
    """phi' C^-1 phi of the state reached, C = ridge I + the sum of phi phi' over the episode.

    The encoder learns to tell actions apart. Episodic: `sample`, which knows no episode, is 0.

    Args:
        spec: of the environment.
        n_env: worlds side by side.
        latent, width: of the encoder.
        ridge: > 0.
        rate: step size of the encoder's Adam.

    Source: Henaff et al. (2022), arXiv:2210.05805.
    """
    if ridge <= 0.0 or n_env < 1:
        raise BadInput(f"e3b: ridge={ridge} must be above 0 and n_env={n_env} at least 1")
    net = inverse(spec, latent, width)
    empty = jnp.broadcast_to(jnp.eye(latent) / ridge, (n_env, latent, latent))

    def init(key: Key) -> Ellipsoid:
        return Ellipsoid(fitted(rate, net.init(key)), empty)

    def online(state: Ellipsoid, step: Step) -> tuple[Ellipsoid, Array]:
        codes = net.encode(state.encoder.params, step.next_obs)
        paid, inner = sherman_morrison(state.inverse, codes)
        inner = jnp.where(step.last[:, None, None], empty, inner)
        return state._replace(inverse=inner), paid[:, None]

    def fit(state: Ellipsoid, batch: Step, key: Key) -> tuple[Ellipsoid, dict[str, Array]]:
        def loss(params: Any) -> Array:
            return net.loss(params, batch.obs, batch.action, batch.next_obs)

        encoder, value = adam_step(rate, loss, state.encoder)
        return state._replace(encoder=encoder), {"inverse_loss": value}

    return RewardTransform(
        lambda _: 1, init, online, lambda state, step: jnp.zeros((*step.last.shape, 1)), fit
    )
