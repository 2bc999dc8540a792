"""Exact claims of S018: priors of our own value trainer, and exact values to compare with."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meritree.rl.nets import MLP, network
from meritree.rl.on_policy import InitFromPrior, from_q
from meritree.rl.on_policy.parts import Critic
from meritree.studies.rl.prior_value import GAMMA, GOALS, SAME, SIZE, WRONG, exact_values
from meritree.value.heads import HLGauss, Quantile


def test_values_of_the_grid_are_powers_of_gamma_and_a_mirror_of_the_other_goal() -> None:
    v = exact_values(GOALS[SAME]).reshape(SIZE, SIZE)
    assert v[SIZE - 2, SIZE - 1] == 1.0
    assert v[SIZE - 3, SIZE - 1] == pytest.approx(GAMMA)
    assert v[0, 0] == pytest.approx(GAMMA ** (2 * (SIZE - 1) - 1))
    np.testing.assert_allclose(v, exact_values(GOALS[WRONG]).reshape(SIZE, SIZE)[::-1])


def test_a_prior_is_the_largest_score_of_a_trained_network() -> None:
    head, net = Quantile(4), network(MLP((8,)), Quantile(4).features(3))
    obs = jax.random.normal(jax.random.key(1), (5, 2))
    params = net.init(jax.random.key(0), obs[0], None)
    raw = net.apply(params, obs, None)[1]
    expected = raw.reshape(5, 3, 4).mean(axis=-1).max(axis=-1)
    np.testing.assert_allclose(from_q(net, head, params)(obs, None), expected, rtol=1e-5)


def test_a_critic_of_any_head_can_start_from_a_prior() -> None:
    head = HLGauss(-2.0, 2.0, 21)
    critic = Critic(network(MLP((16,)), head.features(1)), head)
    obs = jnp.eye(4)
    prior = InitFromPrior(
        lambda seen, ctx: seen @ jnp.asarray([1.0, -1.0, 0.5, 0.0]), obs, 300, 0.01
    )
    params = critic.init(jax.random.key(0), obs[0], None)
    found = critic.score(critic.raw(prior.start(critic, params, None), obs, None))
    np.testing.assert_allclose(found, [1.0, -1.0, 0.5, 0.0], atol=0.1)
