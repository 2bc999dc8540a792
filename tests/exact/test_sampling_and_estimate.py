"""Episodes, and what temporal differences and Monte Carlo make of them."""

from __future__ import annotations

import numpy as np
import pytest

from meritree import exact
from meritree.errors import BadInput
from meritree.exact import models
from meritree.exact.estimate import step_variance


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_episodes_stop_at_ends_and_pay_nothing_after_them() -> None:
    episodes = exact.sample_episodes(models.random_walk(5), None, 200, rng())
    assert (episodes.states[:, 0] == 2).all()
    assert (episodes.states[:, -1] == 5).all()
    assert (episodes.rewards[~episodes.taken] == 0.0).all()
    assert (episodes.states[:, 1:][~episodes.taken] == 5).all()
    assert set(np.unique(episodes.rewards.sum(axis=1))) == {0.0, 1.0}
    jumps = np.diff(np.where(episodes.states == 5, -1, episodes.states), axis=1)
    inside = episodes.taken & (episodes.states[:, 1:] != 5)
    assert (np.abs(jumps[inside]) == 1).all()


def test_frequencies_of_samples_are_the_probabilities() -> None:
    mdp = models.garnet(5, 2, 3, rng(1))
    draws = exact.generative(mdp, [0, 1], [1, 0], 40_000, rng(2))
    assert draws.shape == (2, 40_000)
    for row, P in zip(draws, mdp.P[[0, 1], [1, 0]], strict=True):
        assert np.abs(np.bincount(row, minlength=5) / 40_000 - P).max() < 0.015
    counts = exact.generative_counts(mdp.P, 40_000, rng(3))
    assert (counts.sum(axis=-1) == 40_000).all()
    assert np.abs(counts / 40_000 - mdp.P).max() < 0.015
    walked = exact.sample_episodes(mdp, [1, 0, 1, 0, 1], 4_000, rng(4), horizon=1)
    assert np.abs(np.bincount(walked.states[:, 0], minlength=5) / 4_000 - 0.2).max() < 0.03
    assert (walked.actions[:, 0] == np.array([1, 0, 1, 0, 1])[walked.states[:, 0]]).all()


def test_the_same_generator_gives_the_same_episodes() -> None:
    mdp = models.garnet(5, 2, 3, rng(1))
    one, two = (exact.sample_episodes(mdp, None, 9, rng(7), horizon=6) for _ in range(2))
    for left, right in zip(one, two, strict=True):
        assert np.array_equal(left, right)


def test_first_visits_by_hand() -> None:
    """0 -> 1 -> 0 -> end with rewards 1, 2, 4, and 1 -> end with reward 8."""
    states = np.array([[0, 1, 0, 2], [1, 2, 2, 2]])
    taken = np.array([[True, True, True], [True, False, False]])
    rewards = np.array([[1.0, 2.0, 4.0], [8.0, 0.0, 0.0]])
    episodes = exact.Episodes(states, np.zeros_like(taken, dtype=int), rewards, taken)
    assert exact.mc_first_visit(episodes, 4)[:2].tolist() == [7.0, 7.0]
    assert np.isnan(exact.mc_first_visit(episodes, 4)[2:]).all()
    # every visit: state 0 has returns 7 and 4, state 1 has 6 and 8
    assert exact.td_lambda(episodes, 3, lambda_=1.0)[:2].tolist() == [5.5, 7.0]
    # certainty equivalence: V0 = (1 + 4)/2 + V1/2, V1 = (2 + 8)/2 + V0/2
    assert exact.td_lambda(episodes, 3)[:2] == pytest.approx([20 / 3, 25 / 3])


def test_lstd_is_the_value_of_the_estimated_chain() -> None:
    chain = models.random_absorbing_chain(6, rng(3))
    episodes = exact.sample_episodes(chain, None, 300, rng(4))
    counts = np.zeros((7, 7))
    s, t = episodes.states[:, :-1][episodes.taken], episodes.states[:, 1:][episodes.taken]
    np.add.at(counts, (s, t), 1.0)
    counts[6, 6] = 1.0
    P = counts / counts.sum(axis=1, keepdims=True)
    same = exact.markov_reward_process(P, chain.rewards[:, 0], mu0=chain.mu0)
    assert np.allclose(exact.td_lambda(episodes, 7)[:6], exact.evaluate(same)[:6])


def test_many_data_sets_at_once_are_the_sets_one_by_one() -> None:
    chain = models.random_absorbing_chain(5, rng(8))
    episodes = exact.sample_episodes(chain, None, 90, rng(9))
    td = exact.certainty_equivalence(episodes, 6, sets=3)
    mc = exact.mc_first_visit(episodes, 6, sets=3)
    for k in range(3):
        part = episodes.part(30 * k, 30 * (k + 1))
        assert np.allclose(td[k], exact.td_lambda(part, 6), equal_nan=True)
        assert np.allclose(mc[k], exact.mc_first_visit(part, 6), equal_nan=True)
    with pytest.raises(BadInput, match="do not make 4 data sets"):
        exact.mc_first_visit(episodes, 6, sets=4)


