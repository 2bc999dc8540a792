"""The on-policy trainer: eight slots; all defaults together are PPO.

Order within an iteration, fixed and tested: T steps of all worlds (act, reward online, context),
values of all states, baseline, advantages, targets, policy step, value step, what reward
transforms learn themselves, what the baseline learns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import flax.linen as nn

from meritree.errors import BadInput
from meritree.rl.checks import check_counts, check_discounts, check_kinds, tried_out
from meritree.rl.envs.env import Env, EnvSpec, VectorEnv, vectorise
from meritree.rl.nets import MLP, network, orthogonal
from meritree.rl.on_policy.advantage import Advantage, gae
from meritree.rl.on_policy.baseline import Baseline, Identity, InitFromPrior
from meritree.rl.on_policy.iteration import Plan, best, iterate, start
from meritree.rl.on_policy.laws import ActionLaw, check_law, law_of
from meritree.rl.on_policy.parts import Actor, Critic, PolicyStep, ValueStep
from meritree.rl.on_policy.policy_steps import PpoClip
from meritree.rl.on_policy.value_steps import AdamEpochs
from meritree.rl.trainer import Trainer
from meritree.value.contexts import Context
from meritree.value.heads import Scalar, ValueHead
from meritree.value.transforms import RewardTransform, stateless

Array: TypeAlias = Any


def on_policy_trainer(
    env: Env | VectorEnv,
    *,
    head: ValueHead | None = None,
    actor: nn.Module | None = None,
    critic: nn.Module | None = None,
    actor_readout: Callable[[int], nn.Module] | None = None,
    critic_readout: Callable[[int], nn.Module] | None = None,
    law: ActionLaw | None = None,
    reward: RewardTransform | None = None,
    reward_batches: int = 4,
    weights: Sequence[float] | None = None,
    channels: bool = False,
    context: Context | None = None,
    utility: Callable[[Array], Array] | None = None,
    advantage: Advantage | None = None,
    baseline: Baseline | None = None,
    policy_step: PolicyStep | None = None,
    value_step: ValueStep | None = None,
    steps: int = 100_000,
    n_env: int = 4,
    rollout: int = 128,
    gamma: float = 0.99,
    windows: int = 20,
) -> Trainer:
    """A trainer of policies from their own rollouts; all defaults together are PPO.

    Defaults are CleanRL's `ppo.py`, with two differences: actor and critic have optimisers (and
    norms to clip) of their own, and values are not clipped (`AdamEpochs(clip=0.2)` does).
    Episodes cut short are bootstrapped from the state reached, which CleanRL does not do.

    Args:
        env: one world, or n_env worlds that are vectorised already.
        head: what a value is, of one action: `Scalar()` by default, any head will do.
        actor: torso of the policy, (obs, ctx) to features; two layers of 64, tanh, by default.
        critic: torso of the values, likewise; it shares nothing with the actor.
        actor_readout: number of outputs to the module that reads the policy's features;
            orthogonal of scale 0.01 by default.
        critic_readout: the same for the values, scale 1.
        law: of actions; categorical for finite sets, Gaussian for real ones by default.
        reward: transform of rewards, applied as they come; what it learns is learned once an
            iteration.
        reward_batches: parts of a rollout that its learning sees one after the other.
        weights: what each reward channel counts in what the policy maximises; the environment's
            by default where there are as many channels as it has, else 1 each.
        channels: the critic is given the channels apart (heads with several of them), not their
            weighted sum.
        context: numbers beside the observation, such as a stock.
        utility: f: the policy maximises E f(c_0 + G), c the context's stock, with the head's
            `score`; f must be positively homogeneous unless gamma is 1. Rewards then reach the
            policy through the stock only.
        advantage: `gae(0.95)` by default.
        baseline: what advantages are measured from; the critic by default.
        policy_step: `PpoClip()` by default.
        value_step: `AdamEpochs()` by default.
        steps: environment steps in all.
        n_env: worlds side by side.
        rollout: T, steps of each world in an iteration.
        gamma: discount, in [0, 1].
        windows: points of the log; fewer where there are fewer iterations.

    Raises:
        BadInput: numbers out of range, or parts that do not go together, with the reason.
    """
    check_kinds(
        head=head, actor=actor, critic=critic, law=law, advantage=advantage, baseline=baseline,
        policy_step=policy_step, value_step=value_step,
    )  # fmt: skip
    worlds = vectorise(env, n_env)
    check_counts(
        steps=steps, n_env=n_env, rollout=rollout, windows=windows, reward_batches=reward_batches
    )
    if not 0.0 <= gamma <= 1.0:
        raise BadInput(f"gamma={gamma}: must lie in [0, 1]")
    head, law = head or Scalar(), law or law_of(worlds.spec)
    check_law(law, worlds.spec)
    reward = reward or stateless(lambda step: step.reward, lambda count: count)
    plan = Plan(
        worlds,
        Actor(_net(actor, law.outputs, actor_readout, 0.01), law),
        Critic(_net(critic, head.features(1), critic_readout, 1.0), head),
        reward, reward_batches, _weights(worlds.spec, reward, weights), channels, context, utility,
        advantage or gae(), baseline or Identity(), policy_step or PpoClip(),
        value_step or AdamEpochs(), gamma, rollout, math.ceil(steps / (n_env * rollout)),
    )  # fmt: skip
    _check_parts(plan)
    windows = min(windows, plan.iterations)
    rounds = math.ceil(plan.iterations / windows)
    plan = plan._replace(iterations=rounds * windows)
    return tried_out(
        Trainer(
            worlds.spec,
            partial(start, plan),
            lambda state: iterate(plan, state, rounds),
            windows,
            rounds * n_env * rollout,
            partial(best, plan),
            context,
        )
    )


def _net(
    torso: nn.Module | None,
    outputs: int,
    readout: Callable[[int], nn.Module] | None,
    scale: float,
) -> Any:
    torso = torso or MLP((64, 64), nn.tanh, orthogonal())
    return network(torso, outputs, readout or partial(nn.Dense, kernel_init=orthogonal(scale)))


def _weights(
    spec: EnvSpec, reward: RewardTransform, weights: Sequence[float] | None
) -> tuple[float, ...]:
    count = reward.channels(spec.channels)
    if weights is None:
        return spec.weights if count == spec.channels else (1.0,) * count
    if len(weights) != count:
        raise BadInput(
            f"weights: {len(weights)} numbers for {count} reward channels; give one each"
        )
    return tuple(weights)


def _check_parts(plan: Plan) -> None:
    """Combinations that could run but would not mean what was asked for."""
    check_discounts(plan.gamma, [plan.reward])
    if (plan.env.n * plan.rollout) % plan.reward_batches:
        raise BadInput(
            f"{plan.env.n * plan.rollout} rows of a rollout cannot be shared evenly by "
            f"reward_batches={plan.reward_batches}"
        )
    if plan.channels and plan.advantage.returns is not None:
        raise BadInput(
            "channels=True: a lambda-return is one number, the channels' targets are several; use "
            "n_step(n), MONTE_CARLO or gae(lambda_, target=n)"
        )
    if isinstance(plan.baseline, InitFromPrior) and plan.context is not None:
        raise BadInput("InitFromPrior: fits on observations alone, but there is a context")
    if plan.utility is None:
        return
    if plan.context is None:
        raise BadInput(
            "utility: needs a context whose first number is the stock of what was gained "
            "(value.contexts.stock)"
        )
    if plan.advantage.returns is not None:
        raise BadInput(
            "utility: the critic must learn the law of returns, a lambda-return is one number; "
            "use n_step(n), MONTE_CARLO or gae(lambda_, target=n)"
        )
    if type(plan.baseline) is not Identity:
        raise BadInput(
            "utility: a prior is a value of rewards, not of utilities; leave baseline out"
        )
