"""Tests, then majority, then debate: which stage decides, and how right each is."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.swe.discriminator import (
    Candidate,
    Choice,
    Verdict,
    choose,
    normal_form,
    stage_accuracy,
)


def diff(*lines: str, path: str = "a.py", start: int = 3) -> str:
    body = "\n".join(lines)
    return f"--- a/{path}\n+++ b/{path}\n@@ -{start},2 +{start},2 @@\n{body}\n"


PLUS = diff(" x = 1", "-y = x - 1", "+y = x + 1")
PLUS_SAID = diff(" x = 1", "-y = x - 1", "+y  =  x + 1   # one more, as asked")
MINUS = diff(" x = 1", "-y = x - 1", "+y = x - 2")
ZERO = diff(" x = 1", "-y = x - 1", "+y = 0")


def test_one_candidate_is_chosen_without_asking_anybody() -> None:
    assert choose([Candidate("a", PLUS)]).stage == "only"


def test_a_patch_that_passes_beats_all_that_do_not() -> None:
    choice = choose(
        [
            Candidate("breaks", PLUS, verdict=Verdict(2, 0, regressions=1)),
            Candidate("untested", PLUS),
            Candidate("half", PLUS, verdict=Verdict(1, 1)),
            Candidate("right", MINUS, verdict=Verdict(2, 0)),
        ]
    )
    assert (choice.candidate, choice.stage) == ("right", "tests")
    assert "1 of 4 pass their tests" in choice.reasons[0]


def test_where_none_passes_more_passing_tests_and_fewer_regressions_count() -> None:
    choice = choose(
        [
            Candidate("none", PLUS, verdict=Verdict(0, 2)),
            Candidate("one but breaks", MINUS, verdict=Verdict(1, 1, regressions=3)),
            Candidate("one", ZERO, verdict=Verdict(1, 1)),
        ]
    )
    assert (choice.candidate, choice.stage) == ("one", "tests")


def test_patches_that_differ_in_comments_and_layout_are_one_majority() -> None:
    choice = choose([Candidate("m", MINUS), Candidate("said", PLUS_SAID), Candidate("plain", PLUS)])
    assert choice.stage == "majority"
    assert set(choice.same) == {"said", "plain"}


def test_half_is_no_majority_and_without_a_debate_the_order_decides() -> None:
    choice = choose([Candidate("m", MINUS), Candidate("p", PLUS)])
    assert (choice.candidate, choice.stage) == ("m", "order")
    two = choose([Candidate("m", MINUS), Candidate("z", ZERO), *two_equal()])
    assert two.stage == "order"
    assert two.candidate == "p1"
    assert two.picks == {"majority": "p1"}


def two_equal() -> list[Candidate]:
    return [Candidate("p1", PLUS), Candidate("p2", PLUS_SAID)]


def test_equal_behaviour_makes_different_texts_one_patch() -> None:
    choice = choose(
        [
            Candidate("m", MINUS, behaviour="111"),
            Candidate("z", ZERO, behaviour="111"),
            Candidate("p", PLUS, behaviour="222"),
        ]
    )
    assert (choice.stage, choice.same) == ("majority", ("m", "z"))


def test_of_equal_patches_the_shortest_is_taken() -> None:
    longer = diff(" x = 1", "-y = x - 1", "+# why", "+", "+y = x + 1")
    choice = choose([Candidate("long", longer), Candidate("short", PLUS)])
    assert (choice.candidate, choice.stage) == ("short", "majority")


@pytest.mark.parametrize(
    ("candidates", "share", "word"),
    [
        ([], 0.5, "no candidate"),
        ([Candidate("a", PLUS), Candidate("a", MINUS)], 0.5, "'a' stands for two"),
        ([Candidate("a", PLUS)], 1.0, "share=1.0"),
    ],
)
def test_bad_requests_are_named(candidates: list[Candidate], share: float, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        choose(candidates, share=share)


# ---- normal forms -----------------------------------------------------------------------


def file(text: str, path: str = "a.py") -> str:
    return normal_form("", {path: textwrap.dedent(text)})


def test_syntax_trees_ignore_comments_docstrings_quotes_and_line_breaks() -> None:
    one = file('''
        def f(a, b):
            """Says something."""
            # and more
            return {"a": a,
                    "b": (b)}
        ''')
    assert one == file("def f(a, b):\n    return {'a': a, 'b': b}\n")
    assert one != file("def f(a, b):\n    return {'a': b, 'b': a}\n")
    assert file("def f():\n    'doc'\n") == file("def f():\n    pass\n")


def test_indentation_is_code_in_python_and_none_elsewhere() -> None:
    assert file("if a:\n    b()\nc()\n") != file("if a:\n    b()\n    c()\n")
    inside = diff(" for x in y:", "+        return x")
    after = diff(" for x in y:", "+    return x")
    assert normal_form(inside) != normal_form(after)
    assert normal_form(diff("+  a", path="a.js")) == normal_form(diff("+    a", path="a.js"))


def test_the_same_lines_elsewhere_are_another_patch() -> None:
    assert normal_form(diff("+    return 0", start=3)) != normal_form(
        diff("+    return 0", start=9)
    )
    other = diff("+    return 0", path="b.py")
    assert normal_form(diff("+    return 0")) != normal_form(other)


def test_a_file_that_does_not_parse_is_compared_by_its_lines() -> None:
    assert file("def f(:\n\n  x   \n") == file("def f(:\n  x\n")
    assert file("def f(:\n  x\n") != file("def f(:\n  y\n")


def test_a_hash_inside_a_string_is_no_comment() -> None:
    assert normal_form(diff('+y = "# a"')) != normal_form(diff('+y = "# b"'))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(max_size=80), min_size=1, max_size=4), st.booleans())
def test_no_patch_crashes_the_choice(texts: list[str], whole: bool) -> None:
    candidates = [
        Candidate(
            str(i),
            f"--- a/a.py\n+++ b/a.py\n@@ -{'9' * 5000} +1 @@\n@@ -1 +1 @@\n+{text}\n{text}",
            {"a.py": text} if whole else {},
        )
        for i, text in enumerate(texts)
    ]
    choice = choose(candidates)
    assert choice.candidate in choice.same
    assert choice == choose(candidates)


# ---- accuracy ---------------------------------------------------------------------------


def test_accuracy_is_told_by_stage_and_for_every_opinion() -> None:
    choices = [
        Choice("a", "tests", picks={"tests": "a"}),
        Choice("a", "judge", picks={"first votes": "b", "votes": "a", "judge": "a"}),
        Choice("b", "votes", picks={"first votes": "a", "votes": "b"}),
        Choice("c", "tests", picks={"tests": "c"}),
    ]
    found = stage_accuracy(choices, [{"a"}, {"a"}, {"a"}, set()])
    assert (found["tests"].decided, found["tests"].right) == (1, 1)
    assert (found["votes"].decided, found["votes"].opinions) == (1, 2)
    assert found["votes"].opinions_right == 1
    assert (found["first votes"].opinions, found["first votes"].opinions_right) == (2, 1)
    assert found["first votes"].interval is None
    assert (found["all"].decided, found["all"].right) == (3, 2)  # the last had no right one
    low, high = found["all"].interval or (0.0, 0.0)
    assert 0.0 < low < 2 / 3 < high < 1.0


def test_accuracy_needs_a_truth_for_each_choice() -> None:
    with pytest.raises(BadInput, match="1 choices and 0 truths"):
        stage_accuracy([Choice("a", "tests")], [])
