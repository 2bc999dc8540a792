"""STARC distances: closed forms, invariances, what distance 0 and 1 mean, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.value.comparison import (
    Dynamics,
    advantages,
    dard_canonical,
    epic_canonical,
    minimal_canonical,
    optimal_policy,
    policy_return,
    regret,
    standardised,
    starc_distance,
    state_values,
    value_canonical,
    value_potential_canonical,
)

seeds = st.integers(0, 10_000)
SOUND = [value_canonical, minimal_canonical]


def draw(seed: int, states: int = 5, actions: int = 3) -> tuple[Dynamics, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    tau = rng.dirichlet(np.full(states, 0.5), size=(states, actions))
    shape = (states, actions, states)
    return Dynamics(tau, 0.9), rng.normal(size=shape), rng.normal(size=shape)


def shaped(reward: np.ndarray, dynamics: Dynamics, phi: np.ndarray) -> np.ndarray:
    return reward + dynamics.discount * phi[None, None, :] - phi[:, None, None]


def test_values_of_a_chain_in_figures() -> None:
    """State 0 pays 1 and goes to the absorbing state 1, which pays nothing."""
    dynamics = Dynamics(np.array([[[0.0, 1.0]], [[0.0, 1.0]]]), 0.5, np.array([1.0, 0.0]))
    reward = np.array([[[0.0, 1.0]], [[0.0, 0.0]]])
    assert state_values(reward, dynamics).tolist() == [1.0, 0.0]
    assert policy_return(reward, dynamics) == 1.0
    assert advantages(reward, dynamics).tolist() == [[0.0], [0.0]]


@given(seeds)
@settings(max_examples=20)
def test_advantages_of_the_policy_itself_average_to_nothing(seed: int) -> None:
    dynamics, reward, _ = draw(seed)
    assert np.allclose(advantages(reward, dynamics).mean(axis=1), 0.0)


@given(seeds)
@settings(max_examples=20)
def test_no_policy_beats_the_optimal_one(seed: int) -> None:
    dynamics, reward, _ = draw(seed)
    best = policy_return(reward, dynamics, optimal_policy(reward, dynamics))
    rng = np.random.default_rng(seed)
    for _ in range(20):
        policy = rng.dirichlet(np.ones(3), size=5)
        assert policy_return(reward, dynamics, policy) <= best + 1e-9


@pytest.mark.parametrize("canonical", [*SOUND, value_potential_canonical])
@given(seed=seeds)
@settings(max_examples=15)
def test_shaping_and_scaling_do_not_count(canonical: object, seed: int) -> None:
    dynamics, reward, _ = draw(seed)
    phi = np.random.default_rng(seed).normal(size=5)
    same = 3.0 * shaped(reward, dynamics, phi)
    assert starc_distance(reward, same, dynamics, canonical=canonical) < 1e-9  # type: ignore[arg-type]


@pytest.mark.parametrize("canonical", SOUND)
@given(seed=seeds)
@settings(max_examples=15)
def test_redistribution_over_the_next_state_does_not_count(canonical: object, seed: int) -> None:
    dynamics, reward, other = draw(seed)
    noise = other - dynamics.expected(other)[:, :, None]  # expectation 0 in every (s, a)
    distance = starc_distance(reward, reward + noise, dynamics, canonical=canonical)  # type: ignore[arg-type]
    assert distance < 1e-9


@given(seeds)
@settings(max_examples=15)
def test_epic_and_dard_count_redistribution(seed: int) -> None:
    dynamics, reward, other = draw(seed)
    noise = other - dynamics.expected(other)[:, :, None]
    for canonical in (epic_canonical, dard_canonical, value_potential_canonical):
        assert starc_distance(reward, reward + noise, dynamics, canonical=canonical) > 1e-3


@pytest.mark.parametrize("canonical", [epic_canonical, dard_canonical])
@given(seed=seeds)
@settings(max_examples=15)
def test_epic_and_dard_undo_shaping(canonical: object, seed: int) -> None:
    dynamics, reward, _ = draw(seed)
    same = shaped(reward, dynamics, np.random.default_rng(seed).normal(size=5))
    assert starc_distance(reward, same, dynamics, canonical=canonical) < 1e-9  # type: ignore[arg-type]


@given(seeds)
@settings(max_examples=15)
def test_the_opposite_is_farthest_and_the_triangle_inequality_holds(seed: int) -> None:
    dynamics, one, other = draw(seed)
    third = np.random.default_rng(seed + 1).normal(size=one.shape)
    assert starc_distance(one, -one, dynamics) == pytest.approx(1.0)
    legs = starc_distance(one, third, dynamics) + starc_distance(third, other, dynamics)
    assert starc_distance(one, other, dynamics) <= legs + 1e-12
    assert starc_distance(one, other, dynamics) == starc_distance(other, one, dynamics)


@given(seeds)
@settings(max_examples=15)
def test_distance_zero_means_the_same_order_of_policies(seed: int) -> None:
    dynamics, reward, other = draw(seed)
    phi = np.random.default_rng(seed).normal(size=5)
    noise = other - dynamics.expected(other)[:, :, None]
    same = 0.5 * shaped(reward + noise, dynamics, phi)
    rng = np.random.default_rng(seed)
    policies = [rng.dirichlet(np.ones(3), size=5) for _ in range(8)]
    first = np.argsort([policy_return(reward, dynamics, p) for p in policies])
    second = np.argsort([policy_return(same, dynamics, p) for p in policies])
    assert first.tolist() == second.tolist()
    assert regret(reward, same, dynamics) == pytest.approx(0.0, abs=1e-9)
    assert regret(reward, -reward, dynamics) == pytest.approx(1.0)


@given(seeds)
@settings(max_examples=10)
def test_the_minimal_reward_is_no_larger_than_any_of_its_class(seed: int) -> None:
    dynamics, reward, other = draw(seed)
    least = np.linalg.norm(minimal_canonical(reward, dynamics))
    rng = np.random.default_rng(seed)
    for _ in range(10):
        noise = rng.normal() * (other - dynamics.expected(other)[:, :, None])
        member = shaped(reward + noise, dynamics, rng.normal(size=5))
        assert np.linalg.norm(member) >= least - 1e-9
    again = minimal_canonical(minimal_canonical(reward, dynamics), dynamics)
    assert np.allclose(again, minimal_canonical(reward, dynamics))


def test_dard_agrees_with_the_sum_written_out() -> None:
    dynamics, reward, _ = draw(3, states=3, actions=2)
    tau, gamma, n = dynamics.transition, dynamics.discount, 3
    want = np.zeros_like(reward)
    for s in range(n):
        for a in range(2):
            for t in range(n):
                total = reward[s, a, t]
                for b in range(2):
                    for x in range(n):
                        total += 0.5 * gamma * tau[t, b, x] * reward[t, b, x]
                        total -= 0.5 * tau[s, b, x] * reward[s, b, x]
                        for y in range(n):
                            p = tau[s, b, x] * tau[t, b, y]
                            total -= 0.5 * gamma * p * reward[x, b, y]
                want[s, a, t] = total
    assert np.allclose(dard_canonical(reward, dynamics), want)


def test_a_trivial_reward_stands_in_the_middle() -> None:
    dynamics, reward, _ = draw(1)
    trivial = shaped(np.zeros_like(reward), dynamics, np.arange(5.0))
    assert not standardised(value_canonical(trivial, dynamics)).any()
    assert starc_distance(reward, trivial, dynamics) == pytest.approx(0.5)
    assert regret(trivial, reward, dynamics) == 0.0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda d, r: Dynamics(np.ones((2, 2)), 0.9), r"shape \(2, 2\)"),
        (lambda d, r: Dynamics(np.ones((2, 1, 2)), 0.9), "sum to 2"),
        (lambda d, r: Dynamics(-d.transition, 0.9), "negative"),
        (lambda d, r: Dynamics(d.transition, 1.0), "discount = 1"),
        (lambda d, r: Dynamics(d.transition, 0.9, np.ones(2) / 2), r"expected \[5\]"),
        (lambda d, r: starc_distance(r[0], r, d), r"reward has shape"),
        (lambda d, r: starc_distance(r * np.nan, r, d), "not finite"),
        (lambda d, r: state_values(r, d, np.ones((5, 3))), "policy: probabilities sum to 3"),
        (lambda d, r: state_values(r, d, np.ones((3, 5))), "policy has shape"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call: object, says: str) -> None:
    dynamics, reward, _ = draw(0)
    with pytest.raises(BadInput, match=says):
        call(dynamics, reward)  # type: ignore[operator]
