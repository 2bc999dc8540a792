"""Countdown: reach a target with four numbers, each once, evaluated from left to right."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from meritree.align.lab.tasks import Words

SIGNS = ("+", "-", "*")
MOST = 99


@dataclass(frozen=True)
class Countdown:
    """Prompt ``a b c d = target`` (two digits), answer ``x sign x sign x sign x``."""

    name: str = "countdown"
    longest: int = 7

    @property
    def words(self) -> tuple[str, ...]:
        """Digits, signs and ``=``."""
        return (*"0123456789", *SIGNS, "=")

    def draw(self, rng: Random) -> tuple[list[str], list[str]]:
        """A right answer: the target is what a random expression gives."""
        while True:
            numbers = [str(rng.randint(1, 9)) for _ in range(4)]
            answer = [numbers[0]]
            for number in numbers[1:]:
                answer += [rng.choice(SIGNS), number]
            target = evaluate(answer)
            if target is not None and 0 <= target <= MOST:
                shown = sorted(numbers)
                return [*shown, "=", *f"{target:02d}"], answer

    def reward(self, prompt: Words, answer: Words) -> float:
        """1 where the answer uses the prompt's numbers once each and reaches the target."""
        numbers, target = list(prompt[:4]), int("".join(prompt[5:7]))
        return float(sorted(answer[::2]) == sorted(numbers) and evaluate(answer) == target)


TASK = Countdown()


def evaluate(answer: Words) -> int | None:
    """Value from left to right; None where it is no expression."""
    if len(answer) % 2 == 0 or not all(word.isdigit() for word in answer[::2]):
        return None
    value = int(answer[0])
    for sign, word in zip(answer[1::2], answer[2::2], strict=True):
        number = int(word)
        if sign == "+":
            value += number
        elif sign == "-":
            value -= number
        elif sign == "*":
            value *= number
        else:
            return None
    return value