def test_td_one_is_monte_carlo_where_no_state_comes_back() -> None:
    chain = models.layered_chain(3, 4)
    episodes = exact.sample_episodes(chain, None, 60, rng(5))
    td, mc = exact.td_lambda(episodes, 14, lambda_=1.0), exact.mc_first_visit(episodes, 14)
    assert np.allclose(td[:12], mc[:12], equal_nan=True)


def test_online_td_comes_near_the_values() -> None:
    walk = models.random_walk(3)
    episodes = exact.sample_episodes(walk, None, 20_000, rng(6))
    assert exact.online_td(episodes, 4, power=0.8)[:3] == pytest.approx([0.25, 0.5, 0.75], abs=0.03)


@pytest.mark.parametrize(("width", "depth"), [(1, 3), (2, 3), (4, 2), (8, 6)])
def test_pooling_in_the_layered_chain_is_one_over_its_width(width: int, depth: int) -> None:
    pooling = exact.pooling_coefficient(models.layered_chain(width, depth))
    assert np.allclose(pooling.coefficient[: width * (depth - 1)], 1.0 / width)
    assert np.allclose(pooling.coefficient[width * (depth - 1) : width * depth], 1.0)
    assert np.allclose(pooling.mc[:width], width * 0.25)


def test_pooling_lies_in_zero_to_one_and_is_one_on_a_single_path() -> None:
    for seed in range(10):
        found = exact.pooling_coefficient(models.random_absorbing_chain(6, rng(seed))).coefficient
        assert np.isnan(found[6])
        assert ((found[:6] > 0.0) & (found[:6] <= 1.0 + 1e-12)).all()
    path = np.diag(np.ones(4), 1)
    path[4, 4] = 1.0
    path[3] = [0.0, 0.0, 0.0, 0.5, 0.5]  # a geometric wait before the end
    R = np.zeros((5, 5))
    R[3, 4], R[3, 3] = 1.0, 0.5
    line = exact.markov_reward_process(path, R, mu0=[1, 0, 0, 0, 0])
    assert np.allclose(exact.pooling_coefficient(line).coefficient[:4], 1.0)


def test_the_predicted_errors_are_the_measured_ones() -> None:
    chain = models.random_absorbing_chain(4, rng(11), stop=0.4)
    V, theory = exact.evaluate(chain)[:4], exact.pooling_coefficient(chain)
    n, repeats = 300, 300
    episodes = exact.sample_episodes(chain, None, n * repeats, rng(12))
    td = exact.certainty_equivalence(episodes, 5, sets=repeats)[:, :4] - V
    mc = exact.mc_first_visit(episodes, 5, sets=repeats)[:, :4] - V
    assert np.allclose(n * (td**2).mean(axis=0), theory.td[:4], rtol=0.25)
    assert np.allclose(n * (mc**2).mean(axis=0), theory.mc[:4], rtol=0.25)


def test_the_variance_of_a_return_is_the_sum_of_its_steps() -> None:
    """Law of total variance along a chain: Var G_s = sum_x eta_sx sigma^2(x)."""
    chain = models.layered_chain(3, 3, p=0.3)
    sigma2 = step_variance(chain)
    assert np.allclose(sigma2[:6], 0.0)
    assert np.allclose(sigma2[6:9], 0.3 * 0.7)


def test_crossing_times_by_hand() -> None:
    chain = models.layered_chain(4, 3)
    times = exact.crossing_time(chain.P[:, 0], chain.ends)
    assert times[0, 1] == pytest.approx(1 + 3 / 4 + 9 / 16)
    assert times[0, 0] == 0.0
    assert times[12, 13] == 0.0  # both are ends
    apart = np.eye(2)[[1, 0]]  # two states that change places for ever
    assert np.isinf(exact.crossing_time(apart)[0, 1])
    coin = np.full((2, 2), 0.5)
    assert exact.crossing_time(coin)[0, 1] == pytest.approx(2.0)


def test_a_pair_that_may_miss_for_ever_has_infinite_crossing_time() -> None:
    P = np.zeros((4, 4))
    P[0, [2, 3]] = P[1, [2, 3]] = 0.5
    P[2, 2] = P[3, 3] = 1.0
    assert np.isinf(exact.crossing_time(P)[0, 1])
    assert exact.crossing_time(P, [False, False, True, True])[0, 1] == pytest.approx(1.0)


def test_what_cannot_be_sampled_or_solved_is_refused() -> None:
    walk = models.random_walk(3)
    with pytest.raises(BadInput, match="n = 0"):
        exact.sample_episodes(walk, None, 0, rng())
    with pytest.raises(BadInput, match="longer than 100 steps"):
        exact.sample_episodes(models.river_swim(3), None, 2, rng(), most=100)
    over = exact.MDP(walk.P, walk.R, 1.0, np.eye(4)[3])
    with pytest.raises(BadInput, match="every first state is an end"):
        exact.sample_episodes(over, None, 2, rng())
    episodes = exact.sample_episodes(walk, None, 2, rng())
    with pytest.raises(BadInput, match="singular"):
        exact.lstd(episodes, np.ones((4, 2)))
    with pytest.raises(BadInput, match=r"gamma = 0\.9"):
        exact.pooling_coefficient(models.river_swim(3, gamma=0.9))
