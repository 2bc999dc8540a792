"""Worlds outside of JAX: Gymnasium's, through the bridge, also within the jitted trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
gymnasium = pytest.importorskip("gymnasium")

import jax.numpy as jnp  # noqa: E402

from meritree.errors import BadInput  # noqa: E402
from meritree.rl.envs import Box, Discrete, Discretised, HostVector, host_vector  # noqa: E402
from meritree.rl.nets import MLP  # noqa: E402
from meritree.rl.value_based.trainer import value_trainer  # noqa: E402

SAME_STEP = gymnasium.vector.AutoresetMode.SAME_STEP


class Countdown(gymnasium.Env):  # type: ignore[misc]
    """Shows how many steps are left and what was done; even lengths are cut, odd ones end."""

    def __init__(self, length: int, actions: Any = None) -> None:
        self.length = length
        self.observation_space = gymnasium.spaces.Box(-9.0, 9.0, (2,), np.float64)
        self.action_space = actions or gymnasium.spaces.Discrete(3, start=-1)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = self.length
        return np.asarray([self.left, 0.0]), {}

    def step(self, action: Any) -> Any:
        self.left -= 1
        done, odd = self.left == 0, self.length % 2 == 1
        obs = np.asarray([self.left, np.ravel(action)[0]])
        return obs, float(self.left), done and odd, done and not odd, {}


def countdowns(*lengths: int, actions: Any = None) -> HostVector:
    worlds = gymnasium.vector.SyncVectorEnv(
        [lambda length=length: Countdown(length, actions) for length in lengths],
        autoreset_mode=SAME_STEP,
    )
    return HostVector(worlds, "countdown")


def run(program: Callable[..., Any], *args: Any) -> Any:
    """One run of a program as arrays, compiled without much ado."""
    compiled = jax.jit(program).lower(*args).compile({"xla_backend_optimization_level": "0"})
    return jax.tree.map(np.asarray, compiled(*args))


def played(env: Any, actions: Any, keys: tuple[int, ...] = (0,)) -> Any:
    """For each key: first observations, and the outcomes [T, n, ...] of actions [T, n, ...]."""

    def play(key: Any) -> Any:
        world, obs = env.reset(key)
        step = lambda world, action: env.step(key, world, action)  # noqa: E731
        return obs, jax.lax.scan(step, world, actions)[1]

    every = run(lambda seeds: jax.lax.map(lambda s: play(jax.random.key(s)), seeds), np.array(keys))
    return jax.tree.map(lambda leaf: leaf[0], every) if len(keys) == 1 else every


def test_last_observations_are_kept_apart_from_first_ones() -> None:
    env = countdowns(2, 3)
    assert (env.n, env.spec.obs_shape, env.spec.action) == (2, (2,), Discrete(3))
    first, out = played(env, np.tile(np.asarray([[0, 2]], np.int32), (6, 1)))
    assert first.tolist() == [[2.0, 0.0], [3.0, 0.0]]
    assert first.dtype == np.float32
    assert out.reached[..., 0].T.tolist() == [[1, 0, 1, 0, 1, 0], [2, 1, 0, 2, 1, 0]]
    assert out.obs[..., 0].T.tolist() == [[1, 2, 1, 2, 1, 2], [2, 1, 3, 2, 1, 3]]
    assert out.reached[..., 1].T.tolist() == [[-1] * 6, [1] * 6]  # actions begin at -1 there
    assert out.reward[..., 0].T.tolist() == [[1, 0, 1, 0, 1, 0], [2, 1, 0, 2, 1, 0]]
    assert out.truncated.T.tolist() == [[False, True] * 3, [False] * 6]
    assert out.terminated.T.tolist() == [[False] * 6, [False, False, True] * 2]


def test_real_actions_with_unequal_bounds_are_scaled() -> None:
    space = gymnasium.spaces.Box(np.asarray([-4.0, 0.0]), np.asarray([2.0, 1.0]), dtype=np.float64)
    env = countdowns(9, actions=space)
    assert env.spec.action == Box((2,), -1.0, 1.0)
    _, out = played(env, np.asarray([[[x, 0.0]] for x in (-1.0, 0.0, 1.0, 7.0)], np.float32))
    assert out.reached[:, 0, 1].tolist() == [-4.0, -1.0, 2.0, 2.0]
    same = gymnasium.spaces.Box(-2.0, 2.0, (1,))
    few = Discretised(countdowns(9, 9, actions=same), 3)
    assert (few.n, few.env.spec.action) == (2, Box((1,), -2.0, 2.0))
    _, out = played(few, np.asarray([[0, 1], [2, 1]], np.int32))
    assert out.reached[..., 1].tolist() == [[-2.0, 0.0], [2.0, 0.0]]


def test_an_old_state_is_refused() -> None:
    env = countdowns(5)
    world, _ = env.reset(jax.random.key(0))
    env.step(jax.random.key(0), world, jnp.zeros(1, jnp.int32))
    with pytest.raises(jax.errors.JaxRuntimeError, match="this state is 1 calls old"):
        jax.block_until_ready(env.step(jax.random.key(0), world, jnp.zeros(1, jnp.int32)))


def test_what_the_bridge_cannot_carry_is_refused_with_the_reason() -> None:
    late = gymnasium.vector.SyncVectorEnv([lambda: Countdown(2)])
    with pytest.raises(BadInput, match=r"make the vector with autoreset_mode=AutoresetMode\.SAME"):
        HostVector(late)
    with pytest.raises(BadInput, match="they must be Discrete or Box"):
        countdowns(2, actions=gymnasium.spaces.MultiBinary(3))
    with pytest.raises(BadInput, match="Did you mean: `CartPole`"):
        host_vector("Cartpole-v1", 2)
    with pytest.raises(BadInput, match="unexpected keyword argument 'wind'"):
        host_vector("CartPole-v1", 2, wind=3)
    with pytest.raises(BadInput, match="n=0"):
        host_vector("CartPole-v1", 0)
    with pytest.raises(BadInput, match="own without wrappers"):
        host_vector("CartPole-v1", 2, how="thread")  # type: ignore[arg-type]


def test_the_value_trainer_learns_from_worlds_outside_of_jax() -> None:
    env = host_vector("CartPole-v1", 8)
    trainer = value_trainer(
        env, net=MLP((32,)), steps=6000, n_env=8, warmup=400, windows=3, batch=16, train_every=2
    )
    log = run(lambda key: trainer.run(key)[1], jax.random.key(0))
    assert log["episodes"].sum() > 50
    assert np.isfinite(log["loss"]).all()
    assert log["value"][-1] > 2.0 * log["value"][0] > 0.0  # values of longer and longer episodes
    assert env._calls == 1 + 50 + 750  # each step was one call, none was repeated or dropped
    env.close()


def test_a_key_decides_what_worlds_outside_of_jax_do() -> None:
    actions = np.random.default_rng(0).integers(0, 4, (40, 2)).astype(np.int32)
    first, out = played(host_vector("FrozenLake-v1", 2), actions, keys=(1, 1, 2))
    assert first.shape == (3, 2, 16)  # numbered observations become one-hot
    assert np.array_equal(first[0], first[1])
    assert np.array_equal(out.obs[0], out.obs[1])
    assert not np.array_equal(out.obs[0], out.obs[2])


def test_a_world_in_a_process_of_its_own_does_the_same() -> None:
    actions = np.random.default_rng(0).integers(0, 2, (40, 1)).astype(np.int32)
    here = host_vector("CartPole-v1", 1)
    apart = host_vector("CartPole-v1", 1, how="async")
    try:
        first, out = played(apart, actions)
        again, same = played(here, actions)
    finally:
        apart.close()
    assert out.terminated.any()
    assert np.array_equal(first, again)
    assert all(np.array_equal(a, b) for a, b in zip(out, same, strict=True))


@pytest.mark.parametrize(
    ("package", "name", "options", "steps"),
    [
        ("ale_py", "ALE/Breakout-v5", {"how": "own", "num_threads": 1}, 300),
        ("mujoco", "InvertedPendulum-v5", {}, 500),
    ],
)
def test_atari_and_mujoco_run_through_the_bridge(
    package: str, name: str, options: dict[str, Any], steps: int
) -> None:
    pytest.importorskip(package)
    env = host_vector(name, 2, **options)
    rng, action = np.random.default_rng(0), env.spec.action
    if isinstance(action, Discrete):
        actions: Any = rng.integers(0, action.n, (steps, 2)).astype(np.int32)
    else:
        actions = rng.uniform(action.low, action.high, (steps, 2, *action.shape)).astype(np.float32)
    first, out = played(env, actions)
    last = out.terminated | out.truncated
    changed = (out.obs != out.reached).reshape(steps, 2, -1).any(axis=2)
    assert first.dtype == (np.uint8 if package == "ale_py" else np.float32)
    assert np.array_equal(changed, last)  # only a new episode shows what was not reached
    assert np.abs(out.reward).sum() > 0.0
    assert last.any()
    env.close()
