"""What the study of joint particles is made of: judges, gates, Monte Carlo, margins."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.rl.envs import vectorise
from meritree.studies.rl.gates import Gates, margins_apart
from meritree.studies.rl.md3qn import GAMMA, _returns, distance, joint_judge, margins_judge
from meritree.value.contexts import stock_each
from meritree.value.heads import Particles

COMMON = jnp.asarray([[0.5, 0.5], [-0.5, -0.5]])  # both hold, or none
WEIGHTS = jnp.full(2, 0.5)


def test_margins_take_dependent_constraints_for_independent_ones() -> None:
    assert float(joint_judge(COMMON, WEIGHTS)) == 0.5
    assert float(margins_judge(COMMON, WEIGHTS)) == 0.25
    opposite = jnp.asarray([[0.5, -0.5], [-0.5, 0.5]])
    assert float(joint_judge(opposite, WEIGHTS)) == 0.0
    assert float(margins_judge(opposite, WEIGHTS)) == 0.25


def test_judges_agree_where_channels_are_independent() -> None:
    points = np.random.default_rng(0).normal(size=(20, 2))
    product = margins_apart(points)
    weights = np.full(len(product), 1.0 / len(product))
    assert float(joint_judge(product, weights)) == pytest.approx(
        float(margins_judge(product, weights)), abs=1e-6
    )


def test_a_stock_of_each_channel_moves_its_particles_to_what_is_still_missing() -> None:
    context = stock_each(0.5, 2, lambda key: jnp.asarray([-1.0, -3.0]))
    ctx = context.step(context.reset(None)[None], jnp.asarray([[1.0, 0.0]]))
    np.testing.assert_array_equal(ctx, [[0.0, -6.0]])
    head = Particles(2, 2, judge=joint_judge)
    v = head.value(jnp.asarray([[1.0, 7.0, 1.0, 5.0]]))
    np.testing.assert_array_equal(head.score(v), [[1.0]])
    np.testing.assert_array_equal(head.score(v, ctx), [[0.5]])
    with pytest.raises(BadInput, match="channel"):
        stock_each(0.5, 0, lambda key: jnp.zeros(0))


def test_the_sample_without_dependence_has_the_same_margins() -> None:
    points = np.asarray([[0.0, 5.0], [1.0, 6.0], [2.0, 9.0]])
    product = margins_apart(points)
    assert product.shape == (9, 2)
    for column in (0, 1):
        counts = [int((product[:, column] == x).sum()) for x in points[:, column]]
        assert counts == [3, 3, 3]
    assert abs(np.corrcoef(product.T)[0, 1]) < 1e-12
    assert distance(points, points) == pytest.approx(0.0, abs=1e-5)
    assert distance(product, points) > 0.1


def test_gates_pay_both_kinds_together_or_each_by_its_own_coin() -> None:
    env = Gates(gates=1)
    state, _ = env.reset(jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), 4000)
    step = jax.vmap(env.step, in_axes=(0, None, None))
    _, common = step(keys, state, jnp.int32(0))
    _, apart = step(keys, state, jnp.int32(1))
    assert (common.reward[:, 0] == common.reward[:, 1]).all()
    assert float(common.reward[:, 0].mean()) == pytest.approx(0.5, abs=0.03)
    both = apart.reward.prod(axis=1)
    assert float(both.mean()) == pytest.approx(0.36, abs=0.03)
    assert apart.terminated.all()
    assert env.chances() == {"joint": 0.5, "margins": pytest.approx(0.36)}


def test_monte_carlo_counts_the_first_episode_of_each_world_discounted() -> None:
    env = Gates(gates=2)
    found = np.asarray(_returns(vectorise(env, 4000), 5)(jax.random.key(3)))
    # Either action is taken half the time: 0.55 a gate on average, the second one discounted.
    np.testing.assert_allclose(found.mean(axis=0), 0.55 * (1.0 + GAMMA), atol=0.04)
    kinds = np.unique(found.round(4))
    np.testing.assert_allclose(kinds, [0.0, GAMMA, 1.0, 1.0 + GAMMA], atol=1e-4)
