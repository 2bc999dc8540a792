"""Every head keeps the contract of `ValueHead` on every array library, and the identities between
heads hold."""

# ruff: noqa: E501 - one refused call a line.

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.objectives import distributional, projections, regression, td
from meritree.value.heads import (
    Atoms,
    Categorical,
    Channels,
    HLGauss,
    Identity,
    Log,
    LogLin,
    Mapped,
    Particles,
    Quantile,
    Scalar,
    SignedHyperbolic,
    TwoHot,
    on_sum,
)

A, B = 3, 4
NUMPY = SimpleNamespace(name="numpy", array=np.asarray)
HEADS: dict[str, tuple[Any, int]] = {
    "scalar": (Scalar(), 1),
    "entropic": (Scalar(partial(regression.itakura_saito, alpha=0.5)), 1),
    "channels": (Channels((1.0, -0.5)), 2),
    "channels of HL-Gauss": (Channels((1.0, 2.0), HLGauss(-4.0, 4.0, 15)), 2),
    "mapped": (Mapped((LogLin(), Log()), (1.0, -1.0), beta_reg=0.5, floor=0.01, ceiling=20.0), 2),
    "categorical": (Categorical(-6.0, 6.0, 13), 1),
    "two-hot": (TwoHot(-6.0, 6.0, 13), 1),
    "HL-Gauss": (HLGauss(-6.0, 6.0, 19), 1),
    "quantile": (Quantile(5), 1),
    "particles": (Particles(6, 2, distributional.gaussian_kernels((0.5, 2.0), (1.0, 2.0))), 2),
}


