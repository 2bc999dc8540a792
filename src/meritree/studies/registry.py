"""The registry of the 119 systems: what each is, where it lives, how far it has come.

The list itself is data (systems.tsv); what has come to work is recorded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

State = Literal["works", "part", "planned"]
Verdict = Literal["holds", "holds in part", "inconclusive", "does not hold"]

_PROGRESS: Mapping[str, tuple[State, str]] = MappingProxyType({"S001": ("works", "repair policy")})


@dataclass(frozen=True, slots=True)
class System:
    """One system of the registry.

    Attributes:
        id: ``S001`` to ``S119``.
        name: short name, also the study's module name.
        title: what it is, in words.
        room: the room of the package that holds it.
        state: ``works``, ``part`` (some of it works) or ``planned``.
        note: what exactly works, empty where there is nothing to add.
        verdict: what its study measured about the paper's claim; None before it has run.
        study: dotted name of the study, None while there is none.
    """

    id: str
    name: str
    title: str
    room: str
    state: State = "planned"
    note: str = ""
    verdict: Verdict | None = None
    study: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The documented JSON object."""
        return asdict(self)

    @property
    def state_in_words(self) -> str:
        """State and note together: ``works (repair policy)``."""
        return f"{self.state} ({self.note})" if self.note else self.state


@cache
def systems() -> tuple[System, ...]:
    """All systems in the order of their numbers."""
    table = (files("meritree.studies") / "systems.tsv").read_text("utf-8")
    rows = (line.split("\t") for line in table.splitlines() if line.strip())
    return tuple(
        System(number, name, title, room, *_PROGRESS.get(number, ("planned", "")))
        for number, name, room, title in rows
    )
