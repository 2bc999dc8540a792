"""Newness as distance to what was seen: RE3 over the whole run, pseudo-counts within an episode."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.rl.bonuses.encoders import (
    Fitted,
    adam_step,
    fitted,
    flattened,
    inverse,
    mlp,
    obs_size,
)
from meritree.rl.envs.env import EnvSpec
from meritree.value.transforms import RewardTransform, Step

Array: TypeAlias = Any
Key: TypeAlias = Any


class Memory(NamedTuple):
    """The last encodings of all worlds together."""

    params: Any
    codes: Array  # [memory, latent]
    at: Array
    filled: Array


def re3(
    spec: EnvSpec, *, latent: int = 16, memory: int = 512, k: int = 5, average: bool = False
) -> RewardTransform:
    """log(1 + distance to the k-th nearest encoding seen); the encoder is random and stays.

    Nothing is paid before k encodings are known. The release keeps a memory for each world and
    judges the state acted in; here one memory serves all worlds and the state reached is judged.

    Args:
        spec: of the environment.
        latent: length of an encoding.
        memory: encodings kept, the oldest forgotten first.
        k: which neighbour.
        average: the mean over the k nearest instead of the k-th alone.

    Source: Seo et al. (2021), arXiv:2102.09430; `RE3` of RLE-Foundation/rllte.
    """
    if not 1 <= k <= memory or latent < 1:
        raise BadInput(f"re3: k={k}, memory={memory}, latent={latent}: need 1 <= k <= memory")
    encoder = mlp(obs_size(spec), latent)

    def init(key: Key) -> Memory:
        zero = jnp.zeros((), jnp.int32)
        return Memory(encoder.init(key), jnp.zeros((memory, latent)), zero, zero)

    def worth(state: Memory, codes: Array, itself: int) -> Array:
        distance = jnp.linalg.norm(codes[..., None, :] - state.codes, axis=-1)
        distance = jnp.where(jnp.arange(memory) < state.filled, distance, jnp.inf)
        # ``itself``: the state judged is in memory already and no neighbour of its own.
        nearest = -jax.lax.top_k(-distance, min(k + itself, memory))[0][..., itself:]
        known = state.filled >= k + itself
        chosen = jnp.where(known, nearest, 0.0)
        paid = jnp.log1p(chosen)
        return (jnp.mean(paid, axis=-1) if average else paid[..., -1])[..., None]

    def online(state: Memory, step: Step) -> tuple[Memory, Array]:
        codes = encoder(state.params, flattened(spec, step.next_obs)).reshape(-1, latent)
        place = (state.at + jnp.arange(len(codes))) % memory
        state = state._replace(
            codes=state.codes.at[place].set(codes),
            at=(state.at + len(codes)) % memory,
            filled=jnp.minimum(state.filled + len(codes), memory),
        )
        return state, worth(state, codes, 1)

    def sample(state: Memory, step: Step) -> Array:
        return worth(state, encoder(state.params, flattened(spec, step.next_obs)), 0)

    return RewardTransform(lambda _: 1, init, online, sample)


class Episode(NamedTuple):
    """Encodings of every world's episode, and the encoder that learns."""

    encoder: Fitted
    codes: Array  # [n, memory, latent]
    filled: Array  # [n]
    scale: Array  # running mean of squared distances to neighbours


def pseudo_counts(
    spec: EnvSpec,
    n_env: int,
    *,
    latent: int = 16,
    width: int = 64,
    memory: int = 256,
    k: int = 10,
    rate: float = 1e-3,
    epsilon: float = 1e-3,
    cluster: float = 0.008,
    constant: float = 1e-3,
    most: float = 8.0,
) -> RewardTransform:
    """1 / (sqrt(sum_k K) + c) over the k nearest encodings of the episode, 0 where that is rare.

    K = epsilon / (max(d^2 / mean d^2 - cluster, 0) + epsilon), the mean running; the encoder
    learns to tell actions apart. Episodic: `sample`, which knows no episode, is 0.

    Args:
        spec: of the environment.
        n_env: worlds side by side.
        latent, width: of the encoder.
        memory: states of an episode that are remembered, the oldest forgotten first.
        k: neighbours that count.
        rate: step size of the encoder's Adam.
        epsilon, cluster, constant: of the kernel.
        most: sums above it pay nothing.

    After Badia et al. (2020), arXiv:2002.06038; kernel as in `PseudoCounts` of rllte, with squared
    distances and their running mean, and a bound where an episode has fewer than k neighbours.
    """
    if not 1 <= k <= memory or n_env < 1:
        raise BadInput(
            f"pseudo_counts: k={k}, memory={memory}, n_env={n_env}: need 1 <= k <= memory"
        )
    net = inverse(spec, latent, width)
    least = math.sqrt(k * epsilon / (1.0 + epsilon)) + constant

    def init(key: Key) -> Episode:
        return Episode(
            fitted(rate, net.init(key)), jnp.zeros((n_env, memory, latent)),
            jnp.zeros(n_env, jnp.int32), jnp.ones(()),
        )  # fmt: skip

    def online(state: Episode, step: Step) -> tuple[Episode, Array]:
        codes = net.encode(state.encoder.params, step.next_obs)
        distance = jnp.sum((codes[:, None, :] - state.codes) ** 2, axis=-1)
        known = jnp.arange(memory) < state.filled[:, None]
        nearest = -jax.lax.top_k(-jnp.where(known, distance, jnp.inf), k)[0]
        found = jnp.isfinite(nearest)
        nearest = jnp.where(found, nearest, 0.0)
        count = jnp.maximum(jnp.sum(found), 1)
        mean = jnp.where(jnp.any(found), jnp.sum(nearest) / count, state.scale)
        scale = state.scale + 0.01 * (mean - state.scale)
        gap = jnp.maximum(nearest / jnp.maximum(scale, 1e-8) - cluster, 0.0)
        kernel = jnp.where(found, epsilon / (gap + epsilon), 0.0)
        size = jnp.sqrt(jnp.sum(kernel, axis=-1)) + constant
        # Early in an episode there are no k neighbours: at most as new as if all were far away.
        paid = jnp.where(size > most, 0.0, 1.0 / jnp.maximum(size, least))
        place = state.filled % memory
        state = state._replace(
            codes=state.codes.at[jnp.arange(n_env), place].set(codes),
            filled=jnp.where(step.last, 0, state.filled + 1),
            scale=scale,
        )
        return state, paid[:, None]

    def sample(state: Episode, step: Step) -> Array:
        return jnp.zeros((*step.last.shape, 1))

    def fit(state: Episode, batch: Step, key: Key) -> tuple[Episode, dict[str, Array]]:
        def loss(params: Any) -> Array:
            return net.loss(params, batch.obs, batch.action, batch.next_obs)

        encoder, value = adam_step(rate, loss, state.encoder)
        return state._replace(encoder=encoder), {"inverse_loss": value}

    return RewardTransform(lambda _: 1, init, online, sample, fit)
