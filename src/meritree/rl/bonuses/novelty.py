"""Newness as the error of a predictor: RND, and NGU, which also asks what the episode has seen."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.rl.bonuses.encoders import Fitted, adam_step, fitted, flattened, mlp, obs_size
from meritree.rl.bonuses.neighbours import pseudo_counts
from meritree.rl.envs.env import EnvSpec
from meritree.value.transforms import RewardTransform, Step

Array: TypeAlias = Any
Key: TypeAlias = Any


class Distilled(NamedTuple):
    """A fixed random network and the one that learns to predict it."""

    target: Any
    predictor: Fitted


def rnd(spec: EnvSpec, *, latent: int = 16, width: int = 64, rate: float = 1e-3) -> RewardTransform:
    """Mean squared error of a predictor of a fixed random network, at the state reached.

    Observations are taken as they are; scale them first where they are large.

    Source: Burda et al. (2018), arXiv:1810.12894.
    """
    if min(latent, width) < 1 or rate <= 0.0:
        raise BadInput(f"rnd: latent={latent}, width={width}, rate={rate}: must be above 0")
    fixed, learned = mlp(obs_size(spec), width, latent), mlp(obs_size(spec), width, width, latent)

    def init(key: Key) -> Distilled:
        first, second = jax.random.split(key)
        return Distilled(fixed.init(first), fitted(rate, learned.init(second)))

    def error(params: Any, target: Any, obs: Array) -> Array:
        seen = flattened(spec, obs)
        return jnp.mean((learned(params, seen) - fixed(target, seen)) ** 2, axis=-1)

    def sample(state: Distilled, step: Step) -> Array:
        return error(state.predictor.params, state.target, step.next_obs)[..., None]

    def fit(state: Distilled, batch: Step, key: Key) -> tuple[Distilled, dict[str, Array]]:
        def loss(params: Any) -> Array:
            return jnp.mean(error(params, state.target, batch.next_obs))

        predictor, value = adam_step(rate, loss, state.predictor)
        return state._replace(predictor=predictor), {"rnd_error": value}

    return RewardTransform(
        lambda _: 1, init, lambda state, step: (state, sample(state, step)), sample, fit
    )


class Lifelong(NamedTuple):
    """States of both parts, and the running moments of the predictor's error."""

    episodic: Any
    distilled: Distilled
    mean: Array
    square: Array


def ngu(
    spec: EnvSpec, n_env: int, *, cap: float = 5.0, memory: int = 256, rate: float = 1e-3
) -> RewardTransform:
    """`pseudo_counts` times min(max(alpha, 1), cap), alpha = 1 + (error - mean) / std of `rnd`.

    rllte takes alpha = 1 + error without standardising; this is the paper's.

    Args:
        spec: of the environment.
        n_env: worlds side by side.
        cap: largest factor, >= 1.
        memory: states of an episode that are remembered.
        rate: step size of both learners.

    Source: Badia et al. (2020), arXiv:2002.06038, recalled; structure as `NGU` of rllte.
    """
    if cap < 1.0:
        raise BadInput(f"ngu: cap={cap} must be at least 1")
    counts, distance = pseudo_counts(spec, n_env, memory=memory, rate=rate), rnd(spec, rate=rate)

    def init(key: Key) -> Lifelong:
        first, second = jax.random.split(key)
        return Lifelong(counts.init(first), distance.init(second), jnp.zeros(()), jnp.ones(()))

    def online(state: Lifelong, step: Step) -> tuple[Lifelong, Array]:
        episodic, paid = counts.online(state.episodic, step)
        error = distance.sample(state.distilled, step)
        mean = state.mean + 0.01 * (jnp.mean(error) - state.mean)
        square = state.square + 0.01 * (jnp.mean(error**2) - state.square)
        std = jnp.sqrt(jnp.maximum(square - mean**2, 1e-12))
        alpha = jnp.clip(1.0 + (error - mean) / std, 1.0, cap)
        return state._replace(episodic=episodic, mean=mean, square=square), paid * alpha

    def fit(state: Lifelong, batch: Step, key: Key) -> tuple[Lifelong, dict[str, Array]]:
        first, second = jax.random.split(key)
        assert counts.fit is not None
        assert distance.fit is not None
        episodic, log = counts.fit(state.episodic, batch, first)
        distilled, more = distance.fit(state.distilled, batch, second)
        return state._replace(episodic=episodic, distilled=distilled), {**log, **more}

    return RewardTransform(
        lambda _: 1, init, online, lambda state, step: jnp.zeros((*step.last.shape, 1)), fit
    )
