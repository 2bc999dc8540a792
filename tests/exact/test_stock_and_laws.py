"""Objectives of the whole return: two solvers against each other and against enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from meritree import exact
from meritree.errors import BadInput
from meritree.exact import models
from meritree.exact.laws import check_mixtures, dist_dp_without_stock, expected_utility, mixture
from meritree.exact.stock import check_homogeneous, reachable, shortfall
from meritree.value.risk import ExpectedShortfall, Law, MeanVariance, ValueAtRisk, as_score

BETS = ([(1, 0.7), (-6, 0.3)], [(1, 0.4), (-1, 0.6)], [(6, 0.8), (-6, 0.2)])
SECOND = ([(1, 1.0)], [(5, 0.5), (-2, 0.5)], [(12, 0.5), (-8, 0.5)])
GAME = models.betting_game(5, BETS)


def square(x: np.ndarray) -> np.ndarray:
    return -(x**2)


def open_loop_laws(bets: tuple, rounds: int) -> list[Law]:
    """The law of the return of every fixed sequence of bets, by enumeration of outcomes."""
    found = []
    for chosen in product(bets, repeat=rounds):
        pairs = [(sum(x for x, _ in each), np.prod([p for _, p in each]))
                 for each in product(*chosen)]  # fmt: skip
        values, mass = (np.array(each, dtype=float) for each in zip(*pairs, strict=True))
        found.append(Law(values, mass))
    return found


def test_the_best_shortfall_of_the_betting_games() -> None:
    cvar = as_score(ExpectedShortfall(0.75))
    best = exact.best_shortfall(GAME, 0.25)
    assert best.value == pytest.approx(4.2864, abs=1e-9)
    assert float(cvar(*best.law)) == pytest.approx(best.value, abs=1e-9)
    fixed = max(float(cvar(*law)) for law in open_loop_laws(BETS, 5))
    assert fixed == pytest.approx(2.882, abs=1e-3)
    neutral = exact.return_law(GAME, exact.backward_induction(GAME).action)
    assert float(cvar(*neutral)) == pytest.approx(2.882, abs=1e-3)
    other = exact.best_shortfall(models.betting_game(5, SECOND), 0.75)
    assert other.value == pytest.approx(16 / 3, abs=1e-9)
    fixed = max(float(as_score(ExpectedShortfall(0.25))(*law)) for law in open_loop_laws(SECOND, 5))
    assert fixed == pytest.approx(5.0)


def test_a_target_is_met_better_with_a_stock_than_by_any_fixed_sequence() -> None:
    plan = exact.stock_dp(GAME, square, -6.0)
    assert -plan.best[0] == pytest.approx(10.90048, abs=1e-9)
    law = exact.law_of(GAME, plan)
    assert (law.weights * (law.values - 6.0) ** 2).sum() == pytest.approx(10.90048, abs=1e-9)
    fixed = min((law.weights * (law.values - 6.0) ** 2).sum() for law in open_loop_laws(BETS, 5))
    assert fixed > 3.0 * 10.90048


@pytest.mark.parametrize("f", [square, shortfall, lambda x: -np.abs(x), lambda x: (x >= 0) * 1.0])
@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_both_solvers_give_the_same_score_and_the_law_has_it(f: object, gamma: float) -> None:
    game = models.betting_game(3, BETS, gamma=gamma)
    plan = exact.stock_dp(game, f, -2.0)
    dist = exact.dist_dp(game, expected_utility(f), -2.0)
    scale = check_homogeneous(f, gamma, np.array([1.0, -2.0])) if gamma < 1.0 else 1.0
    assert scale > 0.0
    assert dist.score == pytest.approx(plan.best[0], abs=1e-8)
    law = exact.law_of(game, plan)
    assert (law.weights * f(-2.0 + law.values)).sum() == pytest.approx(plan.best[0], abs=1e-8)
    assert law.weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("gamma", [1.0, 0.8])
def test_the_identity_gives_ordinary_values(gamma: float) -> None:
    mdp = models.garnet(4, 2, 2, np.random.default_rng(3), gamma=gamma)
    plan = exact.stock_dp(mdp, lambda x: x, 1.5, horizon=4)
    ordinary = exact.backward_induction(mdp, 4).value[4]
    assert plan.best[0] == pytest.approx(1.5 + mdp.first @ ordinary)


def test_the_stock_keeps_the_whole_return_in_sight() -> None:
    game = models.betting_game(3, BETS, gamma=0.5)
    plan = exact.stock_dp(game, lambda x: x, [0.0, 4.0])
    assert plan.best[1] - plan.best[0] == pytest.approx(4.0)
    # c grows like gamma^-t
    assert np.abs(reachable(game, [4.0], 3)[3].stock).max() >= 4.0 / 0.5**3


def test_a_markov_policys_law_has_its_value_as_mean() -> None:
    mdp = models.garnet(4, 2, 2, np.random.default_rng(5), gamma=0.9)
    law = exact.return_law(mdp, None, horizon=5)
    assert (law.weights * law.values).sum() == pytest.approx(
        mdp.first @ exact.evaluate_steps(mdp, None, 5)[5]
    )


def test_an_objective_that_mixtures_upset_is_refused_and_rightly_so() -> None:
    """-Var prefers certainty twice; greedy backups of it are no optimum."""
    minus_variance = as_score(MeanVariance(1.0))
    for K in (minus_variance, as_score(ExpectedShortfall(0.75)), as_score(ValueAtRisk(0.5))):
        with pytest.raises(BadInput, match="not indifferent to mixtures"):
            exact.dist_dp(GAME, K)
    check_mixtures(expected_utility(square), np.random.default_rng(0))
    greedy = exact.dist_dp(GAME, as_score(ExpectedShortfall(0.75)), check=False)
    assert greedy.score < exact.best_shortfall(GAME, 0.25).value - 0.1


def test_with_a_discount_the_utility_must_be_homogeneous() -> None:
    game = models.betting_game(2, BETS, gamma=0.9)
    with pytest.raises(BadInput, match="no multiple of f"):
        exact.stock_dp(game, lambda x: -np.exp(-x))
    with pytest.raises(BadInput, match="not indifferent to scaling"):
        exact.dist_dp(game, expected_utility(lambda x: -np.exp(-x)))
    undiscounted = models.betting_game(2, BETS)
    assert exact.stock_dp(undiscounted, lambda x: -np.exp(-x)).best[0] < 0.0


def test_without_a_stock_the_mean_is_optimal_and_other_objectives_are_not() -> None:
    mean = dist_dp_without_stock(GAME, expected_utility(lambda x: x))
    assert mean.score == pytest.approx(exact.backward_induction(GAME).value[5][0])
    target = dist_dp_without_stock(GAME, expected_utility(lambda x: -((x - 6.0) ** 2)))
    assert target.score < exact.stock_dp(GAME, square, -6.0).best[0] - 1.0
    assert float(expected_utility(lambda x: -((x - 6.0) ** 2))(*target.law)) == target.score
    again = exact.return_law(GAME, target.action)
    assert np.allclose(again.values, target.law.values)
    assert np.allclose(again.weights, target.law.weights)


def test_mixing_laws_adds_up_equal_values() -> None:
    law = mixture([Law(np.array([1.0, 2.0]), np.array([0.5, 0.5])),
                   Law(np.array([2.0 + 1e-12]), np.array([1.0]))], [0.4, 0.6])  # fmt: skip
    assert law.values.tolist() == [1.0, 2.0]
    assert law.weights == pytest.approx([0.2, 0.8])


def test_what_cannot_be_planned_is_refused() -> None:
    with pytest.raises(BadInput, match="horizon = None"):
        exact.stock_dp(models.river_swim(3), square)
    with pytest.raises(BadInput, match="tau = 0"):
        exact.best_shortfall(GAME, 0.0)
    many = models.garnet(5, 3, 5, np.random.default_rng(0))
    with pytest.raises(BadInput, match="more than 2000 pairs"):
        reachable(many, [0.0], 8, most=2000)
