"""What every search of this room needs to be replayed from its journal.

Knows that a search writes events and tells a listener of steps; not what they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from meritree.errors import JournalError


class Events(Protocol):
    """The part of a journal that a search needs."""

    def append(self, kind: str, payload: dict[str, Any]) -> int: ...


class Heard(Protocol):
    """A search: where it writes, and who is told of its steps."""

    events: Events | None
    on_step: Any


@contextmanager
def unheard(search: Heard) -> Iterator[None]:
    """Nothing is recorded or shown meanwhile: it was, when it happened."""
    events, listener = search.events, search.on_step
    search.events = search.on_step = None
    try:
        yield
    finally:
        search.events, search.on_step = events, listener


def other_version() -> JournalError:
    """The journal does not fit this version."""
    return JournalError(
        "the journal was recorded by a version of meritree that searches differently; it can "
        "be shown (`meritree show`), but not continued: start a new run"
    )
