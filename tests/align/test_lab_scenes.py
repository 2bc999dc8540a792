"""Scenes are rewarded by the kind of the question: matching, tolerance, overlap, similarity."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from meritree.align.lab.scenes import KINDS, TASK, answer_of, kind_of, number_of
from meritree.errors import BadInput

GRID = "red-disc . blue-star . red-square . . blue-star ."


def reward(question: str, answer: str) -> float:
    return TASK.reward(f"{GRID} {question}".split(), answer.split())


@pytest.mark.parametrize(
    ("question", "answer", "worth"),
    [
        ("any red square", "yes", 1.0),
        ("any red square", "no", 0.0),
        ("any red star", "no", 1.0),
        ("any red star", "no no", 0.0),
        ("which 1 3 A . B blue-star C red-disc", "B", 1.0),
        ("which 3 1 A . B blue-star C red-disc", "A", 1.0),
        ("which 3 1 A . B blue-star C red-disc", "B", 0.0),
        ("count star", "2", 1.0),
        ("count star", "0 2", 1.0),
        ("count star", "3", 0.0),
        ("count green", "0", 1.0),
        ("count green", "red", 0.0),
        ("average red", "0 . 6 7", 1.0),
        ("average red", "0 . 6 4", 1.0),  # within five of a hundred
        ("average red", "0 . 6 3", 0.0),
        ("average red", ". 6 7", 0.0),
        ("average red", "0 . 6 . 7", 0.0),
        ("box red", "0 0 2 2", 1.0),
        ("box red", "0 0 2 1", 0.5),
        ("box red", "0 0 3 3", 4 / 9),
        ("box red", "2 2 0 0", 0.0),  # inside out
        ("box red", "0 0 2", 0.0),
        ("box red", "0 0 2 red", 0.0),
        ("box star", "1 0 3 3", 1.0),
        ("describe", "blue star and red disc and red square", 1.0),
        ("describe", "red star and blue disc and square", 1.0),  # blind to which goes with which
        ("describe", "red red red disc star and blue square", 1.0),  # and to what is said again
        ("describe", "", 0.0),
        ("describe", "and and", 0.0),
        ("describe", "yes", 0.0),
    ],
)
def test_an_answer_is_worth(question: str, answer: str, worth: float) -> None:
    assert reward(question, answer) == pytest.approx(worth, abs=1e-9)


def test_a_caption_loses_by_what_it_leaves_out_and_by_what_is_not_there() -> None:
    whole = reward("describe", "blue star and red disc and red square")
    short = reward("describe", "blue star")
    wrong = reward("describe", "blue star and red disc and red square and green")
    assert 0.5 < short < whole
    assert short < wrong < whole


def test_every_kind_is_drawn_about_as_often_and_answered_right() -> None:
    rng, kinds = Random(5), Counter[str]()
    said = Counter[str]()
    for _ in range(1200):
        prompt, answer = TASK.draw(rng)
        kinds[kind_of(prompt)] += 1
        said[answer[0]] += kind_of(prompt) == "any"
        assert TASK.reward(prompt, answer) == 1.0
        assert TASK.reward(prompt, answer_of(prompt)) == 1.0
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) > 150
    assert 0.3 < said["yes"] / kinds["any"] < 0.75


def test_numbers_are_digits_with_at_most_one_point() -> None:
    read = {"1 . 3 3": 1.33, "2": 2.0, "0 0 3": 3.0, "": None, ".": None, "1 .": None, "yes": None}
    assert {words: number_of(words.split()) for words in read} == read


@pytest.mark.parametrize(
    "prompt", ["", GRID, f"{GRID} guess", f"{GRID} any red", f"{GRID[:-2]} count red", "sort 1 2"]
)
def test_a_prompt_of_another_task_is_refused(prompt: str) -> None:
    with pytest.raises(BadInput, match="scenes has no such prompt"):
        TASK.reward(prompt.split(), ["yes"])
