"""Risk measures: closed forms, axioms, duals, and the same numbers on every array library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meritree.errors import BadInput
from meritree.value.risk import (
    Distortion,
    Entropic,
    EntropicVaR,
    ExpectedShortfall,
    Expectile,
    Exponential,
    KLRobust,
    Mean,
    MeanVariance,
    OptimisedCertaintyEquivalent,
    Quadratic,
    ValueAtRisk,
    Weighted,
    as_score,
    from_quantiles,
    law,
    linear_certainty_equivalent,
    variance,
)

Y = np.asarray([3.0, -1.0, 4.0, 1.0, 5.0, -9.0, 2.0, 6.0, 5.0, 3.5])
W = np.asarray([0.05, 0.1, 0.2, 0.05, 0.1, 0.1, 0.1, 0.05, 0.15, 0.1])
MEASURES = {
    "mean": Mean(),
    "var": ValueAtRisk(0.7),
    "es": ExpectedShortfall(0.7),
    "entropic": Entropic(0.3),
    "mean-variance": MeanVariance(0.1),
    "expectile": Expectile(0.8),
    "evar": EntropicVaR(0.7),
    "kl": KLRobust(0.2),
    "oce linear": linear_certainty_equivalent(3.0, 0.2),
    "oce exponential": OptimisedCertaintyEquivalent(Exponential(0.3)),
    "oce quadratic": OptimisedCertaintyEquivalent(Quadratic(0.2)),
    "wang-like": Distortion(lambda s: s**0.7),
    "weighted": Weighted(((0.5, Mean()), (0.5, ExpectedShortfall(0.9)))),
}
CONVEX_MONETARY = [
    "mean", "es", "entropic", "expectile", "evar", "kl", "oce linear", "oce exponential",
    "oce quadratic", "wang-like", "weighted",
]  # fmt: skip
COHERENT = ["mean", "es", "expectile", "evar", "kl", "oce linear", "wang-like", "weighted"]

costs = arrays(np.float64, 7, elements=st.floats(-50, 50, allow_subnormal=False))
masses = arrays(np.float64, 7, elements=st.floats(0.01, 1.0))


def share(raw: Any) -> Any:
    return raw / raw.sum()


@pytest.mark.parametrize("name", MEASURES)
def test_every_array_library_gives_the_same_number(name: str, backend: Any) -> None:
    wide = np.stack([Y, -Y, 0.5 * Y])
    want = MEASURES[name](wide, np.stack([W, W, W]))
    got = MEASURES[name](backend.array(wide), backend.array(W))
    np.testing.assert_allclose(backend.numpy(got), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MEASURES)
def test_repeating_a_sample_is_the_same_as_doubling_its_weight(name: str) -> None:
    repeated = np.concatenate([Y, Y[:3]])
    weights = np.full(10, 1.0 / 13.0)
    weights[:3] *= 2.0
    risk = MEASURES[name]
    assert risk(repeated) == pytest.approx(risk(Y, weights), abs=1e-6)


@pytest.mark.parametrize("name", CONVEX_MONETARY)
@given(y=costs, z=costs, raw=masses, shift=st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_monetary_risks_are_monotone_translate_and_are_convex(
    name: str, y: Any, z: Any, raw: Any, shift: float
) -> None:
    risk, w = MEASURES[name], share(raw)
    if "exponential" in name or name == "entropic":
        y, z = y / 10.0, z / 10.0  # keep exp(theta y) within what float64 resolves
    assert risk(y + shift, w) == pytest.approx(risk(y, w) + shift, abs=1e-5)
    assert risk(y, w) <= risk(np.maximum(y, z), w) + 1e-5
    assert risk(0.3 * y + 0.7 * z, w) <= 0.3 * risk(y, w) + 0.7 * risk(z, w) + 1e-5


@pytest.mark.parametrize("name", COHERENT)
@given(y=costs, raw=masses, scale=st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_coherent_risks_scale_with_the_costs_and_exceed_the_mean(
    name: str, y: Any, raw: Any, scale: float
) -> None:
    risk, w = MEASURES[name], share(raw)
    assert risk(scale * y, w) == pytest.approx(scale * risk(y, w), rel=1e-5, abs=1e-5)
    assert risk(y, w) >= Mean()(y, w) - 1e-6


def test_mean_variance_is_not_monotone() -> None:
    risk = MeanVariance(1.0)
    assert risk(np.asarray([0.0, -10.0])) > risk(np.asarray([0.0, 0.0]))
    monotone = OptimisedCertaintyEquivalent(Quadratic(2.0))
    assert monotone(np.asarray([0.0, -10.0])) < monotone(np.asarray([0.0, 0.0]))


@given(y=costs, raw=masses, level=st.floats(0.0, 0.97))
@settings(max_examples=100, deadline=None)
def test_expected_shortfall_is_the_minimum_of_rockafellar_and_uryasev(
    y: Any, raw: Any, level: float
) -> None:
    w = share(raw)
    # The minimised function is convex and piecewise linear with kinks at the costs.
    least = min(v + (w * np.clip(y - v, 0, None)).sum() / (1 - level) for v in y)
    assert ExpectedShortfall(level)(y, w) == pytest.approx(least, abs=1e-8)
    linear = Distortion(lambda s: np.minimum(s / (1 - level), 1.0))
    assert linear(y, w) == pytest.approx(least, abs=1e-8)
    assert ValueAtRisk(level)(y, w) <= least + 1e-9


def test_expected_shortfall_of_a_normal_law_has_its_closed_form() -> None:
    stats = pytest.importorskip("scipy.stats")
    grid = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    want = stats.norm.pdf(stats.norm.ppf(0.95)) / 0.05
    assert ExpectedShortfall(0.95)(grid) == pytest.approx(want, abs=1e-4)
    assert ValueAtRisk(0.95)(grid) == pytest.approx(stats.norm.ppf(0.95), abs=1e-4)
    assert Entropic(0.7)(grid) == pytest.approx(0.35, abs=1e-4)  # theta/2 for N(0, 1)
    # Entropic VaR of N(0, 1) is sqrt(-2 log(1 - level)); KL-robust mean sqrt(2 radius).
    assert EntropicVaR(0.95)(grid) == pytest.approx(np.sqrt(-2 * np.log(0.05)), abs=5e-3)
    assert KLRobust(0.3)(grid) == pytest.approx(np.sqrt(0.6), abs=1e-3)


def test_limits_of_the_parameters_are_the_mean_and_the_maximum() -> None:
    mean, top = float((W * Y).sum()), float(Y.max())
    assert ExpectedShortfall(0.0)(Y, W) == pytest.approx(mean)
    assert ExpectedShortfall(0.9999)(Y, W) == pytest.approx(top)
    assert Entropic(1e-6)(Y, W) == pytest.approx(mean, abs=1e-4)
    assert Entropic(200.0)(Y, W) == pytest.approx(top, abs=0.02)
    assert Expectile(0.5)(Y, W) == pytest.approx(mean)
    assert Expectile(0.999999)(Y, W) == pytest.approx(top, abs=1e-3)
    assert KLRobust(0.0)(Y, W) == pytest.approx(mean)
    assert KLRobust(50.0)(Y, W) == pytest.approx(top, abs=1e-4)
    assert MeanVariance(0.0)(Y, W) == pytest.approx(mean)


@given(y=costs, raw=masses, level=st.floats(0.05, 0.95))
@settings(max_examples=60, deadline=None)
def test_an_expectile_balances_gains_and_losses(y: Any, raw: Any, level: float) -> None:
    w = share(raw)
    v = Expectile(level)(y, w)
    above = level * (w * np.clip(y - v, 0, None)).sum()
    below = (1 - level) * (w * np.clip(v - y, 0, None)).sum()
    assert above == pytest.approx(below, abs=1e-6)


@given(y=costs, raw=masses)
@settings(max_examples=40, deadline=None)
def test_optimised_certainty_equivalents_contain_the_known_risks(y: Any, raw: Any) -> None:
    w, y = share(raw), y / 10.0
    above, below = 3.0, 0.2
    least = min(
        v + (w * (above * np.clip(y - v, 0, None) - below * np.clip(v - y, 0, None))).sum()
        for v in y
    )
    assert linear_certainty_equivalent(above, below)(y, w) == pytest.approx(least, abs=1e-8)
    exponential = OptimisedCertaintyEquivalent(Exponential(0.5))
    assert exponential(y, w) == pytest.approx(Entropic(0.5)(y, w), abs=1e-6)
    small = OptimisedCertaintyEquivalent(Quadratic(0.05))  # no cost 20 under the mean
    assert small(y, w) == pytest.approx(MeanVariance(0.025)(y, w), abs=1e-6)


@given(y=costs, raw=masses, radius=st.floats(0.01, 0.5))
@settings(max_examples=50, deadline=None)
def test_kl_robust_is_reached_by_a_law_within_the_radius(y: Any, raw: Any, radius: float) -> None:
    p, risk = share(raw), KLRobust(radius)
    value = risk(y, p)
    q = p * np.exp((y - y.max()) / risk.temperature(y, p))
    q = q / q.sum()
    assert float((q * np.log(np.clip(q / p, 1e-300, None))).sum()) <= radius + 1e-6
    # Reached from inside and bounded by the dual at every temperature: no gap is left.
    assert float((q * y).sum()) == pytest.approx(value, abs=1e-4)
    for t in (0.1, 1.0, 10.0):
        assert value <= t * radius + Entropic(1.0 / t)(y, p) + 1e-9


def test_mass_cannot_move_to_values_without_weight() -> None:
    y, w = np.asarray([0.0, 1.0, 100.0]), np.asarray([0.5, 0.5, 0.0])
    for risk in (KLRobust(5.0), ExpectedShortfall(0.9), ValueAtRisk(0.99), EntropicVaR(0.99)):
        assert risk(y, w) <= 1.0 + 1e-5


def test_a_constant_cost_has_itself_as_risk() -> None:
    flat = np.full((2, 4), 3.25)
    for name, risk in MEASURES.items():
        np.testing.assert_allclose(risk(flat), [3.25, 3.25], atol=1e-6, err_msg=name)


def test_the_score_of_rewards_is_the_mean_of_the_worst_share() -> None:
    score = as_score(ExpectedShortfall(0.8))
    rewards = np.arange(10.0)
    assert score(rewards) == pytest.approx(0.5)  # mean of 0 and 1
    assert score(rewards) <= as_score(Mean())(rewards)
    assert as_score(ExpectedShortfall(0.8))(rewards + 2.0) == pytest.approx(2.5)


def test_values_in_a_head_are_scored_for_every_state_and_action_at_once() -> None:
    rng = np.random.default_rng(0)
    atoms, logits = np.linspace(-1, 1, 51), rng.normal(size=(4, 3, 51))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    score = as_score(ExpectedShortfall(0.75))
    values = score(atoms, probabilities)
    assert values.shape == (4, 3)
    assert values[2, 1] == pytest.approx(score(atoms, probabilities[2, 1]))


def test_quantiles_at_midpoints_are_equally_weighted_samples() -> None:
    levels = (np.arange(10) + 0.5) / 10
    midpoint = from_quantiles(np.sort(Y), levels)
    np.testing.assert_allclose(midpoint.weights, 0.1)
    uneven = from_quantiles(np.asarray([0.0, 1.0]), np.asarray([0.1, 0.3]))
    np.testing.assert_allclose(uneven.weights, [0.2, 0.8])
    assert variance(*from_quantiles(np.sort(Y))) == pytest.approx(Y.var())


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"var"}))
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    torch = pytest.importorskip("torch")
    y = torch.tensor(Y, dtype=torch.float64, requires_grad=True)
    w = torch.tensor(W, dtype=torch.float64)
    MEASURES[name](y, w).backward()
    for i in range(len(Y)):
        step = np.zeros(len(Y))
        step[i] = 1e-5
        numeric = (MEASURES[name](Y + step, W) - MEASURES[name](Y - step, W)) / 2e-5
        # Equal costs (5.0 twice) make shortfalls kinked there: any split of the pair is right.
        if Y[i] != 5.0:
            assert float(y.grad[i]) == pytest.approx(numeric, abs=1e-4)


def test_a_risk_runs_under_jit_where_no_numbers_are_known() -> None:
    jax = pytest.importorskip("jax")
    y, w = jax.numpy.asarray(Y), jax.numpy.asarray(W)
    for name in ("var", "es", "expectile", "evar", "oce quadratic"):
        risk = MEASURES[name]
        got = float(jax.jit(risk)(y, w))
        assert got == pytest.approx(float(risk(Y, W)), abs=2e-3), name


BAD = {
    "values has dtype int64": lambda: law(np.arange(3)),
    r"values has shape \(0,\)": lambda: law(np.zeros(0)),
    r"values of shape \(2, 3\) has 1 entries that are NaN": lambda: law(
        np.asarray([[1.0, 2.0, np.nan], [0.0, 0.0, 0.0]])
    ),
    "weights must be >= 0": lambda: Mean()(np.ones(2), np.asarray([1.5, -0.5])),
    "divide by the sum": lambda: Mean()(np.ones(2), np.asarray([0.5, 0.6])),
    "last axes must have equal length": lambda: Mean()(np.ones(3), np.asarray([0.5, 0.5])),
    "shapes do not broadcast": lambda: Mean()(np.ones((2, 3)), np.full((4, 3), 1 / 3)),
    "quantiles of shape .* are not ascending": lambda: from_quantiles(np.asarray([1.0, 0.0])),
    "levels must have shape": lambda: from_quantiles(np.ones(2), np.asarray([0.5])),
    "strictly ascending inside": lambda: from_quantiles(np.ones(2), np.asarray([0.5, 0.5])),
    "arrays of one library": lambda: Mean()([1.0, 2.0]),
    "level=1.0: must lie": lambda: ExpectedShortfall(1.0),
    "level=1.0: an expectile": lambda: Expectile(1.0),
    "theta=0.0": lambda: Entropic(0.0),
    "theta=inf": lambda: Entropic(float("inf")),
    "below < 1 < above": lambda: linear_certainty_equivalent(0.5),
    "radius=-1": lambda: KLRobust(-1.0),
    "all weights >= 0": lambda: Weighted(((-1.0, Mean()),)),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named_with_its_shape_and_the_way_out(message: str) -> None:
    with pytest.raises(BadInput, match=message):
        BAD[message]()
