"""What holds of every environment of our own, and of every wrapper, in one rollout of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("gymnax")

import jax.numpy as jnp  # noqa: E402

from meritree.rl.envs import (  # noqa: E402
    BachelierHedge,
    BettingGame,
    Box,
    ChannelRewards,
    ComboLock,
    Discrete,
    Discretised,
    EnvSpec,
    Flattened,
    FourRooms,
    FruitCollection,
    Gymnax,
    KeyDoor,
    LayeredChain,
    NoisyReward,
    Normalised,
    OUArbitrage,
    PitfallMaze,
    RewardMaze,
    RiverSwim,
    StickyActions,
    Tabular,
    TimeLimit,
    vectorise,
)

N, STEPS = 64, 160
FRUITS = FruitCollection(3, ((0, 0), (1, 2), (2, 2)), 2, worth=(1.0, 10.0), limit=30)


def both(obs: Any, action: Any, out: Any) -> Any:
    return jnp.stack([out.reward[0], 1.0 - out.reward[0]])


def small_process() -> Tabular:
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(4), size=(4, 2))
    R = rng.standard_normal((4, 2))
    P[3], R[3] = np.eye(4)[3], 0.0
    return Tabular(P, R, np.asarray([0.5, 0.5, 0.0, 0.0]), limit=9)


FINITE = {
    "betting-game": BettingGame(3),
    "combo-lock": ComboLock((0, 1, 1), 2),
    "four-rooms": FourRooms(7, start=None, goal=(0, 4), limit=25),
    "fruit-collection": FRUITS,
    "key-door": KeyDoor(4, limit=60),
    "layered-chain": LayeredChain(2, 3, 0.25),
    "pitfall-maze": PitfallMaze(0.1, size=5, pitfalls=2, features=0, limit=50),
    "river-swim": RiverSwim(4, limit=33),
    "tabular": small_process(),
}
OTHERS = {
    "reward-maze": RewardMaze("inclusive", limit=20),
    # Ends when it would be cut: that is an end.
    "channel rewards of sticky combo-lock": TimeLimit(
        ChannelRewards(StickyActions(ComboLock((0, 1), 2), 0.5), both, (1.0, 0.5)), 2
    ),
    "a flat, noisy, discretised hedge with a limit": Flattened(
        TimeLimit(NoisyReward(Discretised(BachelierHedge(), 5), 0.1), 3)
    ),
    "gymnax": Gymnax("CartPole-v1", (("max_steps_in_episode", 12),)),
}
LIMITS = {name: getattr(env, "limit", None) for name, env in (FINITE | OTHERS).items()}
LIMITS["a flat, noisy, discretised hedge with a limit"] = 3
LIMITS["gymnax"] = 12
CERTAIN = {"key-door", "combo-lock"}  # nothing is drawn
NO_CHOICE = {"layered-chain"}


@dataclass(frozen=True)
class Numbered:
    """The number of the state behind its observation, both in one row."""

    env: Any

    @property
    def spec(self) -> Any:
        return replace(self.env.spec, obs_shape=(int(np.prod(self.env.spec.obs_shape)) + 1,))

    def reset(self, key: Any) -> Any:
        state, obs = self.env.reset(key)
        return state, self._row(state, obs)

    def step(self, key: Any, state: Any, action: Any) -> Any:
        state, out = self.env.step(key, state, action)
        return state, out._replace(obs=self._row(state, out.obs))

    def _row(self, state: Any, obs: Any) -> Any:
        return jnp.append(obs.reshape(-1), self.env.index(state))


class Rolled(NamedTuple):
    """Leaves [STEPS, N, ...]."""

    before: Any
    action: Any
    obs: Any
    reached: Any
    reward: Any
    terminated: Any
    truncated: Any


def worlds(name: str) -> Any:
    return vectorise(Numbered(FINITE[name]) if name in FINITE else OTHERS[name], N)


@cache
def program(name: str) -> Any:
    """(keys, actions) to the rollout; compiled without much ado, it runs once or twice."""
    env = worlds(name)

    def step(carry: Any, given: Any) -> Any:
        (world, before), (key, action) = carry, given
        world, out = env.step(key, world, action)
        return (world, out.obs), Rolled(before, action, *out)

    def roll(keys: Any, actions: Any) -> Rolled:
        return jax.lax.scan(step, env.reset(keys[0]), (keys[1:], actions))[1]

    like = (drawn_keys(0), drawn_actions(name, 0))
    return jax.jit(roll).lower(*like).compile({"xla_backend_optimization_level": "0"})


@cache
def drawn_keys(seed: int) -> Any:
    return jax.random.split(jax.random.key(seed), STEPS + 1)


def drawn_actions(name: str, seed: int) -> Any:
    rng, action = np.random.default_rng(seed), worlds(name).spec.action
    if isinstance(action, Discrete):
        return rng.integers(0, action.n, (STEPS, N)).astype(np.int32)
    return rng.uniform(action.low, action.high, (STEPS, N, *action.shape)).astype(np.float32)


@cache
def rolled(name: str, keys: int = 0, actions: int = 0) -> Rolled:
    run = program(name)(drawn_keys(keys), drawn_actions(name, actions))
    return Rolled(*map(np.asarray, run))


@pytest.mark.parametrize("name", [*FINITE, *OTHERS])
def test_shapes_and_types_are_those_of_the_spec(name: str) -> None:
    env = (FINITE | OTHERS)[name]
    spec = env.spec
    state, obs = jax.eval_shape(env.reset, jax.random.key(0))
    discrete = isinstance(spec.action, Discrete)
    action = jnp.int32(0) if discrete else jnp.zeros(spec.action.shape)
    after, out = jax.eval_shape(env.step, jax.random.key(0), state, action)
    for seen in (obs, out.obs):
        assert (seen.shape, seen.dtype) == (spec.obs_shape, spec.obs_dtype)
    assert (out.reward.shape, out.reward.dtype) == ((spec.channels,), jnp.float32)
    for flag in (out.terminated, out.truncated):
        assert (flag.shape, flag.dtype) == ((), bool)
    assert [(x.shape, x.dtype) for x in jax.tree.leaves(state)] == [
        (x.shape, x.dtype) for x in jax.tree.leaves(after)
    ]


@pytest.mark.parametrize("name", [*FINITE, *OTHERS])
def test_episodes_end_once_and_begin_anew_only_then(name: str) -> None:
    run = rolled(name)
    last = run.terminated | run.truncated
    assert not (run.terminated & run.truncated).any()
    assert np.array_equal(run.obs[~last], run.reached[~last])
    assert np.array_equal(run.before[1:], run.obs[:-1])
    limit = LIMITS[name]
    for world in range(N):
        ends = np.flatnonzero(last[:, world])
        lengths = np.diff(np.append(-1, ends))
        cut = run.truncated[ends, world]
        if limit is None:
            assert not cut.any()
        else:
            assert (lengths <= limit).all()
            assert (lengths[cut] == limit).all()
    assert last.any()
    first = {row.tobytes() for row in run.before[0]}
    if len(first) == 1:  # all episodes begin alike
        assert {row.tobytes() for row in run.obs[last]} == first


@pytest.mark.parametrize("name", [*FINITE, *OTHERS])
def test_keys_and_actions_decide_everything(name: str) -> None:
    run = rolled(name)
    again = program(name)(drawn_keys(0), drawn_actions(name, 0))
    assert all(np.array_equal(a, b) for a, b in zip(run, again, strict=True))
    assert same(run, rolled(name, actions=1)) == (name in NO_CHOICE)
    assert same(run, rolled(name, keys=1)) == (name in CERTAIN)


def same(run: Rolled, other: Rolled) -> bool:
    """Whether the worlds showed and paid the same."""
    return np.array_equal(run.reached, other.reached) and np.array_equal(run.reward, other.reward)


@pytest.mark.parametrize("name", FINITE)
def test_steps_follow_the_tables(name: str) -> None:
    env, run = FINITE[name], rolled(name)
    tables = env.tables()
    s, a, t = (np.rint(x).astype(int).ravel() for x in (
        run.before[..., -1], run.action, run.reached[..., -1]
    ))  # fmt: skip
    assert np.allclose(tables.P.sum(axis=2), 1.0)
    assert np.isclose(tables.mu0.sum(), 1.0)
    assert (tables.P[s, a, t] > 0.0).all()
    paid = (run.reward @ np.asarray(env.spec.weights, np.float32)).ravel()
    assert np.allclose(paid, tables.R[s, a, t], atol=1e-6)
    assert np.array_equal(run.terminated.ravel(), tables.ends[t])
    seen = np.zeros(tables.P.shape)
    np.add.at(seen, (s, a, t), 1.0)
    tried = seen.sum(axis=2, keepdims=True)
    spread = np.sqrt(np.maximum(tried * tables.P * (1.0 - tables.P), 1e-6))
    often = tried[..., 0] >= 30
    assert often.any()
    assert (np.abs(seen - tried * tables.P)[often] < 4.5 * spread[often]).all()


@pytest.mark.parametrize("name", FINITE)
def test_first_states_follow_the_tables(name: str) -> None:
    run = rolled(name)
    last = run.terminated | run.truncated
    first = np.rint(np.concatenate([run.before[0], run.obs[last]])[:, -1]).astype(int)
    mu0, n = FINITE[name].tables().mu0, len(first)
    counts = np.bincount(first, minlength=len(mu0))
    assert (counts[mu0 == 0.0] == 0).all()
    spread = np.sqrt(np.maximum(n * mu0 * (1.0 - mu0), 1.0))
    assert (np.abs(counts - n * mu0) < 4.5 * spread).all()


@pytest.mark.parametrize("name", FINITE)
def test_ends_of_the_tables_hold_and_pay_nothing(name: str) -> None:
    tables = FINITE[name].tables()
    for s in np.flatnonzero(tables.ends):
        assert (tables.P[s, :, s] == 1.0).all()
        assert (tables.R[s, :, s] == 0.0).all()


def test_repeated_actions_repeat_and_noise_is_noise() -> None:
    run = rolled("channel rewards of sticky combo-lock")
    assert np.allclose(run.reward.sum(axis=-1), 1.0)
    # At state 1 the lock opens on action 1: the chosen one, or the 0 that led here with p = 0.5.
    first, second = run.before[..., 0] == 1.0, run.before[..., 1] == 1.0
    assert np.array_equal(run.reached[first][:, 1], 1.0 * (run.action[first] == 0))
    opened = run.reward[..., 0][second & (run.action == 1)]
    assert abs(opened.mean() - 0.5) < 4.0 * 0.5 / np.sqrt(len(opened))
    assert run.reward[..., 0][second & (run.action == 0)].max() == 0.0


def test_running_statistics_are_those_of_all_observations() -> None:
    scaled = Normalised(vectorise(OUArbitrage(4), 8), clip=1.5)

    def step(carry: Any, key: Any) -> Any:
        world, plain = carry
        world, out = scaled.step(key, world, jnp.zeros(8, jnp.int32))
        plain, raw = scaled.env.step(key, plain, jnp.zeros(8, jnp.int32))
        return (world, plain), (out.obs, out.reached, raw.obs, raw.reached)

    def steps(key: Any) -> Any:
        (world, _), (plain, first) = scaled.reset(key), scaled.env.reset(key)
        (world, _), rows = jax.lax.scan(step, (world, plain), jax.random.split(key, 12))
        return world.seen, first, rows, scaled.frozen(world).reset(key)[1]

    key = jax.random.key(3)
    compiled = jax.jit(steps).lower(key).compile({"xla_backend_optimization_level": "0"})
    seen, first, (obs, reached, raw, raw_reached), frozen = jax.tree.map(np.asarray, compiled(key))
    everything = np.concatenate([first[None], raw]).reshape(-1, 3)
    mean, var = everything.mean(axis=0), everything.var(axis=0)

    def wanted(rows: Any) -> Any:
        return np.clip((rows - mean) / np.sqrt(var + 1e-8), -1.5, 1.5)

    assert seen.count == len(everything)
    assert np.allclose(seen.mean, mean, atol=1e-5)
    assert np.allclose(seen.square / len(everything), var, atol=1e-5)
    assert np.allclose(obs[-1], wanted(raw[-1]), atol=1e-3)
    assert np.allclose(reached[-1], wanted(raw_reached[-1]), atol=1e-3)
    assert np.allclose(frozen, wanted(first), atol=1e-3)
    assert np.abs(obs).max() == 1.5


def test_discrete_actions_stand_for_a_grid() -> None:
    env = Discretised(BachelierHedge(most=2.0), 5)
    pair = Discretised(world_with(Box((2,), 0.0, 1.0)), 3)
    assert (env.spec.actions, pair.spec.actions) == (5, 9)

    @jax.jit
    def real(actions: Any) -> Any:
        return env.real(actions), env.real(actions[3]), pair.real(actions)

    many, one, pairs = real(jnp.asarray([0, 1, 2, 3, 4]))
    assert many.tolist() == [[-2.0], [-1.0], [0.0], [1.0], [2.0]]
    assert one.tolist() == [1.0]
    assert pairs.tolist() == [[0.0, 0.0], [0.0, 0.5], [0.0, 1.0], [0.5, 0.0], [0.5, 0.5]]


def world_with(action: Any) -> Any:
    """Something with these actions."""
    return SimpleNamespace(spec=EnvSpec("real", (1,), action))
