"""What a task of the laboratory is, and the list of those there are. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from random import Random
from typing import Protocol

from meritree.errors import BadInput

PAD, BOS, EOS = "[PAD]", "[BOS]", "[EOS]"
Words = Sequence[str]
NAMES = (
    "grammar", "countdown", "chains", "hybrid", "sorting", "minisql", "scenes", "mixed",
)  # fmt: skip


class Task(Protocol):
    """Prompts, answers and a verifier over a small vocabulary.

    Attributes:
        name: as in `NAMES`.
        words: the vocabulary without special tokens; their order gives the ids.
        longest: most words of an answer, without the end token.
    """

    @property
    def name(self) -> str: ...

    @property
    def words(self) -> tuple[str, ...]: ...

    @property
    def longest(self) -> int: ...

    def draw(self, rng: Random) -> tuple[list[str], list[str]]:
        """A prompt and an answer for the warm start; the answer need not be right."""

    def reward(self, prompt: Words, answer: Words) -> float:
        """What the answer is worth; 0 or 1 where it is right or wrong."""


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        BadInput: there is none; says which there are.
    """
    if name not in NAMES:
        raise BadInput(f"no task is called {name!r}; there are {', '.join(NAMES)}")
    task: Task = import_module(f"meritree.align.lab.{name}").TASK
    return task
