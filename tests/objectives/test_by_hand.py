"""Every objective gives the same hand-computed numbers on every array library, and its gradients
agree between PyTorch, JAX and finite differences."""

# ruff: noqa: E501 - one case a line, so that the table can be read as one.

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from meritree.errors import BadInput
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

LOG2, LOG3 = math.log(2.0), math.log(3.0)
PHI1, PHI3 = 0.8413447460685429, 0.9986501019683699
ONE_KERNEL = distributional.gaussian_kernels((1.0,), (1.0,))
T3 = {"r_t": [1.0, 1.0, 1.0], "discount_t": 0.5, "v_t": [2.0, 4.0, 8.0]}


class Case(NamedTuple):
    """A call and what comes of it; lists become arrays. ``d`` names the differentiated argument."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    expected: Any
    d: str | None = None


CASES = [
    # regression: u = target - prediction
    Case(regression.squared, {"prediction": [1.0, 2.0], "target_sg": [3.0, 2.0]}, [2, 0], "prediction"),
    Case(regression.absolute, {"prediction": [1.0, 4.0], "target_sg": [3.0, 2.5]}, [2, 1.5], "prediction"),
    Case(regression.huber, {"prediction": [1.0, 1.5], "target_sg": [3.0, 2.0], "delta": 1.0}, [1.5, 0.125], "prediction"),
    Case(regression.log_cosh, {"prediction": [0.0, -LOG2], "target_sg": [0.0, 0.0]}, [0, math.log(1.25)], "prediction"),
    Case(regression.expectile, {"prediction": [1.0, 3.0], "target_sg": [3.0, 1.0], "tau": 0.75}, [3, 1], "prediction"),
    Case(regression.quantile, {"prediction": [1.0, 3.0], "target_sg": [3.0, 1.0], "tau": [0.75, 0.75]}, [1.5, 0.5], "prediction"),
    Case(regression.itakura_saito, {"prediction": [LOG2, 0.0, 0.04], "target_sg": [0.0, LOG2, 0.0], "alpha": 2.0},
         [(4 - 2 * LOG2 - 1) / 4, (0.25 + 2 * LOG2 - 1) / 4, (math.exp(0.08) - 1.08) / 4], "prediction"),
    Case(regression.itakura_saito, {"prediction": [3.0], "target_sg": [0.0], "alpha": 1.0, "linear_above": 1.0},
         [math.e - 2 + 2 * (math.e - 1)], "prediction"),
    Case(regression.exponential_squared, {"prediction": [0.0], "target_sg": [LOG2], "alpha": 2.0}, [0.5 * 0.75**2 / 4], "prediction"),
    Case(regression.softplus_rule, {"prediction": [2.0], "delta_sg": [0.0], "alpha": 3.0}, [0.0], "prediction"),
    Case(regression.softplus_rule, {"prediction": [2.0], "delta_sg": [LOG3], "alpha": 1.0}, [2 * 0.75 * LOG3 * 2], "prediction"),
    # td
    Case(td.td_target, {"r_t": [1.0, 0.0], "discount_t": 0.5, "v_t": [2.0, 4.0]}, [2, 2], "v_t"),
    Case(td.q_learning_target, {"r_t": [1.0, 0.0], "discount_t": [0.5, 0.0], "q_t": [[1.0, 3.0], [9.0, 8.0]]}, [2.5, 0], "q_t"),
    Case(td.double_q_target, {"r_t": [1.0], "discount_t": 0.5, "q_t": [[1.0, 3.0]], "selector_t": [[5.0, 2.0]]}, [1.5], "q_t"),
    Case(td.expected_sarsa_target, {"r_t": [1.0], "discount_t": 0.5, "q_t": [[2.0, 4.0]], "pi_t": [[0.25, 0.75]]}, [2.75], "q_t"),
    Case(td.soft_q_target, {"r_t": [1.0], "discount_t": 0.5, "q_t": [[0.0, 0.0]], "temperature": 2.0}, [1 + LOG2], "q_t"),
    Case(td.soft_actor_target, {"r_t": [1.0], "discount_t": 0.5, "q_t": [[3.0], [2.0]], "log_pi_t": [-1.0], "temperature": 0.5}, [2.25], "q_t"),
    Case(td.munchausen_target, {"r_t": [1.0], "discount_t": 0.5, "q_tm1": [[0.0, 0.0]], "a_tm1": [0], "q_t": [[0.0, 0.0]], "temperature": 1.0},
         [1 - 0.4 * LOG2], "q_t"),
    Case(td.munchausen_target, {"r_t": [1.0], "discount_t": 0.5, "q_tm1": [[0.0, 0.0]], "a_tm1": [1], "q_t": [[0.0, 0.0]], "temperature": 10.0},
         [1 - 0.9 + 5 * LOG2], "q_t"),
    Case(td.differential_target, {"r_t": [1.0], "reward_rate": 0.25, "v_t": [2.0]}, [2.75], "v_t"),
    Case(td.diffused_target, {"r_t": [1.0], "gamma": 0.75, "reward_samples": [[1.0, 3.0]]}, [7.0], "r_t"),
    Case(td.lambda_returns, {**T3, "last_t": False, "lambda_t": 0.5}, [2.3125, 3.25, 5], "v_t"),
    Case(td.lambda_returns, {**T3, "last_t": [False, True, False], "lambda_t": 0.5}, [2.25, 3, 5], "v_t"),
    Case(td.n_step_returns, {**T3, "last_t": False, "n": 2}, [2.5, 3.5, 5], "v_t"),
    Case(td.n_step_returns, {**T3, "last_t": [True, False, False], "n": 2}, [2, 3.5, 5], "v_t"),
    Case(td.n_step_returns, {**T3, "last_t": False, "n": 9}, [2.75, 3.5, 5], "v_t"),
    Case(td.off_policy_returns, {"r_t": [1.0, 1.0], "discount_t": 0.5, "v_t": [2.0, 4.0], "q_t": [1.0, 9.0], "c_t": [0.5, 9.0], "last_t": False},
         [2.5, 3], "v_t"),
    Case(td.retrace_trace, {"pi_a": [0.5, 0.2], "mu_a": [0.25, 0.4], "lambda_": 0.5}, [0.5, 0.25], "pi_a"),
    Case(td.v_trace, {"r_t": [1.0, 1.0], "discount_t": 0.5, "v_tm1": [1.0, 2.0], "v_t": [2.0, 4.0], "rho_tm1": [2.0, 0.5], "last_t": False},
         ([2.25, 2.5], [1.25, 0.5])),
    Case(td.v_trace, {"r_t": [1.0, 1.0], "discount_t": 0.5, "v_tm1": [1.0, 2.0], "v_t": [2.0, 4.0], "rho_tm1": [2.0, 0.5], "last_t": [True, False]},
         ([2.0, 2.5], [1.0, 0.5])),
    Case(td.greedy_policy, {"q": [[1.0, 2.0, 2.0]]}, [[0, 1, 0]]),
    Case(td.softmax_policy, {"q": [[0.0, 2 * LOG3]], "temperature": 2.0}, [[0.25, 0.75]], "q"),
    # advantages
    Case(advantages.gae, {"r_t": [1.0, 1.0], "discount_t": 0.5, "v_tm1": [1.0, 2.0], "v_t": [2.0, 4.0], "last_t": False, "lambda_t": 0.5},
         [1.25, 1], "v_tm1"),
    Case(advantages.gae, {"r_t": [1.0, 1.0], "discount_t": 0.5, "v_tm1": [1.0, 2.0], "v_t": [2.0, 4.0], "last_t": [True, False], "lambda_t": 0.5},
         [1, 1], "v_tm1"),
    Case(advantages.standardise, {"advantage": [1.0, 3.0], "epsilon": 1.0}, [-0.5, 0.5], "advantage"),
    Case(advantages.mixed_baseline, {"v": [1.0], "v_prior": [3.0], "alpha": 0.25}, [1.5], "v"),
    Case(advantages.best_mixture, {"returns": [1.0, 1.0], "v": [0.0, 0.0], "v_prior": [2.0, 2.0]}, 0.5, "returns"),
    Case(advantages.best_mixture, {"returns": [1.0], "v": [2.0], "v_prior": [2.0]}, 0.0),
    Case(advantages.martingale_increments, {"v": [1.0, 2.0, 4.0], "reward_dt": [0.5, 0.5]}, [1.5, 2.5], "v"),
    Case(advantages.martingale_loss, {"v_tm1": [1.0, 2.0], "to_go_sg": [2.0, 4.0], "dt": 0.5}, 1.25, "v_tm1"),
    Case(advantages.moments, {"test_sg": [[1.0, 0.0], [2.0, 1.0]], "increments": [3.0, 4.0]}, [11, 4], "increments"),
    Case(advantages.traces, {"x": [1.0, 1.0, 1.0], "decay": 0.5}, [1, 1.5, 1.75], "x"),
    # projections
    Case(projections.two_hot, {"y": [0.25, 5.0, -3.0], "support": [0.0, 1.0, 3.0]}, [[0.75, 0.25, 0], [0, 0, 1], [1, 0, 0]]),
    Case(projections.two_hot, {"y": [1.5], "support": [0.0, 1.0, 3.0]}, [[0, 0.75, 0.25]], "y"),
    Case(projections.hl_gauss, {"y": [0.5], "edges": [-1.0, 0.0, 1.0, 2.0], "sigma": 0.5},
         [[x / (2 * PHI3 - 1) for x in (PHI3 - PHI1, 2 * PHI1 - 1, PHI3 - PHI1)]], "y"),
    Case(projections.categorical, {"p": [[0.5, 0.5]], "z": [[0.5, 3.0]], "support": [0.0, 1.0, 2.0]}, [[0.25, 0.25, 0.5]], "p"),
    # distributional
    Case(distributional.cross_entropy, {"logits": [[0.0, LOG3]], "target_sg": [[0.5, 0.5]]}, [2 * LOG2 - 0.5 * LOG3], "logits"),
    Case(distributional.cramer, {"logits": [[0.0, 0.0]], "target_sg": [[0.0, 1.0]], "support": [0.0, 2.0]}, [0.5], "logits"),
    Case(distributional.quantile_huber, {"theta": [[0.25, 1.0]], "tau": [0.25, 0.75], "target_sg": [[1.0, -1.0]], "kappa": 1.0},
         [0.25 * 0.28125 / 2 + 0.75 * 0.75 / 2 + 0.25 * 1.5 / 2], "theta"),
    Case(distributional.quantile_huber, {"theta": [[0.0]], "tau": [0.25], "target_sg": [[1.0, -1.0]], "kappa": 0.0}, [0.5], "theta"),
    Case(distributional.mmd2, {"x": [[[0.0, 1.0]]], "y_sg": [[[1.0, 0.0]]], "kernel": ONE_KERNEL}, [2 - 2 / math.e], "x"),
    Case(distributional.quantile_huber, {"theta": [[0.0]], "tau": [0.25], "target_sg": [[1.0, -1.0]], "kappa": 0.0, "weight_sg": [[1.0, 0.0]]}, [0.25], "theta"),
    Case(distributional.mmd2, {"x": [[[0.0]]], "y_sg": [[[1.0], [7.0]]], "kernel": ONE_KERNEL, "weight_sg": [[1.0, 0.0]]}, [2 - 2 / math.e], "x"),
    Case(distributional.mmd2, {"x": [[[0.0]]], "y_sg": [[[2.0]]], "kernel": distributional.energy_kernel}, [4.0], "x"),
    # policy
    Case(policy.categorical_log_prob, {"logits": [[0.0, LOG3]], "a": [1]}, [math.log(0.75)], "logits"),
    Case(policy.categorical_entropy, {"logits": [[0.0, 0.0, 0.0, 0.0]]}, [2 * LOG2], "logits"),
    Case(policy.categorical_kl, {"logits": [[0.0, 0.0]], "other_logits": [[0.0, LOG3]]}, [LOG2 - 0.5 * LOG3], "logits"),
    Case(policy.gaussian_log_prob, {"a": [[1.0, 0.0]], "mean": [[0.0, 0.0]], "log_std": [[0.0, LOG2]]},
         [-0.5 - LOG2 - math.log(2 * math.pi)], "log_std"),
    Case(policy.gaussian_entropy, {"log_std": [[0.0, LOG2]]}, [LOG2 + math.log(2 * math.pi * math.e)], "log_std"),
    Case(policy.gaussian_kl, {"mean": [[1.0]], "log_std": [[LOG2]], "other_mean": [[0.0]], "other_log_std": [[0.0]]}, [2 - LOG2], "log_std"),
    Case(policy.tanh_log_det, {"u": [[0.0, 0.5 * LOG3]]}, [math.log(0.75)], "u"),
    Case(policy.reinforce, {"log_pi": [-1.0], "advantage_sg": [2.0]}, [2], "log_pi"),
    Case(policy.all_action, {"logits": [[0.0, LOG3]], "q_sg": [[2.0, 4.0]]}, [-3.5], "logits"),
    Case(policy.surrogate, {"log_pi": [LOG2], "log_mu_sg": [0.0], "advantage_sg": [3.0]}, [-6], "log_pi"),
    Case(policy.ppo_clip, {"log_pi": [LOG2, LOG2, -LOG2, 0.0], "log_mu_sg": [0.0] * 4, "advantage_sg": [1.0, -1.0, -1.0, 3.0]},
         [-1.2, 2, 0.8, -3], "log_pi"),
    Case(policy.ppo_value_clip, {"v": [2.0, 1.0], "v_old_sg": [0.0, 1.0], "target_sg": [3.0, 3.0], "epsilon": 0.5}, [3.125, 2], "v"),
    Case(policy.clip_fraction, {"log_pi": [LOG2, 0.0], "log_mu": [0.0, 0.0]}, 0.5),
    Case(policy.mirror_ascent, {"logits": [[0.0, 0.0]], "advantage": [[0.0, 1.0]], "eta": LOG3}, [[-2 * LOG2, LOG3 - 2 * LOG2]], "logits"),
    Case(policy.soft_actor, {"log_pi": [-2.0], "q": [3.0], "temperature": 0.5}, [-4], "log_pi"),
    Case(policy.temperature_loss, {"log_temperature": LOG2, "log_pi_sg": [1.0], "target_entropy": -3.0}, [4]),
    Case(policy.dpg, {"a": [[1.0, 2.0]], "dq_da_sg": [[3.0, -1.0]]}, [-1], "a"),
    Case(policy.exponential_utility, {"gain": [LOG2], "alpha": 2.0}, [0.125], "gain"),
    # offline
    Case(offline.cql, {"q_data": [1.0], "q_all": [[0.0, LOG3]]}, [2 * LOG2 - 1], "q_all"),
    Case(offline.cql_sampled, {"q_data": [1.0], "q_sampled": [[0.0, LOG3]], "log_density": [[-LOG2, -LOG2]]}, [2 * LOG2 - 1], "q_sampled"),
    Case(offline.calibrated, {"q_sampled": [[0.0, 3.0]], "floor_sg": [1.0]}, [[1, 3]], "q_sampled"),
    Case(offline.csve, {"v_ood": [2.0], "v_data": [1.0], "multiplier_sg": 0.5, "weight": 4.0, "budget": 1.0}, [1.5], "v_ood"),
    Case(offline.multiplier_loss, {"multiplier": [2.0], "violation_sg": [3.0]}, [-6], "multiplier"),
    Case(offline.margin, {"q": [[1.0, 0.5, 3.0]], "a": [0], "width": 1.0}, [4.5 / 3], "q"),
    Case(offline.large_margin, {"q": [[1.0, 0.5, 3.0]], "a": [0], "width": 1.0}, [3], "q"),
    Case(offline.fosd, {"logits": [[[0.0, LOG3], [LOG3, 0.0]]], "a": [1]}, [0.25], "logits"),
    Case(offline.fosd, {"logits": [[[0.0, LOG3], [LOG3, 0.0]]], "a": [0]}, [0]),
    Case(offline.soft_advantages, {"raw": [[0.0, 2 * LOG3]], "temperature": 2.0}, [[-4 * LOG2, 2 * LOG3 - 4 * LOG2]], "raw"),
    Case(offline.arsq_bc, {"advantage": [[0.0, -3.0, 1.0]], "a": [0], "floor": -2.0}, [-1], "advantage"),
    Case(offline.smoothness, {"q_perturbed": [3.0], "q": [1.0]}, [4], "q"),
    Case(offline.gradient_penalty, {"gradient": [[3.0, 4.0], [0.0, 0.0]], "bound": 2.0}, [9, 0], "gradient"),
    Case(offline.spectral_scaled, {"weight": [[3.0, 0.0], [0.0, 1.0]], "sigma": 3.0, "bound": 1.5}, [[1.5, 0], [0, 0.5]], "weight"),
    Case(offline.spectral_norm, {"weight": [[3.0, 0.0], [0.0, 1.0]], "v_sg": [1.0, 0.0]}, (3, [1, 0])),
    # saddle
    Case(saddle.saddle, {"delta": [3.0, 3.0], "h_sg": [2.0, -0.5], "tau": 1.0}, [3, -1.5], "delta"),
    Case(saddle.conjugate, {"delta_sg": [3.0], "h": [2.0]}, [-4], "h"),
    Case(saddle.corrected, {"v_tm1": [1.0, 1.0], "v_t": [2.0, 2.0], "discount_t": 0.5, "delta_sg": [3.0, 3.0], "h_sg": [0.5, -4.0], "tau": 1.0},
         [0.5 - 3, -1 + 1], "v_t"),
    Case(saddle.corrected_absolute, {"v_tm1": [1.0], "v_t": [4.0], "discount_t": 0.5, "h_sg": [-0.1]}, [-1], "v_t"),
    # weights
    Case(weights.inverse_variance, {"variance": [0.5, 100.0], "scale": 2.0, "floor": 0.1}, [4, 0.1], "variance"),
    Case(weights.scale_loss, {"log_scale": LOG2, "variance_sg": [1.0, 2.0]}, 0.25),
    Case(weights.unit_mean, {"weight": [1.0, 3.0]}, [0.5, 1.5], "weight"),
    Case(weights.priorities, {"error": [-4.0], "alpha": 0.5, "epsilon": 0.0}, [2], "error"),
    Case(weights.prioritised, {"probability": [0.25, 0.0625], "size": 4, "beta": 0.5}, [0.5, 1]),
    Case(weights.awr, {"advantage": [LOG2, 1e9], "temperature": 0.5, "cap": 10.0}, [4, 10]),
    Case(weights.optimistic, {"q_tot": [1.0, 3.0], "target": [2.0, 2.0], "alpha": 0.1}, [1, 0.1]),
    Case(weights.fictitious_log_likelihood, {"y": [4.0], "y_members": [[1.0, 3.0]], "epsilon": 1.0}, [-0.5 - LOG2], "y"),
    Case(weights.top_share, {"score": [3.0, 1.0, 2.0, 0.0], "share": 0.5}, [1, 0, 1, 0]),
    # dynamics
    Case(dynamics.gaussian_nll, {"mean": [[0.0, 0.0]], "log_variance": [[0.0, LOG2]], "target_sg": [[1.0, 2.0]]}, [0.5 + 1 + 0.5 * LOG2], "log_variance"),
    Case(dynamics.value_gradient, {"prediction": [[1.0, 2.0]], "target_sg": [[0.0, 0.0]], "gradient_sg": [[[1.0, 2.0], [0.0, 1.0]]]},
         [(17 + 4) / 2], "prediction"),
    Case(dynamics.iter_vaml, {"prediction": [[1.0, 2.0]], "target_sg": [[0.0, 0.0]], "gradient_sg": [[[1.0, 2.0], [0.0, 1.0]]]},
         [(25 + 4) / 2], "prediction"),
    Case(dynamics.clipped_rows, {"gradient": [[[3.0, 4.0]], [[0.0, 1.0]]], "quantile": 0.0}, [[[0.6, 0.8]], [[0.0, 1.0]]]),
]  # fmt: skip
MODULES = [
    advantages, distributional, dynamics, offline, policy, projections, regression, saddle, td, weights,
]  # fmt: skip
IDS = [f"{case.function.__module__.split('.')[-1]}.{case.function.__name__}" for case in CASES]


NUMBERS_TO_ARRAYS = {(policy.temperature_loss, "log_temperature"), (weights.scale_loss, "log_scale"),
                     (offline.spectral_scaled, "sigma")}  # fmt: skip


def call(backend: Any, case: Case, **replaced: Any) -> Any:
    """The case's function on arrays of one library; on JAX compiled, so that it must trace."""
    arrays, others = {}, {}
    for name, value in {**case.arguments, **replaced}.items():
        if isinstance(value, list) or (case.function, name) in NUMBERS_TO_ARRAYS:
            arrays[name] = backend.array(value)
        elif name in replaced:
            arrays[name] = value
        else:
            others[name] = value

    def function(arrays: dict[str, Any]) -> Any:
        return case.function(**arrays, **others)

    return backend.compiled(function)(arrays)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_numbers_are_those_computed_by_hand(backend: Any, case: Case) -> None:
    got = call(backend, case)
    if isinstance(case.expected, tuple):
        for part, expected in zip(got, case.expected, strict=True):
            np.testing.assert_allclose(backend.numpy(part), expected, rtol=1e-12, atol=1e-12)
    else:
        got = backend.numpy(got)
        np.testing.assert_allclose(got, case.expected, rtol=1e-12, atol=1e-12)
        assert got.shape == np.shape(case.expected)


