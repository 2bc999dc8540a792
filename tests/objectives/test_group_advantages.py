"""Advantages of responses: numbers by hand, what sums to zero, what cancels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.objectives import group_advantages as ga

REWARDS = st.lists(st.floats(-5, 5), min_size=8, max_size=8)


def test_group_advantages_have_the_values_computed_by_hand(backend: Any) -> None:
    reward = backend.array([1.0, 0.0, 0.0, 1.0, 2.0, 6.0, 2.0, 2.0])
    # Group 1: mean 1/2, variance 1/3. Group 2: mean 3, variance 4.
    third = 0.5 * np.sqrt(3.0)
    by_hand = {
        "group": [third, -third, -third, third, -0.5, 1.5, -0.5, -0.5],
        "none": [0.5, -0.5, -0.5, 0.5, -1.0, 3.0, -1.0, -1.0],
    }
    for std, expected in by_hand.items():
        got = backend.numpy(ga.group(reward, 4, std, eps=0.0))  # type: ignore[arg-type]
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    # All eight: mean 1.75, squares sum to 50 - 8 * 1.75^2 = 25.5.
    batch = backend.numpy(ga.group(reward, 4, "batch", eps=0.0))
    np.testing.assert_allclose(batch, np.array(by_hand["none"]) / np.sqrt(25.5 / 7), rtol=1e-12)
    others = backend.numpy(ga.rloo(reward, 4))
    np.testing.assert_allclose(others[:5], [2 / 3, -2 / 3, -2 / 3, 2 / 3, 2 - 10 / 3], rtol=1e-12)


def test_groups_without_a_right_answer_are_centred_and_weighted(backend: Any) -> None:
    correct = backend.array([0.0, 0.0, 0.0, 1.0])
    wrong = ga.all_wrong(correct, 2)
    np.testing.assert_array_equal(backend.numpy(wrong), [True, True, False, False])
    shaped = backend.array([-0.5, -0.1, -0.5, 1.0])
    got = backend.numpy(ga.group(shaped, 2, negative=wrong, negative_weight=0.25))
    np.testing.assert_allclose(got, [-0.05, 0.05, -np.sqrt(0.5), np.sqrt(0.5)], rtol=1e-4)


@given(REWARDS, st.floats(0.1, 10), st.floats(-5, 5))
def test_every_groups_advantages_sum_to_zero_and_ignore_shifts(
    reward: list[float], scale: float, shift: float
) -> None:
    r = np.array(reward)
    for std in ("group", "batch", "none"):
        a = ga.group(r, 4, std)  # type: ignore[arg-type]
        np.testing.assert_allclose(a.reshape(2, 4).sum(1), 0.0, atol=1e-8)
        np.testing.assert_allclose(ga.group(r + shift, 4, std), a, atol=1e-6)  # type: ignore[arg-type]
    np.testing.assert_allclose(ga.rloo(r, 4).reshape(2, 4).sum(1), 0.0, atol=1e-8)
    np.testing.assert_allclose(ga.rloo(scale * r, 4), scale * ga.rloo(r, 4), atol=1e-8)


@given(REWARDS)
def test_a_prompts_weight_cancels_under_the_groups_deviation_only(reward: list[float]) -> None:
    """RLEV's weights s(x) have no effect on group-normalised GRPO."""
    r, weight = np.array(reward) + np.arange(8), np.repeat([1.0, 2.0], 4)
    normal = ga.group(weight * r, 4, eps=0.0)
    np.testing.assert_allclose(normal, ga.group(r, 4, eps=0.0), atol=1e-6)
    np.testing.assert_allclose(ga.rloo(weight * r, 4), weight * ga.rloo(r, 4), atol=1e-9)


