"""Linear social choice: the paper's constructions, its theorems on random profiles, refusals."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.studies.value.ge_profiles import (
    copeland_groups,
    hidden_centre,
    infeasible_order,
    near_copies,
    twenty,
)
from meritree.value.aggregate import (
    Profile,
    copeland,
    disagreement,
    kemeny,
    majority_graph,
    ranked,
    unanimous,
)
from meritree.value.axioms import (
    lifts,
    majority_consistency,
    majority_ranking,
    pairwise_majority,
    pareto,
    separability,
    winner_monotonicity,
)
from meritree.value.linear_choice import (
    LinearRankings,
    among,
    any_order,
    feasible_rankings,
    lcpo,
    leximax,
    leximax_copeland,
    leximax_plurality,
    linear_kemeny,
    loss_rule,
)


def test_both_ballots_of_the_construction_are_feasible() -> None:
    profile, features = near_copies()
    for ballot in profile.rankings:
        assert features(list(itertools.pairwise(ballot)))
    # Footnote 7 of the paper names (1, 1), which ranks c above its copy; (delta, 2) does it.
    assert features.rank((1, 1), profile.candidates) != tuple("aAbBCc")
    assert features.rank((0.5, 2), profile.candidates) == tuple("aAbBCc")


@pytest.mark.parametrize(
    ("loss", "p", "delta"),
    [("btl", 0.6, 0.05), ("btl", 0.6, 0.5), ("btl", 0.9, 0.5), ("hinge", 0.75, 0.5)],
)
def test_a_convex_loss_puts_the_copy_that_all_prefer_below(
    loss: Any, p: float, delta: float
) -> None:
    profile, features = near_copies(p, delta)
    ranking = features.rank(loss_rule(profile, features, loss), profile.candidates)
    broken = pareto(profile, ranking)
    assert broken is not None
    assert "'C' above 'c'" in broken.why
    assert pairwise_majority(profile, ranking, features) is not None


def test_the_likelihood_of_the_construction_has_its_known_minimum() -> None:
    profile, features = near_copies()
    theta = loss_rule(profile, features)
    assert theta == pytest.approx((0.2670, 0.0083), abs=5e-4)


def test_the_majority_loss_satisfies_pairwise_majorities_there() -> None:
    profile, features = near_copies()
    ranking = features.rank(loss_rule(profile, features, majority=True), profile.candidates)
    assert ranking == majority_ranking(profile)


def test_the_hinge_rule_is_the_minimum_of_its_loss() -> None:
    profile, features = near_copies()
    theta = np.array(loss_rule(profile, features, "hinge"))

    def loss(theta: Any) -> float:
        total = 0.0
        for ballot, weight in zip(profile.rankings, profile.weights, strict=True):
            for i, a in enumerate(ballot):
                for b in ballot[i + 1 :]:
                    apart = np.subtract(features.features[b], features.features[a])
                    total += weight * max(0.0, 1.0 + float(theta @ apart))
        return total

    least = loss(theta)
    rng = np.random.default_rng(0)
    assert all(loss(theta + rng.normal(0, s, 2)) >= least - 1e-9 for s in (0.01, 0.1, 1.0))


def test_lcpo_returns_the_majority_ranking_there() -> None:
    profile, features = near_copies()
    assert lcpo(profile, features) == tuple("aAbBCc")
    theta = features.theta(list(zip("aAbBC", "AbBCc", strict=True)))
    assert theta is not None
    assert features.rank(theta, profile.candidates) == tuple("aAbBCc")


def test_rules_that_see_only_majorities_are_not_pareto_optimal() -> None:
    profiles, features = hidden_centre()
    assert len({majority_graph(profile) for profile in profiles}) == 1
    for profile in profiles:
        for ballot in profile.rankings:
            assert features(tuple(itertools.pairwise(ballot)))
    for rule in (
        partial(leximax_copeland, feasible=features),
        lambda p: features.rank(loss_rule(p, features, majority=True), p.candidates),
    ):
        assert len({rule(profile) for profile in profiles}) == 1
        assert any(pareto(profile, rule(profile)) for profile in profiles)
    assert all(pareto(p, lcpo(p, features)) is None for p in profiles)


def test_majorities_may_be_an_order_that_no_reward_induces() -> None:
    profile, features = infeasible_order()
    names = profile.candidates
    wanted = majority_ranking(profile)
    assert wanted is not None
    assert wanted[0] == "*"
    assert not features([("*", other) for other in names if other != "*"])
    ranking = lcpo(profile, features)
    assert ranking != wanted
    assert pairwise_majority(profile, ranking, features) is None
    assert pairwise_majority(profile, ranking) is not None


def test_copeland_and_so_lcpo_are_not_separable() -> None:
    first, second = copeland_groups()
    assert list(copeland(first).values()) == [5, 4, 3, 3, 3, 2, 1]
    assert list(copeland(second).values()) == [6, 5, 3, 3, 3, 1, 0]
    broken = separability(lambda profile: lcpo(profile, any_order), first, second)
    assert broken is not None
    assert ranked(copeland(first + second), "abcdefg")[0] == "b"


def test_linear_kemeny_is_neither_pareto_optimal_nor_majority_consistent() -> None:
    # Theorem C.4: all six voters rank 1 first.
    profile, features = twenty()
    ranking = linear_kemeny(profile, features)
    assert ranking == (2, 1, *range(3, 21))
    assert pareto(profile, ranking) is not None
    assert majority_consistency(profile, ranking) is not None


def test_linear_kemeny_subject_to_pareto_is_one_of_the_ballots_and_not_separable() -> None:
    # Theorem C.5: two more voters as the output, and one who ranks 2 above 1.
    profile, features = twenty()

    def rule(profile: Profile[int]) -> Any:
        return linear_kemeny(profile, features, unanimous(profile))

    ranking = rule(profile)
    assert ranking in profile.rankings
    assert disagreement(ranking, profile) == 30
    other = features.rank((1, 7, 6, 5, 4, 3, 2), profile.candidates)
    second = Profile.of([ranking, ranking, other], None, profile.candidates)
    assert separability(rule, profile, second) is not None
    both = profile + second
    assert majority_consistency(both, rule(both)) is not None


def test_any_order_is_any_order_without_a_circle() -> None:
    assert any_order([("a", "b"), ("b", "c"), ("a", "c")])
    assert not any_order([("a", "b"), ("b", "c"), ("c", "a")])
    profile = Profile.of(["abcd", "bdca", "dcab"])
    assert linear_kemeny(profile, any_order) == kemeny(profile)
    assert len(list(feasible_rankings("abcd", any_order))) == 24


def random_case(rng: Any, m: int, d: int) -> tuple[LinearRankings[int], list[Any]]:
    features = LinearRankings(
        {c: tuple(map(float, row)) for c, row in enumerate(rng.integers(-3, 4, (m, d)) + 0.0)}
    )
    return features, list(feasible_rankings(range(m), features))


def test_the_enumerated_rankings_are_those_that_random_rewards_induce() -> None:
    rng = np.random.default_rng(1)
    features = LinearRankings({c: tuple(x) for c, x in enumerate(rng.standard_normal((4, 2)))})
    found = set(feasible_rankings(range(4), features))
    seen = {features.rank(theta, range(4)) for theta in rng.standard_normal((5000, 2))}
    assert found == seen
    assert 1 < len(found) < 24


def test_a_reward_with_ties_induces_a_ranking_that_is_feasible() -> None:
    features = LinearRankings({"a": (0.0,), "b": (1.0,), "c": (2.0,)})
    assert features.induced((-1.0,), "abc") == ("a", "b", "c")
    assert features.rank((0.0,), "acb") == ("a", "c", "b")
    assert features.induced((0.0,), "acb") == ("a", "b", "c")  # b lies between in every reward
    features = LinearRankings({"a": (0.0, 0.0), "b": (1.0, 1.0), "c": (2.0, 1.0)})
    for theta in ((0.0, 0.0), (0.0, 1.0), (0.0, -1.0)):
        assert features(tuple(itertools.pairwise(features.induced(theta, "abc"))))
    assert features.induced((0.0, 1.0), "acb") == ("c", "b", "a")


def test_a_list_of_rankings_and_linear_programs_give_the_same_output() -> None:
    rng = np.random.default_rng(2)
    features, rankings = random_case(rng, 4, 2)
    listed = among(rankings)
    for _ in range(20):
        profile = Profile.of(
            [rankings[i] for i in rng.integers(0, len(rankings), 5)], None, range(4)
        )
        for rule in (lcpo, leximax_copeland, leximax_plurality, linear_kemeny):
            assert rule(profile, features) == rule(profile, listed)


def test_linear_kemeny_is_the_best_of_all_feasible_rankings() -> None:
    rng = np.random.default_rng(3)
    for _ in range(4):
        features = LinearRankings({c: tuple(x) for c, x in enumerate(rng.standard_normal((5, 2)))})
        rankings = list(feasible_rankings(range(5), features))
        profile = Profile.of([rankings[i] for i in rng.integers(0, len(rankings), 5)])
        found = linear_kemeny(profile, among(rankings))
        costs = [disagreement(ranking, profile) for ranking in rankings]
        assert disagreement(found, profile) == min(costs)
        assert found == rankings[costs.index(min(costs))]


def test_lcpo_keeps_its_four_axioms_on_random_profiles() -> None:
    rng = np.random.default_rng(4)
    checked = 0
    for _ in range(10):
        features = LinearRankings({c: tuple(x) for c, x in enumerate(rng.standard_normal((5, 2)))})
        rankings = list(feasible_rankings(range(5), features))
        feasible = among(rankings)
        rule = partial(lcpo, feasible=feasible)
        for _ in range(12):
            chosen = [rankings[i] for i in rng.integers(0, len(rankings), rng.integers(1, 7))]
            profile = Profile.of(chosen, None, range(5))
            ranking = rule(profile)
            assert pareto(profile, ranking) is None
            assert pairwise_majority(profile, ranking, feasible) is None
            assert majority_consistency(profile, ranking) is None
            assert winner_monotonicity(rule, profile, feasible) is None
            checked += 1
    assert checked == 120


def test_checkers_find_what_is_broken() -> None:
    profile = Profile.of(["abc", "acb", "bac"])
    assert "'a' above 'c'" in pareto(profile, "cab").why  # type: ignore[union-attr]
    assert majority_consistency(profile, "bac") is not None
    assert pairwise_majority(profile, "bac") is not None
    assert pairwise_majority(profile, "abc") is None
    assert majority_ranking(Profile.of(["abc", "bca", "cab"])) is None
    assert {p.rankings for p in lifts(Profile.of(["abc"]), "c")} == {
        (("c", "a", "b"),),
        (("a", "c", "b"),),
    }

    def contrary(profile: Any) -> Any:
        """Elects whom fewest rank first."""
        first = [ranking[0] for ranking in profile.rankings]
        return tuple(sorted(profile.candidates, key=first.count))

    assert winner_monotonicity(contrary, Profile.of(["abc", "abc", "bca"])) is not None


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(BadInput, match=r"lengths \[1, 2\]"):
        LinearRankings({"a": (1.0,), "b": (1.0, 2.0)})
    with pytest.raises(BadInput, match=r"features\['a'\]"):
        LinearRankings({"a": (float("nan"),)})
    with pytest.raises(BadInput, match="no feasible ranking"):
        leximax({"a": 1.0, "b": 0.0}, "ab", any_order, [("a", "b"), ("b", "a")])
    with pytest.raises(BadInput, match="no feasible ranking"):
        linear_kemeny(Profile.of(["ab"]), lambda pairs: False)
    with pytest.raises(BadInput, match="no features for 'b'"):
        loss_rule(Profile.of(["ab"]), LinearRankings({"a": (1.0,)}))
