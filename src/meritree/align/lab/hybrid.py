"""Modular chains whose answer begins with its mode: steps written out, or the value at once.

As `meritree.align.lab.chains`, but it is the policy that chooses whether to think.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from meritree.align.lab import chains
from meritree.align.lab.tasks import Words

THINK, DIRECT = chains.MODES


MADE_OF = ("chains",)
"""Tasks whose code this one shares; a base is made anew when they change."""


@dataclass(frozen=True)
class Hybrid:
    """Prompt ``a sign b sign c ...``; answer ``<think>`` or ``<direct>``, then as in the chains."""

    name: str = "hybrid"
    longest: int = chains.TASK.longest + 1

    @property
    def words(self) -> tuple[str, ...]:
        """Those of the chains."""
        return chains.TASK.words

    def draw(self, rng: Random) -> tuple[list[str], list[str]]:
        """A right answer, in either mode with even chances."""
        prompt, answer = chains.TASK.draw(rng)
        return prompt[1:], [prompt[0], *answer]

    def reward(self, prompt: Words, answer: Words) -> float:
        """1 where the answer begins with a mode and ends with ``=`` and the chain's value."""
        if not answer or answer[0] not in chains.MODES:
            return 0.0
        return chains.TASK.reward([answer[0], *prompt], answer[1:])


TASK = Hybrid()
