"""The study of rubrics: what answers are worth, how judges err, and what is compared."""

from __future__ import annotations

from random import Random
from statistics import fmean

import pytest

from meritree.respond.rubric import grade_explicit, grade_implicit
from meritree.studies.align.graders import Judge, Quality
from meritree.studies.align.queries import (
    GENERIC,
    PARTS,
    Answer,
    Condition,
    Question,
    drawn_answers,
    drawn_question,
    worth,
)
from meritree.studies.align.rubrics import (
    AGAIN,
    EXPLICIT,
    IMPLICIT,
    ONCE,
    WHOLE,
    graded,
    in_order,
    worth_of_best,
)

QUESTION = Question(
    "city", "SUM", "price", (Condition("size", ">", 3), Condition("stock", "<=", 6)), True, 3
)
SURE = Quality(1 - 1e-9, weighing=0.0)
PLAIN = (
    "SELECT city, SUM(price) AS total FROM goods WHERE size > 3 AND stock <= 6 GROUP BY city "
    "ORDER BY SUM(price) DESC, city LIMIT 3"
)


def changed(old: str, new: str) -> str:
    assert old in PLAIN
    return PLAIN.replace(old, new)


def test_an_answer_is_worth_what_its_rows_are() -> None:
    answers = [
        PLAIN,
        changed("size > 3", "NOT size <= 3"),
        changed("size > 3", "size >= 4"),
        changed(" AS total", ""),
        changed("size > 3", "size >= 3"),
        changed("SUM(price) AS", "SUM(price), COUNT(*) AS"),
        changed("city LIMIT 3", "city LIMIT 4"),
        changed("FROM", "FORM"),
    ]
    same, negated, shifted, unnamed, edge, more, longer, broken = worth(
        PLAIN, answers, 40, Random(0)
    )
    assert same == negated == shifted == unnamed == 1.0
    assert 0.0 < edge < 1.0
    assert more == 0.5
    assert longer == pytest.approx(6 / 7, abs=0.02)
    assert broken == 0.0


def test_an_order_turned_round_costs_half_where_the_rows_are_the_same() -> None:
    every = changed("LIMIT 3", "LIMIT 10")
    turned = every.replace("DESC", "ASC")
    assert worth(every, [turned], 20, Random(1)) == [pytest.approx(0.5, abs=0.03)]


def test_drawn_answers_without_a_slip_are_worth_all_and_those_that_cannot_run_nothing() -> None:
    rng = Random(3)
    seen = 0
    for _ in range(20):
        for answer in drawn_answers(drawn_question(rng), 6, 4, rng):
            slips = [part for part in PARTS if not answer.facts[part]]
            assert len(slips) <= 4
            if set(slips) <= {"named"}:
                assert answer.gold == 1.0
                seen += 1
            if "runs" in slips:
                assert answer.gold == 0.0
    assert seen >= 10


def test_every_drawn_slip_makes_the_query_another_one() -> None:
    rng = Random(4)
    whole = {answer.sql for answer in drawn_answers(QUESTION, 300, 1, rng) if answer.gold == 1.0}
    for answer in drawn_answers(QUESTION, 100, 8, rng):
        slips = {part for part in PARTS if not answer.facts[part]} - {"named", "limit", "second"}
        if slips:
            assert answer.sql not in whole or answer.gold == 1.0


def test_a_judge_that_never_errs_says_what_is_true() -> None:
    answer = Answer(PLAIN, {part: part != "order" for part in PARTS}, 0.42)
    rubric = QUESTION.rubric()
    judge = Judge(answer, SURE, Random(0))
    told = grade_explicit(rubric, QUESTION.text, answer.sql, judge.by_criteria())
    assert told.estimate.channels == {part: float(part != "order") for part in PARTS}
    right = told.estimate.mean
    assert 0.5 < right < 1.0
    implicit = grade_implicit(rubric, QUESTION.text, answer.sql, judge.by_rubric(rubric))
    assert implicit.estimate.mean == pytest.approx(right, abs=1 / 18)
    glance = judge.at_a_glance()
    looks = [grade_implicit(WHOLE, QUESTION.text, answer.sql, glance) for _ in range(30)]
    assert fmean(look.estimate.mean for look in looks) == pytest.approx(0.42, abs=1 / 18)


@pytest.mark.parametrize("right", [0.6, 0.9])
@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_a_judge_is_right_about_a_criterion_as_often_as_stated(right: float, shared: float) -> None:
    facts = {part: place % 2 == 0 for place, part in enumerate(PARTS)}
    hits = []
    for number in range(400):
        judge = Judge(Answer(PLAIN, facts, 0.5), Quality(right, shared), Random(number))
        told = grade_explicit(QUESTION.rubric(), "?", PLAIN, judge.by_criteria()).estimate.channels
        hits += [(told[part] == 1.0) == facts[part] for part in PARTS]
    assert fmean(hits) == pytest.approx(right, abs=0.03)


def test_errors_that_are_shared_do_not_go_away_by_asking_again() -> None:
    def spread(shared: float) -> float:
        found = []
        for number in range(150):
            judge = Judge(Answer(PLAIN, {}, 0.5), Quality(0.9, shared), Random(number))
            glance = judge.at_a_glance()
            looks = [grade_implicit(WHOLE, "?", PLAIN, glance).estimate.mean for _ in range(10)]
            found.append(abs(fmean(looks) - 0.5))
        return fmean(found)

    assert spread(0.8) > 1.5 * spread(0.0)


def test_every_way_of_judging_is_paid_in_tokens_and_ten_looks_cost_ten() -> None:
    [answer] = drawn_answers(QUESTION, 1, 2, Random(6))
    scores, tokens = graded(QUESTION, answer, Judge(answer, Quality(0.75), Random(7)))
    assert all(0.0 <= score <= 1.0 for score in scores.values())
    assert tokens[AGAIN] == pytest.approx(10 * tokens[ONCE], rel=0.02)
    assert tokens[ONCE] < tokens[IMPLICIT] < tokens[AGAIN]
    assert tokens[EXPLICIT] > tokens[ONCE]


def test_pairs_of_equal_worth_say_nothing_and_ties_count_half() -> None:
    assert list(in_order([0.2, 0.2, 0.9], [0.0, 1.0, 0.0])) == [0.5, 0.0]
    assert worth_of_best([0.9, 0.9, 0.1], [0.0, 1.0, 1.0]) == 0.5


def test_general_criteria_are_true_or_false_of_every_answer() -> None:
    rng = Random(9)
    for answer in drawn_answers(QUESTION, 20, 1, rng):
        assert all(name in answer.facts for name, _, _ in GENERIC)
