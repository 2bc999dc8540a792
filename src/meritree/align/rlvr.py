"""The verifiable-reward trainer: rollout -> reward -> shapes -> advantage -> surrogate.

One loop for every method that draws answers and is told what they are worth. What a good loss is,
is `meritree.objectives`' business; what an answer is worth, the reward's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from meritree.align import checkpoint
from meritree.align._torch import Module, own_randomness
from meritree.align.loop import (
    Evaluate,
    MakeOptimizer,
    MakeSchedule,
    Measures,
    Plan,
    check_counts,
    learner,
    modes_kept,
    train,
)
from meritree.align.mixes import Mix, OnPolicy
from meritree.align.prefer import Trained
from meritree.align.prompts import Prompts
from meritree.align.rewards import Reward
from meritree.align.rollout import Asked, Rollouts, check_prompts
from meritree.align.shaping import Advantage, Group, HybridMode, Rloo, Shape
from meritree.align.sources import Also, Sources, check_fits
from meritree.align.updates import Updates, check_needs
from meritree.errors import BadInput
from meritree.objectives.divergences import k3
from meritree.objectives.rows import How, Part
from meritree.objectives.surrogates import Clip


@dataclass(frozen=True)
class RLVR:
    """A method: what is done with the rewards of drawn answers.

    The default is GRPO with clip-higher and a loss averaged over tokens, as in DAPO.

    Attributes:
        advantage: what weighs answers or tokens.
        surrogate: the policy's loss of each token; None where ``extras`` are the loss (A*-PO).
        shapes: from rewards to rewards, from left to right.
        divergence: of (logp, ref_logp) [B, T] each, on the policy's own answers (``k1``, ``k2``,
            ``k3`` of `meritree.objectives.divergences`); weighted by ``kl``.
        kl: >= 0.
        kl_in: ``loss``, or ``reward``: the penalty kl (log pi_old - log pi_ref) of each token, as
            in PPO; ``divergence`` is not read then.
        extras: (coefficient, term) beside it; each gives a number a row.
        agg, const: how tokens become a loss, see `meritree.objectives.rows.agg`.
        size: answers a prompt, G.
        epochs, minibatches: passes over a step's answers, and optimizer steps of each pass.
        mix: whose answers.
        drop_unended: answers that were cut off at ``longest`` count for the group's baseline but
            not in the loss (DAPO's overlong filtering).
        skip_flat: leave groups whose shaped rewards are all equal out of the loss and out of its
            average (DAPO's dynamic sampling, without drawing others in their place).
    """

    advantage: Advantage = field(default_factory=Group)
    surrogate: Part | None = field(default_factory=lambda: Clip(0.2, 0.28))
    shapes: tuple[Shape, ...] = ()
    divergence: Any = k3
    kl: float = 0.0
    kl_in: Literal["loss", "reward"] = "loss"
    extras: tuple[tuple[float, Part], ...] = ()
    agg: How = "token"
    const: int = 0
    size: int = 16
    epochs: int = 1
    minibatches: int = 1
    mix: Mix = field(default_factory=OnPolicy)
    drop_unended: bool = False
    skip_flat: bool = False

    def __post_init__(self) -> None:
        check_counts("RLVR", size=self.size, epochs=self.epochs, minibatches=self.minibatches)
        _check_parts(self)
        if self.surrogate is None and not self.extras:
            raise BadInput("RLVR: neither a surrogate nor extras: there is no loss")
        if not isinstance(self.kl, int | float) or not 0.0 <= self.kl < float("inf"):
            raise BadInput(f"RLVR: kl is {self.kl!r}; it must be a finite number >= 0")
        if self.kl_in not in ("loss", "reward"):
            raise BadInput(f"RLVR: kl_in is {self.kl_in!r}; use 'loss' or 'reward'")
        if self.agg not in get_args(How):
            raise BadInput(f"RLVR: agg is {self.agg!r}; use {', '.join(get_args(How))}")
        if self.agg == "const" and self.const < 1:
            raise BadInput("RLVR: agg='const' divides by const; give the longest length allowed")


@dataclass(frozen=True)
class Critic:
    """A value model that is trained beside the policy.

    Attributes:
        model: as `meritree.align.critic.critic_of` makes it.
        optimizer: from parameters to an optimizer; None: the critic stays as it is and is not
            trained.
        schedule: of that optimizer.
        warmup: so many of the first steps train the critic alone, on returns of the policy as it
            was given (VAPO's value pre-training, with ``Gae(critic_lam=1.0)``).
    """

    model: Module
    optimizer: MakeOptimizer | None = None
    schedule: MakeSchedule | None = None
    warmup: int = 0

    def __post_init__(self) -> None:
        if self.warmup < 0:
            raise BadInput(f"Critic: warmup is {self.warmup}; it must be at least 0")


def fit_rlvr(
    policy: Module,
    method: RLVR,
    data: Prompts,
    reward: Reward,
    *,
    longest: int,
    end: int,
    ref: Module | None = None,
    critic: Critic | None = None,
    also: Sequence[Also] = (),
    also_batch: int | None = None,
    optimizer: MakeOptimizer,
    schedule: MakeSchedule | None = None,
    steps: int,
    seed: int = 0,
    batch: int = 16,
    accumulate: int = 1,
    temperature: float = 1.0,
    max_norm: float | None = 1.0,
    log_every: int = 10,
    evaluate: Evaluate | None = None,
    evaluate_every: int = 0,
    folder: str | os.PathLike[str] | None = None,
    save_every: int = 0,
) -> Trained:
    """Train the policy in place by rewards of its own answers.

    The same arguments give the same weights, in one go or resumed from ``folder`` (bit for bit on
    one machine): what is drawn depends on seed, step and weights alone.

    Args:
        policy: a causal model of `transformers`, or whatever generates as one and gives logits
            (`meritree.align.forward.Policy`); under LoRA only adapters are trained.
        method: see `RLVR`.
        data: prompts; shuffled once an epoch by the seed.
        reward: of answers, see `meritree.align.rewards`. ``label`` is 1 where it is above 0.
        longest: most tokens of an answer.
        end: the token that ends one.
        ref: the reference; None: the policy as it is given (a copy, only where it is needed;
            under LoRA the model without its adapters).
        critic: for advantages that read values.
        also: further losses on data of their own, added to each optimizer step (rehearsal of the
            reference's right answers, a likelihood on demonstrations); of the policy at
            temperature 1. A step that ``skip_flat`` leaves without rows takes none of them either.
        also_batch: units of each of them an optimizer step; None: ``batch``.
        optimizer, schedule: as of `meritree.align.prefer.fit_preferences`; the schedule is stepped
            once a step, whatever the number of optimizer steps in it.
        steps: rollouts in all, a critic's warm-up included.
        seed: of drawing, shuffling and dropout.
        batch: prompts a step; rows are ``batch * method.size``.
        accumulate: passes of the model for each optimizer step.
        temperature: of drawing; the trained policy is the tempered one.
        max_norm: longest gradient.
        log_every, evaluate, evaluate_every, folder, save_every: as of `fit_preferences`.

    Raises:
        BadInput: prompts that do not fit the model, a part that needs what nobody gives, a reward
            that is not finite, a checkpoint of another run.
        Diverged: a loss or gradient is not finite; the models are as before that optimizer step.
    """
    _check_kinds(method, data, critic, end)
    check_counts(
        "fit_rlvr", steps=steps, batch=batch, accumulate=accumulate, longest=longest,
        log_every=log_every, evaluate_every=evaluate_every, save_every=save_every,
        also_batch=also_batch,
    )  # fmt: skip
    if not temperature > 0.0:
        raise BadInput(f"fit_rlvr: temperature is {temperature}; it must be above 0 to draw")
    check_prompts(policy, data, longest, end)
    method.mix.check(data, method.size)
    for one in also:
        check_fits(policy, one.data)
    check_needs(method, data, critic is not None)
    learners = {"policy": learner("fit_rlvr", policy, optimizer, schedule)}
    models = [policy]
    if critic is not None:
        models.append(critic.model)
        if critic.optimizer is not None:
            learners["critic"] = learner("critic", critic.model, critic.optimizer, critic.schedule)
    device = next(policy.parameters()).device
    with own_randomness(seed, device), modes_kept(*models):
        beside = Sources(policy, tuple(also), None, also_batch or batch, 1, seed)
        beside.ask_reference(ref)
        asked = Asked(longest, end, temperature, batch, seed)
        rollouts = Rollouts(policy, data, reward, method.mix, method.size, asked)
        updates = Updates(
            policy, ref, critic.model if critic else None, learners, method, beside, accumulate,
            temperature, max_norm, seed,
        )  # fmt: skip
        warmup = critic.warmup if critic is not None and critic.optimizer is not None else 0

        def take(step: int) -> Measures:
            return updates.take(step, rollouts.draw(step), critic_only=step <= warmup)

        recipe = _recipe(method, data, reward, asked, beside, learners, accumulate, warmup)
        plan = Plan(steps, log_every, evaluate, evaluate_every, _path(folder), save_every)
        done, points = train(plan, learners, recipe, take)
    return Trained(done, tuple(points), dict(rollouts.counts))


def _check_parts(method: RLVR) -> None:
    """Whether the slots hold parts rather than classes or names."""
    parts: dict[str, Any] = {"advantage": method.advantage, "surrogate": method.surrogate}
    parts |= {f"shapes[{i}]": shape for i, shape in enumerate(method.shapes)}
    for name, part in parts.items():
        if part is not None and (isinstance(part, type) or not hasattr(part, "needs")):
            raise BadInput(
                f"RLVR: {name} is {part!r}, which says not what it needs; give a part that is "
                "made, as Group() or Clip()"
            )
    if not callable(method.divergence):
        raise BadInput(
            f"RLVR: divergence is {method.divergence!r}; give a function, as k3 of "
            "meritree.objectives.divergences"
        )
    if method.size < 2 and isinstance(method.advantage, Group | Rloo | HybridMode):
        raise BadInput(
            f"RLVR: {type(method.advantage).__name__} compares the answers to a prompt; give a "
            f"size of at least 2, not {method.size}"
        )


def _check_kinds(method: Any, data: Any, critic: Any, end: Any) -> None:
    for name, given, kind, how in (
        ("method", method, RLVR, "RLVR(Group(), ...)"),
        ("data", data, Prompts, "meritree.align.prompts.prompts(ids) or text_prompts"),
        ("critic", critic, Critic | None, "meritree.align.rlvr.Critic(critic_of(policy), ...)"),
        ("end", end, int, "the id of the token that ends an answer"),
    ):
        if not isinstance(given, kind):
            raise BadInput(f"fit_rlvr: {name} is a {type(given).__name__}; give {how}")


def _path(folder: str | os.PathLike[str] | None) -> Path | None:
    return None if folder is None else Path(folder)


def _recipe(
    method: RLVR, data: Prompts, reward: Reward, asked: Asked, beside: Sources, learners: Any,
    accumulate: int, warmup: int,
) -> dict[str, Any]:  # fmt: skip
    """What must be equal for a checkpoint to be continued."""
    import torch

    tokens = torch.tensor([token for row in data.ids for token in (*row, -1)])
    parts = [getattr(method, name) for name in ("advantage", "surrogate", "shapes", "extras")]
    numbers = [
        method.kl, method.kl_in, getattr(method.divergence, "__name__", "divergence"), method.agg,
        method.const, method.size, method.epochs, method.minibatches, method.drop_unended,
        method.skip_flat,
    ]  # fmt: skip
    return {
        "method": repr(parts) + repr(numbers),
        "mix": type(method.mix).__name__,
        "reward": f"{getattr(reward, '__name__', type(reward).__name__)} "
        f"(body {checkpoint.body_of(reward)})",
        "prompts": checkpoint.fingerprint(tokens, *data.columns.values()),
        "drawing": repr(asked),
        "beside": beside.recipe(),
        "accumulate": accumulate,
        "warmup": warmup,
        "optimizers": {name: each.described() for name, each in learners.items()},
    }
