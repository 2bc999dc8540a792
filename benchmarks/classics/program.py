"""One small algorithm, the slips in it and a source of arguments."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Slip:
    """A fault as the replacement of one piece of a program's text.

    Attributes:
        kind: what sort of slip it is, in words.
        right: text that stands once in the program.
        wrong: what the slip makes of it.
    """

    kind: str
    right: str
    wrong: str

    def applied(self, text: str) -> str:
        """The faulty program.

        Raises:
            ValueError: the right text does not stand in it exactly once.
        """
        if text.count(self.right) != 1:
            raise ValueError(f"{self.right!r} stands {text.count(self.right)} times in:\n{text}")
        return text.replace(self.right, self.wrong)


@dataclass(frozen=True)
class Program:
    """A right program.

    Attributes:
        name: of its function; its result is made a list where it is a generator.
        text: its source.
        draw: arguments of one call from a random generator.
    """

    name: str
    text: str
    draw: Callable[[random.Random], tuple[Any, ...]]
    slips: tuple[Slip, ...]


def program(
    text: str, draw: Callable[[random.Random], tuple[Any, ...]], *slips: tuple[str, str, str]
) -> Program:
    """A program named after the last function of its text at the margin."""
    name = text.rsplit("\ndef ", 1)[1].split("(", 1)[0]
    return Program(name, text.lstrip("\n"), draw, tuple(Slip(*each) for each in slips))
