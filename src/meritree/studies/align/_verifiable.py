"""What the studies of the verifiable-reward trainer share: a task's base, prompts, pass@k.

Imports PyTorch when called, not before. Knows no paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from meritree.errors import BadInput
from meritree.studies.study import Settings

if TYPE_CHECKING:
    from meritree.align.measure import Solved

Words = Sequence[str]
FULL_STEPS: Mapping[str, int] = {"countdown": 1200}  # of the base; other tasks: the lab's own


@dataclass(frozen=True)
class Bench:
    """A task with its base.

    Attributes:
        task: prompts, answers, a verifier.
        ref: the base; never trained itself.
        words: ids and words.
        reward: the verifier, as the trainer wants it.
    """

    task: Any
    ref: Any
    words: Any
    reward: Any

    def policy(self) -> Any:
        """A trainable copy of the base."""
        return deepcopy(self.ref).requires_grad_(True)

    @property
    def longest(self) -> int:
        """Most tokens of an answer, its end included."""
        return int(self.task.longest) + 1


def open_bench(name: str, settings: Settings) -> Bench:
    """The base that ``base_steps`` and ``base_rows`` ask for, trained at its first use."""
    from meritree.align.lab.base import Recipe, base
    from meritree.align.lab.model import Vocabulary
    from meritree.align.rewards import task_reward

    made = base(Recipe(name, steps=settings["base_steps"], rows=settings["base_rows"]))
    ref = made.model.requires_grad_(False)
    return Bench(made.task, ref, Vocabulary(made.task), task_reward(made.task))


def drawn_prompts(
    task: Any, n: int, rng: Random, *, apart: Sequence[Words] = (),
    keep: Callable[[Words], bool] = lambda _: True,
) -> list[list[str]]:  # fmt: skip
    """``n`` different prompts of the task, none of them among ``apart``.

    Raises:
        BadInput: the task has not so many.
    """
    seen = {tuple(prompt) for prompt in apart}
    found: list[list[str]] = []
    for _ in range(1000 * n):
        if len(found) == n:
            return found
        prompt, _ = task.draw(rng)
        if keep(prompt) and tuple(prompt) not in seen:
            seen.add(tuple(prompt))
            found.append(list(prompt))
    if len(found) < n:
        raise BadInput(f"{task.name}: {n} different prompts were asked for, {len(found)} found")
    return found


def asked(bench: Bench, prompts: Sequence[Words]) -> Any:
    """Prompts for the trainer."""
    from meritree.align.prompts import prompts as made

    return made([bench.words.prompt(prompt) for prompt in prompts])


def fit(
    bench: Bench, policy: Any, method: Any, data: Any, settings: Settings, **options: Any
) -> Any:
    """`fit_rlvr` with Adam at the settings' rate, batch and steps."""
    import torch

    from meritree.align.rlvr import fit_rlvr

    chosen: dict[str, Any] = {
        "batch": settings["batch"], "steps": settings["steps"], "log_every": 0,
        "longest": bench.longest, "end": bench.words.end,
        "optimizer": lambda p: torch.optim.Adam(p, lr=settings["rate"]),
    }  # fmt: skip
    return fit_rlvr(policy, method, data, bench.reward, **(chosen | options))


def judged(bench: Bench, policy: Any, data: Any, n: int, seed: int) -> Solved:
    """``n`` fresh answers of the policy to each prompt, judged."""
    from meritree.align.measure import solved

    return solved(
        policy, data, bench.reward, n=n, longest=bench.longest, end=bench.words.end, seed=seed
    )
