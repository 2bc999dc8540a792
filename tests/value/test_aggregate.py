"""Voters and judges: closed forms of rules, medians, majorities of answers."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.value.aggregate import (
    Profile,
    borda,
    copeland,
    disagreement,
    kemeny,
    majority,
    majority_graph,
    pairwise,
    plain,
    plurality,
    ranked,
    unanimous,
    weighted_median,
)
from meritree.value.bradley_terry import logistic, strengths

RANKINGS = st.lists(st.permutations("abcd"), min_size=1, max_size=6)
CYCLE = Profile.of(["abc", "bca", "cab"])


def test_scores_of_a_small_election_are_those_on_paper() -> None:
    profile = Profile.of(["abc", "bca", "cba"], weights=[4, 3, 2])
    assert plurality(profile) == {"a": 4, "b": 3, "c": 2}
    assert borda(profile) == {"a": 8, "b": 12, "c": 7}
    assert copeland(profile) == {"a": 0, "b": 2, "c": 1}
    assert pairwise(profile)["b", "a"] == 5
    assert majority_graph(profile) == {("b", "a"), ("b", "c"), ("c", "a")}
    assert kemeny(profile) == ("b", "c", "a")


def test_a_cycle_ties_everybody_and_the_priority_decides() -> None:
    assert set(copeland(CYCLE).values()) == {1}
    assert ranked(copeland(CYCLE), "cab") == ("c", "a", "b")
    assert kemeny(CYCLE) == ("a", "b", "c")
    assert kemeny(Profile.of(["abc", "bca", "cab"], candidates="cab")) == ("c", "a", "b")


@given(RANKINGS)
def test_kemeny_has_the_least_disagreement_of_all_orders(rankings: list[list[str]]) -> None:
    profile = Profile.of(rankings)
    found = kemeny(profile)
    least = min(disagreement(order, profile) for order in permutations("abcd"))
    assert disagreement(found, profile) == pytest.approx(least)
    first = min(o for o in permutations("abcd") if disagreement(o, profile) <= least + 1e-9)
    assert found == first


@given(RANKINGS)
def test_every_rule_repeats_what_all_voters_say(rankings: list[list[str]]) -> None:
    profile = Profile.of(rankings)
    for a, b in unanimous(profile):
        assert borda(profile)[a] > borda(profile)[b]
        assert copeland(profile)[a] > copeland(profile)[b]
        assert kemeny(profile).index(a) < kemeny(profile).index(b)


@given(RANKINGS, st.integers(1, 4))
def test_a_weight_is_a_number_of_equal_voters(rankings: list[list[str]], times: int) -> None:
    weighed = Profile.of(rankings, [times] * len(rankings))
    repeated = Profile.of(rankings * times)
    assert pairwise(weighed) == pairwise(repeated)
    assert plurality(weighed) == plurality(repeated)


def test_half_a_point_for_a_tie_where_asked() -> None:
    profile = Profile.of(["ab", "ba"])
    assert copeland(profile) == {"a": 0.0, "b": 0.0}
    assert copeland(profile, tie=0.5) == {"a": 0.5, "b": 0.5}


def test_impossible_profiles_are_named() -> None:
    with pytest.raises(BadInput, match=r"rankings\[1\] = \('a', 'c'\)"):
        Profile.of(["ab", "ac"])
    with pytest.raises(BadInput, match="0 rankings"):
        Profile.of([])
    with pytest.raises(BadInput, match=r"weights\[0\] is -1"):
        Profile.of(["ab"], [-1.0])
    with pytest.raises(BadInput, match="all weights are 0"):
        Profile.of(["ab"], [0.0])
    with pytest.raises(BadInput, match="name one twice"):
        Profile.of(["ab"], candidates="aab")
    with pytest.raises(BadInput, match="17 candidates"):
        kemeny(Profile.of([range(17)]))
    with pytest.raises(BadInput, match="tie=2"):
        copeland(CYCLE, tie=2.0)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0.1, 3)), min_size=1, max_size=9))
def test_a_median_has_at_most_half_the_weight_on_either_side(
    pairs: list[tuple[float, float]],
) -> None:
    values, weights = zip(*pairs, strict=True)
    middle = weighted_median(values, weights)
    below = math.fsum(w for v, w in pairs if v < middle - 1e-12)
    above = math.fsum(w for v, w in pairs if v > middle + 1e-12)
    assert max(below, above) <= math.fsum(weights) / 2 + 1e-9


def test_medians_by_hand() -> None:
    assert weighted_median([3.0, 1.0, 2.0]) == 2.0
    assert weighted_median([1.0, 2.0]) == 1.5
    assert weighted_median([1.0, 2.0, 10.0], [1.0, 1.0, 2.0]) == 6.0
    assert weighted_median([1.0, 2.0, 1e9], [2.0, 2.0, 1.0]) == 2.0
    assert weighted_median([5.0, 7.0], [0.0, 1.0]) == 7.0
    with pytest.raises(BadInput, match=r"values\[0\] = nan"):
        weighted_median([math.nan])
    with pytest.raises(BadInput, match="all weights are 0"):
        weighted_median([1.0], [0.0])
    with pytest.raises(BadInput, match="0 values"):
        weighted_median([])


@pytest.mark.parametrize(
    ("one", "other"),
    [("1,000", "1000.0"), (" The Answer. ", "the  answer"), ("1e3", "1000"), ("`x`", "x"),
     ("$5.00", "5"), ("-0", "0"), ("ＡＢ", "ab"), ("12.", "12")],
)  # fmt: skip
def test_answers_that_mean_the_same_are_one(one: str, other: str) -> None:
    assert plain(one) == plain(other)


@pytest.mark.parametrize(("one", "other"), [("1,0", "10"), ("a b", "ab"), ("1", "1.1"), ("", "0")])
def test_answers_that_differ_stay_apart(one: str, other: str) -> None:
    assert plain(one) != plain(other)


def test_a_majority_of_answers_tells_its_share_and_lead() -> None:
    vote = majority(["42", "41", "42.0", "7"])
    assert (vote.answer, vote.share, vote.lead) == ("42", 0.5, 0.25)
    assert majority(["a", "b"]).answer == "a"
    assert majority(["a", "b"]).lead == 0.0
    assert majority(["a", "b"], [1.0, 2.0]).answer == "b"
    with pytest.raises(BadInput, match="0 answers"):
        majority([])
    with pytest.raises(BadInput, match="not all 0"):
        majority(["a"], [0.0])


def test_two_players_have_the_log_odds_of_their_wins() -> None:
    r = strengths([[0, 3], [1, 0]])
    assert r[0] - r[1] == pytest.approx(math.log(3))
    assert r.sum() == pytest.approx(0)


def test_strengths_are_found_again_from_expected_wins() -> None:
    true = np.array([1.0, 0.3, -0.5, -0.8])
    wins = 100.0 / (1.0 + np.exp(true[None] - true[:, None]))
    assert strengths(wins) == pytest.approx(true - true.mean(), abs=1e-8)


def test_at_the_maximum_expected_wins_are_the_observed_ones() -> None:
    wins = np.random.default_rng(0).integers(1, 9, (5, 5)).astype(float)
    np.fill_diagonal(wins, 0.0)
    r = strengths(wins)
    expected = (wins + wins.T) / (1.0 + np.exp(r[None] - r[:, None]))
    np.fill_diagonal(expected, 0.0)
    assert expected.sum(axis=1) == pytest.approx(wins.sum(axis=1), rel=1e-6)


def test_separable_comparisons_need_a_ridge() -> None:
    always = [[0, 3, 1], [0, 0, 2], [0, 0, 0]]
    with pytest.raises(BadInput, match="no maximum"):
        strengths(always)
    r = strengths(always, ridge=0.01)
    assert r[0] > r[1] > r[2]


def test_impossible_comparisons_are_named() -> None:
    with pytest.raises(BadInput, match=r"wins has shape \(2, 3\)"):
        strengths(np.ones((2, 3)))
    with pytest.raises(BadInput, match="finite and >= 0"):
        strengths([[0, -1], [1, 0]])
    with pytest.raises(BadInput, match=r"differences \(2, 1\) and weights \(1,\)"):
        logistic([[1.0], [2.0]], [1.0])
    with pytest.raises(BadInput, match="not all 0"):
        logistic([[1.0]], [0.0])
    with pytest.raises(BadInput, match="ridge=-1"):
        logistic([[1.0]], [1.0], ridge=-1.0)
