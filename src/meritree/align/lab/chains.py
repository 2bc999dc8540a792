"""Modular chains: sums and products modulo ten, with the steps written out or not.

``<think>`` asks for every intermediate value, ``<direct>`` for the last one alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from meritree.align.lab.tasks import Words

MODES = ("<think>", "<direct>")
SIGNS = ("+", "*")
MODULUS = 10
LONGEST = 6  # operations


@dataclass(frozen=True)
class Chains:
    """Prompt ``MODE a sign b sign c ...``; answer ``step ; step ; = last`` or ``= last``."""

    name: str = "chains"
    longest: int = 2 * LONGEST + 2

    @property
    def words(self) -> tuple[str, ...]:
        """Digits, signs, modes and punctuation."""
        return (*"0123456789", *SIGNS, *MODES, ";", "=")

    def draw(self, rng: Random) -> tuple[list[str], list[str]]:
        """A right answer in either mode, one to six operations."""
        prompt = [rng.choice(MODES), str(rng.randrange(MODULUS))]
        for _ in range(rng.randint(1, LONGEST)):
            prompt += [rng.choice(SIGNS), str(rng.randrange(MODULUS))]
        values = [str(value) for value in steps(prompt)]
        written = [word for value in values for word in (value, ";")]
        return prompt, [*(written if prompt[0] == MODES[0] else []), "=", values[-1]]

    def reward(self, prompt: Words, answer: Words) -> float:
        """1 where the word after the last ``=`` is the chain's value and nothing follows."""
        right = str(steps(prompt)[-1])
        return float(len(answer) >= 2 and answer[-2] == "=" and answer[-1] == right)


TASK = Chains()


def steps(prompt: Words) -> list[int]:
    """Values after each operation, from left to right modulo ten."""
    value, found = int(prompt[1]), []
    for sign, word in zip(prompt[2::2], prompt[3::2], strict=True):
        value = (value + int(word) if sign == "+" else value * int(word)) % MODULUS
        found.append(value)
    return found


def right_steps(prompt: Words, answer: Words) -> list[bool]:
    """Of each step written before ``=``, whether it is the chain's value there."""
    values = [str(value) for value in steps(prompt)]
    end = list(answer).index("=") if "=" in answer else len(answer)
    written = [word for word in answer[:end] if word != ";"]
    return [i < len(values) and word == values[i] for i, word in enumerate(written)]
