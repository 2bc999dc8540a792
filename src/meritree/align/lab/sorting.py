"""Sorting five digits: easy, kept beside other tasks to see what training forgets."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from meritree.align.lab.tasks import Words


@dataclass(frozen=True)
class Sorting:
    """Prompt ``sort d d d d d``, answer the digits in order."""

    name: str = "sorting"
    longest: int = 5

    @property
    def words(self) -> tuple[str, ...]:
        """Digits and ``sort``."""
        return (*"0123456789", "sort")

    def draw(self, rng: Random) -> tuple[list[str], list[str]]:
        """A right answer."""
        digits = [str(rng.randrange(10)) for _ in range(5)]
        return ["sort", *digits], sorted(digits)

    def reward(self, prompt: Words, answer: Words) -> float:
        """1 where the answer is the prompt's digits in order."""
        return float(list(answer) == sorted(prompt[1:]))


TASK = Sorting()
