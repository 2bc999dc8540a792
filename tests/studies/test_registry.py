"""Systems are found by name and number; their state follows from files."""

from __future__ import annotations

import pytest

from meritree.errors import BadInput
from meritree.studies.registry import study_named, system_named, systems


def test_there_are_119_systems_with_numbers_of_their_own() -> None:
    assert [system.id for system in systems()] == [f"S{n:03}" for n in range(1, 120)]


@pytest.mark.parametrize("wanted", ["dr-es", "S033", "s33", "33", " DR-ES "])
def test_a_system_is_found_by_name_or_number(wanted: str) -> None:
    assert system_named(wanted).id == "S033"


def test_a_mistyped_name_is_answered_with_near_ones() -> None:
    with pytest.raises(BadInput, match="did you mean shapley"):
        system_named("shaply")


def test_a_system_without_a_study_says_which_have_one() -> None:
    planned = next(system for system in systems() if system.study is None)
    with pytest.raises(BadInput, match="has no study yet; there are"):
        study_named(planned.id)


def test_a_system_with_a_verdict_has_a_study() -> None:
    for system in systems():
        assert system.verdict is None or system.study
        assert system.state != "works" or system.study or system.id == "S001"
