"""Shapes of rewards and rewards that are formulas: by hand, bounds, invariances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.objectives import rewards, shapes

LN3 = np.log(3.0)


def test_shapes_against_a_reference_have_the_values_computed_by_hand(backend: Any) -> None:
    reward, ref = backend.array([LN3, 0.0]), backend.array([[0.0, 2 * LN3], [0.0, 0.0]])
    by_hand = {
        "par": [(3 / 4 + 1 / 4) / 2, 0.5],
        "centred": [0.0, 0.0],
        "relative_tanh": [0.0, 0.0],
        "relative_arctan": [0.0, 0.0],
        "relative_polynomial": [0.5, 0.5],
    }
    for name, expected in by_hand.items():
        got = backend.numpy(getattr(shapes, name)(reward, ref))
        np.testing.assert_allclose(got, expected, atol=1e-12, err_msg=name)
    slow = backend.numpy(shapes.slow_then_fast(backend.array([3.0 + LN3]), backend.array([[0.0]])))
    np.testing.assert_allclose(slow, [0.75], rtol=1e-12)
    # Reference 0 and 2: mean 1, deviation sqrt 2; 85 % of a normal lie below mean + 1.0364 sd.
    lsc = shapes.log_sigmoid_centred(backend.array([1.0]), backend.array([[0.0, 2.0]]))
    z = 1.0364333894937896 * (np.sqrt(2.0) + 1e-5)
    np.testing.assert_allclose(backend.numpy(lsc), [-np.log1p(np.exp(z))], rtol=1e-12)


def test_the_constants_of_the_shapes_are_what_they_are_called() -> None:
    from scipy.stats import norm

    x = np.linspace(-5, 5, 100)
    fit = np.polyfit(x, 1 / (1 + np.exp(-x)), 5)
    np.testing.assert_allclose(shapes._SIGMOID_FIT, [fit[4], fit[2], fit[0]], rtol=1e-8)
    np.testing.assert_allclose(shapes._Z85, norm.ppf(0.85), rtol=1e-12)
    ends = shapes.relative_polynomial(np.array([-7.0, 7.0]), np.zeros((2, 1)))
    np.testing.assert_array_equal(ends, [0.0, 1.0])


@given(
    st.lists(st.floats(-30, 30), min_size=3, max_size=3),
    st.lists(st.floats(-30, 30), min_size=3, max_size=3),
    st.floats(-9, 9),
)
def test_par_is_a_win_probability_of_the_prompt(r: Any, ref: Any, shift: float) -> None:
    reward, reference = np.array(r), np.array(ref)[:, None]
    shaped = shapes.par(reward, reference)
    assert ((shaped >= 0) & (shaped <= 1)).all()
    moved = shapes.par(reward + shift, reference + shift)
    np.testing.assert_allclose(moved, shaped, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(shapes.par(reward, reward[:, None]), 0.5)
    assert np.abs(shapes.par(reward + 1e-3, reference) - shaped).max() <= 0.25e-3 + 1e-12


def test_a_bounded_reward_bounds_the_tilt_of_the_best_policy() -> None:
    """KL-regularised optimum under PAR: no answer gains more than e^(1 / beta) on another."""
    from meritree.objectives.divergences import best_policy

    reward, ref = np.array([50.0, 0.0, -50.0]), np.log([0.2, 0.3, 0.5])
    beta = 0.5
    tilt = best_policy(shapes.par(reward, np.zeros((3, 1))), ref, beta) / np.exp(ref)
    assert tilt.max() / tilt.min() <= np.exp(1 / beta) * (1 + 1e-9)
    raw = best_policy(reward, ref, beta) / np.exp(ref)
    assert raw.max() / raw.min() > np.exp(100)


def test_length_penalties_have_the_values_computed_by_hand(backend: Any) -> None:
    length = backend.array([10.0, 30.0, 11.0, 100.0])
    got = shapes.length_penalty(backend.array(np.zeros(4)), length, free=20.0, per_token=0.1)
    np.testing.assert_allclose(backend.numpy(got), [0.0, -1.0, 0.0, -8.0], rtol=1e-12)
    correct = backend.array([1.0, 0.0, 0.0, 0.0])
    got = shapes.length_vs_correct(length, correct, size=2, cap=0.5, slack=0.2)
    # Group 1: L* = 10, |30 - 10| / 10 - 0.2 > 1, so the cap. Group 2 has no right answer.
    np.testing.assert_allclose(backend.numpy(got), [0.0, -0.5, 0.0, 0.0], atol=1e-12)
    got = shapes.length_vs_correct(backend.array([10.0, 15.0]), backend.array([1.0, 0.0]), 2)
    np.testing.assert_allclose(backend.numpy(got), [0.0, -0.3], rtol=1e-12)


def test_value_scale_pays_at_most_double(backend: Any) -> None:
    correct, value = backend.array([1.0, 1.0, 0.0, 1.0]), backend.array([0.0, 0.02, 1.0, 0.5])
    got = backend.numpy(shapes.value_scale(correct, value))
    np.testing.assert_allclose(got, [1.0, 1.2, 0.0, 2.0], rtol=1e-12)


def test_lens_has_the_values_computed_by_hand(backend: Any) -> None:
    # Group 1: all wrong, p = 1/2, 1/4 per token; D = 1. Odds 1 and 1/3, divided by G = 2.
    # Group 2: one right, pi_old = 1/8: 1 / D_imp = 8 / 2, D_imp = 1/4 < 2 max p = 1.
    logp = backend.array(np.log([0.25, 0.0625, 0.125, 0.25]))
    length, correct = backend.array([2.0, 2.0, 3.0, 1.0]), backend.array([0.0, 0.0, 1.0, 0.0])
    got = backend.numpy(shapes.lens(correct, logp, length, 2))
    np.testing.assert_allclose(got, [-0.5, -1 / 6, 1.0, -1 / 6], rtol=1e-12)
    # D_imp decides: one right answer of probability 1/16 in 4 tokens (p = 1/2), wrong p = 1/4:
    # D_imp = 2 / 16 ... below 2 max p = 1; with certainty 0.9 in one token D_imp = 1.8 = 2 max p.
    sure = shapes.lens(
        backend.array([1.0, 0.0]), backend.array(np.log([0.9, 0.3])), backend.array([1.0, 1.0]), 2
    )
    np.testing.assert_allclose(backend.numpy(sure), [1.0, -0.5 * 0.3 / 1.5], rtol=1e-12)


@given(
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.lists(st.floats(-2000, -0.01), min_size=4, max_size=4),
    st.lists(st.integers(1, 500), min_size=4, max_size=4),
)
def test_lens_keeps_right_above_wrong_and_orders_mistakes_by_confidence(
    right: Any, logp: Any, length: Any
) -> None:
    correct = np.array(right, float)
    shaped = shapes.lens(correct, np.array(logp), np.array(length, float), 4)
    assert (shaped[correct == 1] == 1.0).all()
    wrong = shaped[correct == 0]
    assert ((wrong <= 0.0) & (wrong >= -0.25 - 1e-12)).all()
    confidence = (np.array(logp) / np.array(length))[correct == 0]
    assert (np.diff(wrong[np.argsort(confidence)]) <= 1e-12).all()


def test_the_lens_weight_gives_the_gradient_of_the_likelihood_of_correctness() -> None:
    """Theorem 2: on policy, r - (1 - r) p / (D - p) weighs as J+ - J- with w(z) = -log(1-z)/z - 1.

    By enumeration over six answers; the exact gradient of the log-likelihood of verdicts is
    compared with that of the two expectations.
    """
    import torch

    rng = np.random.default_rng(0)
    right = torch.tensor(rng.uniform(0, 1, 6))
    logits = torch.tensor(rng.normal(size=6), requires_grad=True)
    p, d = logits.softmax(0), 2.0
    weight = (right - (1 - right) * p / (d - p)).detach()
    by_reward = torch.autograd.grad(
        (p.detach() * weight * p.log()).sum(), logits, retain_graph=True
    )
    z = p / d
    j = (p * right).sum() - (p * (-torch.log1p(-z) / z - 1) * (1 - right)).sum()
    by_objective = torch.autograd.grad(j, logits)
    np.testing.assert_allclose(by_reward[0].numpy(), by_objective[0].numpy(), atol=1e-12)


def test_dual_reconstruction_is_one_only_for_a_perfect_return(backend: Any) -> None:
    got = backend.numpy(shapes.dual_reconstruction(backend.array([0.0, 1.0, 2.0]), math.log(2.0)))
    np.testing.assert_allclose(got, [1.0, 0.5, 0.25], rtol=1e-12)
    hard = backend.numpy(shapes.dual_reconstruction(backend.array([0.0, 1.0]), 1e3))
    np.testing.assert_allclose(hard, [1.0, 0.0], atol=1e-15)


MODES = np.array([0, 0, 1, 1])


def test_hybrid_thinking_rewards_have_the_values_computed_by_hand(backend: Any) -> None:
    reward, mode = backend.array([0.5, 1.0, 1.0, 1.0]), backend.array(MODES)
    best = backend.numpy(shapes.best_in_mode(reward, mode, 4))
    np.testing.assert_array_equal(best, [0.0, 1.0, 1.0, 1.0])
    # Means 0.75 and 1: thinking wins by 0.25, more than 0.2, not more than 0.25 or 0.3.
    for delta, winner in ((0.2, 1), (0.25, 0), (0.3, 0), (-float("inf"), 1), (float("inf"), 0)):
        got = backend.numpy(shapes.better_mode(reward, mode, 4, delta))
        np.testing.assert_array_equal(got, winner == MODES)


def test_aspects_of_unlike_scales_count_the_same(backend: Any) -> None:
    aspects = backend.array([[1.0, 300.0], [0.0, 100.0]])
    weight = backend.array([1.0, 0.5])
    got = backend.numpy(shapes.normalise_then_sum(aspects, weight, 2, eps=0.0))
    np.testing.assert_allclose(got, [1.5 * np.sqrt(0.5), -1.5 * np.sqrt(0.5)], rtol=1e-12)


def test_shapes_are_chained_from_left_to_right() -> None:
    double_then_add = shapes.chain(lambda r: 2 * r, lambda r: r + 1)
    np.testing.assert_array_equal(double_then_add(np.array([3.0])), [7.0])


def test_a_rubric_is_the_weighted_share_of_criteria_met(backend: Any) -> None:
    aspects = backend.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    weight = backend.array([[1.0, 0.7, 0.3], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    got = backend.numpy(rewards.rubric(aspects, weight))
    np.testing.assert_allclose(got, [0.65, 1.0, 0.0], rtol=1e-12)
    scaled = backend.numpy(rewards.rubric(aspects, 5.0 * weight))
    np.testing.assert_allclose(scaled, got, rtol=1e-12)


def test_numbers_within_the_tolerance_are_right(backend: Any) -> None:
    value, target = backend.array([104.0, 106.0, -96.0]), backend.array([100.0, 100.0, -100.0])
    got = backend.numpy(rewards.relative_tolerance(value, target))
    np.testing.assert_array_equal(got, [1.0, 0.0, 1.0])


def test_boxes_have_the_overlap_computed_by_hand(backend: Any) -> None:
    box = backend.array([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 0, 0], [2, 2, 1, 1]])
    other = backend.array([[1.0, 1, 3, 3], [0, 0, 2, 2], [2, 2, 3, 3], [0, 0, 0, 0], [0, 0, 3, 3]])
    got = backend.numpy(rewards.iou(box, other))
    np.testing.assert_allclose(got, [1 / 7, 1.0, 0.0, 0.0, 0.0], rtol=1e-12)
    np.testing.assert_allclose(backend.numpy(rewards.iou(other, box)), got, rtol=1e-12)


def test_bags_of_embeddings_are_compared_in_both_directions(backend: Any) -> None:
    x, y = [1.0, 0.0], [0.0, 2.0]
    answer = backend.array([[x, y], [y, x], [x, x]])
    target = backend.array([[x, y], [x, y], [y, y]])
    everything, first = backend.array(np.ones((3, 2), bool)), backend.array(np.eye(2)[[0, 0, 0]])
    got = backend.numpy(rewards.bmas(answer, target, everything, everything))
    np.testing.assert_allclose(got, [1.0, 1.0, 0.0], atol=1e-12)  # word order goes unseen
    # Only the first token of the answer: (1 + (1 + 0) / 2) / 2, then the same with y, then 0.
    masked = backend.numpy(rewards.bmas(answer, target, first, everything))
    np.testing.assert_allclose(masked, [0.75, 0.75, 0.0], atol=1e-12)


def test_impossible_parameters_are_refused() -> None:
    x, ref = np.zeros(2), np.zeros((2, 1))
    for make, words in (
        (lambda: shapes.par(x, ref, k=0.0), "k is 0.0"),
        (lambda: shapes.par(x, ref[:1]), r"ref_reward has shape \(1, 1\)"),
        (lambda: shapes.length_penalty(x, x, -1.0, 0.1), "free is -1.0"),
        (lambda: shapes.length_vs_correct(x, x, 2, cap=0.0), "cap is 0.0"),
        (lambda: shapes.value_scale(x, x, alpha=-1.0), "alpha is -1.0"),
        (lambda: shapes.dual_reconstruction(x, 0.0), "lam is 0.0"),
        (lambda: rewards.relative_tolerance(x, x, -0.1), "tolerance is -0.1"),
        (lambda: rewards.iou(np.zeros((2, 3)), np.zeros((2, 3))), "axis 4"),
    ):
        with pytest.raises(BadInput, match=words):
            make()
