"""The loop that both trainers of language models share: steps, curve, evaluations, checkpoints.

Knows neither data nor losses: a step is a function of its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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
from meritree.errors import BadInput, MeritreeError

MakeOptimizer = Callable[[Iterable[Tensor]], Any]
MakeSchedule = Callable[[Any], Any]
Evaluate = Callable[[Module, int], Mapping[str, float]]
Measures = Callable[[], Mapping[str, float]]


class Diverged(MeritreeError):
    """A loss or gradient is not a finite number; the step was not taken."""


@dataclass(frozen=True)
class Learner:
    """A model, what steers it, and the parameters that are steered.

    Attributes:
        model: trained in place.
        optimizer, schedule: of its parameters; the schedule is stepped once a step of the loop.
        parameters: those that require a gradient.
    """

    model: Module
    optimizer: Any
    schedule: Any
    parameters: list[Tensor]

    def step(self, where: str, max_norm: float | None) -> float:
        """Take the optimizer's step on the gradients that lie there; returns their norm.

        Raises:
            Diverged: the norm is not finite; no parameter was changed.
        """
        given = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(given)
        if not bool(torch.isfinite(norm)):
            raise Diverged(
                f"{where}: the gradient is not finite; the model is as before: lower the learning "
                "rate or look at the objective's exponents"
            )
        if max_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, max_norm, norm)
        self.optimizer.step()
        return float(norm)

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def described(self) -> str:
        """Kind and settings of the optimizer, as they were before any schedule changed them."""
        settings = ", ".join(f"{k}={v}" for k, v in sorted(self.optimizer.defaults.items()))
        return f"{type(self.optimizer).__name__}({settings})"


def learner(
    where: str, model: Module, optimizer: MakeOptimizer, schedule: MakeSchedule | None = None
) -> Learner:
    """Make the optimizer of the model's parameters.

    Raises:
        BadInput: an optimizer rather than what makes one, or no parameter requires a gradient.
    """
    if isinstance(optimizer, torch.optim.Optimizer):
        raise BadInput(
            f"optimizer: a {type(optimizer).__name__} of some parameters; give what makes one of "
            "the model's own: lambda p: torch.optim.AdamW(p, lr=1e-3)"
        )
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise BadInput(f"{where}: no parameter of the model requires a gradient")
    steer = optimizer(parameters)
    return Learner(model, steer, schedule(steer) if schedule else None, parameters)


@dataclass(frozen=True)
class Plan:
    """How long, and what is kept on the way; see `meritree.align.prefer.fit_preferences`.

    Attributes:
        steps, log_every, evaluate, evaluate_every, folder, save_every: as there.
    """

    steps: int
    log_every: int = 10
    evaluate: Evaluate | None = None
    evaluate_every: int = 0
    folder: Path | None = None
    save_every: int = 0


def train(
    plan: Plan,
    learners: Mapping[str, Learner],
    recipe: Mapping[str, Any],
    take: Callable[[int], Measures],
) -> tuple[int, list[Point]]:
    """Run or resume; returns the steps taken in all, and the curve.

    Args:
        plan: see there.
        learners: by name; the first is the policy, the one that is evaluated.
        recipe: what must be equal for a checkpoint to be continued.
        take: takes the step of that number, from 1; its measures are read only where logged.

    Raises:
        BadInput: a checkpoint of another run, a folder that cannot be written.
    """
    policy = next(iter(learners.values())).model
    points: list[Point] = []
    done = 0
    if plan.folder is not None:
        kept = checkpoint.load(plan.folder, recipe)
        if kept:
            done = _restore(kept, learners, points)
        curve.write(plan.folder, points, anew=True)

    def say(new: Iterable[Point]) -> None:
        fresh = list(new)
        points.extend(fresh)
        if plan.folder is not None:
            curve.write(plan.folder, fresh, anew=False)

    steps, evaluate = plan.steps, plan.evaluate if plan.evaluate_every else None
    if evaluate and not done:
        say(_evaluated(evaluate, policy, 0))
    for step in range(done + 1, steps + 1):
        measured = take(step)
        for each in learners.values():
            if each.schedule is not None:
                each.schedule.step()
        if _due(step, plan.log_every, steps):
            say(Point(step, name, float(value)) for name, value in measured().items())
        if evaluate and _due(step, plan.evaluate_every, steps):
            say(_evaluated(evaluate, policy, step))
        if plan.folder is not None and _due(step, plan.save_every, steps):
            checkpoint.save(plan.folder, _state(recipe, step, learners, points))
    return max(done, steps), points


@contextmanager
def modes_kept(*models: Module) -> Iterator[None]:
    """Models leave in the mode, training or evaluation, in which they came."""
    before = [model.training for model in models]
    try:
        yield
    finally:
        for model, mode in zip(models, before, strict=True):
            model.train(mode)


def check_counts(where: str, **numbers: int | None) -> None:
    """Refuse numbers below 1; ``steps`` and those named ``*_every`` may be 0.

    Raises:
        BadInput: names the number.
    """
    for name, number in numbers.items():
        least = 0 if name == "steps" or name.endswith("_every") else 1
        if number is not None and (not isinstance(number, int) or number < least):
            raise BadInput(f"{where}: {name} is {number}; it must be a whole number >= {least}")


def _due(step: int, every: int, steps: int) -> bool:
    return step == steps or bool(every and step % every == 0)


def _evaluated(evaluate: Evaluate, policy: Module, step: int) -> Iterator[Point]:
    policy.eval()
    device = next(policy.parameters()).device
    with torch.no_grad(), own_randomness(step, device):
        for name, value in evaluate(policy, step).items():
            yield Point(step, name, float(value))


def _state(
    recipe: Mapping[str, Any], step: int, learners: Mapping[str, Learner], points: list[Point]
) -> dict[str, Any]:
    state: dict[str, Any] = {"recipe": dict(recipe), "step": step}
    for name, each in learners.items():
        state[name] = {
            "weights": checkpoint.trained_state(each.model),
            "optimizer": each.optimizer.state_dict(),
            "schedule": each.schedule.state_dict() if each.schedule is not None else None,
        }
    state["random"] = random_state(_device(learners))
    state["curve"] = [tuple(point) for point in points]
    return state


def _restore(kept: Mapping[str, Any], learners: Mapping[str, Learner], points: list[Point]) -> int:
    for name, each in learners.items():
        if name not in kept:
            raise BadInput(f"the checkpoint has no {name}: is it of another trainer?")
        part = kept[name]
        odd = sorted(part["weights"].keys() ^ checkpoint.trained_state(each.model).keys())
        if odd:
            raise BadInput(
                f"the checkpoint and the {name} do not both train {odd[0]!r}: is it another model?"
            )
        try:
            each.model.load_state_dict(part["weights"], strict=False)
        except RuntimeError as error:
            why = str(error).strip().splitlines()[-1].strip()
            raise BadInput(f"the checkpoint's {name} is of another model: {why}") from None
        each.optimizer.load_state_dict(part["optimizer"])
        if each.schedule is not None and part["schedule"] is not None:
            each.schedule.load_state_dict(part["schedule"])
    set_random_state(kept["random"], _device(learners))
    points.extend(Point(*point) for point in kept["curve"])
    return int(kept["step"])


def _device(learners: Mapping[str, Learner]) -> Any:
    return next(next(iter(learners.values())).model.parameters()).device
