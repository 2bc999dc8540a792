"""Extras of the value trainer: gradients against formulas written out by hand."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from meritree.errors import BadInput
from meritree.rl.value_based.bootstrap import Next
from meritree.rl.value_based.extras import (
    RandomRewardHeads,
    SaddleCorrection,
    corrected,
    corrected_absolute,
    direct,
    own_step_size,
    residual,
    saddle_optimizer,
)
from meritree.rl.value_based.parts import Out
from meritree.value.heads import Channels, Scalar
from meritree.value.transforms import Step

RNG = np.random.default_rng(65)
B, A, F = 5, 3, 4
ACTION = jnp.asarray([0, 2, 1, 1, 0])
BATCH = Step(
    reward=jnp.asarray(RNG.normal(scale=3.0, size=(B, 1)), jnp.float32),
    boot=jnp.asarray([0.9, 0.9, 0.0, 0.9, 0.81]), last=jnp.zeros(B, bool), action=ACTION,
)  # fmt: skip
RAW = {
    "raw": jnp.asarray(RNG.normal(size=(B, A)), jnp.float32),
    "raw_next": jnp.asarray(RNG.normal(size=(B, A)), jnp.float32),
    "features": jnp.asarray(RNG.normal(size=(B, F)), jnp.float32),
}
PI = jnp.full((B, A), 1.0 / A)
H = {"kernel": jnp.asarray(RNG.normal(size=(F, A)), jnp.float32), "bias": jnp.ones(A)}


def out(arrays: dict[str, Any], head: Any = None) -> Out:
    nothing = jnp.zeros(B)
    return Out(
        arrays["features"], arrays["raw"], arrays["raw_next"], arrays["raw_next"], None, nothing,
        head or Scalar(), Next(pi=PI), None, same, same,
    )  # fmt: skip


def same(obs: Any, ctx: Any) -> tuple[Any, Any]:
    """A network whose features and outputs are what it sees."""
    return obs, obs


def gradients(extra: SaddleCorrection) -> tuple[Any, Any]:
    """d sum(loss) in the network's outputs and in the parameters of h."""

    def total(arrays: dict[str, Any], params: Any) -> Any:
        return extra.loss(params, BATCH, out(arrays), jax.random.key(0))[0].sum()

    return jax.grad(total, argnums=(0, 1))(RAW, H)


def by_hand() -> tuple[np.ndarray, np.ndarray]:
    """delta and h of every row."""
    rows = np.arange(B)
    v_next = np.asarray(RAW["raw_next"]).mean(axis=1)
    q = np.asarray(RAW["raw"])[rows, ACTION]
    delta = np.asarray(BATCH.reward)[:, 0] + np.asarray(BATCH.boot) * v_next - q
    h = (np.asarray(RAW["features"]) @ np.asarray(H["kernel"]) + 1.0)[rows, ACTION]
    return delta, h


def spread(per_row: np.ndarray) -> np.ndarray:
    """One number a row as [B, A], at the action taken."""
    full = np.zeros((B, A))
    full[np.arange(B), ACTION] = per_row
    return full


def test_without_a_threshold_the_values_learn_as_in_the_released_qrc() -> None:
    delta, h = by_hand()
    found, _ = gradients(SaddleCorrection())
    np.testing.assert_allclose(found["raw"], spread(-delta), rtol=1e-5)
    wanted = (np.asarray(BATCH.boot) * h / A)[:, None] * np.ones(A)
    np.testing.assert_allclose(found["raw_next"], wanted, rtol=1e-5, atol=1e-7)


def test_beyond_the_threshold_errors_are_replaced_by_it() -> None:
    delta, h = by_hand()
    tau = float(np.sort(np.abs(h))[2])
    found, _ = gradients(SaddleCorrection(corrected(tau)))
    hat = np.where(np.abs(h) <= tau, delta, tau * np.sign(h))
    assert 0 < np.sum(np.abs(h) > tau) < B
    np.testing.assert_allclose(found["raw"], spread(-hat), rtol=1e-5)
    wanted = (np.asarray(BATCH.boot) * np.clip(h, -tau, tau) / A)[:, None] * np.ones(A)
    np.testing.assert_allclose(found["raw_next"], wanted, rtol=1e-5, atol=1e-7)


def test_a_large_threshold_is_none() -> None:
    wide, none = gradients(SaddleCorrection(corrected(1e6))), gradients(SaddleCorrection())
    jax.tree.map(np.testing.assert_array_equal, wide, none)


def test_the_absolute_loss_is_the_limit_of_small_thresholds() -> None:
    tau = 1e-4
    small = gradients(SaddleCorrection(corrected(tau)))[0]
    limit = gradients(SaddleCorrection(corrected_absolute))[0]
    for name in ("raw", "raw_next"):
        np.testing.assert_allclose(small[name] / tau, limit[name], rtol=1e-3, atol=1e-6)


