"""The value-based trainer: ten slots, of which most papers fill two.

Order within a step, fixed and tested: act, reward online, context, store; at an update: draw,
relabel contexts, relabel rewards, values of the next state, bootstrap, target, weight, loss and
extra, optimiser, chain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from meritree.errors import BadInput
from meritree.rl.checks import check_counts, check_discounts, check_kinds, tried_out
from meritree.rl.envs.env import Env, VectorEnv, vectorise, where_rows
from meritree.rl.keys import quick
from meritree.rl.nets import MLP, network
from meritree.rl.optimizers import flattened
from meritree.rl.sharding import check_mesh, spread
from meritree.rl.trainer import Episodes, Trainer, fresh_contexts
from meritree.rl.value_based import act as acts
from meritree.rl.value_based import bootstrap as bootstraps
from meritree.rl.value_based.act import ActRule
from meritree.rl.value_based.bootstrap import Bootstrap
from meritree.rl.value_based.chain import TargetChain
from meritree.rl.value_based.data import Data, Uniform, fold
from meritree.rl.value_based.parts import Extra, SampleWeight, Unweighted
from meritree.rl.value_based.update import Learned, Learning, fresh, scores, update
from meritree.value.contexts import Context, relabel
from meritree.value.heads import Scalar, ValueHead
from meritree.value.transforms import RewardTransform, Step, stateless

Array: TypeAlias = Any
Key: TypeAlias = Any


class ValueState(NamedTuple):
    """Everything a run carries along."""

    key: Key
    steps: Array  # environment steps so far
    world: Any
    obs: Array  # [n, ...]
    ctx: Array | None  # [n, D]
    member: Array  # [n] whom each world follows in this episode
    rewards: tuple[Any, ...]  # one state per reward transform
    data: Any
    learned: Learned
    episodes: Episodes


class _Plan(NamedTuple):
    """The slots and numbers of one trainer."""

    env: VectorEnv
    learning: Learning
    rewards: tuple[RewardTransform, ...]
    context: Context | None
    relabelled: bool
    act: ActRule
    act_score: Callable[[Any, Array | None], Array]
    data: Data
    gamma: float | Array
    batch: int
    train_every: int
    updates: int
    mesh: Any


def value_trainer(
    env: Env | VectorEnv,
    *,
    head: ValueHead | None = None,
    net: nn.Module | None = None,
    readout: Callable[[int], nn.Module] = nn.Dense,
    reward: RewardTransform | Sequence[RewardTransform] | None = None,
    context: Context | None = None,
    relabel_context: bool = False,
    bootstrap: Bootstrap = bootstraps.greedy,
    chain: TargetChain | None = None,
    weight: SampleWeight | None = None,
    extra: Extra | None = None,
    act: ActRule | None = None,
    act_score: Callable[[Any, Array | None], Array] | None = None,
    data: Data | None = None,
    optimizer: optax.GradientTransformation | None = None,
    steps: int = 50_000,
    n_env: int = 8,
    batch: int = 32,
    train_every: int = 1,
    updates: int = 1,
    warmup: int = 1000,
    gamma: float | Array = 0.99,
    windows: int = 20,
    mesh: Any = None,
) -> Trainer:
    """A trainer of action values from replayed transitions; all defaults together are DQN.

    Args:
        env: one world, or n_env worlds that are vectorised already.
        head: what a value is; `Scalar()` by default.
        net: torso, (obs, ctx) to features; two layers of 64 by default.
        readout: number of outputs to the module that reads features.
        reward: transform of rewards; several: one for each member of an ensemble.
        context: numbers beside the observation, such as a stock.
        relabel_context: replayed transitions get a newly drawn first context.
        bootstrap: which action or mixture values are bootstrapped from.
        chain: target networks.
        weight: how much each row counts.
        extra: a further loss.
        act: how actions are chosen; epsilon from 1 to 0.05 over the first half by default.
        act_score: (V, ctx) to scores ``[..., A]`` that behaviour goes by; the head's by default.
        data: replay buffer; the last 50 000 transitions by default.
        optimizer: Adam with step size 5e-4 by default.
        steps: environment steps in all, warm-up not counted.
        n_env: worlds side by side.
        batch: rows of an update.
        train_every: steps of all worlds between rounds of updates.
        updates: updates in a round.
        warmup: environment steps before the first update.
        gamma: discount, in [0, 1]; a traced number is not checked.
        windows: points of the log.
        mesh: `jax.sharding.Mesh` with an axis ``data`` over which worlds and batches are spread;
            networks are copied to every device. Same numbers but for rounding.

    Raises:
        BadInput: numbers out of range, or parts that do not go together, with the reason.
    """
    check_kinds(head=head, net=net, chain=chain, weight=weight, extra=extra, data=data)
    uncalled: tuple[Any, ...] = (bootstraps.munchausen, bootstraps.expected)
    if isinstance(bootstrap, str) or bootstrap in uncalled:
        name = getattr(bootstrap, "__name__", repr(bootstrap))
        raise BadInput(
            f"bootstrap={name}: give a function of value_based.bootstrap; munchausen() and "
            "expected(epsilon) are called first, greedy, double and uniform are not"
        )
    worlds = vectorise(env, n_env)
    head = head or Scalar()
    chain = chain or TargetChain()
    check_counts(
        steps=steps, n_env=n_env, batch=batch, train_every=train_every, updates=updates,
        warmup=warmup, windows=windows,
    )  # fmt: skip
    if not isinstance(gamma, jax.Array) and not 0.0 <= gamma <= 1.0:
        raise BadInput(f"gamma={gamma}: must lie in [0, 1]")
    actions = worlds.spec.actions
    outputs = network(net or MLP(), head.features(actions), readout)
    learning = Learning(
        outputs, head, bootstrap, chain, weight or Unweighted(), extra,
        optimizer or flattened(optax.adam(5e-4)),
    )  # fmt: skip
    plan = _Plan(
        worlds, learning, _per_member(reward, chain), context, relabel_context,
        act or acts.epsilon_greedy(acts.decayed(steps=max(1, steps // 2))),
        act_score or head.score, data or Uniform(max(1, 50_000 // n_env)),
        gamma, batch, train_every, updates, mesh,
    )  # fmt: skip
    _check_parts(plan)
    round_steps = n_env * train_every
    rounds = max(1, math.ceil(steps / round_steps / windows))
    return tried_out(
        Trainer(
            worlds.spec,
            lambda key: _start(plan, key, math.ceil(warmup / n_env)),
            lambda state: _window(plan, state, rounds),
            windows,
            rounds * round_steps,
            lambda state, key, obs, ctx: _best(plan, state, obs, ctx),
            context,
        )
    )


def _start(plan: _Plan, key: Key, warmup: int) -> ValueState:
    """The state after the warm-up steps."""
    keys = jax.random.split(quick(key), 7)
    spec, n, members = plan.env.spec, plan.env.n, plan.learning.chain.K
    world, obs = spread(plan.mesh, plan.env.reset(keys[0]))
    ctx = fresh_contexts(plan.context, keys[1], n)
    example = Step(
        reward=jnp.zeros((n, spec.channels)), boot=jnp.zeros(n), last=jnp.zeros(n, bool), obs=obs,
        action=jnp.zeros(n, jnp.int32), next_obs=obs, ctx=ctx, next_ctx=ctx,
    )  # fmt: skip
    state = ValueState(
        keys[2], jnp.zeros((), jnp.int32), world, obs, ctx,
        jax.random.randint(keys[3], (n,), 0, members),
        tuple(each.init(keys[4]) for each in plan.rewards),
        plan.data.init(example), fresh(plan.learning, keys[5], example, spec.actions),
        Episodes.new(n),
    )  # fmt: skip

    def lived(state: ValueState, _: None) -> tuple[ValueState, None]:
        return _live(plan, state)[0], None

    return jax.lax.scan(lived, state, length=warmup)[0]


def _live(plan: _Plan, state: ValueState) -> tuple[ValueState, dict[str, Array]]:
    """One step of all worlds, stored."""
    key, choosing, going, renewing, following = jax.random.split(state.key, 5)
    members, gamma = plan.learning.chain.K, plan.gamma
    score = scores(
        plan.learning, state.learned.members.online, state.obs, state.ctx, plan.act_score
    )
    action = plan.act(choosing, score, state.member, state.steps).astype(jnp.int32)
    world, out = spread(plan.mesh, plan.env.step(going, state.world, action))
    last = out.terminated | out.truncated
    step = Step(
        out.reward, gamma * (1.0 - out.terminated), last, state.obs, action, out.reached, state.ctx
    )
    rewards, ctx = [], state.ctx
    for transform, kept in zip(plan.rewards, state.rewards, strict=True):
        rewards.append(transform.online(kept, step)[0])
    if plan.context is not None:
        within = plan.context.step(state.ctx, out.reward)
        step = step._replace(next_ctx=within)
        ctx = where_rows(last, fresh_contexts(plan.context, renewing, plan.env.n), within)
    drawn = jax.random.randint(following, last.shape, 0, members)
    return ValueState(
        key, state.steps + plan.env.n, world, out.obs, ctx, jnp.where(last, drawn, state.member),
        tuple(rewards), plan.data.add(state.data, step), state.learned,
        state.episodes.add(out.reward, last, plan.env.spec.weights),
    ), {"value": jnp.mean(jnp.max(score, axis=-1))}  # fmt: skip


def _learn(plan: _Plan, state: ValueState) -> tuple[ValueState, dict[str, Array]]:
    """One update."""
    key, drawing, relabelling, updating, fitting = jax.random.split(state.key, 5)
    drawn = plan.data.sample(state.data, drawing, plan.batch)
    steps = drawn.steps
    if plan.context is not None and plan.relabelled:
        first = fresh_contexts(plan.context, relabelling, plan.batch)
        steps = relabel(plan.context, jnp.asarray(first)[:, None], steps)
    relabelled = [each.sample(kept, steps) for each, kept in zip(
        plan.rewards, state.rewards, strict=True
    )]  # fmt: skip
    folded = fold(steps, relabelled[0])
    reward = jnp.stack([folded.reward, *[fold(steps, more).reward for more in relabelled[1:]]])
    reward = jnp.broadcast_to(reward, (plan.learning.chain.K, *reward.shape[1:]))
    folded = spread(plan.mesh, folded)
    learned, error, log = update(
        plan.learning, state.learned, folded, reward, drawn.weight, updating
    )
    rewards = list(state.rewards)
    for i, transform in enumerate(plan.rewards):
        if transform.fit is not None:
            flat = jax.tree.map(lambda leaf: leaf[:, 0], steps)
            rewards[i], found = transform.fit(state.rewards[i], flat, fitting)
            log.update(found)
    return state._replace(
        key=key, learned=learned, data=plan.data.update(state.data, drawn.index, error),
        rewards=tuple(rewards),
    ), log  # fmt: skip


def _window(plan: _Plan, state: ValueState, rounds: int) -> tuple[ValueState, dict[str, Array]]:
    """Rounds of steps and updates; the log holds means over the window."""

    def living(state: ValueState, _: None) -> Any:
        return _live(plan, state)

    def learning(state: ValueState, _: None) -> Any:
        return _learn(plan, state)

    def one(carry: Any, _: None) -> tuple[Any, None]:
        state, sums = carry
        state, seen = jax.lax.scan(living, state, length=plan.train_every)
        state, log = jax.lax.scan(learning, state, length=plan.updates)
        means = jax.tree.map(jnp.mean, seen | log)
        return (state, jax.tree.map(jnp.add, sums, means)), None

    shapes = jax.eval_shape(lambda state: _learn(plan, _live(plan, state)[0])[1], state)
    zeros = {name: jnp.zeros(()) for name in ["value", *shapes]}
    (state, sums), _ = jax.lax.scan(one, (state, zeros), length=rounds)
    episodes, log = state.episodes.read()
    return state._replace(episodes=episodes), log | {
        name: total / rounds for name, total in sums.items()
    }


def _best(plan: _Plan, state: ValueState, obs: Array, ctx: Array | None) -> Array:
    """Greedy in the mean of the members' scores."""
    score = scores(plan.learning, state.learned.members.online, obs, ctx, plan.act_score)
    return jnp.argmax(jnp.mean(score, axis=0), axis=-1).astype(jnp.int32)


