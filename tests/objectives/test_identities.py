"""Limits, invariances and minimisers that the objectives must have, whatever the numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.objectives import (
    advantages,
    distributional,
    dynamics,
    offline,
    policy,
    projections,
    regression,
    saddle,
    td,
    weights,
)

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)


def draw(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def path(seed: int, steps: int) -> dict[str, Any]:
    """Rewards, values and ends of episodes; the first half of ends terminate."""
    rng = np.random.default_rng(seed)
    last = rng.random(steps) < 0.3
    terminated = last & (rng.random(steps) < 0.5)
    return {
        "r_t": rng.normal(size=steps),
        "discount_t": 0.9 * (1.0 - terminated),
        "v_tm1": rng.normal(size=steps),
        "v_t": rng.normal(size=steps),
        "last_t": last,
    }


def without(p: dict[str, Any], *names: str) -> dict[str, Any]:
    return {k: v for k, v in p.items() if k not in names}


@few
@given(SEEDS, st.integers(1, 9))
def test_gae_at_zero_is_the_td_error_and_at_one_monte_carlo(seed: int, steps: int) -> None:
    p = path(seed, steps)
    error = td.td_target(p["r_t"], p["discount_t"], p["v_t"]) - p["v_tm1"]
    np.testing.assert_allclose(advantages.gae(**p, lambda_t=0.0), error, atol=1e-12)
    p["v_tm1"][1:] = p["v_t"][:-1]  # one value function along the path
    returns = td.lambda_returns(**without(p, "v_tm1"), lambda_t=1.0)
    np.testing.assert_allclose(advantages.gae(**p, lambda_t=1.0), returns - p["v_tm1"], atol=1e-12)


@few
@given(SEEDS, st.integers(2, 9), st.floats(0.0, 1.0))
def test_episodes_in_one_array_do_not_see_each_other(seed: int, steps: int, lam: float) -> None:
    p = path(seed, steps)
    cut = steps // 2
    p["last_t"][cut - 1] = True
    rho = np.exp(draw(seed, steps))
    plain = without(p, "v_tm1")
    for function, arguments in [
        (advantages.gae, {**p, "lambda_t": np.full(steps, lam)}),
        (td.lambda_returns, {**plain, "lambda_t": np.full(steps, lam)}),
        (lambda **k: td.n_step_returns(**k, n=3), plain),
        (lambda **k: td.v_trace(**k, lambda_=lam).target, {**p, "rho_tm1": rho}),
        (lambda **k: td.v_trace(**k, lambda_=lam).advantage, {**p, "rho_tm1": rho}),
        (td.off_policy_returns, {**plain, "q_t": rho, "c_t": np.minimum(rho, 1.0)}),
    ]:
        together = function(**arguments)
        halves = [
            function(**{k: v[part] for k, v in arguments.items()})
            for part in (slice(None, cut), slice(cut, None))
        ]
        np.testing.assert_allclose(together, np.concatenate(halves), atol=1e-12)


@few
@given(SEEDS, st.integers(1, 9), st.floats(0.0, 1.0))
def test_returns_agree_where_their_definitions_meet(seed: int, steps: int, lam: float) -> None:
    p = path(seed, steps)
    plain = without(p, "v_tm1")
    lambda_returns = td.lambda_returns(**plain, lambda_t=lam)
    monte_carlo = td.lambda_returns(**plain, lambda_t=1.0)
    one_step = td.td_target(p["r_t"], p["discount_t"], p["v_t"])
    np.testing.assert_allclose(td.n_step_returns(**plain, n=1), one_step, atol=1e-12)
    np.testing.assert_allclose(td.n_step_returns(**plain, n=steps), monte_carlo, atol=1e-12)
    np.testing.assert_allclose(td.lambda_returns(**plain, lambda_t=0.0), one_step, atol=1e-12)
    # Off-policy returns of an actor whose action values equal its state values.
    c = np.full(steps, lam)
    off_policy = td.off_policy_returns(**plain, q_t=p["v_t"], c_t=c)
    np.testing.assert_allclose(off_policy, lambda_returns, atol=1e-12)
    # V-trace on the policy's own data.
    p["v_tm1"][1:] = p["v_t"][:-1]
    v_trace = td.v_trace(**p, rho_tm1=np.ones(steps), lambda_=lam)
    np.testing.assert_allclose(v_trace.target, lambda_returns, atol=1e-12)


@few
@given(SEEDS, st.integers(1, 8), st.floats(0.0, 0.99))
def test_traces_forwards_are_advantages_backwards(seed: int, steps: int, decay: float) -> None:
    x, r, v, v_next = draw(seed, 4, steps)
    delta = r + 0.9 * v_next - v
    backwards = advantages.gae(r, 0.9, v, v_next, False, decay / 0.9)
    forwards = advantages.traces(x, decay)
    np.testing.assert_allclose(np.sum(forwards * delta), np.sum(x * backwards), atol=1e-10)


@few
@given(SEEDS)
def test_targets_of_action_values_meet_in_their_limits(seed: int) -> None:
    q, other, (r,) = draw(seed, 3, 4), draw(seed + 1, 3, 4), draw(seed + 2, 1, 3)
    greedy = td.q_learning_target(r, 0.9, q)
    np.testing.assert_allclose(td.double_q_target(r, 0.9, q, q), greedy)
    policy_ = td.greedy_policy(q)
    np.testing.assert_allclose(td.expected_sarsa_target(r, 0.9, q, policy_), greedy)
    np.testing.assert_allclose(td.soft_q_target(r, 0.9, q, 1e-4), greedy, atol=1e-3)
    a = np.zeros(3, int)
    soft = td.soft_q_target(r, 0.9, q, 0.5)
    np.testing.assert_allclose(
        td.munchausen_target(r, 0.9, other, a, q, 0.5, alpha=0.0), soft, atol=1e-12
    )
    # Written out: entropy-regularised expectation under the softmax policy.
    pi = td.softmax_policy(q, 0.5)
    written = r + 0.9 * np.sum(pi * (q - 0.5 * np.log(pi)), axis=-1)
    np.testing.assert_allclose(soft, written, atol=1e-12)
    bonus = np.maximum(0.5 * np.log(td.softmax_policy(other, 0.5)[:, 0]), -1.0)
    np.testing.assert_allclose(
        td.munchausen_target(r, 0.9, other, a, q, 0.5), written + 0.9 * bonus, atol=1e-12
    )


@few
@given(SEEDS)
def test_losses_of_one_number_meet_in_their_limits(seed: int) -> None:
    x, y = draw(seed, 2, 6)
    squared, absolute = regression.squared(x, y), regression.absolute(x, y)
    np.testing.assert_allclose(regression.expectile(x, y, 0.5), squared)
    np.testing.assert_allclose(regression.quantile(x, y, 0.5), 0.5 * absolute)
    np.testing.assert_allclose(regression.huber(x, y, 100.0), squared)
    np.testing.assert_allclose(regression.huber(x, y, 1e-9) / 1e-9, absolute, atol=1e-8)
    log_cosh = regression.log_cosh(x, y)
    assert np.all(log_cosh <= np.minimum(squared, absolute) + 1e-12)
    np.testing.assert_allclose(regression.itakura_saito(x, y, 1e-7), squared, rtol=1e-5)
    np.testing.assert_allclose(
        regression.itakura_saito(x, y, 0.7), regression.itakura_saito(-x, -y, -0.7)
    )
    np.testing.assert_allclose(
        regression.itakura_saito(x + 5.0, y + 5.0, 0.7), regression.itakura_saito(x, y, 0.7)
    )
    mean = np.mean(regression.itakura_saito(np.stack([x, y]), 0.0 * np.stack([x, y]), 1.0), axis=0)
    middle = regression.itakura_saito((x + y) / 2, 0.0 * x, 1.0)
    assert np.all(middle <= mean + 1e-12)  # convex


@few
@given(SEEDS, st.floats(0.1, 3.0), st.floats(0.05, 0.95))
def test_losses_are_least_at_what_they_estimate(seed: int, alpha: float, tau: float) -> None:
    y = draw(seed, 41)
    certainty = -math.log(np.mean(np.exp(-alpha * y))) / alpha
    expectile = float(np.mean(y))
    for _ in range(200):
        side = np.where(y < expectile, 1.0 - tau, tau)
        expectile = float(np.sum(side * y) / np.sum(side))
    for loss, best in [
        (lambda x: regression.itakura_saito(x, y, alpha), certainty),
        (lambda x: regression.exponential_squared(x, y, alpha), certainty),
        (lambda x: regression.squared(x, y), np.mean(y)),
        (lambda x: regression.absolute(x, y), np.median(y)),
        (lambda x: regression.expectile(x, y, tau), expectile),
        (lambda x: regression.quantile(x, y, tau), np.quantile(y, tau, method="inverted_cdf")),
    ]:
        least = np.mean(loss(np.full_like(y, best)))
        for off in (-0.05, -1e-3, 1e-3, 0.05):
            assert np.mean(loss(np.full_like(y, best + off))) >= least - 1e-13


def test_the_tangent_of_itakura_saito_begins_where_it_should() -> None:
    x = np.array([-3.0, 0.5, 0.99, 1.01, 9.0])
    free = regression.itakura_saito(x, 0.0 * x, 2.0)
    tame = regression.itakura_saito(x, 0.0 * x, 2.0, linear_above=2.0)
    np.testing.assert_allclose(tame[:3], free[:3])
    assert np.all(tame[3:] < free[3:])
    slope = (tame[4] - tame[3]) / (9.0 - 1.01)
    assert slope == pytest.approx(math.expm1(2.0) / 2.0)


@few
@given(SEEDS, st.floats(-1.0, 3.0), st.floats(0.5, 4.0))
def test_projections_keep_mass_and_mean_and_follow_affine_maps(
    seed: int, shift: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    support = np.sort(rng.uniform(-3.0, 3.0, 7)) + 1e-2 * np.arange(7)
    y = rng.uniform(support[0], support[-1], (4, 5))
    p = rng.dirichlet(np.ones(5), 4)
    hot = projections.two_hot(y, support)
    np.testing.assert_allclose(np.sum(hot, axis=-1), 1.0)
    np.testing.assert_allclose(hot @ support, y, atol=1e-12)
    assert np.all(np.sum(hot > 0.0, axis=-1) <= 2)
    law = projections.categorical(p, y, support)
    np.testing.assert_allclose(np.sum(law, axis=-1), 1.0)
    np.testing.assert_allclose(law @ support, np.sum(p * y, axis=-1), atol=1e-12)
    np.testing.assert_allclose(
        projections.categorical(p, scale * y + shift, scale * support + shift), law, atol=1e-9
    )
    np.testing.assert_allclose(
        projections.hl_gauss(scale * y + shift, scale * support + shift, scale * 0.4),
        projections.hl_gauss(y, support, 0.4),
        atol=1e-9,
    )


@few
@given(SEEDS, st.floats(0.1, 1.0))
def test_the_categorical_backup_contracts_in_cramer_distance(seed: int, gamma: float) -> None:
    rng = np.random.default_rng(seed)
    support = np.linspace(-2.0, 2.0, 9)
    p, q = rng.dirichlet(np.ones(9), 2)
    z = gamma * support + rng.normal()

    def distance(a: Any, b: Any) -> float:
        gap = np.cumsum(a - b)[:-1]
        return float(np.sum(gap**2 * np.diff(support)))

    images = [projections.categorical(law[None], z[None], support)[0] for law in (p, q)]
    assert distance(*images) <= gamma * distance(p, q) + 1e-12


def test_hl_gauss_narrows_to_the_bin_and_keeps_the_mean_inside() -> None:
    edges = np.linspace(-1.0, 1.0, 21)
    centres, width = 0.5 * (edges[1:] + edges[:-1]), 0.1
    y = np.array([-0.72, 0.03, 0.57])
    narrow = projections.hl_gauss(y, edges, 1e-4)
    np.testing.assert_allclose(narrow, np.eye(20)[np.searchsorted(edges, y) - 1], atol=1e-9)
    mean = projections.hl_gauss(y, edges, 0.75 * width) @ centres
    np.testing.assert_allclose(mean, y, atol=1e-3 * width)


@few
@given(SEEDS)
def test_sample_losses_know_equal_samples_and_ignore_order_and_place(seed: int) -> None:
    x, y = draw(seed, 2, 3, 5, 2)
    kernel = distributional.gaussian_kernels((0.5, 4.0), (1.0, 2.0))
    value = distributional.mmd2(x, y, kernel)
    assert np.all(value > 0.0)
    np.testing.assert_allclose(distributional.mmd2(x, x[:, ::-1], kernel), 0.0, atol=1e-12)
    np.testing.assert_allclose(distributional.mmd2(x, y[:, [2, 0, 1, 4, 3]], kernel), value)
    np.testing.assert_allclose(distributional.mmd2(x + 3.0, y + 3.0, kernel), value, atol=1e-9)
    equal = np.full((3, 5), 0.2)
    np.testing.assert_allclose(distributional.mmd2(x, y, kernel, equal), value)
    tau = projections.quantile_midpoints(5, x)
    np.testing.assert_allclose(
        distributional.quantile_huber(x[..., 0], tau, y[..., 0], 0.5, equal),
        distributional.quantile_huber(x[..., 0], tau, y[..., 0], 0.5),
    )
    np.testing.assert_allclose(
        distributional.quantile_huber(x[..., 0], tau, y[..., 0], 1e-9),
        distributional.quantile_huber(x[..., 0], tau, y[..., 0], 0.0),
        atol=1e-7,
    )


def test_quantile_regression_finds_the_quantiles_of_a_sample() -> None:
    y = np.arange(1.0, 10.0)
    tau = projections.quantile_midpoints(3, y)
    best = np.quantile(y, tau, method="inverted_cdf")[None]
    least = distributional.quantile_huber(best, tau, y[None], 0.0)
    for i in range(3):
        for off in (-0.3, 0.3):
            moved = best + off * np.eye(3)[i]
            assert distributional.quantile_huber(moved, tau, y[None], 0.0) >= least - 1e-12


@few
@given(SEEDS)
def test_cross_entropy_and_cramer_are_least_at_the_target(seed: int) -> None:
    logits, other = draw(seed, 2, 3, 6)
    p = policy.mirror_ascent(logits, 0.0 * logits, 0.0)
    own = distributional.cross_entropy(logits, np.exp(p))
    np.testing.assert_allclose(own, policy.categorical_entropy(logits))
    gap = distributional.cross_entropy(other, np.exp(p)) - own
    np.testing.assert_allclose(gap, policy.categorical_kl(logits, other), atol=1e-12)
    assert np.all(gap >= 0.0)
    support = np.sort(draw(seed, 6))
    np.testing.assert_allclose(distributional.cramer(logits, np.exp(p), support), 0.0, atol=1e-24)


@few
@given(SEEDS)
def test_policy_terms_meet_in_their_limits(seed: int) -> None:
    logits, other = draw(seed, 2, 4, 3)
    log_p = policy.mirror_ascent(logits, 0.0 * logits, 0.0)
    a, advantage = np.array([0, 1, 2, 0]), draw(seed, 4)
    log_pi = policy.categorical_log_prob(logits, a)
    np.testing.assert_allclose(log_pi, log_p[np.arange(4), a])
    log_mu = policy.categorical_log_prob(other, a)
    np.testing.assert_allclose(
        policy.ppo_clip(log_pi, log_mu, advantage, math.inf),
        policy.surrogate(log_pi, log_mu, advantage),
    )
    np.testing.assert_allclose(policy.ppo_clip(log_pi, log_pi, advantage), -advantage)
    shifted = policy.mirror_ascent(logits, other + 7.0, 0.3)
    np.testing.assert_allclose(shifted, policy.mirror_ascent(logits, other, 0.3), atol=1e-12)
    mean, log_std = draw(seed + 1, 2, 4, 3)
    entropy = policy.gaussian_entropy(log_std)
    np.testing.assert_allclose(
        policy.gaussian_log_prob(mean, mean, log_std), 1.5 - entropy, atol=1e-12
    )
    assert np.all(policy.gaussian_kl(mean, log_std, logits, other) >= 0.0)


def test_the_log_determinant_of_tanh_survives_saturation() -> None:
    u = np.array([[0.3, -2.0], [40.0, -40.0]])
    got = policy.tanh_log_det(u)
    assert got[0] == pytest.approx(np.sum(np.log(1.0 - np.tanh(u[0]) ** 2)))
    assert got[1] == pytest.approx(2 * (2 * math.log(2.0) - 80.0))


@few
@given(SEEDS)
def test_conservative_terms_meet_in_their_limits(seed: int) -> None:
    q = draw(seed, 4, 5)
    data = q[:, 0]
    assert np.all(offline.cql(data, q) > 0.0)
    uniform = np.full_like(q, -math.log(5.0))
    np.testing.assert_allclose(offline.cql_sampled(data, q, uniform), offline.cql(data, q))
    np.testing.assert_allclose(offline.calibrated(q, np.full(4, -np.inf)), q)
    advantage = offline.soft_advantages(q, 0.5)
    np.testing.assert_allclose(np.sum(np.exp(advantage / 0.5), axis=-1), 1.0)
    best = np.argmax(q, axis=-1)
    assert np.all(offline.large_margin(q, best, 0.0) == 0.0)
    assert np.all(offline.large_margin(q, best, 0.3) <= 0.3)


@few
@given(SEEDS)
def test_dominance_costs_nothing_exactly_where_it_holds(seed: int) -> None:
    logits = draw(seed, 1, 3, 6)
    cdf = np.cumsum(np.exp(offline.soft_advantages(logits, 1.0)), axis=-1)
    for a in range(3):
        dominates = np.all(cdf[0, a] <= cdf[0] + 1e-15)
        loss = offline.fosd(logits, np.array([a]))
        assert (loss[0] <= 1e-14) == dominates


@few
@given(SEEDS, st.floats(0.1, 2.0))
def test_power_iteration_bounds_the_lipschitz_constant(seed: int, bound: float) -> None:
    matrix = draw(seed, 4, 3)
    true = np.linalg.svd(matrix, compute_uv=False)[0]
    sigma, v = offline.spectral_norm(matrix, draw(seed + 1, 3), steps=3)
    assert sigma <= true + 1e-12
    sigma, v = offline.spectral_norm(matrix, v, steps=500)
    assert sigma == pytest.approx(true, rel=1e-3)
    scaled = offline.spectral_scaled(matrix, np.asarray(true), bound)
    assert np.linalg.svd(scaled, compute_uv=False)[0] <= bound + 1e-9 or true <= bound


@few
@given(st.floats(-3.0, 3.0), st.floats(0.2, 2.0))
def test_inner_maxima_are_the_robust_losses(e: float, tau: float) -> None:
    h = np.linspace(-tau, tau, 4001)
    inner = np.max(-saddle.conjugate(np.full_like(h, e), h))
    robust = regression.huber(np.array(e), np.array(0.0), tau)
    assert inner == pytest.approx(float(robust), abs=1e-5)
    unit = np.linspace(-1.0, 1.0, 3)
    assert np.max(saddle.saddle(np.full(3, e), unit)) == pytest.approx(abs(e))


@few
@given(SEEDS)
def test_corrections_meet_in_their_limits(seed: int) -> None:
    v, v_next, delta, h = draw(seed, 4, 5)
    qrc = saddle.corrected(v, v_next, 0.9, delta, h)
    np.testing.assert_allclose(qrc, -delta * v + 0.9 * h * v_next)
    np.testing.assert_allclose(saddle.corrected(v, v_next, 0.9, delta, h, 99.0), qrc)
    small = saddle.corrected(v, v_next, 0.9, delta, h, 1e-9) / 1e-9
    np.testing.assert_allclose(small, saddle.corrected_absolute(v, v_next, 0.9, h), atol=1e-12)


@few
@given(SEEDS, st.floats(0.5, 3.0))
def test_value_aware_model_losses_bound_each_other(seed: int, c: float) -> None:
    prediction, target, g = draw(seed, 3, 4, 5)
    gradient = np.stack([g, -2.0 * g], axis=1)
    spread = dynamics.value_gradient(prediction, target, gradient)
    inner = dynamics.iter_vaml(prediction, target, gradient)
    assert np.all(inner <= 5.0 * spread + 1e-9)
    np.testing.assert_allclose(
        dynamics.iter_vaml(prediction, target, g[:, None]),
        (np.sum(prediction * g, -1) - np.sum(target * g, -1)) ** 2,
        atol=1e-9,
    )
    np.testing.assert_allclose(
        dynamics.value_gradient(prediction, target, c * gradient), c**2 * spread
    )
    ones = np.ones_like(gradient)
    np.testing.assert_allclose(
        dynamics.value_gradient(prediction, target, ones), np.sum((prediction - target) ** 2, -1)
    )


@few
@given(SEEDS)
def test_the_best_mixture_of_baselines_has_the_least_error(seed: int) -> None:
    returns, v, prior = draw(seed, 3, 12)
    alpha = float(advantages.best_mixture(returns, v, prior))

    def error(a: float) -> float:
        return float(np.sum((returns - advantages.mixed_baseline(v, prior, a)) ** 2))

    assert all(error(alpha) <= error(a) + 1e-12 for a in np.linspace(0.0, 1.0, 21))


def test_increments_of_the_true_value_are_orthogonal_to_what_was_known_before() -> None:
    # Brownian motion, payment X_T^2: the value is x^2 + (T - t).
    rng = np.random.default_rng(0)
    steps, paths, horizon = 20, 4000, 1.0
    dt = horizon / steps
    x = np.concatenate(
        [np.zeros((1, paths)), np.cumsum(rng.normal(0.0, dt**0.5, (steps, paths)), axis=0)]
    )
    v = x**2 + (horizon - dt * np.arange(steps + 1))[:, None]
    increments = advantages.martingale_increments(v, np.zeros((steps, paths)))
    test = np.stack([np.ones_like(x[:-1]), x[:-1] ** 2], axis=-1)
    for known in (test, advantages.traces(test, 0.9)):
        m = advantages.moments(known, increments)
        assert np.all(np.abs(m.mean(0)) < 4.0 * m.std(0) / paths**0.5)
    # The mean-square TD error measures quadratic variation: not 0 even at the true value.
    assert np.sum(increments**2, axis=0).mean() == pytest.approx(2.0, rel=0.15)
    loss = advantages.martingale_loss(v[:-1], np.broadcast_to(x[-1] ** 2, v[:-1].shape), dt)
    off = advantages.martingale_loss(v[:-1] + 0.3, np.broadcast_to(x[-1] ** 2, v[:-1].shape), dt)
    assert loss.mean() < off.mean()


@few
@given(SEEDS, st.floats(0.05, 1.0))
def test_weights_keep_their_promises(seed: int, share: float) -> None:
    x = draw(seed, 20)
    variance = np.exp(x)
    unit = weights.unit_mean(weights.inverse_variance(variance, floor=0.0))
    assert np.mean(unit) == pytest.approx(1.0)
    constant = weights.inverse_variance(np.full(20, 3.0), floor=0.0)
    np.testing.assert_allclose(weights.unit_mean(constant), 1.0)
    scale = 1.0 / np.mean(1.0 / variance)
    loss = float(weights.scale_loss(np.asarray(np.log(scale)), variance))
    assert loss == pytest.approx(0.0, abs=1e-20)
    np.testing.assert_allclose(weights.prioritised(np.full(20, 0.05), 20, 0.7), 1.0)
    kept = weights.top_share(x, share)
    assert np.sum(kept) == math.ceil(share * 20)
    assert np.min(x[kept > 0.5]) >= np.max(x[kept < 0.5], initial=-np.inf)
    order = np.argsort(x)
    assert np.all(np.diff(weights.awr(x[order], 0.5)) >= 0.0)
