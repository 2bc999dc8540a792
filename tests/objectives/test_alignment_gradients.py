"""Gradients of every score, link, term, surrogate and divergence: PyTorch = JAX = differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from meritree.objectives import divergences as dv
from meritree.objectives import extras, links, segments, surrogates
from meritree.objectives._namespace import namespace, take
from meritree.objectives.preference import (
    AvgLogp,
    LogRatio,
    PairObjective,
    RewardHead,
    StepLogRatio,
)
from meritree.objectives.risk_ratio import CVaR, Entropic, Mean, ReleasedCVaR, RiskRatio
from meritree.objectives.special import log_softmax

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3, 5))
FIXED = {
    "ref_dist": np.log(RNG.dirichlet(np.ones(5), size=(4, 3))),
    "old_logp": np.log(RNG.uniform(0.1, 0.6, (4, 3))),
    "logp_sg": np.log(RNG.uniform(0.1, 0.6, (4, 3))),
    "values_sg": RNG.normal(size=(4, 3)),
    "value_target_sg": RNG.normal(size=(4, 3)),
    "dist_sg": np.log(RNG.dirichlet(np.ones(5), size=(4, 3))),
    "advantage": RNG.normal(size=(4, 3)),
    "mask": np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0]]),
    "reward": RNG.normal(size=4),
    "vstar": RNG.normal(size=4),
    "label": np.array([1, 0, 0, 1]),
    "source": np.array([1, 0, 0, 1]),
    "step": np.array([[0, 0, 1], [0, 1, -1], [0, 1, 1], [0, -1, -1]]),
    "step_at": np.array([0, 1, 1, 0]),
    "preference": np.array([0.8, 0.3]),
    "token": RNG.integers(0, 5, (4, 3)),
    "features": RNG.normal(size=(4, 3, 5)),
}
FIXED["ref_logp"] = np.take_along_axis(FIXED["ref_dist"], FIXED["token"][..., None], -1)[..., 0]
FIXED["token_reward"] = FIXED["values_sg"] ** 2
PARTS: list[Any] = [
    *(LogRatio(f, 0.3) for f in ("reverse_kl", "forward_kl", "js", "alpha", "chi2")),
    LogRatio(mean=True), AvgLogp(), StepLogRatio(),
    *(RiskRatio(risk, 0.5) for risk in (Mean(), CVaR(0.3), Entropic(2.0), ReleasedCVaR(0.3))),
    RiskRatio(CVaR(0.3), 0.5, detach_plus=True),
    *(PairObjective(RewardHead(), link, label="preference") for link in (
        links.Logistic(1.0, 0.1, 0.5), links.Square(0.5), links.Hinge(1.0), links.Robust(1.0),
        links.NoisyLabel(), links.Ties(),
    )),
    PairObjective(LogRatio(), links.MarginOfMargins(1.0)),
    extras.Nll(label=1, balanced=True), extras.Calibration(), extras.ValueMse(),
    extras.ValueTd(0.9, 0.8), extras.ValueBce(),
    extras.ValueMargin(9.0), extras.FullKl(), extras.FullKl("pi_ref", mean=True),
    extras.Regress(0.5), extras.SoftBellmanValue(0.5),
    *(extras.SoftBellmanPolicy(0.5, level) for level in ("token", "step", "response")),
    surrogates.Clip(0.2, 0.28, dual=3.0), surrogates.Reinforce(), surrogates.SeqRatio(0.3, 0.4),
    surrogates.Cispo(1.5), surrogates.ExternalMis(), surrogates.ExternalMis(density="one"),
    *(extras.Rehearse(f) for f in ("forward_kl", "js", "alpha")),
]  # fmt: skip
FUNCTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "k1": lambda b: dv.k1(b["logp"], b["ref_logp"]),
    "k2": lambda b: dv.k2(b["logp"], b["ref_logp"]),
    "k3": lambda b: dv.k3(b["logp"], b["ref_logp"]),
    "fkl_gen": lambda b: dv.fkl_gen(b["logp"], b["ref_logp"]),
    "js_gen": lambda b: dv.js_gen(b["logp"], b["ref_logp"]),
    "alpha_gen": lambda b: dv.alpha_gen(b["logp"], b["ref_logp"]),
    "tv": lambda b: dv.divergence(b["dist"], b["ref_dist"], "tv"),
    "two heads": lambda b: extras.two_head_bce(
        b["values"], b["logp"], b["preference"][0] + 0.0 * b["values_sg"], b["values_sg"]
    ),
    "inverse_bellman": lambda b: segments.inverse_bellman(
        b["values"], b["values_sg"], 0.9, b["mask"]
    ),
    "linear": lambda b: segments.linear(b["dist"][0, 0, ...], b["features"], b["mask"]),
    "chi2": lambda b: segments.chi2(b["values"], b["mask"]),
}


def losses(x: Any, fixed: dict[str, Any]) -> Any:
    """Every loss summed, [L], from one array of logits that all inputs are read from."""
    xp = namespace(x)
    dist = log_softmax(x)
    b = fixed | {
        "dist": dist, "logp": take(xp, dist, fixed["token"]), "values": x[..., 0],
        "row_value": x[:, 1, 1], "score": x[:, 0, 2],
    }  # fmt: skip
    rows = []
    for part in PARTS:
        loss = part(b)
        if isinstance(part, PairObjective):
            loss = loss[0]
        rows.append(xp.sum(loss))
    return xp.stack(rows + [xp.sum(function(b)) for function in FUNCTIONS.values()])


def by_differences(step: float = 1e-6) -> Any:
    slopes = []
    for i in np.ndindex(X.shape):
        up, down = X.copy(), X.copy()
        up[i] += step
        down[i] -= step
        slopes.append((losses(up, FIXED) - losses(down, FIXED)) / (2 * step))
    return np.stack(slopes, axis=1).reshape(-1, *X.shape)


def by_torch() -> Any:
    import torch

    fixed = {key: torch.asarray(value) for key, value in FIXED.items()}
    x = torch.tensor(X, requires_grad=True)
    slopes = [torch.autograd.grad(loss, x, retain_graph=True)[0] for loss in losses(x, fixed)]
    return torch.stack(slopes).numpy()


def by_jax() -> Any:
    import jax

    with jax.enable_x64(True):
        fixed = {key: jax.numpy.asarray(value) for key, value in FIXED.items()}
        return np.asarray(jax.jit(jax.jacrev(lambda x: losses(x, fixed)))(X))


@pytest.fixture(scope="module")
def slopes() -> dict[str, Any]:
    return {"differences": by_differences(), "torch": by_torch(), "jax": by_jax()}


def test_gradients_agree_on_pytorch_jax_and_by_differences(slopes: dict[str, Any]) -> None:
    for i, name in enumerate([*map(str, PARTS), *FUNCTIONS]):
        torch_slope, jax_slope = slopes["torch"][i], slopes["jax"][i]
        np.testing.assert_allclose(torch_slope, jax_slope, rtol=1e-9, atol=1e-11, err_msg=name)
        np.testing.assert_allclose(
            torch_slope, slopes["differences"][i], rtol=1e-5, atol=1e-7, err_msg=name
        )


def test_every_loss_has_a_gradient(slopes: dict[str, Any]) -> None:
    for i, name in enumerate([*map(str, PARTS), *FUNCTIONS]):
        assert np.abs(slopes["torch"][i]).max() > 1e-6, name