def test_equal_rewards_have_no_advantage() -> None:
    same = np.full(8, 0.3)
    for std in ("group", "batch", "none"):
        np.testing.assert_allclose(ga.group(same, 4, std), 0.0, atol=1e-9)  # type: ignore[arg-type]
    np.testing.assert_array_equal(ga.rloo(same, 4), 0.0)


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_pairwise_advantages_of_reward_differences_are_the_groups(reward: list[float]) -> None:
    r = np.array(reward) + np.arange(4)
    d = (r[:, None] - r[None, :])[None]
    np.testing.assert_allclose(
        ga.pairwise_group(d, eps=0.0), ga.group(r, 4, eps=0.0), rtol=1e-9, atol=1e-9
    )


def test_a_cycle_of_judgements_favours_no_one(backend: Any) -> None:
    cycle = backend.array([[[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]]])
    np.testing.assert_allclose(backend.numpy(ga.pairwise_group(cycle)), 0.0, atol=1e-15)
    clear = backend.array([[[0.0, 2.0], [-2.0, 0.0]]])
    # Means 1 and -1; scale sqrt((4 + 4) / (2 * 2 * 1)) = sqrt 2.
    got = backend.numpy(ga.pairwise_group(clear, eps=0.0))
    np.testing.assert_allclose(got, [np.sqrt(0.5), -np.sqrt(0.5)], rtol=1e-12)


MASK = np.array([[1, 1, 1], [1, 1, 0]])


def test_whitened_advantages_have_mean_zero_and_variance_one(backend: Any) -> None:
    x = backend.array([[1.0, 2.0, 4.0], [5.0, 3.0, 99.0]])
    got = backend.numpy(ga.whiten(x, backend.array(MASK), eps=0.0))
    # Mean 3, variance (4 + 1 + 1 + 4 + 0) / 4.
    np.testing.assert_allclose(got, np.array([[-2, -1, 1], [2, 0, 0]]) / np.sqrt(2.5), rtol=1e-12)
    kept = backend.numpy(ga.whiten(x, backend.array(MASK), centre=False, eps=0.0))
    np.testing.assert_allclose(kept, (got + 3.0) * MASK, rtol=1e-12)
    np.testing.assert_array_equal(backend.numpy(ga.frozen_q(x, backend.array(MASK)))[1, 2], 0.0)


def test_reinforce_plus_plus_whitens_rewards_to_go(backend: Any) -> None:
    reward, mask = backend.array([[0.0, 0.0, 4.0], [2.0, 2.0, 9.0]]), backend.array(MASK)
    returns = np.array([[1.0, 2.0, 4.0], [3.0, 2.0, 0.0]])
    got = backend.numpy(ga.reinforce_pp(reward, mask, gamma=0.5))
    expected = backend.numpy(ga.whiten(backend.array(returns), mask))
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    baseline = backend.numpy(ga.reinforce_pp_baseline(backend.array([1.0, 0.0]), mask, 2))
    spread = backend.array([[0.5] * 3, [-0.5] * 3])
    np.testing.assert_allclose(baseline, backend.numpy(ga.whiten(spread, mask)), rtol=1e-12)


def test_hybrid_modes_put_the_choice_on_its_token(backend: Any) -> None:
    intra, inter = backend.array([1.0, 0.0]), backend.array([0.0, 1.0])
    mode_token = backend.array([[1, 0, 0], [1, 0, 0]])
    got = backend.numpy(ga.hybrid_mode(intra, inter, mode_token, backend.array(MASK), 2, alpha=0.5))
    a = np.sqrt(0.5)
    np.testing.assert_allclose(got, [[0.5 * a, a, a], [-0.5 * a, -a, 0.0]], rtol=1e-5)
    without = ga.hybrid_mode(intra, inter, mode_token, backend.array(MASK), 2, alpha=0.0)
    np.testing.assert_allclose(backend.numpy(without)[:, 0], [a, -a], rtol=1e-5)


