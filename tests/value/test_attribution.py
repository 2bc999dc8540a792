"""Shapley values: axioms, closed forms of linear models, sampling, channels of hybrid values."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.value import Estimate, Gate, Product, Schedule, WeightedSum
from meritree.value.attribution import channel_shares, shapley
from meritree.value.games import (
    conditional_gaussian,
    empirical,
    interventional,
    linear_conditional,
    linear_interventional,
)

GAMES = st.lists(st.integers(-8, 8), min_size=16, max_size=16)
PLAYERS = ["a", "b", "c", "d"]


def table(values: list[int]) -> Any:
    """A game of four players as a table of its 16 values."""
    return lambda coalition: float(
        values[sum(2**i for i, player in enumerate(PLAYERS) if player in coalition)]
    )


@given(GAMES, GAMES)
def test_shares_are_efficient_and_linear(u: list[int], v: list[int]) -> None:
    first, second = shapley(table(u), PLAYERS), shapley(table(v), PLAYERS)
    both = shapley(table([a + b for a, b in zip(u, v, strict=True)]), PLAYERS)
    assert sum(first.values.values()) == pytest.approx(first.total)
    assert first.base + first.total == table(u)(frozenset(PLAYERS))
    for player in PLAYERS:
        assert both.values[player] == pytest.approx(first.values[player] + second.values[player])


def test_a_player_that_adds_nothing_gets_nothing_and_twins_get_the_same() -> None:
    def glove(coalition: frozenset[str]) -> float:
        return float("left" in coalition and bool({"right", "other right"} & coalition))

    shares = shapley(glove, ["left", "right", "other right", "hat"])
    assert shares.values["hat"] == 0.0
    assert shares.values["right"] == shares.values["other right"] == pytest.approx(1 / 6)
    assert shares.values["left"] == pytest.approx(2 / 3)
    assert shares.evaluations == 16


@given(GAMES, st.integers(0, 9))
def test_sampled_shares_are_efficient_too(values: list[int], seed: int) -> None:
    for method in ("permutation", "antithetic"):
        shares = shapley(table(values), PLAYERS, method, samples=4, seed=seed)  # type: ignore[arg-type]
        assert sum(shares.values.values()) == pytest.approx(shares.total, abs=1e-9)


def test_sampled_shares_come_near_the_exact_ones_within_their_errors() -> None:
    game = table([0, 3, -1, 4, 7, 2, 0, 5, -6, 1, 8, 2, 3, -2, 6, 9])
    exact = shapley(game, PLAYERS)
    for method in ("permutation", "antithetic"):
        sampled = shapley(game, PLAYERS, method, samples=2000)  # type: ignore[arg-type]
        for player in PLAYERS:
            off = abs(sampled.values[player] - exact.values[player])
            assert 0.0 < sampled.std_errors[player] < 0.2
            assert off < 4.0 * sampled.std_errors[player]


def test_an_order_and_its_reverse_are_exact_for_games_of_pairs() -> None:
    def pairs(coalition: frozenset[str]) -> float:
        worth = {"a": 3.0, "b": -1.0, "c": 2.0}
        links = {("a", "b"): 5.0, ("b", "c"): -2.0, ("c", "d"): 1.5}
        return sum(worth.get(p, 0.0) for p in coalition) + sum(
            v for (p, q), v in links.items() if p in coalition and q in coalition
        )

    sampled = shapley(pairs, PLAYERS, "antithetic", samples=4)
    assert sampled.values == pytest.approx(shapley(pairs, PLAYERS).values)
    assert max(sampled.std_errors.values()) < 1e-12


def test_a_game_may_return_arrays() -> None:
    weights = {"a": np.array([1.0, 10.0]), "b": np.array([2.0, -20.0])}

    def game(coalition: frozenset[str]) -> Any:
        return sum((weights[p] for p in coalition), np.zeros(2))

    for method in ("exact", "permutation"):
        shares = shapley(game, ["a", "b"], method, samples=2)  # type: ignore[arg-type]
        assert shares.values["b"].tolist() == [2.0, -20.0]
        assert shares.std_errors["b"].tolist() == [0.0, 0.0]


# Linear models.

RNG = np.random.default_rng(0)
D = 5
ROOT = RNG.standard_normal((D, D))
SIGMA = ROOT @ ROOT.T / D + 0.2 * np.eye(D)
MEAN, BETA, X = RNG.standard_normal(D), RNG.standard_normal(D), RNG.standard_normal((3, D))


def linear(rows: Any) -> Any:
    return rows @ BETA + 1.0


def test_the_interventional_closed_form_is_the_shapley_value_of_the_game() -> None:
    background = RNG.standard_normal((40, D))
    closed = linear_interventional(BETA, X, background.mean(axis=0))
    for x, phi in zip(X, closed.values, strict=True):
        shares = shapley(interventional(linear, x, background), range(D))
        assert [shares.values[i] for i in range(D)] == pytest.approx(phi)


def test_the_conditional_closed_form_is_the_shapley_value_of_the_game() -> None:
    closed = linear_conditional(BETA, X, MEAN, SIGMA)
    for x, phi in zip(X, closed.values, strict=True):
        game = conditional_gaussian(linear, x, MEAN, SIGMA, samples=2)
        shares = shapley(game, range(D))
        assert [shares.values[i] for i in range(D)] == pytest.approx(phi)
        assert phi.sum() == pytest.approx(BETA @ (x - MEAN))  # efficiency


def test_independent_features_make_both_games_equal() -> None:
    sigma = np.diag(RNG.uniform(0.1, 4.0, D))
    conditional = linear_conditional(BETA, X, MEAN, sigma).values
    assert conditional == pytest.approx(linear_interventional(BETA, X, MEAN).values)


def test_an_unused_feature_gets_credit_only_from_the_data() -> None:
    beta = BETA.copy()
    beta[2] = 0.0
    assert np.all(linear_interventional(beta, X, MEAN).values[:, 2] == 0.0)
    assert np.all(np.abs(linear_conditional(beta, X, MEAN, SIGMA).values[:, 2]) > 1e-3)


def test_two_features_share_as_computed_by_hand() -> None:
    # beta = (1, 0): v(1) = v(12) = x_1 and v(2) = r x_2, so that phi_2 = r x_2 / 2.
    r, x = 0.6, np.array([1.0, 2.0])
    found = linear_conditional([1.0, 0.0], x, [0.0, 0.0], [[1.0, r], [r, 1.0]]).values[0]
    second = r * x[1] / 2
    assert found == pytest.approx([x[0] - second, second])


def test_sampled_orders_of_a_linear_model_average_to_the_exact_shares() -> None:
    exact = linear_conditional(BETA, X, MEAN, SIGMA).values
    assert exact.shape == (3, D)
    for method in ("permutation", "antithetic"):
        sampled = linear_conditional(BETA, X, MEAN, SIGMA, method, samples=4000)  # type: ignore[arg-type]
        assert np.all(np.abs(sampled.values - exact) < 4.5 * sampled.std_errors + 1e-12)
        assert sampled.values.sum(axis=1) == pytest.approx(exact.sum(axis=1))


def test_sampling_needs_more_orders_as_correlation_grows() -> None:
    errors = []
    for r in (0.0, 0.3, 0.6, 0.9):
        sigma = np.full((D, D), r) + (1 - r) * np.eye(D)
        errors.append(
            linear_conditional(BETA, X, MEAN, sigma, "permutation", samples=400).std_errors.mean()
        )
    assert errors[0] < 1e-12
    assert errors == sorted(errors)


def test_the_empirical_game_lies_between_the_two() -> None:
    root = np.linalg.cholesky(np.array([[1.0, 0.8], [0.8, 1.0]]))
    rows = np.random.default_rng(1).standard_normal((4000, 2)) @ root.T
    x = np.array([1.0, 0.0])

    def second(asked: Any) -> Any:
        return asked[:, 1]

    narrow = empirical(second, x, rows, width=0.1)(frozenset({0}))
    wide = empirical(second, x, rows, width=50.0)(frozenset({0}))
    assert narrow == pytest.approx(0.8, abs=0.08)  # E[X_2 | X_1 = 1] = 0.8
    assert wide == pytest.approx(interventional(second, x, rows)(frozenset({0})), abs=1e-3)


# Hybrid values.


def test_shares_of_a_weighted_sum_are_weights_times_differences() -> None:
    rule = WeightedSum({"tests": 3.0, "size": 1.0})
    estimate = Estimate(0.0, channels={"tests": 1.0, "size": 0.4, "tests.unit": 0.7})
    shares = channel_shares(rule, estimate, {"tests": 0.2, "size": 1.0})
    assert shares.values == pytest.approx({"tests": 0.75 * 0.8, "size": 0.25 * -0.6})
    assert shares.base == pytest.approx(0.75 * 0.2 + 0.25)


def test_shares_of_any_hybrid_sum_to_the_difference_of_values() -> None:
    inner = Product(frozenset({"a", "b"}))
    for rule in (inner, Gate(inner, "c", 0.5, 0.1), Schedule("a", "b", 2.0)):
        names = ["a", "b"] if isinstance(rule, Schedule) else ["a", "b", "c"]
        now = {"a": 0.9, "b": 0.7, "c": 1.0}
        before = {"a": 0.3, "b": 0.6, "c": 0.2}
        estimate = Estimate(0.5, n=4.0, channels={name: now[name] for name in names})
        shares = channel_shares(rule, estimate, before)
        value = {
            k: rule({name: Estimate(t[name], n=4.0) for name in names}).mean
            for k, t in (("now", now), ("before", before))
        }
        assert sum(shares.values.values()) == pytest.approx(value["now"] - value["before"])


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(BadInput, match="each once"):
        shapley(lambda s: 0.0, ["a", "a"])
    with pytest.raises(BadInput, match="21 players"):
        shapley(lambda s: 0.0, range(21))
    with pytest.raises(BadInput, match="samples=3"):
        shapley(lambda s: 0.0, ["a"], "antithetic", samples=3)
    with pytest.raises(BadInput, match="method='kernel'"):
        shapley(lambda s: 0.0, ["a"], "kernel")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no value for b"):
        channel_shares(WeightedSum({"a": 1.0, "b": 1.0}), Estimate(0, channels={"b": 1.0}), {})
    with pytest.raises(BadInput, match=r"x has shape \(3, 4\), expected \[n, 5\]"):
        linear_conditional(BETA, X[:, :4], MEAN, SIGMA)
    with pytest.raises(BadInput, match="not positive definite"):
        linear_conditional(BETA, X, MEAN, np.ones((D, D)))
    with pytest.raises(BadInput, match="1 entries that are not finite"):
        linear_interventional(BETA, X, [np.nan, 0, 0, 0, 0])
    with pytest.raises(BadInput, match="16 features"):
        linear_conditional(np.ones(16), np.ones(16), np.zeros(16), np.eye(16))
    with pytest.raises(BadInput, match=r"the model gave shape \(40, 5\)"):
        interventional(lambda rows: rows, X[0], np.ones((40, D)))(frozenset())
    with pytest.raises(BadInput, match="width=0"):
        empirical(linear, X[0], np.ones((4, D)), width=0.0)


def test_attribution_and_fusion_are_imported_without_numpy() -> None:
    names = "attribution, combine, fuse, fuse_weights, hybrid"
    code = f"import sys; from meritree.value import {names}; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