def test_the_second_head_regresses_on_the_error_and_the_torso_does_not_hear_of_it() -> None:
    delta, h = by_hand()
    values, own = gradients(SaddleCorrection())
    np.testing.assert_allclose(own["bias"], spread(h - delta).sum(axis=0), rtol=1e-4)
    wanted = np.asarray(RAW["features"]).T @ spread(h - delta)
    np.testing.assert_allclose(own["kernel"], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(values["features"], 0.0)


def test_the_residual_gradient_is_that_of_half_the_squared_error() -> None:
    delta, _ = by_hand()
    found, _ = gradients(SaddleCorrection(residual))
    np.testing.assert_allclose(found["raw"], spread(-delta), rtol=1e-5)
    wanted = (np.asarray(BATCH.boot) * delta / A)[:, None] * np.ones(A)
    np.testing.assert_allclose(found["raw_next"], wanted, rtol=1e-5, atol=1e-7)


def test_the_direct_saddle_moves_both_values_by_h() -> None:
    _, h = by_hand()
    found, _ = gradients(SaddleCorrection(direct(0.5)))
    np.testing.assert_allclose(found["raw"], spread(-np.clip(h, -0.5, 0.5)), rtol=1e-5)


def test_a_threshold_must_be_above_zero_and_values_one_number_an_action() -> None:
    with pytest.raises(BadInput, match="above 0"):
        corrected(0.0)
    with pytest.raises(BadInput, match="Channels"):
        SaddleCorrection().loss(H, BATCH, out(RAW, Channels((1.0,))), jax.random.key(0))
    with pytest.raises(BadInput, match="ratio"):
        saddle_optimizer(1e-3, ratio=0.0)


def test_the_second_head_starts_at_zero_and_has_its_own_step_size() -> None:
    params = {
        "net": jnp.ones(2),
        "extra": SaddleCorrection().init(jax.random.key(0), jnp.ones((2, 3)), A),
    }
    assert params["extra"]["kernel"].shape == (6, A)
    assert not any(leaf.any() for leaf in jax.tree.leaves(params["extra"]))
    optimizer = own_step_size(optax.sgd(0.1), optax.sgd(10.0))
    ones = jax.tree.map(jnp.ones_like, params)
    change, _ = optimizer.update(ones, optimizer.init(params), params)
    np.testing.assert_allclose(change["net"], -0.1)
    np.testing.assert_allclose(change["extra"]["bias"], -10.0)


def test_only_the_second_head_decays() -> None:
    optimizer = saddle_optimizer(0.1, ratio=2.0, beta=0.5)
    params = {"net": jnp.ones(2), "extra": jnp.ones(2)}
    still = jax.tree.map(jnp.zeros_like, params)
    change, _ = optimizer.update(still, optimizer.init(params), params)
    np.testing.assert_allclose(change["net"], 0.0)
    np.testing.assert_allclose(change["extra"], -0.1 * 2.0 * 0.5)
    assert math.isclose(float(change["extra"][0]), -0.1, rel_tol=1e-6)


def test_heads_of_random_rewards_learn_from_features_by_td() -> None:
    extra = RandomRewardHeads(count=7, coefficient=2.0, replaces_main=True)
    params = extra.init(jax.random.key(1), jnp.ones(F), A)
    seen = BATCH._replace(next_obs=RAW["features"][::-1])
    rewards = np.asarray(extra.rewards(seen.next_obs))
    assert rewards.shape == (B, 7)

    def total(arrays: dict[str, Any], params: Any) -> Any:
        return extra.loss(params, seen, out(arrays), jax.random.key(0))[0].sum()

    values, own = jax.grad(total, argnums=(0, 1))(RAW, params)
    kernel = np.asarray(params["kernel"])
    now, then = np.asarray(RAW["features"]) @ kernel, np.asarray(seen.next_obs) @ kernel
    delta = rewards + np.asarray(BATCH.boot)[:, None] * then - now
    np.testing.assert_allclose(own["bias"], -2.0 * delta.sum(axis=0) / 7, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        values["features"], -2.0 * delta @ kernel.T / 7, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(values["raw"], 0.0)


def test_random_rewards_are_the_same_ones_at_every_update() -> None:
    one_hot = jnp.eye(6)
    first, again = RandomRewardHeads(50), RandomRewardHeads(50, coefficient=3.0)
    np.testing.assert_array_equal(first.rewards(one_hot), again.rewards(one_hot))
    # A state's reward does not depend on how bright the observation is.
    np.testing.assert_allclose(first.rewards(one_hot), first.rewards(2.0 * one_hot), rtol=1e-6)
    assert abs(float(first.rewards(one_hot).std()) - 1.0) < 0.15
    assert not np.allclose(first.rewards(one_hot), RandomRewardHeads(50, seed=1).rewards(one_hot))
    with pytest.raises(BadInput, match="count"):
        RandomRewardHeads(0)
