"""Policy losses and terms beside them: numbers by hand, limits, and what their fixed points are."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.objectives import extras, surrogates
from meritree.objectives.risk_ratio import CVaR, Entropic, Mean, ReleasedCVaR, RiskRatio
from meritree.objectives.special import log_softmax

LN2 = np.log(2.0)
# Ratios 2, 1/2, 1 for an advantage of +1, and again for -3.
BATCH = {
    "logp": np.log([[0.4, 0.1, 0.5], [0.4, 0.1, 0.5]]),
    "old_logp": np.log([[0.2, 0.2, 0.5], [0.2, 0.2, 0.5]]),
    "advantage": np.array([[1.0, 1.0, 1.0], [-3.0, -3.0, -3.0]]),
    "mask": np.array([[1, 1, 0], [1, 1, 1]]),
    "source": np.array([1, 0]),
}
BATCH["logp_sg"] = BATCH["logp"]
BY_HAND = {
    surrogates.Clip(): [[-1.2, -0.5, -1.0], [6.0, 2.4, 3.0]],
    surrogates.Clip(0.2, 0.28): [[-1.28, -0.5, -1.0], [6.0, 2.4, 3.0]],
    surrogates.Clip(0.2, 0.2, dual=1.5): [[-1.2, -0.5, -1.0], [4.5, 2.4, 3.0]],
    surrogates.Reinforce(): -BATCH["advantage"] * BATCH["logp"],
    # Row 0 (mask on two tokens): exp((log 2 - log 2) / 2) = 1; row 1: the same.
    surrogates.SeqRatio(): [[-1.0] * 3, [3.0] * 3],
    surrogates.Cispo(1.5): -np.array([[1.5, 0.5, 1.0]] * 2) * BATCH["advantage"] * BATCH["logp"],
    # w_m = pi / (0.75 pi_old + 0.25), times sqrt(1 - pi); row 1 is our own: the plain ratio.
    surrogates.ExternalMis(): [
        [-np.sqrt(0.6), -0.25 * np.sqrt(0.9), -0.8 * np.sqrt(0.5)],
        [6.0, 1.5, 3.0],
    ],
    surrogates.ExternalMis(density="one"): [
        [-0.4 * np.sqrt(0.6), -0.1 * np.sqrt(0.9), -0.5 * np.sqrt(0.5)],
        [6.0, 1.5, 3.0],
    ],
    surrogates.ExternalMis(gamma=0.0, uniform=0.2): [
        [-2.0, -0.5, -0.5 / 0.425],
        [6.0, 1.5, 3.0],
    ],
}


def on(backend: Any, batch: dict[str, Any]) -> dict[str, Any]:
    return {key: backend.array(value) for key, value in batch.items()}


@pytest.mark.parametrize("surrogate", BY_HAND, ids=str)
def test_surrogates_have_the_values_computed_by_hand(backend: Any, surrogate: Any) -> None:
    got = backend.numpy(surrogate(on(backend, BATCH)))
    np.testing.assert_allclose(got, BY_HAND[surrogate], rtol=1e-12)
    assert surrogate.needs <= set(BATCH)


@pytest.mark.parametrize("surrogate", BY_HAND, ids=str)
def test_an_advantage_a_row_is_that_advantage_at_each_of_its_tokens(
    backend: Any, surrogate: Any
) -> None:
    column = on(backend, BATCH | {"advantage": BATCH["advantage"][:, :1]})
    got = backend.numpy(surrogate(column))
    np.testing.assert_allclose(got, BY_HAND[surrogate], rtol=1e-12)
    assert got.shape == (2, 3)
    for wrong in (BATCH["advantage"][:, :2], BATCH["advantage"][:1, :1], BATCH["advantage"][:, 0]):
        with pytest.raises(BadInput, match="advantage has shape"):
            surrogate(on(backend, BATCH | {"advantage": wrong}))


def test_the_gradient_of_a_response_ratio_is_the_same_by_row_and_by_token(
    differentiable: Any,
) -> None:
    token = on(differentiable, BATCH)
    row = on(differentiable, BATCH | {"advantage": BATCH["advantage"][:, :1]})
    at = BATCH["logp"] + 1e-3  # above the upper end: clipped where the advantage is positive
    gspo = surrogates.SeqRatio()
    by_token = differentiable.gradient(lambda x: gspo(token | {"logp": x}), at)
    by_row = differentiable.gradient(lambda x: gspo(row | {"logp": x}), at)
    assert (by_row[0] == 0.0).all()
    assert (by_row[1] != 0.0).all()
    np.testing.assert_allclose(by_row, by_token, rtol=1e-12)


def test_on_policy_a_wide_clip_has_the_gradient_of_reinforce(differentiable: Any) -> None:
    batch = on(differentiable, BATCH)
    at = BATCH["old_logp"]
    wide = surrogates.Clip(1.0, float("inf"))
    ratio = differentiable.gradient(lambda x: wide(batch | {"logp": x}), at)
    plain = differentiable.gradient(lambda x: surrogates.Reinforce()(batch | {"logp": x}), at)
    np.testing.assert_allclose(ratio, plain, rtol=1e-12)


def test_a_clipped_token_has_no_gradient_and_a_cispo_token_keeps_it(differentiable: Any) -> None:
    batch = on(differentiable, BATCH)
    clip = differentiable.gradient(lambda x: surrogates.Clip()(batch | {"logp": x}), BATCH["logp"])
    assert clip[0, 0] == 0.0  # ratio 2, advantage above 0
    assert clip[1, 1] == 0.0  # ratio 1/2, advantage below 0
    assert clip[1, 0] != 0.0
    kept = differentiable.gradient(lambda x: surrogates.Cispo()(batch | {"logp": x}), BATCH["logp"])
    assert (kept != 0.0).all()


def test_external_answers_stay_finite_where_the_old_policy_had_no_mass(
    differentiable: Any,
) -> None:
    batch = BATCH | {"old_logp": np.array([[-800.0] * 3, [0.0] * 3]), "logp": np.zeros((2, 3))}
    arrays = on(differentiable, batch)
    weigh = surrogates.ExternalMis(gamma=0.0)
    slope = differentiable.gradient(lambda x: weigh(arrays | {"logp": x})[0, ...], batch["logp"])
    np.testing.assert_allclose(slope[0], -4.0)
    assert (slope[1] == 0.0).all()


def test_without_external_rows_rl_plus_is_the_plain_ratio(backend: Any) -> None:
    batch = on(backend, BATCH | {"source": np.array([0, 0])})
    wide = surrogates.Clip(1.0, float("inf"))
    np.testing.assert_allclose(
        backend.numpy(surrogates.ExternalMis()(batch)), backend.numpy(wide(batch)), rtol=1e-12
    )


ROWS = {
    "logp": np.log([[0.8, 0.5, 0.9], [0.1, 0.3, 0.9]]),
    "ref_logp": np.log([[0.4, 0.25, 0.9], [0.2, 0.3, 0.3]]),
    "mask": np.array([[1, 1, 1], [1, 1, 0]]),
    "values": np.array([[0.5, 0.25, 1.0], [0.0, 0.5, 9.0]]),
    "value_target_sg": np.array([[1.0, 0.25, 1.0], [1.0, 0.0, 0.0]]),
    "token_reward": np.array([[0.0, 0.0, 1.0], [0.0, 0.5, 0.0]]),
    "reward": np.array([1.0, 0.0]),
    "vstar": np.array([0.5, 0.25]),
    "label": np.array([1, 0]),
    "step": np.array([[0, 0, 1], [0, 1, -1]]),
}
ROWS["logp_sg"], ROWS["values_sg"] = ROWS["logp"], ROWS["values"]
SUFFIX = np.array([[2 * LN2, LN2, 0.0], [-LN2, 0.0, 0.0]])
RESIDUAL = SUFFIX + ROWS["values"] - ROWS["reward"][:, None]
TERMS = {
    extras.Nll(): [-np.log(0.36), -np.log(0.03)],
    extras.Nll(label=1): [-np.log(0.36), 0.0],
    extras.Nll(label=1, mean=True, balanced=True): [-2 * np.log(0.36) / 3, 0.0],
    extras.ValueMse(): [0.25 / 3, 0.625],
    # Values 0.5 1/4 1 and 0 0.5; rewards of 1 and 0.5 at the ends.
    extras.ValueTd(lam=1.0): [(0.5**2 + 0.75**2) / 3, (0.5**2 + 0.0) / 2],
    extras.ValueTd(lam=0.0): [(0.25**2 + 0.75**2) / 3, 0.5**2 / 2],
    extras.ValueTd(lam=0.0, gamma=0.5): [(0.375**2 + 0.25**2) / 3, 0.25**2 / 2],
    extras.ValueBce(): [
        (np.log1p(np.exp(-0.5)) + np.log1p(np.exp(0.25)) - 0.0625 + np.log1p(np.exp(-1.0))) / 3,
        (LN2 + np.log1p(np.exp(0.5))) / 2,
    ],
    extras.Regress(beta=0.5): [(LN2 - 0.5) ** 2, (-LN2 / 2 + 0.25) ** 2],
    extras.SoftBellmanValue(beta=1.0): [
        (RESIDUAL[0] ** 2).mean(),
        (RESIDUAL[1, :2] ** 2).mean(),
    ],
    extras.SoftBellmanPolicy(beta=1.0): [
        (RESIDUAL[0] ** 2).mean(),
        (RESIDUAL[1, :2] ** 2).mean(),
    ],
    extras.SoftBellmanPolicy(beta=1.0, level="step"): [
        (RESIDUAL[0, [0, 2]] ** 2).mean(),
        (RESIDUAL[1, :2] ** 2).mean(),
    ],
    extras.SoftBellmanPolicy(beta=1.0, level="response"): RESIDUAL[:, 0] ** 2,
    extras.Calibration(): [2 * LN2],
    # u is 2, 2, 1 in row 0 and 1/2, 1 in row 1.
    extras.Rehearse(): [2 * (1 - LN2) / 3, (LN2 - 0.5) / 2],
    extras.Rehearse("js"): [
        2 * (2 * LN2 - 3 * np.log(1.5)) / 3,
        (-0.5 * LN2 - 1.5 * np.log(0.75)) / 2,
    ],
    extras.Rehearse("alpha", 0.5): [-8 * (np.sqrt(2) - 1.5) / 3, -2 * (np.sqrt(0.5) - 0.75)],
}


@pytest.mark.parametrize("term", TERMS, ids=str)
def test_terms_have_the_values_computed_by_hand(backend: Any, term: Any) -> None:
    got = backend.numpy(term(on(backend, ROWS)))
    np.testing.assert_allclose(got, TERMS[term], rtol=1e-12)
    assert term.needs <= set(ROWS)


def test_each_level_of_oreo_gives_its_own_tokens_the_gradient(differentiable: Any) -> None:
    """d (own + later_sg + V - R)^2 / d logp of a token: 2 residual of its block / blocks."""
    batch = on(differentiable, ROWS)

    def slope(level: Any) -> Any:
        term = extras.SoftBellmanPolicy(1.0, level)
        return differentiable.gradient(lambda x: term(batch | {"logp": x}), ROWS["logp"])

    np.testing.assert_allclose(slope("token")[0], 2 * RESIDUAL[0] / 3, rtol=1e-12)
    np.testing.assert_allclose(slope("step")[0], RESIDUAL[0, [0, 0, 2]], rtol=1e-12)
    np.testing.assert_allclose(slope("response")[0], [2 * RESIDUAL[0, 0]] * 3, rtol=1e-12)
    for level in ("token", "step", "response"):
        assert slope(level)[1, 2] == 0.0  # padding


def test_at_the_soft_optimal_policy_every_regression_is_zero() -> None:
    """Two binary decisions: pi = ref e^((V' - V) / beta), V = beta log E_ref e^(V' / beta)."""
    rng = np.random.default_rng(2)
    beta, ref = 0.7, np.array([0.6, 0.4])
    leaves = rng.normal(size=(2, 2))
    inner = beta * np.log((ref * np.exp(leaves / beta)).sum(-1))
    root = beta * np.log((ref * np.exp(inner / beta)).sum())
    first, second = (x.ravel() for x in np.meshgrid([0, 1], [0, 1], indexing="ij"))
    logp = np.stack(
        [
            np.log(ref[first]) + (inner[first] - root) / beta,
            np.log(ref[second]) + (leaves[first, second] - inner[first]) / beta,
        ],
        axis=1,
    )
    values = np.stack([np.full(4, root), inner[first]], axis=1)
    batch = {
        "logp": logp, "logp_sg": logp, "ref_logp": np.log(np.stack([ref[first], ref[second]], 1)),
        "mask": np.ones((4, 2)), "values": values, "values_sg": values,
        "reward": leaves[first, second], "vstar": np.full(4, root),
        "step": np.array([[0, 1]] * 4),
    }  # fmt: skip
    for term in (
        extras.SoftBellmanValue(beta),
        extras.SoftBellmanPolicy(beta),
        extras.SoftBellmanPolicy(beta, "step"),
        extras.SoftBellmanPolicy(beta, "response"),
        extras.Regress(beta),
    ):
        np.testing.assert_allclose(term(batch), 0.0, atol=1e-24)
    weighted = np.repeat(leaves.ravel(), [36, 24, 24, 16])[None, :]
    np.testing.assert_allclose(extras.soft_value(weighted, beta), [root], rtol=1e-12)


def test_the_soft_value_runs_from_the_maximum_to_the_mean(backend: Any) -> None:
    reward = backend.array([[0.0, 0.0, 1.0, 1.0]])
    at = {
        1e-4: 1.0 - 1e-4 * LN2,
        1.0: np.log((1 + np.e) / 2),
        1e6: 0.5,
        float("inf"): 0.5,
    }
    for beta, expected in at.items():
        got = backend.numpy(extras.soft_value(reward, beta))
        np.testing.assert_allclose(got, [expected], rtol=1e-6)


def test_full_kl_sums_over_tokens_in_the_direction_asked(backend: Any) -> None:
    p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    batch = {
        "dist": np.log(np.tile(p, (1, 3, 1))),
        "ref_dist": np.log(np.tile(q, (1, 3, 1))),
        "mask": np.array([[1, 1, 0]]),
    }
    forward, reverse = (q * np.log(q / p)).sum(), (p * np.log(p / q)).sum()
    for term, expected in (
        (extras.FullKl(), 2 * forward),
        (extras.FullKl("pi_ref", mean=True), reverse),
    ):
        np.testing.assert_allclose(backend.numpy(term(on(backend, batch))), [expected], rtol=1e-12)


def test_calibration_samples_stand_apart_from_the_pairs(backend: Any) -> None:
    batch = {
        "cal_logp": ROWS["logp"], "cal_ref_logp": ROWS["ref_logp"], "cal_mask": ROWS["mask"],
    }  # fmt: skip
    got = backend.numpy(extras.Calibration("samples")(on(backend, batch)))
    np.testing.assert_allclose(got, [2 * LN2, -LN2], rtol=1e-12)


def test_two_heads_sum_their_cross_entropies(backend: Any) -> None:
    logit, zero = backend.array([np.log(3.0)]), backend.array([0.0])
    one = backend.array([1.0])
    got = backend.numpy(extras.two_head_bce(logit, zero, one, backend.array([0.25])))
    np.testing.assert_allclose(got, [np.log(4 / 3) + LN2], rtol=1e-12)


COSTS = np.array([3.0, -1.0, 1.0, 0.0])
Q = np.log([0.1, 0.4, 0.2, 0.3])


def test_risks_have_the_values_computed_by_hand(backend: Any) -> None:
    x, logq = backend.array(COSTS), backend.array(Q)
    by_hand = {
        Mean(): 0.1,
        CVaR(1.0): 0.1,
        CVaR(0.1): 3.0,
        CVaR(0.2): (0.1 * 3 + 0.1 * 1) / 0.2,
        CVaR(0.6): (0.1 * 3 + 0.2 * 1) / 0.6,
        Entropic(1e-6): 0.1,
        Entropic(1.0): np.log((np.exp(Q) * np.exp(COSTS)).sum()),
        Entropic(300.0): 3.0 + np.log(0.1) / 300,
        # Above the median 0.5 of (3, -1, 1, 0), unweighted and not divided by the level.
        ReleasedCVaR(0.5, split=False): 0.1 * 3 + 0.2 * 1,
        # Halves (3, -1) and (1, 0): above their medians 1 and 0.5.
        ReleasedCVaR(0.5): 0.1 * 3 + 0.2 * 1,
    }
    for risk, expected in by_hand.items():
        got = float(risk(x, logq))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=str(risk))


def test_a_smaller_tail_is_never_safer_and_shifts_pass_through() -> None:
    rng = np.random.default_rng(1)
    x, logq = rng.normal(size=(20, 9)), np.log(rng.dirichlet(np.ones(9), size=20))
    levels = [CVaR(a)(x, logq) for a in (0.05, 0.2, 0.5, 1.0)]
    for small, large in pairwise(levels):
        assert (small >= large - 1e-12).all()
    for risk in (Mean(), CVaR(0.3), Entropic(2.0)):
        np.testing.assert_allclose(risk(x + 5.0, logq), risk(x, logq) + 5.0, rtol=1e-10)


def risky(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    dist, ref_dist = (log_softmax(rng.normal(size=(4, 3, 5))) for _ in range(2))
    chosen = rng.integers(0, 5, size=(4, 3, 1))
    return {
        "dist": dist, "dist_sg": dist, "ref_dist": ref_dist,
        "logp": np.take_along_axis(dist, chosen, -1)[..., 0],
        "ref_logp": np.take_along_axis(ref_dist, chosen, -1)[..., 0],
        "mask": np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0]]),
    }  # fmt: skip


def test_risk_ratios_reduce_to_dpo_and_tdpo(backend: Any) -> None:
    batch = risky()
    h = ((batch["logp"] - batch["ref_logp"]) * batch["mask"]).sum(-1)
    kl = (np.exp(batch["ref_dist"]) * (batch["ref_dist"] - batch["dist"])).sum(-1)
    sequential = (kl * batch["mask"]).sum(-1)
    arrays = on(backend, batch)
    for score, expected in (
        (RiskRatio(CVaR(0.1), coef=0.0), h),
        (RiskRatio(Mean()), h + sequential),
        (RiskRatio(CVaR(1.0), 0.5, detach_plus=True), h + 0.5 * sequential),
    ):
        np.testing.assert_allclose(backend.numpy(score(arrays)), expected, rtol=1e-10)
        assert score.needs <= set(batch)
    assert "dist_sg" not in RiskRatio(Mean()).needs


def test_the_preferred_rows_risk_is_detached_where_asked(differentiable: Any) -> None:
    batch = on(differentiable, risky())
    for detach in (False, True):
        score = RiskRatio(CVaR(0.3), 0.5, detach_plus=detach)
        slope = differentiable.gradient(lambda x, s=score: s(batch | {"dist": x}), risky()["dist"])
        assert (slope[:2] == 0.0).all() == detach
        assert (slope[2:] != 0.0).any()


def test_impossible_parameters_are_refused() -> None:
    for make, words in (
        (lambda: surrogates.Clip(lo=-0.1), "lo is -0.1"),
        (lambda: surrogates.Clip(dual=1.0), "dual is 1.0"),
        (lambda: surrogates.Cispo(0.0), "high is 0.0"),
        (lambda: surrogates.ExternalMis(uniform=0.0), "uniform is 0"),
        (lambda: surrogates.ExternalMis(density="two"), "density is 'two'"),
        (lambda: extras.Rehearse("alpha", 1.0), "alpha is 1"),
        (lambda: surrogates.ExternalMis(gamma=-1), "gamma is -1"),
        (lambda: extras.SoftBellmanPolicy(level="word"), "level is 'word'"),  # type: ignore[arg-type]
        (lambda: extras.Regress(0.0), "beta is 0.0"),
        (lambda: extras.Calibration("ref"), "rows is 'ref'"),  # type: ignore[arg-type]
        (lambda: extras.ValueMargin(-0.1), "margin is -0.1"),
        (lambda: extras.soft_value(np.zeros((1, 2)), 0.0), "beta is 0.0"),
        (lambda: CVaR(0.0), "level is 0.0"),
        (lambda: CVaR(1.1), "level is 1.1"),
        (lambda: Entropic(-1.0), "coef is -1.0"),
        (lambda: RiskRatio(Mean(), coef=-1.0), "coef is -1.0"),
    ):
        with pytest.raises(BadInput, match=words):
            make()
