"""What the study of mapped values is made of: averages, the chain, the fruits' channels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.rl.value_based.trainer import value_trainer
from meritree.studies.rl.value_mapping import Chain, averaged, fruit_world
from meritree.value.heads import LogLin, Mapped
from meritree.value.transforms import Step, cascade, chain, total


@pytest.mark.parametrize(("beta", "settles"), [(1.0, (0.1 * 1.9) ** 0.5), (0.02, 1.0)])
def test_averages_in_log_space_are_geometric_unless_steps_in_ordinary_space_are_small(
    beta: float, settles: float
) -> None:
    assert averaged(3, beta, 5000) == pytest.approx(settles, rel=0.05)


def test_the_chain_pays_for_passing_its_last_state_only() -> None:
    env = Chain(length=3, limit=4)
    for place, leads, after in [(0, 0, 0), (0, 1, 1), (1, 0, 0), (2, 0, 1), (2, 1, 3)]:
        action = int(env.onward[place]) if leads else 1 - int(env.onward[place])
        (reached, t), out = env.step(None, (jnp.int32(place), jnp.int32(0)), jnp.int32(action))
        assert (int(reached), int(t)) == (after, 1)
        assert bool(out.terminated) == (after == 3) == (float(out.reward[0]) == 1.0)
        assert not out.truncated
    assert set(np.asarray(Chain().onward)) == {0, 1}
    _, out = env.step(None, (jnp.int32(0), jnp.int32(3)), jnp.int32(1))
    assert out.truncated
    assert not out.terminated


def test_the_cascade_of_fruits_gives_their_sum_back() -> None:
    env, split = fruit_world(), cascade(3)
    rewards = jnp.asarray(np.diag(env.worths))
    step = Step(rewards, jnp.ones(6), jnp.zeros(6, bool))
    parts = chain(total(env.spec.weights), split.transform).sample(((), ()), step)
    assert parts.shape == (6, 3)
    assert float(parts.max()) <= 1.0
    np.testing.assert_allclose(parts @ jnp.asarray(split.weights), env.worths, rtol=1e-6)


def test_a_mapped_value_of_the_cascade_is_the_weighted_sum_of_its_channels() -> None:
    split = cascade(3)
    head = Mapped((LogLin(),) * 3, split.weights, floor=0.01)
    q = np.asarray([[0.5, 2.0, 0.3], [1.0, 0.2, 0.9]])
    raw = np.stack([LogLin().forward(q[:, j]) for j in range(3)], axis=-1).reshape(1, -1)
    wanted = q @ np.asarray(split.weights)
    np.testing.assert_allclose(head.score(head.value(raw))[0], wanted, rtol=1e-12)


def test_a_traced_discount_is_taken_and_a_number_is_checked() -> None:
    with pytest.raises(BadInput, match="gamma"):
        value_trainer(Chain(), gamma=1.5)

    def boots(gamma: jax.Array) -> jax.Array:
        trainer = value_trainer(
            Chain(3), gamma=gamma, steps=8, n_env=2, batch=2, warmup=4, windows=1
        )
        return trainer.init(jax.random.key(0)).data.steps.boot

    shape = jax.eval_shape(boots, jnp.asarray(0.5))
    assert shape.shape[1] == 2
