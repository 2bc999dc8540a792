"""The preference trainer: one loop for every objective of pairs and of single answers.

It makes the arrays that the objective needs, takes the mean and a step. What is a good loss is
`meritree.objectives`' business, what is a good answer the data's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meritree.align._torch import Module, own_randomness
from meritree.align.curve import Point
from meritree.align.data import Dataset
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
from meritree.align.sources import Also, Sources, check_fits
from meritree.errors import BadInput
from meritree.objectives.rows import Objective


@dataclass(frozen=True)
class Trained:
    """How a run went; the policy itself was trained in place.

    Attributes:
        steps: taken in all, before and after a resumption.
        curve: what was logged.
        counts: of the data set: kept, skipped by reason, duplicates.
    """

    steps: int
    curve: tuple[Point, ...]
    counts: Mapping[str, int] = field(default_factory=dict)


def fit_preferences(
    policy: Module,
    objective: Objective,
    data: Dataset,
    *,
    ref: Module | None = None,
    also: Sequence[Also] = (),
    calibration: Dataset | None = None,
    optimizer: MakeOptimizer,
    schedule: MakeSchedule | None = None,
    steps: int,
    seed: int = 0,
    batch: int | None = 32,
    accumulate: int = 1,
    max_norm: float | None = None,
    log_every: int = 10,
    evaluate: Evaluate | None = None,
    evaluate_every: int = 0,
    folder: str | os.PathLike[str] | None = None,
    save_every: int = 0,
) -> Trained:
    """Train the policy in place on the mean of the objective's losses.

    The same arguments give the same weights, in one go or resumed from ``folder`` (bit for bit on
    one machine). Data are shuffled once an epoch by the seed. Reference log-probabilities are
    computed once, before the first step.

    Args:
        policy: what `meritree.align.forward.Policy` says; under LoRA only adapters are trained.
        objective: a loss for each unit of ``data``; its `needs` are computed, nothing else.
        data: answers, pairs or pairs of pairs, see `meritree.align.data`.
        ref: the reference policy; None: the policy as it is given.
        also: further losses on other data.
        calibration: answers for the keys ``cal_*``, a batch of them each step.
        optimizer: from parameters to an optimizer: ``lambda p: torch.optim.AdamW(p, lr=1e-3)``.
        schedule: from that optimizer to a scheduler, stepped once a step.
        steps: how many in all.
        seed: of shuffling and dropout; the caller's random state is left as it was.
        batch: units of one pass; None: all of them, in order.
        accumulate: passes a step.
        max_norm: longest gradient; longer ones are shortened to it.
        log_every: steps between points of the curve (0: none but the last).
        evaluate: measures of the policy by name, for the curve; called in evaluation mode.
        evaluate_every: steps between evaluations; the first is before training, as step 0.
        folder: of checkpoint and ``curve.jsonl``; None: nothing is kept.
        save_every: steps between checkpoints (0: only at the end).

    Raises:
        BadInput: data that do not fit the model, a key that nobody can compute, a checkpoint of
            another run.
        Diverged: a loss or gradient is not finite; the policy is as before that step.
    """
    _check_objective(objective)
    check_counts(
        "fit_preferences", steps=steps, batch=batch, accumulate=accumulate, log_every=log_every
    )
    home = None if folder is None else Path(folder)
    plan = Plan(steps, log_every, evaluate, evaluate_every, home, save_every)
    run = Sources(policy, (Also(1.0, objective, data), *also), calibration, batch, accumulate, seed)
    for one in (*(source.data for source in run.sources), *([calibration] if calibration else [])):
        check_fits(policy, one)
    own = learner("fit_preferences", policy, optimizer, schedule)
    with own_randomness(seed, run.device), modes_kept(policy):
        run.ask_reference(ref)
        recipe = run.recipe() | {
            "accumulate": accumulate, "seed": seed, "optimizer": own.described(),
        }  # fmt: skip

        def take(step: int) -> Measures:
            own.optimizer.zero_grad(set_to_none=True)
            policy.train()
            sums = run.backward(step)
            rate = own.rate
            norm = own.step(f"step {step}", max_norm)
            more = {"gradient norm": norm, "learning rate": rate}
            return lambda: {name: float(x) for name, x in sums.items()} | more

        done, points = train(plan, {"policy": own}, recipe, take)
    return Trained(done, tuple(points), data.counts)


def _check_objective(objective: Any) -> None:
    if not hasattr(objective, "needs"):
        raise BadInput(
            f"objective: a {type(objective).__name__} does not say what it needs; a link alone is "
            "no objective: PairObjective(LogRatio(), link) is one"
        )
