"""With all defaults the value trainer is DQN, to the last bit: here DQN is written out."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from meritree.rl.envs import vectorise
from meritree.rl.nets import MLP
from meritree.rl.optimizers import flattened
from meritree.rl.value_based.trainer import value_trainer
from meritree.value.heads import Channels, Scalar

N, BATCH, GAMMA, WARMUP, STEPS, WINDOWS = 4, 32, 0.99, 40, 1600, 4
CAPACITY, SHIFT, RATE = 50_000 // N, 200, 5e-4


def trained(env: Any, **slots: Any) -> tuple[Any, Any]:
    numbers = {"steps": STEPS, "n_env": N, "warmup": WARMUP, "windows": WINDOWS}
    trainer = value_trainer(env, **numbers, **slots)
    state, log = jax.jit(trainer.run)(jax.random.key(3))
    return state.learned.members, log


@pytest.fixture(scope="module")
def defaults(corridor: Any) -> tuple[Any, Any]:
    return trained(corridor)


class QNetwork(nn.Module):
    @nn.compact
    def __call__(self, obs: Any) -> Any:
        # Named as the trainer names them: a parameter's first value depends on its name.
        return nn.Dense(2, name="readout")(MLP((64, 64), name="torso")(obs))


def plain_dqn(corridor: Any, key: Any) -> tuple[Any, Any, Any]:
    """DQN with a uniform replay buffer, in one piece: (parameters, targets, losses [updates])."""
    env, adam = vectorise(corridor, N), flattened(optax.adam(RATE))  # the trainer joins arrays too
    keys = jax.random.split(key, 7)
    world, obs = env.reset(keys[0])
    params = _init(jax.random.split(jax.random.split(keys[5], 1)[0], 3)[0], obs[0])
    blank = (obs, jnp.zeros(N, jnp.int32), jnp.zeros(N), jnp.zeros(N), obs)
    memory = jax.tree.map(lambda x: jnp.zeros((CAPACITY, *x.shape), x.dtype), blank)

    def q(params: Any, obs: Any) -> Any:
        return jax.vmap(lambda one: _apply(params, one))(obs)

    def live(carry: Any, _: Any) -> tuple[Any, None]:
        key, world, obs, memory, steps, learned = carry
        key, choosing, going, _, _ = jax.random.split(key, 5)
        toss, draw, _ = jax.random.split(choosing, 3)
        epsilon = 1.0 + (0.05 - 1.0) * jnp.clip(steps, 0, STEPS // 2) / (STEPS // 2)
        random = jax.random.randint(draw, (N,), 0, 2)
        exploring = jax.random.uniform(toss, (N,)) < epsilon
        action = jnp.where(exploring, random, jnp.argmax(q(learned[0], obs), axis=-1))
        world, out = env.step(going, world, action.astype(jnp.int32))
        step = (obs, action, out.reward[:, 0], GAMMA * (1.0 - out.terminated), out.reached)
        at = steps // N % CAPACITY
        memory = jax.tree.map(lambda room, x: room.at[at].set(x), memory, step)
        return (key, world, out.obs, memory, steps + N, learned), None

    def learn(carry: Any) -> tuple[Any, Any]:
        key, world, obs, memory, steps, (params, target, moments, updates) = carry
        key, drawing, _, _, _ = jax.random.split(key, 5)
        which, when = jax.random.split(drawing)
        column = jax.random.randint(which, (BATCH,), 0, N)
        row = jax.random.randint(when, (BATCH,), 0, steps // N)
        seen, action, reward, boot, after = jax.tree.map(lambda x: x[row, column], memory)
        goal = reward + boot * jnp.max(q(target, after), axis=-1)

        def loss(params: Any) -> Any:
            chosen = jnp.take_along_axis(q(params, seen), action[:, None], axis=-1)[:, 0]
            return jnp.mean(0.5 * (chosen - goal) ** 2)

        value, gradient = jax.value_and_grad(loss)(params)
        change, moments = adam.update(gradient, moments, params)
        params, updates = optax.apply_updates(params, change), updates + 1
        renewed = updates % SHIFT == 0
        target = jax.tree.map(lambda old, new: jnp.where(renewed, new, old), target, params)
        return (key, world, obs, memory, steps, (params, target, moments, updates)), value

    learned = (params, params, adam.init(params), 0)
    carry = (keys[2], world, obs, memory, 0, learned)
    carry, _ = jax.lax.scan(live, carry, length=WARMUP // N)
    carry, losses = jax.lax.scan(lambda c, _: learn(live(c, None)[0]), carry, length=STEPS // N)
    return carry[-1][0], carry[-1][1], losses


def _init(key: Any, obs: Any) -> Any:
    return QNetwork().init(key, obs)["params"]


def _apply(params: Any, obs: Any) -> Any:
    return QNetwork().apply({"params": params}, obs)


def leaves(params: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(params)]


def test_all_defaults_are_plain_dqn_bit_for_bit(corridor: Any, defaults: tuple[Any, Any]) -> None:
    members, log = defaults
    params, target, losses = jax.jit(lambda key: plain_dqn(corridor, key))(jax.random.key(3))
    for ours, plain in zip(leaves(members.online["net"]), leaves(params), strict=True):
        np.testing.assert_array_equal(ours[0], plain)
    for ours, plain in zip(leaves(members.target["net"]), leaves(target), strict=True):
        np.testing.assert_array_equal(ours[0], plain)
    windows = np.asarray(losses).reshape(WINDOWS, -1).mean(axis=1)
    np.testing.assert_allclose(log["loss"], windows, rtol=1e-4)


def test_one_channel_of_weight_one_is_the_plain_head_bit_for_bit(
    corridor: Any, defaults: tuple[Any, Any]
) -> None:
    members, log = trained(corridor, head=Channels((1.0,), Scalar()))
    for one, plain in zip(leaves(members), leaves(defaults[0]), strict=True):
        np.testing.assert_array_equal(one, plain)
    for name, values in defaults[1].items():
        np.testing.assert_array_equal(log[name], values)
