"""Statistics of segments, the dual of constrained alignment, values while decoding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.objectives import decoding, dual, links, segments
from meritree.objectives.special import softmax

REWARD = np.array([[1.0, 2.0, 4.0], [1.0, -1.0, 50.0]])
MASK = np.array([[1, 1, 1], [1, 1, 0]])


def test_segments_have_the_values_computed_by_hand(backend: Any) -> None:
    reward, mask = backend.array(REWARD), backend.array(MASK)
    first, last = backend.array([9.0, 1.0]), backend.array([0.0, 2.0])
    half = segments.minus_regret(reward, first, last, mask, gamma=0.5)
    by_hand = (
        (segments.partial_return(reward, mask), [7.0, 0.0]),
        (segments.discounted_return(reward, mask, 0.5), [3.0, 0.5]),
        (segments.minus_regret(reward, first, last, mask), [-2.0, 1.0]),
        (half, [-6.0, 0.0]),
        (segments.advantage_sum(reward, mask), [7.0, 0.0]),
        (segments.inverse_bellman(reward, reward, 0.5, mask), [3.5, 0.0]),
        (segments.chi2(reward, mask, coef=3.0), [21.0, 3.0]),
    )
    for got, expected in by_hand:
        np.testing.assert_allclose(backend.numpy(got), expected, rtol=1e-12)
    features = backend.array(np.stack([REWARD, np.ones((2, 3))], axis=-1))
    got = segments.linear(backend.array([2.0, -1.0]), features, mask)
    np.testing.assert_allclose(backend.numpy(got), [11.0, -2.0], rtol=1e-12)


def random_mdp(seed: int) -> tuple[Any, Any, Any, Any]:
    """A deterministic MDP with 6 states, 3 actions and a terminal state 0; V*, Q* by iteration."""
    rng = np.random.default_rng(seed)
    reward = -rng.uniform(0.1, 2.0, size=(6, 3))  # so that going round in circles never pays
    following = rng.integers(0, 6, size=(6, 3))
    following[:, 0] = np.arange(-1, 5).clip(0)  # a way to the end from everywhere
    reward[0], following[0] = 0.0, 0
    v = np.zeros(6)
    for _ in range(500):
        q = reward + v[following]
        v = q.max(-1)
    return reward, following, v, q


@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_is_random_both_regrets_are_one(seed: int) -> None:
    """-sum A* telescopes to V*(s0) - (sum r + V*(sT)), and no segment beats an optimal one."""
    reward, following, v, q = random_mdp(seed)
    rng = np.random.default_rng(seed)
    states = [rng.integers(0, 6, 4)]
    actions = rng.integers(0, 3, size=(4, 5))
    for t in range(5):
        states.append(following[states[-1], actions[:, t]])
    s = np.stack(states, axis=1)
    r, a = reward[s[:, :-1], actions], (q - v[:, None])[s[:, :-1], actions]
    mask = np.ones((4, 5))
    general = segments.advantage_sum(a, mask)
    np.testing.assert_allclose(
        segments.minus_regret(r, v[s[:, 0]], v[s[:, -1]], mask), general, atol=1e-10
    )
    assert (general <= 1e-10).all()


def test_a_constant_reward_is_invisible_to_partial_returns_but_not_to_regret() -> None:
    """Equal lengths: the preference by partial return does not change, the best behaviour does."""
    d = segments.partial_return(REWARD[:1], MASK[:1]) - segments.partial_return(
        REWARD[1:], MASK[:1]
    )
    shifted = segments.partial_return(REWARD[:1] + 9, MASK[:1]) - segments.partial_return(
        REWARD[1:] + 9, MASK[:1]
    )
    np.testing.assert_allclose(links.Logistic(1.0)(d), links.Logistic(1.0)(shifted))
    # Ending at once was best while steps cost 1; when they pay 8, ten more steps were better.
    one, end = np.ones((1, 1)), np.zeros(1)
    before = segments.minus_regret(-one, np.array([-1.0]), end, one)
    after = segments.minus_regret(8.0 * one, np.array([80.0]), end, one)
    assert before[0] == 0.0
    assert after[0] < 0.0


def test_the_implied_reward_is_the_inverse_of_the_bellman_operator(backend: Any) -> None:
    rng = np.random.default_rng(1)
    reward, transition = rng.normal(size=(4, 2)), rng.dirichlet(np.ones(4), size=(4, 2))
    policy = rng.dirichlet(np.ones(2), size=4)
    q = np.zeros((4, 2))
    for _ in range(800):
        q = reward + 0.9 * transition @ (policy * q).sum(-1)
    v_next = transition @ (policy * q).sum(-1)
    got = segments.implied_reward(backend.array(q), backend.array(v_next), 0.9)
    np.testing.assert_allclose(backend.numpy(got), reward, atol=1e-10)


def test_a_potential_changes_inverse_bellman_preferences_at_the_ends_only() -> None:
    rng = np.random.default_rng(3)
    q, v, phi = rng.normal(size=(1, 4)), rng.normal(size=(1, 4)), rng.normal(size=(1, 5))
    plain = segments.inverse_bellman(q, v, 1.0, np.ones((1, 4)))
    moved = segments.inverse_bellman(q + phi[:, :-1], v + phi[:, 1:], 1.0, np.ones((1, 4)))
    np.testing.assert_allclose(moved - plain, phi[:, 0] - phi[:, -1], rtol=1e-12)


def problem(seed: int = 0, n: int = 6, k: int = 8, m: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)), rng.normal(size=(n, k, m))


def test_the_slope_of_the_dual_is_the_slack_of_the_constraint(differentiable: Any) -> None:
    reward, constraint = problem(m=2)
    data = [differentiable.array(x) for x in (reward, constraint, np.array([0.1, -0.2]))]
    lam = np.array([0.7, 0.3])
    slope = differentiable.gradient(lambda x: dual.value(x, *data, 0.5), lam)
    slack = dual.slack(differentiable.array(lam), *data, 0.5)
    np.testing.assert_allclose(slope, differentiable.numpy(slack), rtol=1e-10)


def test_the_dual_is_convex() -> None:
    reward, constraint = problem(m=2)
    rng = np.random.default_rng(8)
    for _ in range(50):
        a, b = rng.uniform(0, 4, size=(2, 2))
        at = [dual.value(x, reward, constraint, np.zeros(2), 0.5) for x in (a, (a + b) / 2, b)]
        assert at[1] <= (at[0] + at[2]) / 2 + 1e-12


def test_one_constraint_is_met_exactly(backend: Any) -> None:
    reward, constraint = problem()
    found = dual.solve(reward, constraint, [0.8], 0.5)
    assert found.lam[0] > 0.0
    assert abs(found.slack[0]) < 1e-12
    arrays = [backend.array(x) for x in (np.array(found.lam), reward, constraint, np.array([0.8]))]
    np.testing.assert_allclose(backend.numpy(dual.slack(*arrays, 0.5)), 0.0, atol=1e-11)
    np.testing.assert_allclose(float(dual.value(*arrays, 0.5)), found.value, rtol=1e-12)


def test_strong_duality_by_brute_force() -> None:
    """The dual's value is E[r] - beta KL of the tilted reference where the constraint binds."""
    reward, constraint = problem()
    beta = 0.5
    found = dual.solve(reward, constraint, [0.8], beta)
    pi = softmax((reward + found.lam[0] * constraint[..., 0]) / beta)
    kl = (pi * np.log(pi * 8)).sum(-1)
    np.testing.assert_allclose((pi * reward).sum(-1).mean() - beta * kl.mean(), found.value)


