"""What a world of your own must offer to be searched: protocols and the data they exchange."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from meritree.search.tree import Kind
from meritree.value.estimate import Estimate

S = TypeVar("S")
A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Step(Generic[S]):
    """Where an action led (or where a search begins).

    Attributes:
        state: the state.
        key: its identity, equal for equal states; None: the state itself, which must be hashable.
        terminal: nothing can be done here.
        solved: True or False if the state is known to be solved or hopeless.
        kind: OR or AND.
        features: facts for selectors that read them.
    """

    state: S
    key: Hashable = None
    terminal: bool = False
    solved: bool | None = None
    kind: Kind = Kind.OR
    features: Any = None

    @property
    def identity(self) -> Hashable:
        """The key, or the state where there is none."""
        return self.state if self.key is None else self.key


class Proposal(NamedTuple, Generic[A]):
    """An action with the policy's probability of it, >= 0."""

    action: A
    prior: float = 1.0


@dataclass(frozen=True, slots=True)
class View(Generic[S, A]):
    """What a policy sees of a node.

    Attributes:
        state: its state.
        depth: actions from the root.
        proposed: what was proposed here before, oldest first.
        children: values of the children told so far, with the actions that led to them.
        report: how the state itself was judged, channels and reasons; None where it is not known.
    """

    state: S
    depth: int
    proposed: Sequence[Proposal[A]]
    children: Sequence[tuple[A, float]]
    report: Estimate | None = None


class World(Protocol[S, A_contra]):
    """Where actions lead."""

    def root(self) -> Step[S]: ...

    async def step(self, state: S, action: A_contra) -> Step[S]: ...


class Policy(Protocol[S, A]):
    """Proposes actions: up to ``k`` new ones, most probable first; none when there are no more."""

    async def propose(self, view: View[S, A], k: int) -> Sequence[Proposal[A]]: ...


class Value(Protocol[S]):
    """Judges a state; the mean lies in [0, 1]."""

    async def __call__(self, step: Step[S]) -> Estimate: ...


class Store(Protocol):
    """Where steps are written down, such as `meritree.run.journal.Journal`."""

    def append(self, kind: str, payload: dict[str, Any]) -> int: ...
