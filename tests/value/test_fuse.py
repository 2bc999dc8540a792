"""Fusing ranked lists: closed forms, invariances, differences between paper and released code."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.stats.retrieval import reciprocal_rank_at
from meritree.value.fuse import borda_points, fuse, normalise, ranks, reciprocal_ranks
from meritree.value.fuse_weights import simplex, tune_weights

SCORES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-40, 40), min_size=1)
METHODS: Any = ["rrf", "borda", "weighted", "max", "z-sum"]


def order(fused: list[tuple[str, float]]) -> list[str]:
    return [one for one, _ in fused]


def test_ranks_begin_at_one_and_ties_share_their_mean() -> None:
    assert ranks({"a": 5.0, "b": 9.0, "c": 5.0, "d": 1.0}) == {"b": 1, "a": 2.5, "c": 2.5, "d": 4}


def test_reciprocal_rank_fusion_is_a_sum_of_reciprocals() -> None:
    lists = {"x": {"a": 0.9, "b": 0.5}, "y": {"b": 7.0, "c": 3.0}}
    fused = dict(fuse(lists, "rrf"))
    assert fused == {
        "a": pytest.approx(1 / 61),
        "b": pytest.approx(1 / 62 + 1 / 61),
        "c": pytest.approx(1 / 62),
    }
    assert order(fuse(lists, "rrf")) == ["b", "a", "c"]


def test_borda_of_the_released_code_gives_one_place_more() -> None:
    scores = {"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.0}
    assert borda_points(scores) == {"a": 1.0, "b": 0.75, "c": 0.5, "d": 0.25}
    assert borda_points(scores, "released") == {"a": 1.25, "b": 1.0, "c": 0.75, "d": 0.5}


def test_the_released_borda_can_change_who_wins() -> None:
    # c is last in three lists, a is first in two others.
    last = {f"x{i}": {f"p{i}": 3.0, f"q{i}": 2.0, "c": 1.0} for i in range(5)}
    first = {f"y{i}": {"a": 1.0, f"r{i}": 0.5} for i in range(2)}
    lists = last | first
    assert order(fuse(lists, "borda"))[0] == "a"
    assert order(fuse(lists, "borda", variant="released"))[0] == "c"


@given(SCORES, SCORES)
def test_rank_fusions_ignore_monotone_changes_of_scores(
    x: dict[str, int], y: dict[str, int]
) -> None:
    bent = {one: math.expm1(score / 10.0) for one, score in x.items()}
    for how in ("rrf", "borda"):
        assert fuse({"x": x, "y": y}, how) == fuse({"x": bent, "y": y}, how)  # type: ignore[arg-type]


@given(SCORES, st.floats(0.5, 20.0), st.floats(-9.0, 9.0))
def test_minmax_and_zscore_ignore_the_scale_and_the_origin(
    scores: dict[str, int], scale: float, shift: float
) -> None:
    moved = {one: scale * score + shift for one, score in scores.items()}
    for how in ("minmax", "zscore"):
        left, right = normalise(scores, how), normalise(moved, how)  # type: ignore[arg-type]
        assert left == pytest.approx(right, abs=1e-9)


@pytest.mark.parametrize("how", METHODS)
@given(scores=SCORES)
def test_a_list_fused_with_itself_keeps_its_order(how: Any, scores: dict[str, int]) -> None:
    fused = dict(fuse({"x": scores, "y": scores}, how))
    for one in scores:
        for other in scores:
            if scores[one] > scores[other]:
                assert fused[one] > fused[other]


@pytest.mark.parametrize("how", METHODS)
@given(x=SCORES, y=SCORES)
def test_a_weight_of_zero_takes_a_list_out(how: Any, x: dict[str, int], y: dict[str, int]) -> None:
    fused = [
        one for one in order(fuse({"x": x, "y": y}, how, weights={"x": 1, "y": 0})) if one in x
    ]
    assert fused == order(fuse({"x": x}, how))


@pytest.mark.parametrize("how", ["rrf", "borda", "z-sum"])
def test_opposite_lists_of_three_leave_the_ends_tied(how: Any) -> None:
    fused = dict(fuse({"x": {"a": 3, "b": 2, "c": 1}, "y": {"a": 1, "b": 2, "c": 3}}, how))
    assert fused["a"] == pytest.approx(fused["c"])


@pytest.mark.parametrize(("how", "value"), [("minmax", 1.0), ("zscore", 0.0), ("arctan", 0.0)])
def test_equal_scores_are_no_division_by_nothing(how: Any, value: float) -> None:
    assert normalise({"a": 0.0, "b": 0.0}, how) == {"a": value, "b": value}
    assert normalise({}, how) == {}


def test_minmax_of_the_largest_floats_stays_finite() -> None:
    huge = 1.7e308
    assert normalise({"a": -huge, "b": 0.0, "c": huge}, "minmax") == {"a": 0, "b": 0.5, "c": 1}


def test_percentiles_are_positions_among_the_reference() -> None:
    reference = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    scores = {"a": -5.0, "b": 4.4, "c": 4.5, "d": 4.6, "e": 99.0}
    expected = {"a": 0.0, "b": 0.4, "c": 0.4, "d": 0.5, "e": 0.9}
    assert normalise(scores, "percentile", reference=reference) == expected
    assert normalise({"a": 1.0}, "percentile", reference=[1.0, 1.0, 2.0]) == {"a": 0.0}


def test_normal_curve_equivalents_meet_percentiles_at_1_50_and_99() -> None:
    reference = list(range(100))
    found = normalise({p: p for p in (1, 50, 99)}, "nce", reference=reference)
    assert found == {p: pytest.approx(p, abs=0.01) for p in (1, 50, 99)}


def test_the_released_normal_curve_divides_by_100_once_more() -> None:
    reference = list(range(100))
    found = normalise({50: 50.0, 99: 99.0}, "nce", reference=reference, variant="released")
    assert found[50] == pytest.approx(50 + 21.06 * NormalDist().inv_cdf(0.005))
    assert max(found.values()) < 1.1


def test_a_missing_candidate_gets_zero_or_the_lowest_score() -> None:
    lists = {"x": {"a": -1.0, "b": -3.0}, "y": {"a": -1.0, "c": -1.0}}
    assert order(fuse(lists, "weighted", missing="zero"))[0] == "c"
    assert order(fuse(lists, "weighted", missing="lowest"))[0] == "a"


def test_a_simplex_grid_has_as_many_points_as_there_are_compositions() -> None:
    points = list(simplex(["a", "b", "c"], 0.05))
    assert len(points) == math.comb(20 + 2, 2) == 231
    assert all(math.isclose(sum(point.values()), 1.0) for point in points)


def test_tuning_finds_the_judge_that_knows_and_tells_what_to_expect() -> None:
    lists = {
        q: {
            "knows": {"right": 1.0, "wrong": 0.4, "other": 0.2},
            "lies": {"right": 0.0, "wrong": 1.0, "other": 0.5},
        }
        for q in range(20)
    }
    labels = {q: {"right"} for q in range(20)}

    def metric(ranked: Any, right: Any) -> float:
        return reciprocal_rank_at(10, ranked, right)

    tuned = tune_weights(lists, labels, metric)
    assert tuned.held_out == 1.0
    assert tuned.weights["knows"] == pytest.approx(0.65)  # nearest to equal weights that wins
    assert len(tuned.by_fold) == 5


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(BadInput, match=r"scores\['a'\] is nan"):
        normalise({"a": math.nan}, "minmax")
    with pytest.raises(BadInput, match="needs reference"):
        normalise({"a": 1.0}, "percentile")
    with pytest.raises(BadInput, match="how='mean'"):
        normalise({"a": 1.0}, "mean")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="how='mean'"):
        fuse({"x": {"a": 1.0}}, "mean")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="without a candidate"):
        fuse({"x": {}})
    with pytest.raises(BadInput, match="'y' is in one only"):
        fuse({"x": {"a": 1.0}}, weights={"x": 1.0, "y": 1.0})
    with pytest.raises(BadInput, match=r"weights\['x'\] is -1"):
        fuse({"x": {"a": 1.0}}, weights={"x": -1.0})
    with pytest.raises(BadInput, match="all weights are 0"):
        fuse({"x": {"a": 1.0}}, weights={"x": 0.0})
    with pytest.raises(BadInput, match="k=-1"):
        reciprocal_ranks({"a": 1.0}, -1.0)
    with pytest.raises(BadInput, match=r"step=0\.3"):
        list(simplex(["a"], 0.3))
    with pytest.raises(BadInput, match="folds=1"):
        tune_weights({0: {"x": {"a": 1.0}}}, {0: {"a"}}, lambda r, s: 1.0, folds=1)
    with pytest.raises(BadInput, match="same queries"):
        tune_weights({0: {"x": {"a": 1.0}}}, {}, lambda r, s: 1.0)
