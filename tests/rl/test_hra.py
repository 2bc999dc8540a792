"""Channels of HRA: linearity where it holds, optimism where each chooses for itself, the study."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.rl.envs import FruitCollection
from meritree.rl.nets import ChannelReadout
from meritree.rl.value_based.bootstrap import Judged, Next, any_action, own_best, uniform, value_of
from meritree.studies.rl.hra import _summed_readout, exact_steps, place_values
from meritree.value.heads import Categorical, Channels, Scalar

GAMMA = 0.9


def values(worth: tuple[float, ...], *, best: bool) -> np.ndarray:
    """Q [S, A] of a small collection, of the best policy or of the uniformly random one."""
    tables = FruitCollection(size=3, places=((0, 0), (2, 1)), fruits=2, worth=worth).tables()
    going = GAMMA * ~tables.ends
    q = np.zeros(tables.P.shape[:2])
    for _ in range(400):
        v = q.max(axis=1) if best else q.mean(axis=1)
        q = (tables.P * (tables.R + going * v)).sum(axis=2)
    return q


def test_values_of_one_policy_add_up_to_that_of_the_summed_reward() -> None:
    parts = [values(worth, best=False) for worth in ((1.0, 0.0), (0.0, 1.0))]
    np.testing.assert_allclose(sum(parts), values((1.0, 1.0), best=False), atol=1e-12)


def test_channels_that_choose_for_themselves_promise_more_than_can_be_had() -> None:
    parts = [values(worth, best=True) for worth in ((1.0, 0.0), (0.0, 1.0))]
    promised, possible = sum(parts), values((1.0, 1.0), best=True)
    assert (promised >= possible - 1e-12).all()
    assert (promised - possible).max() > 0.1


def test_adding_up_best_values_traps_the_agent_between_fruits() -> None:
    assert exact_steps(0, 20, mean=True) < 40.0 < 80.0 < exact_steps(0, 20, mean=False)


def test_a_place_is_worth_one_step_before_it_and_less_further_away() -> None:
    q, after = place_values(mean=False)
    env = FruitCollection()
    for k, (row, column) in enumerate(env.places):
        there = after == row * env.size + column
        np.testing.assert_array_equal(q[k][there], 1.0)
        assert (q[k][~there] <= 0.99).all()


JUDGED = Judged(*[jnp.asarray([[0.0, 3.0, 1.0], [5.0, 3.0, 1.0]])] * 3)


def test_each_channels_own_best_action_is_its_own() -> None:
    head = Channels((1.0, 1.0))
    raw = jnp.asarray([[0.0, 3.0, 1.0, 9.0, 3.0, 1.0]])
    v = head.value(raw)
    np.testing.assert_array_equal(value_of(head, v, own_best(JUDGED, None, None)), [[3.0, 9.0]])
    np.testing.assert_array_equal(
        value_of(head, v, Next(action=jnp.asarray([1]))), [[3.0, 3.0]]
    )  # fmt: skip
    one = Channels((1.0,), Categorical(-1.0, 1.0, 3))
    law = one.value(jnp.asarray([[0.0, 0.0, 5.0, 5.0, 0.0, 0.0]]))
    np.testing.assert_array_equal(one.take_best(law)[0, 0], law[0, 0, 0])


def test_a_head_without_channels_cannot_choose_for_each() -> None:
    with pytest.raises(BadInput, match="Channels"):
        value_of(Scalar(), jnp.zeros((1, 3)), own_best(JUDGED, None, None))


def test_any_action_is_the_uniform_bootstrap_by_sampling() -> None:
    wide = Judged(*[jnp.tile(JUDGED.target[:1], (3000, 1))] * 3)
    drawn = value_of(Scalar(), wide.target, any_action(wide, None, jax.random.key(0)))
    exact = value_of(Scalar(), wide.target, uniform(wide, None, None))
    assert float(drawn.mean()) == pytest.approx(float(exact.mean()), abs=0.1)
    assert set(np.unique(drawn)) == {0.0, 1.0, 3.0}


def test_channels_in_another_order_choose_the_same_actions() -> None:
    rng = np.random.default_rng(2)
    raw, order = rng.normal(size=(50, 4, 3)).astype(np.float32), [2, 0, 3, 1]
    weights = (1.0, 2.0, 0.5, 3.0)
    first = Channels(weights)
    other = Channels(tuple(weights[k] for k in order))
    scores = first.score(first.value(raw.reshape(50, -1)))
    same = other.score(other.value(raw[:, order].reshape(50, -1)))
    np.testing.assert_array_equal(scores.argmax(axis=1), same.argmax(axis=1))


def test_dqn_plus_one_adds_up_its_ten_networks() -> None:
    module, each = _summed_readout(4)(3), ChannelReadout(12)
    features = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5)), jnp.float32)
    params = module.init(jax.random.key(0), features)["params"]
    summed = module.apply({"params": params}, features)
    parts = each.apply({"params": params["ChannelReadout_0"]}, features)
    np.testing.assert_allclose(summed, parts.reshape(4, 3).sum(axis=0), rtol=1e-5)
