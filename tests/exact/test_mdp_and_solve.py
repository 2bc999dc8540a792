"""Processes and their solution: closed forms, identities between solvers, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree import exact
from meritree.errors import BadInput
from meritree.exact import models
from meritree.value.comparison import state_values
from meritree.value.risk import Mean
from meritree.value.risk import backward_induction as nested_induction
from meritree.value.transforms import scale_and_shift

seeds = st.integers(0, 10_000)


def garnet(seed: int, **settings: float) -> exact.MDP:
    return models.garnet(7, 3, 3, np.random.default_rng(seed), **settings)


@given(seeds)
@settings(max_examples=15)
def test_policy_iteration_and_value_iteration_agree_with_enumeration_of_improvements(
    seed: int,
) -> None:
    mdp = garnet(seed)
    best, swept = exact.policy_iteration(mdp), exact.value_iteration(mdp, 1e-9)
    assert np.abs(best.V - swept.V).max() <= 1e-9
    assert np.allclose(best.Q.max(axis=1), best.V)
    for _ in range(20):
        policy = np.random.default_rng(seed).integers(3, size=7)
        assert (exact.evaluate(mdp, policy) <= best.V + 1e-9).all()


def test_value_iteration_keeps_its_stated_tolerance() -> None:
    mdp = garnet(3, gamma=0.97)
    best = exact.policy_iteration(mdp).V
    for tolerance in (1e-1, 1e-3, 1e-6):
        found = exact.value_iteration(mdp, tolerance)
        assert np.abs(found.V - best).max() <= tolerance


@given(seeds)
@settings(max_examples=10)
def test_evaluation_agrees_with_the_comparison_of_rewards(seed: int) -> None:
    mdp = garnet(seed)
    policy = np.random.default_rng(seed).dirichlet(np.ones(3), size=7)
    other = state_values(mdp.rewards, mdp.dynamics, policy)
    assert np.allclose(exact.evaluate(mdp, policy), other)


def test_evaluation_with_a_long_horizon_is_evaluation() -> None:
    mdp = garnet(1)
    steps = exact.evaluate_steps(mdp, None, 400)
    assert steps.shape == (401, 7)
    assert np.allclose(steps[-1], exact.evaluate(mdp), atol=1e-12)


def test_backward_induction_is_nested_risk_of_the_mean() -> None:
    mdp = garnet(5, gamma=1.0)
    plan = exact.backward_induction(mdp, 6)
    nested = nested_induction(Mean(), mdp.P, -mdp.rewards, 6, np.zeros(7))
    assert np.allclose(plan.value, -nested.value)
    assert (plan.action == nested.action).all()
    assert np.allclose(exact.evaluate_steps(mdp, plan.action, 6), plan.value)


@given(seeds)
@settings(max_examples=10)
def test_visits_times_rewards_are_values_and_occupancies_sum_to_one(seed: int) -> None:
    mdp = garnet(seed)
    policy = np.random.default_rng(seed).dirichlet(np.ones(3), size=7)
    value = mdp.first @ exact.evaluate(mdp, policy)
    assert (exact.visits(mdp, policy) * mdp.r).sum() == pytest.approx(value)
    d = exact.occupancy(mdp, policy)
    assert d.sum() == pytest.approx(1.0)
    flow = 0.1 * mdp.first + 0.9 * np.einsum("sa,sat->t", d, mdp.P)
    assert np.allclose(d.sum(axis=1), flow)
    assert np.allclose(exact.successor(mdp, policy).sum(axis=1), 10.0)


def test_the_random_walk_and_the_gambler_in_closed_form() -> None:
    assert np.allclose(exact.evaluate(models.random_walk(5))[:5], np.arange(1, 6) / 6)
    assert exact.visits(models.random_walk(5)).sum() == pytest.approx(9.0)  # 3 * 3 steps
    fair = exact.value_iteration(models.gamblers_ruin(8, 0.5), 1e-12)
    assert np.allclose(fair.V[1:8], np.arange(1, 8) / 8, atol=1e-9)
    bold = exact.value_iteration(models.gamblers_ruin(8, 0.4), 1e-12).V
    assert np.allclose(bold[[4, 2, 6]], [0.4, 0.16, 0.4 + 0.6 * 0.4])


def test_four_rooms_and_the_lock_are_worth_their_shortest_path() -> None:
    rooms = models.four_rooms(11, gamma=0.98)
    assert rooms.S == 104
    assert exact.policy_iteration(rooms).V[0] == pytest.approx(0.98**19)  # 20 moves
    lock = models.combination_lock((1, 0, 2), 3)
    assert exact.backward_induction(lock).value[3][0] == 1.0
    assert exact.evaluate(lock)[0] == pytest.approx(1 / 27)


def test_river_swim_pays_to_swim_on() -> None:
    best = exact.policy_iteration(models.river_swim(6, gamma=0.99))
    assert best.policy.tolist() == [1] * 6


def test_the_stationary_distribution_of_a_reversible_chain_is_known() -> None:
    rng = np.random.default_rng(2)
    P = models.reversible_chain(9, rng)
    mu = exact.stationary(P)
    assert np.allclose(mu @ P, mu)
    assert exact.reversible(P)
    assert not exact.reversible(models.cyclic_chain(9, rng))
    with pytest.raises(BadInput, match="several stationary"):
        exact.stationary(np.eye(3))


def test_what_the_transform_says_is_what_a_step_pays_and_ends_pay_nothing() -> None:
    walk = models.random_walk(3)
    moved = exact.transformed(walk, scale_and_shift(2.0, -1.0))
    live = ~walk.ends
    assert np.array_equal(moved.rewards[live], 2.0 * walk.rewards[live] - 1.0)
    assert np.array_equal(moved.ends, walk.ends)


@pytest.mark.parametrize(
    ("P", "R", "settings", "message"),
    [
        (np.ones((2, 2)), np.zeros((2, 1)), {}, "expected \\[S, A, S\\]"),
        (np.full((2, 1, 2), 0.4), np.zeros((2, 1)), {}, "sum to 0.8"),
        (np.full((2, 1, 2), 0.5), np.zeros(2), {}, "R has shape"),
        (np.full((2, 1, 2), 0.5), np.full((2, 1), np.nan), {}, "not finite"),
        (np.full((2, 1, 2), 0.5), np.zeros((2, 1)), {"gamma": 1.5}, "gamma = 1.5"),
        (np.full((2, 1, 2), 0.5), np.zeros((2, 1)), {"mu0": [1.0]}, "mu0 has shape"),
        (np.full((2, 1, 2), 0.5), np.zeros((2, 1)), {"horizon": 0}, "horizon = 0"),
    ],
)
def test_bad_processes_are_refused(P: object, R: object, settings: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        exact.MDP(P, R, **settings)


def test_undiscounted_processes_that_never_end_are_refused_by_name() -> None:
    forever = models.river_swim(4, gamma=1.0)
    with pytest.raises(BadInput, match="from state 0"):
        exact.evaluate(forever)
    with pytest.raises(BadInput, match="sweeps left a change"):
        exact.value_iteration(forever, most=50)
    with pytest.raises(BadInput, match="successor measure is infinite"):
        exact.successor(forever)
    with pytest.raises(BadInput, match="horizon = None"):
        exact.backward_induction(forever)


@pytest.mark.parametrize(
    ("policy", "message"),
    [([0, 3, 0, 0], "of 2"), (np.ones((4, 2)), "sum to 2"), ([[1]], "has shape")],
)
def test_bad_policies_are_refused(policy: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        exact.evaluate(models.river_swim(4), policy)
