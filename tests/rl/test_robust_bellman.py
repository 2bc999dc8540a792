"""What the study of robust Bellman errors is made of: minimisers, a world, widths of sweeps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meritree.studies.rl import reward_process as rp
from meritree.studies.rl import sweeps
from meritree.studies.rl.robust_bellman import CHANCE, HUBER, process_trainer


@pytest.mark.parametrize("seed", range(5))
def test_minimisers_agree_where_features_can_say_everything(seed: int) -> None:
    process = rp.odd_value(seed, size=0.0)
    for minimiser in (rp.td_fixed_point, rp.least_squares, rp.least_huber, rp.least_absolute):
        assert process.rmse(minimiser(process)) < 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_no_other_weights_have_a_smaller_loss(seed: int) -> None:
    process, rng = rp.odd_value(seed), np.random.default_rng(seed)

    def huber(u: np.ndarray) -> float:
        return float(np.where(np.abs(u) <= 1.0, 0.5 * u**2, np.abs(u) - 0.5).sum())

    for minimiser, loss in (
        (rp.least_squares, lambda u: float(u @ u)),
        (rp.least_huber, huber),
        (rp.least_absolute, lambda u: float(np.abs(u).sum())),
    ):
        best = minimiser(process)
        least = loss(process.reward - process.differences @ best)
        for scale in (1e-3, 0.1, 3.0):
            other = best + rng.normal(scale=scale, size=best.shape)
            assert loss(process.reward - process.differences @ other) >= least - 1e-9


def test_absolute_errors_see_through_one_odd_value_and_miss_one_real_reward() -> None:
    odd, real = rp.odd_value(3), rp.odd_reward(3)
    assert odd.rmse(rp.least_absolute(odd)) < 1e-6 < 1.0 < odd.rmse(rp.least_squares(odd))
    assert real.rmse(rp.least_absolute(real)) > 1.0


def test_the_world_of_a_process_pays_its_rewards_on_average() -> None:
    process = rp.odd_reward(1)
    world = rp.RewardProcess(process.P, process.reward, process.features, chance=0.25)
    state, seen = world.reset(jax.random.key(0))
    assert seen.shape == world.spec.obs_shape == (6 + 30,)
    keys = jax.random.split(jax.random.key(1), 4000)
    after, out = jax.vmap(lambda key: world.step(key, state, jnp.int32(0)))(keys)
    paid = float(process.reward[int(state)])
    came = np.asarray(out.reward)
    np.testing.assert_allclose(came[came != 0.0], paid / 0.25, rtol=1e-5)
    assert (came == 0.0).any()
    assert float(out.reward.mean()) == pytest.approx(paid, rel=0.2)
    counts = np.bincount(np.asarray(after), minlength=30) / 4000
    np.testing.assert_allclose(counts, process.P[int(state)], atol=0.04)
    assert not out.terminated.any()
    assert out.truncated.all()


def test_the_trainers_saddle_point_finds_the_mean_of_skewed_rewards() -> None:
    one = jnp.ones(1)
    world = rp.RewardProcess(one[None], one, one[None], CHANCE)
    trainer = process_trainer(world, 1, HUBER, 12_000, 0.0)
    state, log = jax.jit(trainer.run)(jax.random.key(7))
    value = state.learned.members.online["net"]["readout"]["Dense_0"]["kernel"]
    assert float(value.squeeze()) == pytest.approx(1.0, abs=0.2)
    assert np.isfinite(log["h"]).all()


def test_widths_count_the_step_sizes_near_the_best() -> None:
    broad = np.asarray([[0.5, 0.95, 1.0, 0.92], [0.5, 0.86, 1.0, 0.92]])
    narrow = np.asarray([[0.1, 0.2, 1.0, 0.3]] * 2)
    assert sweeps.width(broad) == 0.75
    assert sweeps.width(narrow) == 0.25
    gap = sweeps.wider(broad, narrow)
    assert gap.mean == 0.5
    assert gap.low == 0.25  # drawn from the second seed alone, one step size fewer is near