DIFFERENTIABLE = [(case, name) for case, name in zip(CASES, IDS, strict=True) if case.d]


@pytest.mark.parametrize("case", [c for c, _ in DIFFERENTIABLE], ids=[n for _, n in DIFFERENTIABLE])
def test_gradients_agree_with_finite_differences(differentiable: Any, case: Case) -> None:
    assert case.d is not None
    at = np.asarray(case.arguments[case.d], float)
    # Off the kinks and ties that the hand-made numbers sit on.
    at = at + 1e-2 * np.random.default_rng(0).normal(size=at.shape)
    weight = np.random.default_rng(1).normal(size=np.shape(case.expected))

    def total(backend: Any, x: Any) -> Any:
        return call(backend, case, **{case.d: x}) * backend.array(weight)

    gradient = differentiable.gradient(lambda x: total(differentiable, x), at)
    plain = replace(differentiable, name="numpy")
    expected = np.empty_like(at)
    for i in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[i] = 1e-5
        expected[i] = (total(plain, at + step) - total(plain, at - step)).sum() / 2e-5
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


def test_every_public_function_has_a_case() -> None:
    tested = {case.function for case in CASES}
    makers = {
        projections.linear_support,
        projections.quantile_midpoints,
        distributional.gaussian_kernels,
        distributional.energy_kernel,
        td.goes_on,
    }
    for module in MODULES:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            mine = function.__module__ == module.__name__ and function.__qualname__ == name
            if mine and not name.startswith("_"):
                assert function in tested | makers, (
                    f"{module.__name__}.{name} is not tested by hand"
                )
                assert function.__doc__, f"{name} has no docstring"


# Axes that no other argument shares: any length goes there.
UNSHARED = {
    td.soft_actor_target,
    projections.two_hot,
    projections.hl_gauss,
    projections.categorical,
    offline.spectral_norm,
}
FREE = {"q_t", "y", "support", "edges", "weight"}


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_an_axis_that_does_not_agree_is_refused_by_name(case: Case) -> None:
    arrays = {k: np.asarray(v) for k, v in case.arguments.items() if isinstance(v, list)}
    for name, array in arrays.items():
        if len(arrays) == 1 or (name in FREE and case.function in UNSHARED):
            continue
        broken = {**case.arguments, **arrays, name: np.concatenate([array, array])}
        with pytest.raises(BadInput, match=f"{case.function.__name__}: "):
            case.function(**broken)
