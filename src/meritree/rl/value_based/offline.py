"""Values of actions from a fixed data set: the value trainer's parts without a world to act in.

`offline_trainer` is a trainer like the others (`fit`, `seeds`, `evaluate`); what keeps values
honest away from the data is one of its parts, in `conservative`. Knows no environment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from meritree.errors import BadInput
from meritree.rl.checks import check_counts, check_kinds, tried_out
from meritree.rl.envs.env import Env, EnvSpec, VectorEnv, vectorise
from meritree.rl.nets import MLP, network
from meritree.rl.trainer import Trainer
from meritree.rl.value_based.bootstrap import Bootstrap, greedy
from meritree.rl.value_based.chain import TargetChain
from meritree.rl.value_based.conservative import Support, among
from meritree.rl.value_based.parts import Extra, SampleWeight, Unweighted
from meritree.rl.value_based.update import Learned, Learning, fresh, scores, update
from meritree.value.heads import Scalar, ValueHead
from meritree.value.transforms import RewardTransform, Step

Array: TypeAlias = Any
Key: TypeAlias = Any


class OfflineState(NamedTuple):
    """Everything a run carries along."""

    key: Key
    learned: Learned


def play(
    env: Env | VectorEnv,
    act: Callable[[Key, Array], Array],
    key: Key,
    *,
    steps: int,
    n_env: int = 8,
    gamma: float = 0.99,
) -> Step:
    """A data set: what a policy does, leaves ``[steps * n_env, ...]``, step after step.

    Args:
        env: one world, of which n_env copies are played, or n of them.
        act: (key, observations ``[n, ...]``) to actions ``[n]``.
        key: random key.
        steps: of each world.
        n_env: copies of one world.
        gamma: discount, which transitions carry.
    """
    check_counts(steps=steps, n_env=n_env)
    worlds = vectorise(env, n_env)
    first, rest = jax.random.split(key)
    world, obs = worlds.reset(first)

    def one(carry: Any, key: Key) -> tuple[Any, Step]:
        world, obs = carry
        choosing, going = jax.random.split(key)
        action = act(choosing, obs).astype(jnp.int32)
        world, out = worlds.step(going, world, action)
        boot = gamma * (1.0 - out.terminated)
        last = out.terminated | out.truncated
        return (world, out.obs), Step(out.reward, boot, last, obs, action, out.reached)

    _, lived = jax.lax.scan(one, (world, obs), jax.random.split(rest, steps))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), lived)


def offline_trainer(
    spec: EnvSpec,
    data: Step,
    *,
    head: ValueHead | None = None,
    net: nn.Module | None = None,
    readout: Callable[[int], nn.Module] = nn.Dense,
    reward: RewardTransform | None = None,
    bootstrap: Bootstrap = greedy,
    support: Support | None = None,
    chain: TargetChain | None = None,
    weight: SampleWeight | None = None,
    extra: Extra | None = None,
    optimizer: optax.GradientTransformation | None = None,
    updates: int = 10_000,
    batch: int = 64,
    windows: int = 20,
) -> Trainer:
    """A trainer of action values from transitions that somebody else made.

    All defaults together are DQN on a fixed replay buffer. A ``support`` makes it discrete BCQ
    (``bootstrap.double`` in the paper), the extra `conservative.Conservative` CQL. ``steps`` of
    the log are updates; ``value`` is the mean largest value of the batch's states.

    Args:
        spec: of the environment that the data come from.
        data: transitions, leaves ``[N, ...]``; arrays may be traced.
        head: what a value is; `Scalar()` by default.
        net: torso, (obs, ctx) to features; two layers of 64 by default.
        readout: number of outputs to the module that reads features.
        reward: transform that keeps nothing, such as `value.transforms.shift`.
        bootstrap: which action or mixture values are bootstrapped from.
        support: (obs, ctx) to ``[B, A]`` actions that may be bootstrapped from and taken; with a
            bootstrap that chooses an action.
        chain: target networks.
        weight: how much each row counts.
        extra: a further loss.
        optimizer: Adam with step size 5e-4 by default.
        updates: of the networks, in all.
        batch: rows of an update, drawn uniformly.
        windows: points of the log.

    Raises:
        BadInput: no `EnvSpec`, numbers out of range, an empty data set, a reward transform that
            learns.
    """
    check_kinds(head=head, net=net, chain=chain, weight=weight, extra=extra)
    if not isinstance(spec, EnvSpec):
        raise BadInput(
            f"spec is of type {type(spec).__name__}; give that of an environment of ours, "
            "make_env(...).spec"
        )
    check_counts(updates=updates, batch=batch, windows=windows)
    if data.last.ndim != 1 or len(data.last) == 0:
        raise BadInput(f"data: last has shape {data.last.shape}, expected [N] with N >= 1")
    if reward is not None and reward.fit is not None:
        raise BadInput("reward: a transform that learns needs a world; use value_trainer")
    if support is not None:
        bootstrap = among(support, bootstrap)
    head, chain = head or Scalar(), chain or TargetChain()
    parts = Learning(
        network(net or MLP(), head.features(spec.actions), readout), head, bootstrap, chain,
        weight or Unweighted(), extra, optimizer or optax.adam(5e-4),
    )  # fmt: skip
    if reward is not None:
        data = data._replace(reward=reward.sample(reward.init(jax.random.key(0)), data))
    rounds = max(1, math.ceil(updates / windows))

    def act(state: OfflineState, key: Key, obs: Array, ctx: Array | None) -> Array:
        score = jnp.mean(scores(parts, state.learned.members.online, obs, ctx), axis=0)
        if support is not None:
            score = jnp.where(support(obs, ctx), score, -jnp.inf)
        return jnp.argmax(score, axis=-1).astype(jnp.int32)

    return tried_out(
        Trainer(
            spec,
            lambda key: _start(parts, spec.actions, data, key),
            lambda state: _window(parts, data, batch, rounds, state),
            windows,
            rounds,
            act,
        )
    )


def _start(parts: Learning, actions: int, data: Step, key: Key) -> OfflineState:
    key, making = jax.random.split(key)
    one = jax.tree.map(lambda leaf: leaf[:1], data)
    return OfflineState(key, fresh(parts, making, one, actions))


def _window(
    parts: Learning, data: Step, batch: int, rounds: int, state: OfflineState
) -> tuple[OfflineState, dict[str, Array]]:
    def one(state: OfflineState, _: None) -> tuple[OfflineState, dict[str, Array]]:
        key, drawing, updating = jax.random.split(state.key, 3)
        rows = jax.random.randint(drawing, (batch,), 0, len(data.last))
        drawn = jax.tree.map(lambda leaf: leaf[rows], data)
        reward = jnp.broadcast_to(drawn.reward, (parts.chain.K, *drawn.reward.shape))
        learned, _, log = update(parts, state.learned, drawn, reward, jnp.ones(batch), updating)
        return OfflineState(key, learned), log

    state, log = jax.lax.scan(one, state, length=rounds)
    rows = jnp.arange(min(batch, len(data.last)))
    score = scores(parts, state.learned.members.online, data.obs[rows], None)
    means = jax.tree.map(jnp.mean, log)
    return state, means | {"value": jnp.mean(jnp.max(score, axis=-1))}
