"""Likeness of names: rare shared words decide, common ones and plurals do not."""

from meritree.swe.repair.naming import name_likeness

FUNCTIONS = [("m.py", "V._validate_type_number"), ("m.py", "V._validate_type_list"), ("m.py", "g")]


def test_the_rarest_shared_word_decides() -> None:
    found = name_likeness(["TestTypes::test_a_type_of_numbers"], FUNCTIONS)
    assert found[FUNCTIONS[0]] == 1.0
    assert 0 < found[FUNCTIONS[1]] < 0.5
    assert FUNCTIONS[2] not in found


def test_camel_case_and_parameters_of_tests_do_not_matter() -> None:
    assert name_likeness(["testTypeNumber[list-2]"], FUNCTIONS)[FUNCTIONS[0]] == 1.0


def test_names_without_a_shared_word_say_nothing() -> None:
    assert name_likeness(["test_get_it"], FUNCTIONS) == {}