def _per_member(
    reward: RewardTransform | Sequence[RewardTransform] | None, chain: TargetChain
) -> tuple[RewardTransform, ...]:
    if reward is None:
        return (stateless(lambda step: step.reward, lambda count: count),)
    if isinstance(reward, RewardTransform):
        return (reward,)
    parts = tuple(reward)
    if len(parts) != chain.K:
        raise BadInput(
            f"reward: {len(parts)} transforms for {chain.K} members; give one, or one a member"
        )
    if chain.K > 1 and chain.chained:
        raise BadInput(
            "reward: members of a chain learn one value, several Bellman steps apart, so they "
            "cannot have rewards of their own; use TargetChain(chained=False)"
        )
    return parts


def _check_parts(plan: _Plan) -> None:
    """Combinations that could run but would not mean what was asked for."""
    check_discounts(plan.gamma, plan.rewards)
    learning, context = plan.learning, plan.context
    if learning.weight.needs_previous and not learning.chain.keep_previous:
        raise BadInput(
            f"{type(learning.weight).__name__} needs the targets before the last shift; use "
            "TargetChain(keep_previous=True)"
        )
    if plan.relabelled and context is None:
        raise BadInput("relabel_context=True, but there is no context to draw anew")
    check_mesh(plan.mesh, n_env=plan.env.n, batch=plan.batch)
    n_step = getattr(plan.data, "n_step", 1)
    if plan.relabelled and n_step > 1:
        raise BadInput(
            f"relabel_context=True with n_step={n_step}: a context drawn anew is carried over one "
            "step; use n_step=1"
        )
