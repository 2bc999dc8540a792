"""Countdown and sorting in one model: what training on the one makes it forget of the other."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from meritree.align.lab import countdown, sorting
from meritree.align.lab.tasks import Words

SORTED = 0.25  # share of the answers that sort

MADE_OF = ("countdown", "sorting")
"""Tasks whose code this one shares; a base is made anew when they change."""


@dataclass(frozen=True)
class Mixed:
    """Prompts of `countdown`, and a quarter of `sorting`, told apart by the word ``sort``."""

    name: str = "mixed"
    longest: int = 7

    @property
    def words(self) -> tuple[str, ...]:
        """Countdown's, and ``sort``."""
        return (*countdown.TASK.words, "sort")

    def draw(self, rng: Random) -> tuple[list[str], list[str]]:
        """A right answer to either."""
        task = sorting.TASK if rng.random() < SORTED else countdown.TASK
        return task.draw(rng)

    def reward(self, prompt: Words, answer: Words) -> float:
        """That of the prompt's task."""
        task = sorting.TASK if prompt[0] == "sort" else countdown.TASK
        return task.reward(prompt, answer)


TASK = Mixed()