def test_token_gae_has_the_values_computed_by_hand(backend: Any) -> None:
    reward, mask = backend.array([[0.0, 0.0, 1.0], [0.0, 2.0, 7.0]]), backend.array(MASK)
    values = backend.array([[0.5, 0.25, 0.75], [1.0, 0.5, 7.0]])
    # delta: (-.25, .5, .25) and (-.5, 1.5); lambda 1/2 and 0.
    advantage, returns = ga.token_gae(reward, values, mask, lam=backend.array([0.5, 0.0]))
    by_hand = [[0.0625, 0.625, 0.25], [-0.5, 1.5, 0.0]]
    np.testing.assert_allclose(backend.numpy(advantage), by_hand, rtol=1e-12)
    np.testing.assert_allclose(
        backend.numpy(returns), [[0.5625, 0.875, 1.0], [0.5, 2.0, 0.0]], rtol=1e-12
    )


def test_with_lambda_one_the_advantage_is_the_return_minus_the_value() -> None:
    rng = np.random.default_rng(4)
    reward, values = rng.normal(size=(2, 3, 6))
    mask = np.array([[1] * 6, [1] * 4 + [0] * 2, [1] + [0] * 5])
    reward = reward * mask
    advantage, returns = ga.token_gae(reward, values, mask)
    to_go = np.flip(np.cumsum(np.flip(reward, -1), -1), -1)
    np.testing.assert_allclose(returns, to_go * mask, atol=1e-12)
    np.testing.assert_allclose(advantage, (to_go - values) * mask, atol=1e-12)


def test_dvpos_released_estimator_has_no_signal_and_the_sane_one_has(backend: Any) -> None:
    """Whitened values, no reward, lambda = 1: minus the value. Paying V_T at the end repairs it."""
    values, mask = backend.array([[0.5, -1.0, 2.0], [1.0, 0.25, 0.0]]), backend.array(MASK)
    nothing = backend.array(np.zeros((2, 3)))
    released, _ = ga.token_gae(nothing, values, mask)
    np.testing.assert_allclose(backend.numpy(released), -backend.numpy(values) * MASK, rtol=1e-12)
    paid = ga.terminal_reward(backend.array([2.0, 0.25]), mask)
    np.testing.assert_allclose(backend.numpy(paid), [[0, 0, 2.0], [0, 0.25, 0]])
    sane, _ = ga.token_gae(paid, values, mask)
    np.testing.assert_allclose(backend.numpy(sane), [[1.5, 3.0, 0.0], [-0.75, 0.0, 0.0]])


def test_the_length_adaptive_lambda_grows_with_length_and_is_never_negative(backend: Any) -> None:
    got = backend.numpy(ga.length_lambda(backend.array([1.0, 20.0, 40.0, 2000.0])))
    np.testing.assert_allclose(got, [0.0, 0.0, 0.5, 0.99], atol=1e-12)
    # Its weights 1 + lambda + lambda^2 + ... sum to alpha l.
    np.testing.assert_allclose(1 / (1 - got[1:]), [1.0, 2.0, 100.0], rtol=1e-9)


def test_batches_that_are_no_groups_are_refused() -> None:
    x = np.zeros(6)
    for make, words in (
        (lambda: ga.group(x, 4), "6 rows in groups of 4"),
        (lambda: ga.rloo(x, 1), "groups of 1"),
        (lambda: ga.group(x, 3, "unbiased"), "std is 'unbiased'"),  # type: ignore[arg-type]
        (lambda: ga.pairwise_group(np.zeros((2, 3, 4))), "axis G"),
        (lambda: ga.pairwise_group(np.zeros((2, 1, 1))), "groups of 1"),
        (lambda: ga.token_gae(MASK * 1.0, MASK * 1.0, MASK, lam=1.5), "lam is 1.5"),
        (lambda: ga.length_lambda(x, alpha=0.0), "alpha is 0.0"),
        (lambda: ga.hybrid_mode(x, x, MASK, MASK, 3, alpha=-1.0), "alpha is -1.0"),
    ):
        with pytest.raises(BadInput, match=words):
            make()
