"""Continuous-time evaluation: exact expectations by a tree whose steps have the normal moments."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.exact.martingale import (
    Family,
    discounted,
    martingale_loss_minimiser,
    mstde_minimiser,
    orthogonality_solution,
    td0,
    td_lambda,
    values,
)
from meritree.objectives.advantages import martingale_increments, martingale_loss, moments

STEP = np.array([-(3.0**0.5), 0.0, 0.0, 0.0, 0.0, 3.0**0.5])  # moments 1 to 5 of a normal


def tree(K: int) -> np.ndarray:
    """[K + 1, 6^K] all paths of X with dX = dW on [0, 1], equally likely; X_0 = 0."""
    moves = np.array(list(product(STEP, repeat=K))).T / K**0.5
    return np.concatenate([np.zeros((1, moves.shape[1])), np.cumsum(moves, axis=0)])


def brownian(X: np.ndarray) -> Family:
    """J = x^2 + (T - t) + theta (T - t) x^2, true at theta = 0; no running reward."""
    K = len(X) - 1
    left = (1.0 - np.arange(K + 1) / K)[:, None]
    return Family(X**2 + left, (left * X**2)[..., None], np.zeros((K, X.shape[1])), 1.0 / K)


def running(X: np.ndarray) -> Family:
    """Reward x^2: J = theta_1 (T - t) x^2 + theta_2 (T - t)^2, true at (1, 1/2) as dt -> 0."""
    K = len(X) - 1
    left = (1.0 - np.arange(K + 1) / K)[:, None]
    phi = np.stack([left * X**2, left**2 + 0.0 * X], axis=-1)
    return Family(0.0 * X, phi, X[:-1] ** 2 / K, 1.0 / K)


def mstde_limit(K: int) -> float:
    """The minimiser of the mean squared TD error on a mesh, from normal moments by hand."""
    t, dt = np.arange(K) / K, 1.0 / K
    later = 1.0 - t - dt
    cross = later * (4.0 * t * dt + 2.0 * dt**2)
    square = later**2 * (4.0 * t * dt + 3.0 * dt**2) - 2.0 * later * dt**2 * t + 3.0 * dt**2 * t**2
    return float(-cross.sum() / square.sum())


@pytest.mark.parametrize("K", [2, 4])
def test_sound_conditions_find_the_value_on_every_mesh(K: int) -> None:
    family = brownian(tree(K))
    assert np.abs(martingale_loss_minimiser(family)).max() < 1e-12
    for test in (td0(family), td_lambda(family, 0.5), 1.0 + family.g[:-1, :, None]):
        assert np.abs(orthogonality_solution(family, test)).max() < 1e-12


@pytest.mark.parametrize("K", [2, 3, 4])
def test_the_mean_squared_td_error_finds_what_the_closed_form_says(K: int) -> None:
    assert mstde_minimiser(brownian(tree(K)))[0] == pytest.approx(mstde_limit(K), rel=1e-9)


def test_the_wrong_goal_tends_to_minus_two() -> None:
    found = [mstde_limit(K) for K in (10, 40, 160, 10_000)]
    assert found[:3] == pytest.approx([-1.570, -1.880, -1.971], abs=0.02)
    assert found[3] == pytest.approx(-2.0, abs=1e-3)


def test_lambda_one_is_the_martingale_loss_exactly() -> None:
    rng = np.random.default_rng(0)
    X = np.cumsum(rng.standard_normal((20, 50)), axis=0)
    family = running(X)
    assert np.allclose(
        orthogonality_solution(family, td_lambda(family, 1.0)), martingale_loss_minimiser(family)
    )


def test_solutions_are_zeros_and_minima_of_the_objectives() -> None:
    X = tree(3)
    family = running(X)
    theta = orthogonality_solution(family, td0(family))
    dM = martingale_increments(values(family, theta), family.reward_dt)
    assert np.abs(moments(td0(family), dM).mean(axis=0)).max() < 1e-12

    def loss(theta: np.ndarray) -> float:
        J = values(family, theta)
        to_go = J[-1] + np.cumsum(family.reward_dt[::-1], axis=0)[::-1]
        return float(martingale_loss(J[:-1], to_go, family.dt).mean())

    best = martingale_loss_minimiser(family)
    for move in ([0.1, 0.0], [0.0, 0.1], [-0.05, 0.05]):
        assert loss(best + np.array(move)) > loss(best)


@pytest.mark.parametrize("solve", [
    martingale_loss_minimiser, lambda f: orthogonality_solution(f, td0(f)),
])  # fmt: skip
def test_the_error_of_the_mesh_is_of_first_order(solve: object) -> None:
    errors = [np.abs(solve(running(tree(K))) - [1.0, 0.5]).sum() for K in (3, 4, 5)]
    slope = np.polyfit(np.log([1 / 3, 1 / 4, 1 / 5]), np.log(errors), 1)[0]
    assert 0.8 <= slope <= 1.2


def test_the_discounted_value_is_a_martingale_of_the_discounted_reward() -> None:
    """r = beta J makes any constant J a discounted martingale on the mesh, up to the mesh."""
    beta, K = 0.7, 5
    X = tree(K)
    left = np.append(np.ones(K), 0.0)[:, None] + 0.0 * X
    exact = (np.exp(beta / K) - 1.0) * K  # so that the discrete martingale holds exactly
    reward = np.full((K, X.shape[1]), 3.0 * exact / K) * np.exp(-beta / K)
    family = Family(3.0 * (1.0 - left), left[..., None], reward, 1.0 / K)
    theta = orthogonality_solution(discounted(family, beta), td0(discounted(family, beta)))
    assert theta == pytest.approx([3.0], abs=1e-12)


def test_more_test_processes_than_parameters_are_weighed_by_the_metric() -> None:
    family = running(np.cumsum(np.random.default_rng(1).standard_normal((9, 200)), axis=0))
    both = np.concatenate([td0(family), td_lambda(family, 0.5)], axis=-1)
    only_first = np.diag([1.0, 1.0, 0.0, 0.0])
    assert np.allclose(
        orthogonality_solution(family, both, only_first),
        orthogonality_solution(family, td0(family)),
    )


def test_bad_families_and_tests_are_refused() -> None:
    good = brownian(tree(2))
    with pytest.raises(BadInput, match="not 0 at the last time"):
        mstde_minimiser(good._replace(phi=good.phi + 1.0))
    with pytest.raises(BadInput, match="need \\[K \\+ 1, n\\]"):
        mstde_minimiser(good._replace(g=good.g[:-1]))
    with pytest.raises(BadInput, match="test has shape"):
        orthogonality_solution(good, good.phi[:-1, :, :0])
    with pytest.raises(BadInput, match="do not pin theta down"):
        orthogonality_solution(good, np.zeros((2, 36, 1)))
    with pytest.raises(BadInput, match="depend on each other"):
        martingale_loss_minimiser(brownian(tree(1)))
    with pytest.raises(BadInput, match="lambda = 0"):
        td_lambda(good, 0.0)