def batch(head: Any, channels: int, backend: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    features = head.features(A)
    arrays = {
        "raw": rng.normal(size=(B, features)),
        "raw_next": rng.normal(size=(B, features)),
        "a": rng.integers(0, A, B),
        "pi": rng.dirichlet(np.ones(A), B),
        "reward": rng.uniform(0.0, 1.0, (B, channels)),
        "boot": np.array([0.9, 0.9, 0.0, 0.81]),
    }
    return {name: backend.array(x) for name, x in arrays.items()}


def step(head: Any, b: dict[str, Any]) -> tuple[Any, Any]:
    """Loss and error of one update with the greedy next action."""
    v, v_next = head.value(b["raw"]), head.value(b["raw_next"])
    score = head.score(v_next)
    assert score.shape == (B, A)
    v1 = head.mix(v_next, td.greedy_policy(score))
    target = head.target(v1, b["reward"], b["boot"], head.take(v, b["a"]))
    raw_a = head.pick(b["raw"], b["a"])
    return head.loss(raw_a, target), head.error(raw_a, target)


@pytest.mark.parametrize("name", HEADS)
def test_a_step_gives_the_same_finite_rows_on_every_library(name: str, backend: Any) -> None:
    head, channels = HEADS[name]
    plain = replace(backend, name="numpy")
    loss, error = backend.compiled(partial(step, head))(batch(head, channels, backend))
    expected = step(head, batch(head, channels, plain))
    assert loss.shape == error.shape == (B,)
    np.testing.assert_allclose(backend.numpy(loss), expected[0], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(backend.numpy(error), expected[1], rtol=1e-10, atol=1e-12)
    assert np.all(np.isfinite(expected[0]))


@pytest.mark.parametrize("name", HEADS)
def test_a_step_downhill_lowers_the_loss_and_gradients_are_those_of_finite_differences(
    name: str, differentiable: Any
) -> None:
    head, channels = HEADS[name]
    plain = replace(differentiable, name="numpy")
    b = batch(head, channels, plain)
    v1 = head.mix(head.value(b["raw_next"]), b["pi"])
    target = head.target(v1, b["reward"], b["boot"], head.take(head.value(b["raw"]), b["a"]))
    raw_a = head.pick(b["raw"], b["a"])
    move = differentiable.array
    detached = Atoms(*map(move, target)) if isinstance(target, Atoms) else move(target)
    gradient = differentiable.gradient(lambda x: head.loss(x, detached), raw_a)
    assert np.sum(head.loss(raw_a - 1e-4 * gradient, target)) < np.sum(head.loss(raw_a, target))
    ahead, behind = (head.loss(raw_a + d * gradient, target) for d in (1e-6, -1e-6))
    slope = np.sum(ahead - behind) / 2e-6
    np.testing.assert_allclose(slope, np.sum(gradient**2), rtol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_taking_an_action_is_mixing_with_all_weight_on_it(name: str) -> None:
    head, channels = HEADS[name]
    b = batch(head, channels, NUMPY)
    v = head.value(b["raw_next"])
    taken = head.take(v, b["a"])
    one_hot = np.eye(A)[b["a"]]
    mixed = head.mix(v, one_hot)
    raw_a = head.pick(b["raw"], b["a"])
    old = head.take(head.value(b["raw"]), b["a"])
    losses = [
        head.loss(raw_a, head.target(v1, b["reward"], b["boot"], old)) for v1 in (taken, mixed)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", HEADS)
def test_the_error_vanishes_where_the_target_is_the_prediction(name: str) -> None:
    head, channels = HEADS[name]
    plain = NUMPY
    b = batch(head, channels, plain)
    raw_a = head.pick(b["raw"], b["a"])
    own = head.take(head.value(b["raw"]), b["a"])
    # boot 1 and no reward: the Bellman image is the value itself.
    target = head.target(own, 0.0 * b["reward"], np.ones(B), own)
    if name == "mapped":
        raw_a, target = raw_a[1:2], target[1:2]  # a row inside floor and ceiling
    if "HL-Gauss" in name or name == "two-hot":
        np.testing.assert_allclose(head.error(raw_a, target), 0.0, atol=2e-2)
    else:
        np.testing.assert_allclose(head.error(raw_a, target), 0.0, atol=1e-9)


@pytest.mark.parametrize(
    ("library", "inner"),
    [
        ("numpy", Scalar()),
        ("torch", Scalar()),
        ("jax", Scalar()),
        ("torch", Scalar(partial(regression.huber, delta=0.5))),
        ("torch", Categorical(-5.0, 5.0, 11)),
        ("numpy", HLGauss(-5.0, 5.0, 17)),
        ("numpy", Quantile(4)),
    ],
)
def test_one_channel_of_weight_one_is_the_plain_head_bit_for_bit(
    library: str, inner: Any, make_backend: Any
) -> None:
    backend = make_backend(library)
    wide = Channels((1.0,), inner)
    assert wide.features(A) == inner.features(A)
    b = batch(inner, 1, backend)
    both = [backend.compiled(partial(step, head))(b) for head in (inner, wide)]
    for plain, channel in zip(*both, strict=True):
        assert backend.numpy(plain).tobytes() == backend.numpy(channel).tobytes()


def test_the_value_of_the_summed_reward_is_the_sum_of_channel_values_under_a_fixed_policy() -> None:
    # Three states in a ring, two actions (go, stay), uniform policy, three channels.
    rng = np.random.default_rng(1)
    reward = rng.normal(size=(3, 2, 3))
    head, flat = Channels((1.0, 1.0, 1.0)), Scalar()
    q, q_sum = np.zeros((3, 3 * 2)), np.zeros((3, 2))
    pi = np.full((3, 2), 0.5)
    for _ in range(200):
        q_new, sum_new = np.empty((3, 3, 2)), np.empty((3, 2))
        for a, follow in enumerate(([1, 2, 0], [0, 1, 2])):
            boot = np.full(3, 0.9)
            q_new[:, :, a] = head.target(head.mix(head.value(q), pi)[follow], reward[:, a], boot)
            total = np.sum(reward[:, a], axis=-1, keepdims=True)
            sum_new[:, a] = flat.target(flat.mix(q_sum, pi)[follow], total, boot)
        q, q_sum = q_new.reshape(3, -1), sum_new
    np.testing.assert_allclose(head.score(head.value(q)), q_sum, rtol=1e-12)


def test_permuting_channels_leaves_the_score_unchanged() -> None:
    raw = np.random.default_rng(2).normal(size=(B, 3 * A))
    head = Channels((1.0, 2.0, -1.0))
    order = [2, 0, 1]
    other = Channels(tuple(head.lambdas[k] for k in order))
    swapped = raw.reshape(B, 3, A)[:, order].reshape(B, -1)
    np.testing.assert_allclose(
        other.score(other.value(swapped)), head.score(head.value(raw)), rtol=1e-14
    )


def test_each_channel_may_bootstrap_from_an_action_of_its_own() -> None:
    head = Channels((1.0, 1.0))
    v = head.value(np.array([[1.0, 5.0, 7.0, 2.0]]))
    np.testing.assert_array_equal(head.take_each(v, np.array([[1, 0]])), [[5.0, 7.0]])


@pytest.mark.parametrize("f", [Identity(), Log(), LogLin(), SignedHyperbolic()])
def test_maps_invert_and_increase(f: Any, backend: Any) -> None:
    q = backend.array([0.01, 0.5, 1.0, 1.5, 30.0])
    z = f.forward(q)
    np.testing.assert_allclose(backend.numpy(f.inverse(z)), backend.numpy(q), rtol=1e-9)
    assert np.all(np.diff(backend.numpy(z)) > 0.0)


def test_loglin_is_smooth_at_one() -> None:
    q = np.array([1.0 - 1e-6, 1.0, 1.0 + 1e-6])
    z = LogLin(0.5).forward(q)
    np.testing.assert_allclose(np.diff(z) / 1e-6, 0.5, rtol=1e-5)


def test_identity_maps_without_bounds_are_q_learning_per_channel() -> None:
    mapped = Mapped((Identity(), Identity()), (1.0, -1.0), beta_reg=1.0,
                    loss_function=regression.squared)  # fmt: skip
    channels = Channels((1.0, -1.0))
    raw = np.random.default_rng(3).normal(size=(B, A, 2))
    b = batch(mapped, 2, NUMPY)
    b_mapped = {**b, "raw": raw.reshape(B, -1), "raw_next": raw[::-1].reshape(B, -1)}
    turned = np.swapaxes(raw, 1, 2)
    b_channels = {**b, "raw": turned.reshape(B, -1), "raw_next": turned[::-1].reshape(B, -1)}
    for x, y in zip(step(mapped, b_mapped), step(channels, b_channels), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12)


def test_small_steps_in_ordinary_space_undo_the_bias_of_averaging_logarithms() -> None:
    # Targets 0.1 and 1.9 in turn: their mean is 1, their geometric mean 0.436.
    finals = {}
    for beta_reg, rate in ((1.0, 0.01), (0.01, 1.0)):
        head = Mapped((Log(0.5),), (1.0,), beta_reg=beta_reg, loss_function=regression.squared)
        z = head.maps[0].forward(np.ones((1, 1)))
        for k in range(4000):
            reward = np.array([[(0.1, 1.9)[k % 2]]])
            target = head.target(np.zeros((1, 1)), reward, np.zeros(1), head.value(z)[:, 0])
            z = z + rate * (target - z)
        finals[beta_reg] = float(head.score(head.value(z))[0, 0])
    assert abs(finals[1.0] - math.sqrt(0.19)) < 0.02
    assert abs(finals[0.01] - 1.0) < 0.02


def test_padding_lets_hl_gauss_represent_the_ends_of_its_range() -> None:
    y = np.array([[-1.0], [0.3], [1.0]])
    errors = {}
    for padding in (0, 3):
        head = HLGauss(-1.0, 1.0, 20 + 2 * padding, padding=padding)
        p = head.target(np.zeros(3), y, np.zeros(3))
        raw = np.log(np.maximum(p, 1e-300))
        errors[padding] = np.max(np.abs(head.value(raw)[:, 0] - y[:, 0])) / head.width
    assert 0.5 < errors[0] < 1.0
    assert errors[3] < 1e-3


def test_the_cross_entropy_gradient_is_the_difference_of_probabilities(
    differentiable: Any,
) -> None:
    head = HLGauss(-2.0, 2.0, 11)
    raw = np.random.default_rng(4).normal(size=(2, 11))
    target = head.target(np.zeros(2), np.array([[0.5], [-1.0]]), np.zeros(2))
    gradient = differentiable.gradient(lambda x: head.loss(x, differentiable.array(target)), raw)
    probabilities = np.exp(raw) / np.exp(raw).sum(-1, keepdims=True)
    np.testing.assert_allclose(gradient, probabilities - target, atol=1e-12)
    assert np.all(np.abs(gradient) <= 1.0)


def test_a_stock_shifts_what_a_judge_sees() -> None:
    # Expected shortfall below a level needs to know what was gained before.
    def below(values: Any, weights: Any) -> Any:
        return np.sum(weights * np.minimum(values, 0.0), axis=-1)

    raw = np.array([[-1.0, 1.0, -3.0, 5.0]] * 2)  # two actions, two quantiles
    head = Quantile(2, judge=below)
    score = head.score(head.value(raw), np.array([[0.0], [3.0]]))
    np.testing.assert_allclose(score, [[-0.5, -1.5], [0.0, 0.0]])
    categorical = Categorical(-1.0, 1.0, 3, judge=below)
    v = categorical.value(np.zeros((1, 3)))
    np.testing.assert_allclose(categorical.score(v, np.array([[-1.0]])), [[-1.0]])


def test_particles_carry_the_joint_law_that_margins_lose() -> None:
    # Two channels that exclude each other: the same margins as independent ones.
    exclusive = np.array([[[1.0, 0.0], [0.0, 1.0]]])
    independent = np.array([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]]])
    head = Particles(2, 2)
    same = Atoms(exclusive[:, ::-1], np.full((1, 2), 0.5))
    other = Atoms(independent, np.full((1, 4), 0.25))
    assert head.loss(exclusive, same) == pytest.approx(0.0, abs=1e-12)
    assert head.loss(exclusive, other) > 0.1

    def both(particles: Any, weights: Any) -> Any:
        return np.sum(weights * np.all(particles > 0.5, axis=-1), axis=-1)

    constrained = Particles(2, 2, judge=both)
    assert constrained.score(exclusive[:, None]) == 0.0
    assert constrained.score(exclusive[:, None], np.array([[1.0, 1.0]])) == 1.0
    weighted = Particles(2, 2, judge=on_sum(lambdas=(1.0, -1.0)))
    assert weighted.score(exclusive[:, None] + [0.5, 0.0]) == 0.5


def test_one_channel_of_particles_is_the_scalar_mmd() -> None:
    x, y = np.random.default_rng(5).normal(size=(2, B, 6))
    head = Particles(6, 1)
    target = Atoms(y[..., None], np.full((B, 6), 1 / 6))
    d = (x[:, :, None] - y[:, None, :]) ** 2
    kernel = distributional.MD3QN_KERNEL
    xx, yy = (kernel((z[:, :, None] - z[:, None, :]) ** 2).mean((1, 2)) for z in (x, y))
    np.testing.assert_allclose(
        head.loss(x[..., None], target), xx + yy - 2 * kernel(d).mean((1, 2)), rtol=1e-10
    )


def test_c51_moves_the_whole_distribution() -> None:
    head = Categorical(0.0, 4.0, 5)
    v1 = np.array([[0.0, 0.5, 0.0, 0.5, 0.0]])
    target = head.target(v1, np.array([[1.0]]), np.array([0.5]))
    np.testing.assert_allclose(target, [[0.0, 0.25, 0.5, 0.25, 0.0]])
    np.testing.assert_allclose(projections.categorical(v1, v1 * 0.0 + 9.0, np.arange(5.0)),
                               [[0, 0, 0, 0, 1]])  # fmt: skip


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Channels(()), "lambdas is empty"),
        (lambda: Mapped((Log(),), (1.0, 2.0)), "1 maps and 2 lambdas"),
        (lambda: Mapped((Log(),), (1.0,), beta_reg=0.0), "beta_reg is 0.0"),
        (lambda: Categorical(1.0, 1.0), r"low=1\.0, high=1\.0"),
        (lambda: TwoHot(0.0, 1.0, 1), "1 of them"),
        (lambda: HLGauss(0.0, 1.0, 6), "at least 2 atoms"),
        (lambda: HLGauss(0.0, 1.0, ratio=0.0), r"ratio=0\.0"),
        (lambda: Quantile(0), "n=0"),
        (lambda: Particles(2, 0), "channels=0"),
        (lambda: Quantile(5).value(np.zeros((2, 7))), r"raw has shape \(2, 7\)"),
        (lambda: Scalar().target(np.zeros(2), np.zeros((2, 3)), np.zeros(2)), "use Channels"),
        (lambda: Channels((1.0,)).target(np.zeros((2, 1)), np.zeros((2, 3)), np.zeros(2)), "1 channels"),
        (lambda: Particles(2, 2).target(Atoms(np.zeros((1, 2, 2)), np.ones((1, 2))), np.zeros((1, 1)), np.zeros(1)), "2 channels"),
        (lambda: Mapped((Log(),), (1.0,)).target(np.ones((2, 1)), np.zeros((2, 1)), np.zeros(2)), "needs old"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(make: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        make()


def test_importing_the_heads_imports_no_framework() -> None:
    code = (
        "import sys, meritree.value.heads; "
        "print(*sorted({'torch', 'jax', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
