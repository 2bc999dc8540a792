"""Designs, weighted regressions, linear processes and mirror-descent value iteration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree import exact
from meritree.errors import BadInput
from meritree.exact import linear, mdvi


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(max_examples=20)
def test_the_design_is_optimal_up_to_its_epsilon(seed: int, d: int) -> None:
    X = rng(seed).standard_normal((40, d))
    design = exact.g_optimal_design(X, epsilon=0.01)
    assert design.u.sum() == pytest.approx(1.0)
    assert design.u.min() >= 0.0
    variance = exact.bonus(X, design.gram) ** 2
    assert variance.max() <= d * 1.01 + 1e-9
    # Kiefer and Wolfowitz: the mean over the design is d for every design
    assert (design.u * variance).sum() == pytest.approx(d)
    assert len(design.core(1e-3)) <= 3 * d * (d + 1)


def test_the_design_of_a_basis_is_uniform_and_weights_rescale_it() -> None:
    design = exact.g_optimal_design(np.eye(4))
    assert design.u == pytest.approx(np.full(4, 0.25))
    assert design.worst == pytest.approx(4.0)
    f = np.array([1.0, 2.0, 3.0, 4.0])
    assert exact.g_optimal_design(np.eye(4), f, epsilon=1e-6).u == pytest.approx(np.full(4, 0.25))
    same = exact.g_optimal_design(rng(1).standard_normal((20, 3)), 2.0, epsilon=1e-6)
    plain = exact.g_optimal_design(rng(1).standard_normal((20, 3)), epsilon=1e-6)
    assert np.allclose(same.u, plain.u, atol=1e-4)


def test_weighted_least_squares_repeats_rows_and_shrinks_with_a_ridge() -> None:
    X, y = rng(2).standard_normal((6, 2)), rng(3).standard_normal(6)
    w = np.array([1, 2, 3, 1, 1, 2])
    theta, Lambda = exact.weighted_ls(X, y, w)
    repeated = np.linalg.lstsq(np.repeat(X, w, axis=0), np.repeat(y, w), rcond=None)[0]
    assert np.allclose(theta, repeated)
    assert np.allclose(
        exact.bonus(X, Lambda) ** 2, np.einsum("nd,de,ne->n", X, np.linalg.inv(Lambda), X)
    )
    assert np.linalg.norm(exact.weighted_ls(X, y, w, 10.0)[0]) < np.linalg.norm(theta)
    with pytest.raises(BadInput, match="do not span"):
        exact.weighted_ls(X, y, np.array([1.0, 0, 0, 0, 0, 0]))
    with pytest.raises(BadInput, match="weights down to -1"):
        exact.weighted_ls(X, y, -1.0)
    with pytest.raises(BadInput, match="span 1 of 2"):
        exact.g_optimal_design(np.ones((3, 2)))
    with pytest.raises(BadInput, match="f goes down to 0"):
        exact.g_optimal_design(np.eye(2), [0.0, 1.0])


@pytest.mark.parametrize("make", [
    lambda: linear.soft_aggregation(8, 3, 4, rng(4)),
    lambda: linear.jackpot_aggregation(rng(5)),
    lambda: linear.hard_two_state(rng(6)),
])  # fmt: skip
def test_action_values_of_linear_processes_are_linear(make: object) -> None:
    model = make()
    Q = exact.policy_iteration(model.mdp).Q.reshape(-1)
    assert np.allclose(model.X @ np.linalg.lstsq(model.X, Q, rcond=None)[0], Q)


def test_the_hard_instance_is_the_released_one() -> None:
    model = linear.hard_two_state(rng(7))
    assert model.phi.shape == (2, 30, 4)
    best = exact.policy_iteration(model.mdp)
    b = model.phi[0, -1, 2:]
    aligned = int((model.phi[0, :, 2:] @ b).argmax())
    assert best.policy[0] == aligned
    stay = 0.9 + 0.01 * float(model.phi[0, aligned, 2:] @ b)
    assert best.V[0] == pytest.approx(1.0 / (1.0 - 0.9 * stay))
    assert best.V[1] == 0.0


def test_a_linear_process_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="sum to"):
        linear.LinearMDP(np.ones((2, 1, 1)), np.full((1, 2), 0.7), np.ones(1))
    with pytest.raises(BadInput, match="need \\[S, A, d\\]"):
        linear.LinearMDP(np.ones((2, 1, 1)), np.ones((2, 2)), np.ones(1))


def test_constant_weights_change_nothing() -> None:
    model = linear.jackpot_aggregation(rng(8))
    one, three = (
        mdvi.wls_mdvi(model, np.full((30, 4), c), rng(9), rounds=8, draws=20) for c in (1.0, 4.0)
    )
    assert np.allclose(one.theta, three.theta)


def test_theta_is_the_discounted_sum_of_all_regressions() -> None:
    model = linear.soft_aggregation(6, 2, 3, rng(10), gamma=0.8)
    fits: list[np.ndarray] = []

    def noted(X: np.ndarray, y: np.ndarray, u: np.ndarray, f: np.ndarray) -> np.ndarray:
        fits.append(mdvi.weighted_regression(X, y, u, f))
        return fits[-1]

    end = mdvi.wls_mdvi(model, np.ones((6, 2)), rng(11), rounds=7, draws=5, regression=noted)
    assert np.allclose(end.theta, sum(0.8 ** (6 - k) * fit for k, fit in enumerate(fits)))
    assert np.allclose(end.previous, sum(0.8 ** (5 - k) * fit for k, fit in enumerate(fits[:6])))


def test_with_many_draws_its_value_is_the_optimal_one() -> None:
    model = linear.soft_aggregation(6, 2, 3, rng(12), gamma=0.8)
    best = exact.policy_iteration(model.mdp)
    end = mdvi.wls_mdvi(model, np.ones((6, 2)), rng(13), rounds=120, draws=2_000_000)
    assert np.allclose(end.v(model), best.V, atol=0.01)
    assert mdvi.policy_gap(model, best.V, end.policy(model)) < 1e-9


def test_the_paired_variance_is_the_variance() -> None:
    model = linear.soft_aggregation(6, 2, 3, rng(14))
    v = rng(15).standard_normal(6)
    found = mdvi.estimated_variance(model, v, rng(16), draws=100_000)
    # Var v(s') is linear in phi only up to the square of the mean: the regression is of E v^2 - ...
    truth = mdvi.optimal_variance(model, v)
    design = exact.g_optimal_design(model.X)
    core = design.core()
    omega = exact.weighted_ls(model.X[core], truth.reshape(-1)[core], design.u[core])[0]
    assert np.allclose(found, model.phi @ omega, atol=0.03)


def test_weights_lie_between_root_h_and_h() -> None:
    model = linear.jackpot_aggregation(rng(17), gamma=0.9)
    f = mdvi.variance_weights(model, np.array([-1.0, 0.0, 4.0, 1e9]))
    assert f == pytest.approx([10**0.5, 10**0.5, 2.0 + 10**0.5, 10.0])


def test_the_whole_algorithm_counts_every_draw_and_finds_the_best_policy() -> None:
    model = linear.jackpot_aggregation(rng(20), states=8, actions=2, d=4, gamma=0.8)
    core = len(exact.g_optimal_design(model.X).core())
    weighed: list[int] = []

    def bounds(model: linear.LinearMDP, variance: np.ndarray) -> np.ndarray:
        f = mdvi.variance_weights(model, variance)
        weighed.append(len(exact.g_optimal_design(model.X, f.reshape(-1)).core()))
        return f

    end = mdvi.vwls_mdvi(model, rng(21), rounds=50, draws=100_000, pairs=1000, bounds=bounds)
    assert end.samples == 10 * 100_000 * core + 2 * 1000 * core + 40 * 100_000 * weighed[0]
    best = exact.policy_iteration(model.mdp).V
    assert mdvi.policy_gap(model, best, end.policy(model)) < 1e-3


def test_the_released_regression_shrinks_by_a_constant_weight() -> None:
    X, y, u = rng(18).standard_normal((5, 2)), rng(19).standard_normal(5), np.full(5, 0.2)
    paper = mdvi.weighted_regression(X, y, u, np.full(5, 4.0))
    released = mdvi.released_regression(X, y, u, np.full(5, 4.0))
    assert np.allclose(released, paper / 4.0)
    ones = np.ones(5)
    assert np.allclose(
        mdvi.released_regression(X, y, u, ones), mdvi.weighted_regression(X, y, u, ones)
    )
