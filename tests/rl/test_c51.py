"""The distributional operators of the study c51 (S091): contractions, means, counter-examples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from meritree.studies.rl.c51 import (
    GAMMA,
    Process,
    _contraction,
    _projected,
    _total_variation,
    alternating,
    backed_up,
    distance,
    expansion,
    process,
)
from meritree.value.heads import Categorical

RNG = np.random.default_rng(7)


def test_distances_of_laws_are_those_of_scipy() -> None:
    for _ in range(20):
        x, y = RNG.normal(size=6), RNG.normal(size=9)
        p, q = RNG.dirichlet(np.ones(6)), RNG.dirichlet(np.ones(9))
        assert distance(x, p, y, q) == pytest.approx(wasserstein_distance(x, y, p, q))


def test_the_cramer_distance_of_two_sure_returns_is_the_root_of_their_gap() -> None:
    one = np.ones(1)
    assert distance(np.zeros(1), one, np.full(1, 4.0), one, 2.0) == pytest.approx(2.0)


def test_evaluation_contracts_in_wasserstein_and_projected_in_cramer_distance() -> None:
    for _ in range(40):
        one = process(RNG)
        assert _contraction(one, RNG) <= GAMMA + 1e-9
        ratio, gap = _projected(one, RNG)
        assert ratio <= GAMMA**0.5 + 1e-9
        assert gap < 1e-9


def test_the_wasserstein_rate_is_reached_where_all_returns_move_alike() -> None:
    chain = Process(np.eye(1), np.zeros((1, 1)))
    sure = np.ones((1, 1))
    (a, p), (b, q) = (backed_up(chain, np.full((1, 1), z), sure) for z in (0.0, 2.0))
    assert distance(a[0], p[0], b[0], q[0]) == pytest.approx(GAMMA * 2.0)


def test_total_variation_does_not_shrink() -> None:
    for _ in range(20):
        assert _total_variation(process(RNG)) == pytest.approx(1.0)


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 0.25])
def test_a_greedy_backup_throws_laws_apart_as_computed_by_hand(epsilon: float) -> None:
    # |F - G| of the sure 0 and the coin epsilon +- 1: half of 1 + epsilon and of 1 - epsilon.
    assert expansion(epsilon) == pytest.approx(1.0 / (2.0 * epsilon))


def test_greedy_backups_of_tied_actions_alternate_and_keep_the_mean() -> None:
    laws = alternating(50)
    coin, sure = [0.5, 0.0, 0.5], [0.0, 1.0, 0.0]
    for k, law in enumerate(laws):
        np.testing.assert_allclose(law.weights, coin if k % 2 == 0 else sure, atol=1e-12)
        assert law.values @ law.weights == pytest.approx(0.0)


def test_two_atoms_are_a_coin_with_the_right_mean() -> None:
    head = Categorical(0.0, 1.0, 2)
    p, r, boot = 0.3, 0.1, 0.8
    target = head.target(np.asarray([[1 - p, p]]), np.asarray([[r]]), np.asarray([boot]))
    np.testing.assert_allclose(target, [[1 - (r + boot * p), r + boot * p]])


def test_scaling_rewards_with_the_support_changes_no_probability() -> None:
    law = RNG.dirichlet(np.ones(11), size=4)
    reward, boot = RNG.normal(size=(4, 1)), np.full(4, 0.9)
    plain = Categorical(-1.0, 2.0, 11).target(law, reward, boot)
    scale, offset = 3.0, 5.0
    moved = Categorical(-scale + offset, 2.0 * scale + offset, 11).target(
        law, scale * reward + offset * (1.0 - boot[:, None]), boot
    )
    np.testing.assert_allclose(moved, plain, atol=1e-12)


def test_no_mass_is_lost_where_returns_leave_the_support() -> None:
    law = RNG.dirichlet(np.ones(11), size=5)
    far = np.asarray([[50.0], [-50.0], [0.3], [2.0], [-1.0]])
    target = Categorical(-1.0, 1.0, 11).target(law, far, np.full(5, 0.9))
    np.testing.assert_allclose(target.sum(axis=-1), 1.0)
    np.testing.assert_allclose([target[0, -1], target[1, 0]], 1.0)
