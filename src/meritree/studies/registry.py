"""The registry of the 119 systems: what each is, where it lives, how far it has come.

The list itself is data (systems.tsv); how far a system has come follows from its study's file
and its stored result. No study is imported to list them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from meritree.errors import BadInput

if TYPE_CHECKING:
    from meritree.studies.study import Study

_NEAR = 0.7  # likeness of names that one may be typed for the other
_PART = 3  # letters of a name that tell what is meant

State = Literal["works", "part", "planned"]
Verdict = Literal["holds", "holds in part", "inconclusive", "does not hold"]


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
        _with_progress(System(number, name, title, room)) for number, name, room, title in rows
    )


def system_named(wanted: str) -> System:
    """The system of a short name or a number (``dr-es``, ``S033``, ``s33``).

    Raises:
        BadInput: there is none; the nearest names are given.
    """
    text = wanted.strip().lower()
    number = text.removeprefix("s")
    for system in systems():
        if text == system.name or (number.isdigit() and int(number) == int(system.id[1:])):
            return system
    names = [system.name for system in systems()]
    near = [name for name in names if len(text) >= _PART and text in name]
    near += [name for name in get_close_matches(text, names, n=3, cutoff=_NEAR) if name not in near]
    near = near[:3]
    hint = f"did you mean {', '.join(near)}?" if near else "`meritree systems` lists all"
    raise BadInput(f"no system is called {wanted!r}; {hint}")


def study_named(wanted: str) -> Study:
    """The study of a system, by short name or number.

    Raises:
        BadInput: no such system, or its study is not written yet.
    """
    system = system_named(wanted)
    module = _module(system)
    if module is None:
        ready = ", ".join(one.name for one in systems() if one.study) or "none yet"
        raise BadInput(
            f"{system.id} {system.name} ({system.title}) has no study yet; there are: {ready}"
        )
    study: Study = import_module(module).STUDY
    return study


def _module(system: System) -> str | None:
    """Dotted name of the study, found by its file: nothing is imported to list the systems."""
    name = system.name.replace("-", "_")
    path = files("meritree.studies") / system.room / f"{name}.py"
    return f"meritree.studies.{system.room}.{name}" if path.is_file() else None


def _with_progress(system: System) -> System:
    """A stored full run makes a system work; what it says of its part and verdict is shown."""
    module = _module(system)
    if module is None:
        return system
    path = files("meritree.studies") / "results" / f"{system.name}.json"
    full = json.loads(path.read_text("utf-8")).get("full") if path.is_file() else None
    if full is None:
        return replace(system, state="part", note="not yet measured", study=module)
    part = full.get("part", "")
    return replace(
        system,
        state="part" if part else "works",
        note=part,
        verdict=full["verdict"],
        study=module,
    )
