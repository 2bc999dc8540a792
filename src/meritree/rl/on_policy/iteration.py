"""One iteration of the on-policy trainer: a rollout, and what is learned from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from meritree.rl.envs.env import VectorEnv, where_rows
from meritree.rl.keys import quick
from meritree.rl.on_policy.advantage import Advantage, Path, Window, monte_carlo, window
from meritree.rl.on_policy.baseline import Baseline
from meritree.rl.on_policy.parts import (
    Actor,
    Choices,
    Critic,
    Judgements,
    PolicyStep,
    ValueStep,
    first,
)
from meritree.rl.trainer import Episodes, fresh_contexts
from meritree.value.contexts import Context
from meritree.value.transforms import RewardTransform, Step

Array: TypeAlias = Any
Key: TypeAlias = Any
Params: TypeAlias = Any


class Plan(NamedTuple):
    """The slots and numbers of one trainer, see `on_policy_trainer`."""

    env: VectorEnv
    actor: Actor
    critic: Critic
    reward: RewardTransform
    reward_batches: int
    weights: tuple[float, ...]
    channels: bool
    context: Context | None
    utility: Callable[[Array], Array] | None
    advantage: Advantage
    baseline: Baseline
    policy_step: PolicyStep
    value_step: ValueStep
    gamma: float
    rollout: int
    iterations: int


class PolicyState(NamedTuple):
    """Everything a run carries along."""

    key: Key
    iteration: Array  # iterations so far
    world: Any
    obs: Array  # [n, ...]
    ctx: Array | None  # [n, D]
    reward: Any
    actor: Params
    critic: Params
    actor_step: Any  # state of the policy step
    critic_step: Any
    baseline: Any
    episodes: Episodes


class Rolled(NamedTuple):
    """A rollout; leaves ``[T, n, ...]``."""

    steps: Step  # with the transformed reward and the action as it was played
    action: Array  # as it was drawn
    raw: Array  # of the policy
    terminated: Array


def start(plan: Plan, key: Key) -> PolicyState:
    """The first state of a run."""
    keys = jax.random.split(quick(key), 7)
    world, obs = plan.env.reset(keys[0])
    ctx = fresh_contexts(plan.context, keys[1], plan.env.n)
    one_ctx = None if ctx is None else ctx[0]
    actor = plan.actor.init(keys[2], obs[0], one_ctx)
    critic = plan.critic.init(keys[3], obs[0], one_ctx)
    critic = plan.baseline.start(plan.critic, critic, keys[4])
    return PolicyState(
        keys[5], jnp.zeros((), jnp.int32), world, obs, ctx, plan.reward.init(keys[6]), actor,
        critic, plan.policy_step.init(actor), plan.value_step.init(critic), plan.baseline.init(),
        Episodes.new(plan.env.n),
    )  # fmt: skip


def iterate(plan: Plan, state: PolicyState, rounds: int) -> tuple[PolicyState, dict[str, Array]]:
    """So many iterations; the log holds means over them."""
    state, log = jax.lax.scan(lambda state, _: _iteration(plan, state), state, length=rounds)
    episodes, read = state.episodes.read()
    return state._replace(episodes=episodes), read | jax.tree.map(jnp.mean, log)


def best(plan: Plan, state: PolicyState, key: Key, obs: Array, ctx: Array | None) -> Array:
    """The most probable action."""
    law = plan.actor.law
    return law.played(law.best(plan.actor.raw(state.actor, obs, ctx)))


def _iteration(plan: Plan, state: PolicyState) -> tuple[PolicyState, dict[str, Array]]:
    key, shuffling, fitting = jax.random.split(state.key, 3)
    state, rolled = _roll(plan, state._replace(key=key))
    progress = state.iteration / plan.iterations
    steps = jax.tree.map(_flat, rolled.steps)
    raw = plan.critic.raw(state.critic, steps.obs, steps.ctx)
    raw_next = plan.critic.raw(state.critic, steps.next_obs, steps.next_ctx)
    path = _path(plan, state, rolled, raw, raw_next, progress)
    advantage = plan.advantage.estimate(path)
    target = jax.lax.stop_gradient(_target(plan, rolled, path, raw, raw_next))
    choices = Choices(
        steps.obs, steps.ctx, _flat(rolled.action), _flat(rolled.raw),
        plan.actor.law.log_prob(_flat(rolled.raw), _flat(rolled.action)), _flat(advantage),
    )  # fmt: skip
    actor, actor_step, log = plan.policy_step.step(
        plan.actor, state.actor, state.actor_step, choices, shuffling, progress
    )
    judgements = Judgements(steps.obs, steps.ctx, raw, target)
    # The same key: where both go through minibatches, both see the same, shuffled once.
    critic, critic_step, judged = plan.value_step.step(
        plan.critic, state.critic, state.critic_step, judgements, shuffling, progress
    )
    reward, learned = _fit(plan, state.reward, steps, fitting)
    v = plan.critic.score(raw, _scored(plan, steps.ctx))
    returns = _flat(monte_carlo(path))
    baseline, found = plan.baseline.update(state.baseline, v, steps.obs, steps.ctx, returns)
    log = log | judged | learned | found | {
        "value": jnp.mean(v),
        "explained": 1.0 - jnp.var(returns - v) / (jnp.var(returns) + 1e-8),
    }  # fmt: skip
    return state._replace(
        iteration=state.iteration + 1, actor=actor, critic=critic, actor_step=actor_step,
        critic_step=critic_step, reward=reward, baseline=baseline,
    ), log  # fmt: skip


def _roll(plan: Plan, state: PolicyState) -> tuple[PolicyState, Rolled]:
    """T steps of all worlds."""

    def one(state: PolicyState, _: None) -> tuple[PolicyState, Rolled]:
        key, choosing, going, renewing = jax.random.split(state.key, 4)
        law = plan.actor.law
        raw = plan.actor.raw(state.actor, state.obs, state.ctx)
        action = law.sample(choosing, raw)
        played = law.played(action)
        world, out = plan.env.step(going, state.world, played)
        last = out.terminated | out.truncated
        boot = plan.gamma * (1.0 - out.terminated)
        step = Step(out.reward, boot, last, state.obs, played, out.reached, state.ctx)
        ctx = state.ctx
        if plan.context is not None:
            step = step._replace(next_ctx=plan.context.step(state.ctx, out.reward))
            ctx = where_rows(
                last, fresh_contexts(plan.context, renewing, plan.env.n), step.next_ctx
            )
        kept, reward = plan.reward.online(state.reward, step)
        state = state._replace(
            key=key, world=world, obs=out.obs, ctx=ctx, reward=kept,
            episodes=state.episodes.add(out.reward, last, plan.env.spec.weights),
        )  # fmt: skip
        return state, Rolled(step._replace(reward=reward), action, raw, out.terminated)

    return jax.lax.scan(one, state, length=plan.rollout)


def _path(
    plan: Plan, state: PolicyState, rolled: Rolled, raw: Array, raw_next: Array, progress: Array
) -> Path:
    """Rewards and values as the policy sees them."""
    steps = rolled.steps
    flat = jax.tree.map(_flat, steps)

    def value(raw: Array, obs: Array, ctx: Array | None) -> Array:
        v = plan.critic.score(raw, _scored(plan, ctx))
        used = plan.baseline.value(state.baseline, v, obs, ctx, progress)
        return used.reshape(steps.last.shape)

    if plan.utility is None or steps.next_ctx is None:
        reward = _total(plan, steps.reward)
    else:
        # A stock has what was gained; only the end of the task turns it into utility.
        settled = plan.gamma * plan.utility(steps.next_ctx[..., 0])
        reward = jnp.where(rolled.terminated, settled, 0.0)
    return Path(
        reward, steps.boot, steps.last,
        value(raw, flat.obs, flat.ctx), value(raw_next, flat.next_obs, flat.next_ctx),
    )  # fmt: skip


def _target(plan: Plan, rolled: Rolled, path: Path, raw: Array, raw_next: Array) -> Any:
    """What the critic learns from, a row a state."""
    head, shape = plan.critic.head, path.last.shape
    old = head.take(head.value(raw), first(raw))
    if plan.advantage.returns is not None:
        goal = plan.advantage.returns(path)
        seen = Window(goal[..., None], jnp.zeros_like(goal), jnp.zeros(shape, jnp.int32))
    else:
        rewards = rolled.steps.reward
        if not plan.channels:
            rewards = _total(plan, rewards)[..., None]
        seen = window(rewards, rolled.steps.boot, path.last, plan.advantage.n)
    v1 = head.take(head.value(raw_next), first(raw_next))
    row = _flat(seen.at * shape[1] + jnp.arange(shape[1]))
    v1 = jax.tree.map(lambda leaf: leaf[row], v1)
    return head.target(v1, _flat(seen.reward), _flat(seen.boot), old)


def _fit(plan: Plan, kept: Any, steps: Step, key: Key) -> tuple[Any, dict[str, Array]]:
    """What the reward transform learns from a rollout."""
    learn = plan.reward.fit
    if learn is None:
        return kept, {}
    shuffling, fitting = jax.random.split(key)
    order = jax.random.permutation(shuffling, steps.last.shape[0])
    parts = order.reshape(plan.reward_batches, -1)

    def one(kept: Any, now: tuple[Array, Key]) -> tuple[Any, Any]:
        index, key = now
        return learn(kept, jax.tree.map(lambda leaf: leaf[index], steps), key)

    kept, log = jax.lax.scan(one, kept, (parts, jax.random.split(fitting, plan.reward_batches)))
    return kept, jax.tree.map(jnp.mean, log)


def _total(plan: Plan, reward: Array) -> Array:
    """[..., C] -> [...]."""
    return reward @ jnp.asarray(plan.weights, reward.dtype)


def _scored(plan: Plan, ctx: Array | None) -> Array | None:
    """The context that a score is told: only a utility is of the stock as well."""
    return None if plan.utility is None else ctx


def _flat(x: Array) -> Array:
    """[T, n, ...] -> [T n, ...]."""
    return x.reshape(-1, *x.shape[2:])