def test_a_constraint_that_holds_anyway_costs_nothing() -> None:
    reward, constraint = problem()
    found = dual.solve(reward, constraint, [-9.0], 0.5)
    assert found.lam == (0.0,)
    assert found.slack[0] > 0.0


def test_several_constraints_satisfy_the_kkt_conditions() -> None:
    reward, constraint = problem(seed=4, n=20, k=16, m=3)
    threshold = np.array([0.5, 0.3, -5.0])
    found = dual.solve(reward, constraint, threshold, 0.5)
    lam, slack = np.array(found.lam), np.array(found.slack)
    assert (lam >= 0).all()
    assert (slack >= -1e-6).all()
    np.testing.assert_allclose(lam * slack, 0.0, atol=1e-6)
    assert lam[2] == 0.0
    assert (lam[:2] > 0.0).all()


def test_scaling_the_whole_problem_leaves_the_multiplier() -> None:
    reward, constraint = problem()
    one = dual.solve(reward, constraint, [0.8], 0.5)
    ten = dual.solve(10 * reward, 10 * constraint, [8.0], 5.0)
    np.testing.assert_allclose(one.lam, ten.lam, rtol=1e-9)


def test_what_no_weighting_can_satisfy_is_said_to_be_so() -> None:
    reward, constraint = problem()
    with pytest.raises(BadInput, match="constraint 0 exceeds its threshold by at most -"):
        dual.solve(reward, constraint, [99.0], 0.5)
    opposed = np.concatenate([constraint, -constraint], axis=-1)
    with pytest.raises(BadInput, match="satisfy all constraints together"):
        dual.solve(reward, opposed, [0.5, 0.5], 0.5)
    with pytest.raises(BadInput, match="beta is 0"):
        dual.solve(reward, constraint, [0.0], 0.0)


