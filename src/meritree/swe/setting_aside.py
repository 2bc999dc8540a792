"""Found patches that did not hold: the search goes on as if they had not been found.

Knows nothing of what made them fall; whoever runs the final check says which.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

SET_ASIDE = "set-aside"  # the journal's event: no found patch held, the search went on


class Finding(Protocol):
    """What is read and changed of a search."""

    found: list[int]
    set_aside: set[int]
    stopped_because: str

    @property
    def states(self) -> Mapping[int, Any]: ...
    def recount(self) -> None: ...


def keys_standing(search: Finding) -> list[str]:
    """Keys of the found patches that are not set aside, in the order found."""
    return [search.states[node].key for node in search.found if node not in search.set_aside]


def set_aside(search: Finding, keys: Collection[str]) -> None:
    """These patches did not hold: they end the search no more, whatever ended it before."""
    search.set_aside.update(n for n in search.found if search.states[n].key in keys)
    search.recount()
    search.stopped_because = ""


def keys_set_aside(events: Collection[tuple[str, Mapping[str, Any]]]) -> set[str]:
    """Those that a journal's events name."""
    return {str(key) for kind, said in events if kind == SET_ASIDE for key in said.get("keys", ())}
