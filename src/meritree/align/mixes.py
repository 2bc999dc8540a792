"""Whose answers a step learns from: the policy's own, somebody else's beside them, forced modes.

A mix gives G rows a prompt, neighbours; it does not know rewards or losses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from meritree.align.data import Ids
from meritree.align.prompts import Prompts
from meritree.align.rewards import Sample
from meritree.errors import BadInput

Draw = Callable[[Sequence[Ids], int], list[list[list[int]]]]
"""Answers of the policy: prefixes and how many to each -> token ids, up to and with the end."""


class Mix(Protocol):
    """Makes the rows of one step; ``gives``: the columns that they have."""

    gives: ClassVar[frozenset[str]]

    def check(self, data: Prompts, size: int) -> None:
        """Refuse prompts or group sizes that do not fit.

        Raises:
            BadInput: names what does not fit.
        """

    def rows(
        self, draw: Draw, data: Prompts, units: Sequence[int], size: int, end: int
    ) -> list[Sample]:
        """``size`` rows to each of these prompts, in order."""


@dataclass(frozen=True)
class OnPolicy:
    """All rows are drawn from the policy."""

    gives: ClassVar[frozenset[str]] = frozenset({"source"})

    def check(self, data: Prompts, size: int) -> None:
        """Fits everything."""

    def rows(
        self, draw: Draw, data: Prompts, units: Sequence[int], size: int, end: int
    ) -> list[Sample]:
        """See `Mix`; ``source`` is 0."""
        drawn = draw([data.ids[i] for i in units], size)
        return [
            data.row(i, answer, end, source=0)
            for i, answers in zip(units, drawn, strict=True)
            for answer in answers
        ]


@dataclass(frozen=True)
class WithExternal:
    """The last rows of a group are demonstrations, the others drawn: RL-PLUS, LUFFY.

    Demonstrations take turns where a prompt has several; a prompt without any is drawn alone.

    Attributes:
        answers: demonstrations by index of the prompt, each with its end token.
        each: how many a group.
    """

    answers: Mapping[int, Sequence[Ids]]
    each: int = 1
    gives: ClassVar[frozenset[str]] = frozenset({"source"})

    def __post_init__(self) -> None:
        if self.each < 1:
            raise BadInput(f"WithExternal: each is {self.each}; it must be at least 1")
        if not any(len(rows) for rows in self.answers.values()):
            raise BadInput("WithExternal: there is no demonstration")
        odd = next((i for i, rows in self.answers.items() if not all(map(len, rows))), None)
        if odd is not None:
            raise BadInput(f"WithExternal: a demonstration of prompt {odd} is empty")

    def check(self, data: Prompts, size: int) -> None:
        """Demonstrations belong to prompts, and at least one row of a group is drawn."""
        odd = next((i for i in self.answers if not 0 <= i < data.size), None)
        if odd is not None:
            raise BadInput(f"WithExternal: there is no prompt {odd}; there are {data.size}")
        if self.each >= size:
            raise BadInput(
                f"WithExternal: {self.each} demonstrations in a group of {size} leave nothing to "
                "draw"
            )

    def rows(
        self, draw: Draw, data: Prompts, units: Sequence[int], size: int, end: int
    ) -> list[Sample]:
        """See `Mix`; ``source`` is 0 for drawn rows, 1 for demonstrations."""
        drawn = draw([data.ids[i] for i in units], size)
        found: list[Sample] = []
        for i, answers in zip(units, drawn, strict=True):
            shown = list(self.answers.get(i, ()))
            kept = size - self.each if shown else size
            found += [data.row(i, answer, end, source=0) for answer in answers[:kept]]
            # Which come first is by lot: it follows the answer that was drawn in their place.
            turn = sum(answers[-1]) if shown else 0
            for j in range(size - kept):
                row = shown[(turn + j) % len(shown)]
                found.append(data.row(i, row, end, source=1))
        return found


@dataclass(frozen=True)
class ModeForced:
    """Half of each group begins with one mode's token, half with the other's: HGPO.

    The mode's token is the first of the answer and is learned.

    Attributes:
        plain, thinking: the tokens of mode 0 and of mode 1.
    """

    plain: int
    thinking: int
    gives: ClassVar[frozenset[str]] = frozenset({"source", "mode"})

    def __post_init__(self) -> None:
        if self.plain == self.thinking:
            raise BadInput(f"ModeForced: both modes have the token {self.plain}")

    def check(self, data: Prompts, size: int) -> None:
        """Groups have two halves."""
        if size % 2:
            raise BadInput(f"ModeForced: groups of {size} have no two halves; give an even size")

    def rows(
        self, draw: Draw, data: Prompts, units: Sequence[int], size: int, end: int
    ) -> list[Sample]:
        """See `Mix`; ``mode`` is 0 or 1, in this order within a group."""
        tokens = (self.plain, self.thinking)
        prefixes = [(*data.ids[i], token) for i in units for token in tokens]
        drawn = draw(prefixes, size // 2)
        return [
            data.row(i, [token, *answer], end, source=0, mode=mode)
            for place, i in enumerate(units)
            for mode, token in enumerate(tokens)
            for answer in drawn[2 * place + mode]
        ]