LOGITS = np.array([[2.0, 1.0, 0.0, -1.0]])


def test_tilted_logits_have_the_values_computed_by_hand(backend: Any) -> None:
    logits, ids = backend.array(LOGITS), backend.array([[0, 2]])
    q = backend.array([[1.0, 3.0]])
    plain = backend.numpy(decoding.tilt(logits, ids, q, 0.5))
    np.testing.assert_allclose(plain, [[1.5, 1.0, 0.5, -1.0]], rtol=1e-12)
    raw = backend.numpy(decoding.tilt(logits, ids, q, 0.5, centre=False, rest="drop"))
    np.testing.assert_allclose(raw, [[2.5, -np.inf, 1.5, -np.inf]], rtol=1e-12)
    none = backend.numpy(decoding.tilt(logits, ids, q, 0.0))
    np.testing.assert_array_equal(none, LOGITS)


def test_tilting_all_tokens_gives_the_kl_regularised_optimum() -> None:
    """pi proportional to pi_0 e^(beta Q); centring changes nothing when all are candidates."""
    q = np.array([[0.3, -1.0, 2.0, 0.1]])
    everyone = np.arange(4)[None]
    expected = softmax(LOGITS + 3.0 * q)
    for centre in (True, False):
        got = softmax(decoding.tilt(LOGITS, everyone, q, 3.0, centre=centre))
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_guides_add_up_and_centring_moves_mass_only_against_the_rest() -> None:
    ids, one, two = np.array([[3, 1]]), np.array([[1.0, 2.0]]), np.array([[-1.0, 0.5]])
    both = decoding.tilt(decoding.tilt(LOGITS, ids, one, 0.7), ids, two, 0.2)
    np.testing.assert_allclose(both, decoding.tilt(LOGITS, ids, 0.7 * one + 0.2 * two, 1.0))
    shares = []
    for centre in (True, False):
        p = softmax(decoding.tilt(LOGITS, ids, one, 1.0, centre=centre))[0]
        shares.append((p[1] / p[3], p[0]))
    np.testing.assert_allclose(shares[0][0], shares[1][0], rtol=1e-12)
    assert shares[0][1] > shares[1][1]


def test_answers_are_chosen_by_steps_votes_and_scores(backend: Any) -> None:
    p, mask = backend.array([[0.5, 0.8, 0.9], [1.0, 0.25, 0.9]]), backend.array(MASK * 1.0)
    by_hand = {
        "min": [0.5, 0.25], "last": [0.9, 0.25], "prod": [0.36, 0.25], "mean": [2.2 / 3, 0.625],
    }  # fmt: skip
    for how, expected in by_hand.items():
        got = backend.numpy(decoding.step_score(p, mask, how))  # type: ignore[arg-type]
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    answer = backend.array([7, 7, 3, 3, 3, 5])
    votes = decoding.weighted_vote(answer, backend.array([1.0, 1, 1, 0.1, 0.1, 0.8]), 3)
    np.testing.assert_allclose(backend.numpy(votes), [2 / 3, 2 / 3, 1 / 3, 0.2, 0.2, 0.8])
    best = decoding.best_of_n(backend.array([0.0, 2.0, 2.0, 5.0, 1.0, 1.0]), 3)
    np.testing.assert_array_equal(backend.numpy(best), [1, 0])
    with pytest.raises(BadInput, match="how is 'max'"):
        decoding.step_score(p, mask, "max")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="rest is 'zero'"):
        decoding.tilt(LOGITS, np.array([[0]]), np.ones((1, 1)), 1.0, rest="zero")  # type: ignore[arg-type]
