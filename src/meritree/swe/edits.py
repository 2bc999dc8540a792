"""Code edits as text splices: they keep comments and layout, and they compose.

An edit is what the repair policy (or any other policy) proposes; this module knows
nothing about where it comes from or how it is judged.
"""

from __future__ import annotations

from dataclasses import dataclass

from meritree.errors import MeritreeError


@dataclass(frozen=True, slots=True)
class Splice:
    """Replace ``text[start:end]`` (character offsets, not bytes) by ``replacement``."""

    start: int
    end: int
    replacement: str


@dataclass(frozen=True, slots=True)
class Edit:
    """One proposed change of one file of a state.

    Attributes:
        path: the file, relative to the repository root, with ``/`` separators.
        splices: sorted by ``start``, not overlapping; offsets refer to the file's text
            in the state that the edit was proposed for.
        template: name of the edit template (``"cmp_op"``, ``"guard_ins"``, ...).
        prior: weight of this edit inside its template on its line, > 0 (1 is ordinary).
        line: 1-based line, in that text, on which the change is anchored.
        function: dotted name of the outermost function or method changed, relative to the
            module (``"Cache.get"``); empty for code that runs at import.
        size: how large the change is (1 for an expression, 2-3 for statements).
        rationale: the change in words, for people (``"`<` becomes `<=`"``).
    """

    path: str
    splices: tuple[Splice, ...]
    template: str
    prior: float
    line: int
    function: str
    size: float = 1.0
    rationale: str = ""


def apply_splices(text: str, splices: tuple[Splice, ...]) -> str:
    """Return ``text`` with all splices applied.

    Raises:
        MeritreeError: the splices overlap, are unsorted or lie outside the text.
    """
    parts: list[str] = []
    position = 0
    for splice in splices:
        if not position <= splice.start <= splice.end <= len(text):
            raise MeritreeError(
                f"edit cannot be applied: splice {splice.start}:{splice.end} is out of order or "
                f"outside a text of {len(text)} characters; was the file changed since?"
            )
        parts.append(text[position : splice.start])
        parts.append(splice.replacement)
        position = splice.end
    parts.append(text[position:])
    return "".join(parts)
