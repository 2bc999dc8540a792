"""How a node of a search came to be: the states, edits and words on the way from the root.

Functions over states by node; they know neither who proposes edits nor how they are judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from meritree.swe.edits import Edit


class Descended(Protocol):
    """A node's state: where it came from and what was done there."""

    parent: int | None  # None: the root

    @property
    def words(self) -> str: ...
    @property
    def edit(self) -> Edit | None: ...


S = TypeVar("S", bound=Descended)


def chain(states: Mapping[int, S], node: int) -> list[S]:
    """States from the root (left out) to a node."""
    found: list[S] = []
    current: int | None = node
    while current is not None:
        state = states[current]
        if state.parent is not None:
            found.append(state)
        current = state.parent
    return found[::-1]


def path(states: Mapping[int, S], node: int) -> tuple[Edit, ...]:
    """The steps that changed files on the way from the root to a node."""
    return tuple(edit for state in chain(states, node) if (edit := state.edit) is not None)


def labels(states: Mapping[int, S], node: int) -> tuple[str, ...]:
    """What was done from the root to a node, in words."""
    return tuple(state.words for state in chain(states, node))
