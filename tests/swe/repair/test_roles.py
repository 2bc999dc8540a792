"""Roles of variables: a wrong name is first replaced by one that is used alike."""

from __future__ import annotations

from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.templates import EditCatalogue
from meritree.swe.repair.templates.roles import CONTAINER, NUMBER, roles_of
from meritree.swe.repair.templates.scope import scope_of

TALLY = """def tally(words, least):
    seen = {}
    total = 0
    for word in words:
        seen[word] = seen.get(word, 0) + 1
        total = total + 1
    for place, word in enumerate(words):
        if seen[word] > least:
            total = total - place
    return total
"""


def names(line: int, old: str) -> list[str]:
    """What `var` puts in the place of ``old`` on a line, in order."""
    edits = EditCatalogue().edits("tally.py", TALLY, line, "var")
    start = f"`{old}` becomes `"
    said = [e.rationale for e in edits]
    return [words.removeprefix(start).rstrip("`") for words in said if words.startswith(start)]


def test_roles_are_read_off_loops_subscripts_calls_comparisons_and_assignments() -> None:
    source = SourceFile("tally.py", TALLY)
    roles = roles_of(scope_of(source, source.tree.body[0].body[0]))  # type: ignore[attr-defined]
    assert roles["words"] == roles["seen"] == {CONTAINER}
    assert roles["total"] == roles["least"] == roles["place"] == {NUMBER}


def test_a_container_is_replaced_by_containers_first_and_by_what_its_own_loop_binds_last() -> None:
    found = names(7, "words")
    assert found[0] == "seen"
    assert set(found[-2:]) == {"place", "word"}
    assert set(found) == {"seen", "total", "least", "place", "word"}


def test_a_number_is_replaced_by_numbers_first() -> None:
    found = names(8, "least")
    assert set(found[:2]) == {"total", "place"}
    assert found.index("words") > 2
