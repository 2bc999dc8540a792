"""The preference trainer: one loop for every objective of pairs and of single answers.

It makes the arrays that the objective needs, takes the mean and a step. What is a good loss is
`meritree.objectives`' business, what is a good answer the data's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meritree.align import checkpoint, curve
from meritree.align._torch import (
    Module,
    Tensor,
    own_randomness,
    random_state,
    set_random_state,
    torch,
)
from meritree.align.curve import Point
from meritree.align.data import Dataset
from meritree.align.sources import Also, Sources, check_fits
from meritree.errors import BadInput
from meritree.objectives.rows import Objective

MakeOptimizer = Callable[[Iterable[Tensor]], Any]
MakeSchedule = Callable[[Any], Any]
Evaluate = Callable[[Module, int], Mapping[str, float]]


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
    _check_kinds(objective, optimizer)
    home = None if folder is None else Path(folder)
    run = Sources(policy, (Also(1.0, objective, data), *also), calibration, batch, accumulate, seed)
    _check_numbers(steps=steps, batch=batch, accumulate=accumulate, log_every=log_every)
    for one in (*(source.data for source in run.sources), *([calibration] if calibration else [])):
        check_fits(policy, one)
    parameters = [p for p in policy.parameters() if p.requires_grad]
    if not parameters:
        raise BadInput("fit_preferences: no parameter of the policy requires a gradient")
    with own_randomness(seed, run.device), _mode(policy):
        run.ask_reference(ref)
        steer = optimizer(parameters)
        plan = schedule(steer) if schedule else None
        points: list[Point] = []
        done = 0
        recipe = run.recipe() | {
            "accumulate": accumulate, "seed": seed, "optimizer": _described(steer),
        }  # fmt: skip
        if home is not None:
            kept = checkpoint.load(home, recipe)
            if kept:
                done = _restore(kept, policy, steer, plan, points)
            curve.write(home, points, anew=True)

        def say(new: Iterable[Point]) -> None:
            fresh = list(new)
            points.extend(fresh)
            if home is not None:
                curve.write(home, fresh, anew=False)

        def keep(step: int) -> None:
            if home is not None:
                checkpoint.save(home, _state(recipe, step, policy, steer, plan, points))

        if evaluate and evaluate_every and not done:
            say(_evaluated(evaluate, policy, 0))
        for step in range(done + 1, steps + 1):
            measured = run.step(step, steer, parameters, max_norm)
            if plan is not None:
                plan.step()
            if step == steps or (log_every and step % log_every == 0):
                say(Point(step, name, value) for name, value in measured().items())
            if evaluate and evaluate_every and (step % evaluate_every == 0 or step == steps):
                say(_evaluated(evaluate, policy, step))
            if step == steps or (save_every and step % save_every == 0):
                keep(step)
    return Trained(max(done, steps), tuple(points), data.counts)


def _check_kinds(objective: Any, optimizer: Any) -> None:
    if not hasattr(objective, "needs"):
        raise BadInput(
            f"objective: a {type(objective).__name__} does not say what it needs; a link alone is "
            "no objective: PairObjective(LogRatio(), link) is one"
        )
    if isinstance(optimizer, torch.optim.Optimizer):
        raise BadInput(
            f"optimizer: a {type(optimizer).__name__} of some parameters; give what makes one of "
            "the policy's own: lambda p: torch.optim.AdamW(p, lr=1e-3)"
        )


def _described(optimizer: Any) -> str:
    """Kind and settings, as they were before any schedule changed them."""
    settings = ", ".join(f"{name}={value}" for name, value in sorted(optimizer.defaults.items()))
    return f"{type(optimizer).__name__}({settings})"


def _evaluated(evaluate: Evaluate, policy: Module, step: int) -> Iterator[Point]:
    policy.eval()
    device = next(policy.parameters()).device
    with torch.no_grad(), own_randomness(step, device):
        for name, value in evaluate(policy, step).items():
            yield Point(step, name, float(value))


def _state(
    recipe: Mapping[str, Any], step: int, policy: Module, steer: Any, plan: Any, points: list[Point]
) -> dict[str, Any]:
    return {
        "recipe": dict(recipe),
        "step": step,
        "policy": checkpoint.trained_state(policy),
        "optimizer": steer.state_dict(),
        "schedule": plan.state_dict() if plan is not None else None,
        "random": random_state(next(policy.parameters()).device),
        "curve": [tuple(point) for point in points],
    }


def _restore(
    kept: Mapping[str, Any], policy: Module, steer: Any, plan: Any, points: list[Point]
) -> int:
    odd = sorted(kept["policy"].keys() ^ checkpoint.trained_state(policy).keys())
    if odd:
        raise BadInput(
            f"the checkpoint and the policy do not both train {odd[0]!r}: is it another model?"
        )
    policy.load_state_dict(kept["policy"], strict=False)
    steer.load_state_dict(kept["optimizer"])
    if plan is not None and kept["schedule"] is not None:
        plan.load_state_dict(kept["schedule"])
    set_random_state(kept["random"], next(policy.parameters()).device)
    points.extend(Point(*point) for point in kept["curve"])
    return int(kept["step"])


@contextmanager
def _mode(policy: Module) -> Iterator[None]:
    before = policy.training
    try:
        yield
    finally:
        policy.train(before)


def _check_numbers(**numbers: int | None) -> None:
    for name, number in numbers.items():
        least = 0 if name in ("log_every", "steps") else 1
        if number is not None and number < least:
            raise BadInput(f"fit_preferences: {name} is {number}; it must be at least {least}")
