"""Tabular Q-learning under shifted rewards: the equivalence, and where it ends."""

from __future__ import annotations

import numpy as np
import pytest

from meritree import exact
from meritree.errors import BadInput
from meritree.exact import models
from meritree.exact.learning import offline_q, q_learning
from meritree.value.transforms import scale_and_shift, shift


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("c", [-0.3, 0.2])
def test_learning_from_shifted_rewards_is_starting_elsewhere(c: float) -> None:
    """r + c from Q = 0 and r from Q = -c/(1 - gamma): the same actions, values a constant apart."""
    rooms = models.four_rooms(7, gamma=0.95)
    away = c / (1.0 - rooms.gamma)
    shifted = exact.transformed(rooms, scale_and_shift(1.0, c))
    runs = q_learning(
        rooms, np.stack([shifted.rewards, rooms.rewards]), rng(1),
        q0=[0.0, -away], end_value=[away, 0.0], episodes=60, most=80,
    )  # fmt: skip
    assert runs.lengths.sum() > 5000
    assert np.array_equal(runs.lengths[0], runs.lengths[1])
    assert np.array_equal(runs.finished[0], runs.finished[1])
    assert np.abs(runs.Q[0] - runs.Q[1] - away).max() < 1e-12


def test_the_transform_that_goes_on_at_ends_is_the_shift_with_a_value_of_the_end() -> None:
    """value.transforms.shift pays c/(1 - gamma) on arrival; the end itself then is worth 0."""
    rooms, c = models.four_rooms(7, gamma=0.95), -0.1
    away = c / (1.0 - rooms.gamma)
    plain = exact.transformed(rooms, scale_and_shift(1.0, c))
    lasting = exact.transformed(rooms, shift(c, rooms.gamma))
    one = q_learning(rooms, plain.rewards[None], rng(2), end_value=away, episodes=40, most=60)
    two = q_learning(rooms, lasting.rewards[None], rng(2), episodes=40, most=60)
    live = ~rooms.ends
    # c + gamma c/(1 - gamma) = c/(1 - gamma): equal targets at the end
    assert np.allclose(one.Q[0, live], two.Q[0, live])
    assert np.array_equal(one.lengths, two.lengths)


def test_a_lasting_shift_keeps_the_best_policy_and_a_plain_one_need_not() -> None:
    """A short way that pays 1 against a long one that pays 1.5: paying for each step decides."""
    P = np.zeros((4, 2, 4))
    P[0, 0, 3] = P[0, 1, 1] = 1.0
    P[1, :, 2] = P[2, :, 3] = P[3, :, 3] = 1.0
    R = np.zeros((4, 2))
    R[0, 0], R[2] = 1.0, 1.5
    mdp = exact.MDP(P, R, 0.95, [1, 0, 0, 0])
    assert exact.policy_iteration(mdp).policy[0] == 1
    for c in (-0.6, -0.3, 0.4):
        kept = exact.policy_iteration(exact.transformed(mdp, shift(c, 0.95)))
        assert kept.policy[0] == 1
        live = ~mdp.ends
        apart = kept.V[live] - exact.policy_iteration(mdp).V[live]
        assert np.allclose(apart, c / 0.05)
    hurried = exact.policy_iteration(exact.transformed(mdp, scale_and_shift(1.0, -0.6)))
    assert hurried.policy[0] == 0


def test_a_negative_shift_explores_more_than_a_positive_one() -> None:
    rooms = models.four_rooms(11, gamma=0.98)
    tables = np.stack([
        exact.transformed(rooms, shift(c, rooms.gamma)).rewards for c in (-0.01, 0.0, 0.1)
    ])  # fmt: skip
    runs = q_learning(rooms, tables, rng(3), episodes=90, most=100)
    negative, zero, positive = runs.finished.mean(axis=1)
    assert negative > 0.5
    assert negative > 3.0 * zero
    assert positive == 0.0
    assert runs.visited[0] == rooms.S
    assert (runs.returns[0] == runs.finished[0]).all()  # returns are of the process, not shifted


def test_offline_values_of_what_was_never_seen_stay_where_they_began() -> None:
    mdp = models.garnet(5, 2, 2, rng(4))
    full = np.rint(mdp.P * 1e6)
    assert np.allclose(offline_q(mdp, mdp.rewards, full), exact.policy_iteration(mdp).Q, atol=1e-3)
    part = full.copy()
    part[:, 1] = 0.0
    low = offline_q(mdp, mdp.rewards, part, q0=-1e6)
    assert (low[:, 1] == -1e6).all()
    assert np.allclose(low[:, 0], exact.evaluate(mdp, np.zeros(5, dtype=int)), atol=1e-3)


@pytest.mark.parametrize("c", [-0.4, 0.7])
def test_among_actions_of_the_data_a_shift_moves_values_alike_and_no_policy(c: float) -> None:
    """Tabular BCQ: nothing is bootstrapped from what was never seen, so no start is left over."""
    gains = models.garnet(8, 3, 2, rng(5))
    mdp = exact.MDP(gains.P, -rng(8).random(gains.R.shape), gains.gamma)  # 0 is optimistic
    seen = np.eye(3, dtype=bool)[rng(6).integers(0, 3, 8)] | (rng(7).random((8, 3)) < 0.4)
    counts = np.rint(mdp.P * 1e6) * seen[:, :, None]
    moved = exact.transformed(mdp, shift(c, mdp.gamma)).rewards
    away = c / (1.0 - mdp.gamma)
    plain, shifted = (offline_q(mdp, r, counts, among=seen) for r in (mdp.rewards, moved))
    assert np.allclose((shifted - plain)[seen], away, atol=1e-9)
    loose, loosened = (offline_q(mdp, r, counts) for r in (mdp.rewards, moved))
    assert np.abs((loosened - loose)[seen] - away).max() > 0.1
    # All actions possible is no restriction, and nor is a state without any.
    free = offline_q(mdp, moved, counts)
    assert np.array_equal(offline_q(mdp, moved, counts, among=np.ones((8, 3), bool)), free)
    assert np.array_equal(offline_q(mdp, moved, counts, among=np.zeros((8, 3), bool)), free)


def test_rewards_of_another_process_are_refused() -> None:
    with pytest.raises(BadInput, match="learned has shape"):
        q_learning(models.random_walk(3), np.zeros((1, 2, 1, 2)), rng(), episodes=1, most=1)
