from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meritree.swe.edits import Edit, Splice
from meritree.swe.repair.naturalness import TokenModel, tokens

PROJECT = "".join(
    f"def f{i}(items):\n    for i in range(len(items)):\n        if items[i] is None:\n"
    "            return i\n    return None\n\n\n"
    for i in range(30)
)
ODD = "def odd(items):\n    for i in len(range(items)):\n        return i\n"
MODEL = TokenModel({"a.py": PROJECT, "b.py": ODD})


def edit(text: str, old: str, new: str) -> Edit:
    start = text.index(old)
    return Edit("b.py", (Splice(start, start + len(old), new),), "t", 1.0, 1, "odd")


def test_a_correction_towards_the_usual_idiom_is_more_natural_and_back_less() -> None:
    there = MODEL.naturalness(edit(ODD, "len(range(items))", "range(len(items))"), ODD)
    back = MODEL.naturalness(edit(PROJECT, "range(len(items))", "len(range(items))"), PROJECT)
    assert there > 0.6 > 0.4 > back


def test_a_change_of_layout_alone_is_neither() -> None:
    assert MODEL.naturalness(edit(ODD, "in len", "in  len"), ODD) == 0.5


def test_a_line_does_not_look_natural_only_because_it_is_there() -> None:
    line = "    for i in len(range(items)):\n"
    assert MODEL.bits(line, seen=True) > MODEL.bits(line)


def test_tokens_keep_names_shorten_long_strings_and_skip_comments() -> None:
    assert tokens("x_1 != 'ab'  # why\n") == ["x_1", "!=", "'ab'", "\n"]
    assert tokens("y = 'a very long string indeed'") == ["y", "=", '""']


@given(st.text(max_size=80), st.integers(0, 80), st.integers(0, 80), st.text(max_size=30))
def test_naturalness_of_any_edit_of_any_text_is_in_the_unit_interval(
    text: str, a: int, b: int, new: str
) -> None:
    start, end = sorted((min(a, len(text)), min(b, len(text))))
    change = Edit("b.py", (Splice(start, end, new),), "t", 1.0, 1, "")
    assert 0.0 <= MODEL.naturalness(change, text) <= 1.0


def test_a_model_of_no_sources_judges_without_an_error() -> None:
    assert 0.0 <= TokenModel({}).naturalness(edit(ODD, "len", "sum"), ODD) <= 1.0
