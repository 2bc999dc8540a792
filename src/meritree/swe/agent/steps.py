"""What searches by a model's steps have in common: whose turn it is, when to end, how to replay.

Functions over what such a search holds; they know neither actions nor shell commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from meritree.search import EXHAUSTED, SearchTree, Ticket
from meritree.swe.agent.recorded import other_version
from meritree.swe.agent.situation import Situation
from meritree.swe.edits import Edit

SIBLING_PRIOR = 0.5  # a node's next proposal, as against the one before it


class Patience(Protocol):
    """When a search ends before its budget does; see `AgentLimits`."""

    @property
    def most_found(self) -> int: ...
    @property
    def patience(self) -> int: ...
    @property
    def idle(self) -> int: ...


class Stepped(Protocol):
    """A node's state."""

    parent: int | None
    situation: Situation
    idle: int

    @property
    def words(self) -> str: ...
    @property
    def edit(self) -> Edit | None: ...


S = TypeVar("S", bound=Stepped)


class Stepping(Protocol[S]):
    """A search: its tree, what it knows of each node, and how far it has come."""

    tree: SearchTree
    states: dict[int, S]
    found: list[int]
    set_aside: set[int]
    steps: int
    first_found_at: int | None
    stopped_because: str
    events: Any
    on_step: Any

    @property
    def limits(self) -> Patience: ...
    def record(self, kind: str, payload: dict[str, Any]) -> None: ...


# ---- what a node is ---------------------------------------------------------------------


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


# ---- the loop ---------------------------------------------------------------------------


def next_ticket(search: Stepping[S]) -> Ticket | None:
    """The next expansion, recorded; None where the search ends or waits for what is under way."""
    while not has_ended(search):
        ticket = search.tree.ask()
        if ticket is None:
            if not search.tree.outstanding:
                search.stopped_because = search.stopped_because or "every branch has ended"
            return None
        if search.states[ticket.node].idle >= search.limits.idle:
            search.record("exhausted", {"ticket": ticket.id})
            search.tree.tell(ticket, EXHAUSTED)
            continue
        search.record("ask", {"ticket": ticket.id, "node": ticket.node})
        return ticket
    return None


def has_ended(search: Stepping[S]) -> bool:
    """Whether there is a reason to stop; it is then in ``stopped_because``."""
    found = len(search.found) - len(search.set_aside)
    if not search.stopped_because and found:
        if found >= search.limits.most_found:
            search.stopped_because = f"{found} candidates pass"
        elif search.steps >= (search.first_found_at or 0) + search.limits.patience:
            search.stopped_because = "enough steps were taken after the first candidate"
    return bool(search.stopped_because)


def note_found(search: Stepping[S], node: int) -> None:
    """A node's patch passes; equal files are one candidate."""
    files = search.states[node].situation.tree
    if all(search.states[one].situation.tree != files for one in search.found):
        search.found.append(node)
        if search.first_found_at is None:
            search.first_found_at = search.steps


def recount(search: Stepping[S]) -> None:
    """Found patches were set aside: without any left the patience begins with the next one."""
    if len(search.set_aside) == len(search.found):
        search.first_found_at = None


# ---- replay -----------------------------------------------------------------------------


@contextmanager
def unheard(search: Stepping[S]) -> Iterator[None]:
    """Nothing is recorded or shown meanwhile: it was, when it happened."""
    events, listener = search.events, search.on_step
    search.events = search.on_step = None
    try:
        yield
    finally:
        search.events, search.on_step = events, listener


def asked_again(search: Stepping[S], kind: str, payload: Mapping[str, Any]) -> Ticket | None:
    """The ticket of a recorded ``ask``; None after an ``exhausted``.

    Raises:
        JournalError: the journal was written by a version that decides otherwise.
    """
    ticket = search.tree.ask()
    if ticket is None or ticket.id != payload["ticket"]:
        raise other_version()
    if kind == "exhausted":
        search.tree.tell(ticket, EXHAUSTED)
        return None
    if ticket.node != payload["node"]:
        raise other_version()
    return ticket
