"""Divergences: numbers by hand, means that must come out by enumeration, limits, closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.objectives import divergences as dv
from meritree.objectives._namespace import namespace
from meritree.objectives.special import log_softmax

LN2 = np.log(2.0)
# u = 4, 1/2, 1: logarithms of whole ratios make every value below a short sum.
LOGP = np.log([0.8, 0.1, 0.5])
REF = np.log([0.2, 0.2, 0.5])
BY_HAND = {
    "k1": [2 * LN2, -LN2, 0.0],
    "k2": [2 * LN2**2, 0.5 * LN2**2, 0.0],
    "k3": [0.25 - 1 + 2 * LN2, 2.0 - 1 - LN2, 0.0],
    "fkl_gen": [3 - 2 * LN2, -0.5 + LN2, 0.0],
    "js_gen": [8 * LN2 - 5 * np.log(2.5), -0.5 * LN2 - 1.5 * np.log(0.75), 0.0],
    "alpha_gen": [
        (4**0.8 - 0.8 * 4 - 0.2) / (0.2 * -0.8),
        (0.5**0.8 - 0.8 * 0.5 - 0.2) / (0.2 * -0.8),
        0.0,
    ],
}
LOG_RATIOS = st.lists(st.floats(-6, 6), min_size=3, max_size=3)


def simplex(values: list[float]) -> Any:
    p = np.exp(np.asarray(values) - max(values))
    return p / p.sum()


@pytest.mark.parametrize("name", BY_HAND)
def test_estimators_have_the_values_computed_by_hand(backend: Any, name: str) -> None:
    got = getattr(dv, name)(backend.array(LOGP), backend.array(REF))
    np.testing.assert_allclose(backend.numpy(got), BY_HAND[name], rtol=1e-13, atol=1e-15)


def test_other_generators_have_the_values_computed_by_hand(backend: Any) -> None:
    h = backend.array(np.log([4.0, 0.5, 1.0]))
    by_hand = {
        "reverse_kl": [8 * LN2 - 3, -0.5 * LN2 + 0.5, 0.0],
        "chi2": [9.0, 0.25, 0.0],
        "tv": [1.5, 0.25, 0.0],
    }
    for f, expected in by_hand.items():
        got = backend.numpy(dv.generator(h, f))  # type: ignore[arg-type]
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15)


def test_derivatives_have_the_values_computed_by_hand(backend: Any) -> None:
    h = backend.array(np.log([4.0, 0.5, 1.0]))
    by_hand = {
        "reverse_kl": [2 * LN2, -LN2, 0.0],
        "forward_kl": [-0.25, -2.0, -1.0],
        "js": [np.log(1.6), np.log(2 / 3), 0.0],
        "alpha": [1.0, 2 * (1 - np.sqrt(2)), 0.0],
        "chi2": [6.0, -1.0, 0.0],
    }
    for f, expected in by_hand.items():
        got = backend.numpy(dv.derivative(h, f))  # type: ignore[arg-type]
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("f", ["reverse_kl", "forward_kl", "js", "alpha", "chi2"])
def test_the_derivative_is_the_generators_slope(differentiable: Any, f: Any) -> None:
    h = np.array([-2.0, -0.3, 0.7, 1.9])
    slope = differentiable.gradient(lambda x: dv.generator(x, f, 0.3), h) / np.exp(h)
    expected = differentiable.numpy(dv.derivative(differentiable.array(h), f, 0.3))
    shift = slope - expected  # the same constant everywhere
    np.testing.assert_allclose(shift, shift[0], atol=1e-9)


@given(LOG_RATIOS)
def test_no_estimator_with_a_sign_is_negative_and_all_vanish_where_the_two_agree(
    h: list[float],
) -> None:
    x, zero = np.array(h), np.zeros(3)
    for estimate in (dv.k2, dv.k3, dv.fkl_gen, dv.js_gen, dv.alpha_gen):
        assert (estimate(x, zero) >= -1e-12).all()
        np.testing.assert_allclose(estimate(zero, zero), 0.0, atol=1e-15)
    for f in ("reverse_kl", "forward_kl", "js", "alpha", "chi2", "tv"):
        assert (dv.generator(x, f) >= -1e-12).all()  # type: ignore[arg-type]


@given(LOG_RATIOS, LOG_RATIOS)
def test_means_over_the_declared_samples_are_the_divergences(
    a: list[float], b: list[float]
) -> None:
    pi, ref = simplex(a), simplex(b)
    logp, ref_logp, m = np.log(pi), np.log(ref), (simplex(a) + simplex(b)) / 2
    kl = {
        "pi_ref": (pi * np.log(pi / ref)).sum(),
        "ref_pi": (ref * np.log(ref / pi)).sum(),
        "js": (pi * np.log(pi / m)).sum() + (ref * np.log(ref / m)).sum(),
    }
    assert dv.DRAWS_FROM["k1"] == dv.DRAWS_FROM["k3"] == "policy"
    np.testing.assert_allclose((pi * dv.k1(logp, ref_logp)).sum(), kl["pi_ref"], atol=1e-10)
    np.testing.assert_allclose((pi * dv.k3(logp, ref_logp)).sum(), kl["pi_ref"], atol=1e-9)
    assert dv.DRAWS_FROM["fkl_gen"] == dv.DRAWS_FROM["js_gen"] == "ref"
    np.testing.assert_allclose((ref * dv.fkl_gen(logp, ref_logp)).sum(), kl["ref_pi"], atol=1e-9)
    np.testing.assert_allclose((ref * dv.js_gen(logp, ref_logp)).sum(), kl["js"], atol=1e-9)
    np.testing.assert_allclose(dv.divergence(logp, ref_logp, "js"), kl["js"], atol=1e-9)
    np.testing.assert_allclose(dv.full_kl(logp, ref_logp, "ref_pi"), kl["ref_pi"], atol=1e-10)
    np.testing.assert_allclose(dv.divergence(logp, ref_logp), kl["pi_ref"], atol=1e-10)
    tv = 0.5 * np.abs(pi - ref).sum()
    np.testing.assert_allclose(dv.divergence(logp, ref_logp, "tv"), tv, atol=1e-12)
    chi2 = ((pi - ref) ** 2 / ref).sum()
    np.testing.assert_allclose(dv.divergence(logp, ref_logp, "chi2"), chi2, rtol=1e-8, atol=1e-12)
    # Pinsker: KL >= 2 TV^2; and JS (here twice the usual) lies between 0 and 2 log 2.
    assert kl["pi_ref"] >= 2 * tv**2 - 1e-12
    assert -1e-12 <= kl["js"] <= 2 * LN2 + 1e-12


@given(LOG_RATIOS, LOG_RATIOS)
def test_the_alpha_divergence_runs_from_reverse_to_forward_kl(
    a: list[float], b: list[float]
) -> None:
    logp, ref_logp = np.log(simplex(a)), np.log(simplex(b))
    ref = np.exp(ref_logp)
    for alpha, direction in ((1e-6, "pi_ref"), (1 - 1e-6, "ref_pi")):
        mean = (ref * dv.alpha_gen(logp, ref_logp, alpha)).sum()
        expected = dv.full_kl(logp, ref_logp, direction)  # type: ignore[arg-type]
        np.testing.assert_allclose(mean, expected, rtol=1e-3, atol=1e-8)


def test_the_gradient_of_k2_on_policy_is_that_of_the_kl(differentiable: Any) -> None:
    ref_logp = np.log([0.5, 0.3, 0.2])
    logits = np.array([0.3, -0.4, 0.9])

    p = differentiable.array(np.exp(logits) / np.exp(logits).sum())
    ref = differentiable.array(ref_logp)
    sampled = differentiable.gradient(lambda x: p * dv.k2(log_softmax(x), ref), logits)
    exact = differentiable.gradient(lambda x: dv.full_kl(log_softmax(x), ref), logits)
    np.testing.assert_allclose(sampled, exact, atol=1e-12)


@pytest.mark.parametrize("f", ["reverse_kl", "forward_kl", "js", "alpha"])
def test_scores_and_their_gradients_stay_finite_far_out(differentiable: Any, f: Any) -> None:
    far = np.array([-800.0, -40.0, 40.0, 800.0])
    value = differentiable.numpy(dv.derivative(differentiable.array(far), f))
    assert np.isfinite(value).all()
    assert np.isfinite(differentiable.gradient(lambda x: dv.derivative(x, f), far)).all()
    assert (np.diff(value) >= 0).all()


@pytest.mark.parametrize("f", ["reverse_kl", "forward_kl", "js", "alpha", "chi2"])
def test_the_best_policy_cannot_be_improved(backend: Any, f: Any) -> None:
    rng = np.random.default_rng(3)
    reward, ref_logp = rng.normal(size=(2, 5)), np.log(rng.dirichlet(np.ones(5), size=2))
    beta = 0.7
    pi = backend.numpy(dv.best_policy(backend.array(reward), backend.array(ref_logp), beta, f, 0.4))
    np.testing.assert_allclose(pi.sum(-1), 1.0, atol=1e-12)

    def worth(p: Any) -> Any:
        return (p * reward).sum(-1) - beta * dv.divergence(np.log(p), ref_logp, f, 0.4)

    for _ in range(200):
        other = np.clip(pi + rng.normal(size=pi.shape) * 0.03, 1e-6, None)
        other /= other.sum(-1, keepdims=True)
        assert (worth(other) <= worth(np.clip(pi, 1e-9, None)) + 1e-9).all()


def test_without_reward_the_best_policy_is_the_reference() -> None:
    ref = np.array([0.7, 0.2, 0.1])
    for f in ("reverse_kl", "forward_kl", "js", "alpha", "chi2"):
        got = dv.best_policy(np.zeros(3), np.log(ref), 1.0, f)  # type: ignore[arg-type]
        np.testing.assert_allclose(got, ref, atol=1e-12)


def test_with_bradley_terry_and_the_logit_psi_policy_is_rlhf(backend: Any) -> None:
    reward, ref = np.array([1.0, -0.5, 0.25]), np.array([0.5, 0.3, 0.2])
    preferred = 1 / (1 + np.exp(reward[None, :] - reward[:, None]))
    tau = 0.6
    got = dv.psi_policy(
        backend.array(np.log(ref)), backend.array(preferred), backend.array(ref), tau,
        lambda p: namespace(p).log(p / (1.0 - p)),
    )  # fmt: skip
    expected = ref * np.exp(reward / tau)
    np.testing.assert_allclose(backend.numpy(got), expected / expected.sum(), rtol=1e-12)


def test_of_two_actions_one_always_preferred_ipo_stays_at_a_finite_ratio(backend: Any) -> None:
    preferred = backend.array([[0.5, 1.0], [0.0, 0.5]])
    half = backend.array([0.5, 0.5])
    for tau in (0.1, 0.5, 1.0):
        log_ref = backend.array(np.log([0.5, 0.5]))
        pi = backend.numpy(dv.psi_policy(log_ref, preferred, half, tau))
        # log odds = (p(1 > mu) - p(2 > mu)) / tau = 1 / (2 tau).
        np.testing.assert_allclose(np.log(pi[0] / pi[1]), 1 / (2 * tau), rtol=1e-12)


def test_what_has_no_meaning_is_refused() -> None:
    x = np.zeros(2)
    with pytest.raises(BadInput, match="alpha is 0; it must lie in"):
        dv.alpha_gen(x, x, 0)
    with pytest.raises(BadInput, match="f is 'kl'"):
        dv.generator(x, "kl")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="f is 'tv'"):
        dv.derivative(x, "tv")
    with pytest.raises(BadInput, match="direction is 'forward'"):
        dv.full_kl(x, x, "forward")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="beta is 0"):
        dv.best_policy(x, x, 0)
    with pytest.raises(BadInput, match="tau is -1"):
        dv.psi_policy(x, np.eye(2), x, -1)
    with pytest.raises(BadInput, match=r"k3: ref_logp has shape \(1,\)"):
        dv.k3(x, x[:1])
