"""Features learned end to end: the flow's fixed points, symmetries and conserved quantities."""

from __future__ import annotations

import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.exact import models, stationary, td_flow
from meritree.exact.flow import overlap, top_eigenvectors

GAMMA = 0.9


def problem(seed: int, S: int = 8, k: int = 3, m: int = 2) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    P = models.reversible_chain(S, rng)
    return (
        P, stationary(P), rng.standard_normal((S, m)),
        0.5 * rng.standard_normal((S, k)), 0.5 * rng.standard_normal((k, m)),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_the_energy_of_a_reversible_chain_never_rises(seed: int) -> None:
    P, D, R, Phi, W = problem(seed)
    flow = td_flow(P, R, GAMMA, Phi, W, D=D, step=0.05, steps=1500)
    assert (np.diff(flow.energy) < 1e-12).all()
    assert flow.energy[-1] < 0.5 * flow.energy[0]
    quick = td_flow(P, R, GAMMA, Phi, None, D=D, step=0.01, steps=300)
    assert (np.diff(quick.energy) < 1e-12).all()


def test_the_flow_is_minus_the_gradient_of_the_energy() -> None:
    P, D, R, Phi, W = problem(1)

    def energy(Phi: np.ndarray) -> float:
        return float(td_flow(P, R, GAMMA, Phi, W, D=D, steps=0).energy[0])

    after = td_flow(P, R, GAMMA, Phi, W, D=D, step=1.0, steps=1).Phi
    for s, k in ((0, 0), (3, 2), (7, 1)):
        nudge = np.zeros_like(Phi)
        nudge[s, k] = 1e-5
        slope = (energy(Phi + nudge) - energy(Phi - nudge)) / 2e-5
        assert (after - Phi)[s, k] == pytest.approx(-slope, rel=1e-6)


def test_a_chain_that_turns_round_can_make_the_energy_rise() -> None:
    parts = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        P = models.cyclic_chain(10, rng)
        R, Phi, W = (rng.standard_normal(shape) for shape in ((10, 1), (10, 2), (2, 1)))
        parts.append((P, stationary(P), R, Phi, W))
    P, D, R, Phi, W = (np.stack(each) for each in zip(*parts, strict=True))
    flow = td_flow(P, R, 0.99, Phi, W, D=D, step=0.01, steps=1500)
    rises = (np.diff(flow.energy, axis=0) > 1e-9).sum(axis=0)
    assert (rises > 100).sum() >= 4


def test_weights_at_their_fixed_point_keep_the_covariance_of_the_features() -> None:
    P, D, R, Phi, _ = problem(2)
    drift = []
    for step, steps in ((0.02, 50), (0.01, 100)):
        end = td_flow(P, R, GAMMA, Phi, None, D=D, step=step, steps=steps).Phi
        drift.append(np.abs(end.T @ end - Phi.T @ Phi).max())
    assert drift[0] < 0.02
    assert drift[1] / drift[0] == pytest.approx(0.5, abs=0.05)  # Euler's error, first order


def test_true_values_are_a_fixed_point() -> None:
    P, D, R, _, _ = problem(3)
    V = np.linalg.solve(np.eye(8) - GAMMA * P, R)
    flow = td_flow(P, R, GAMMA, V, np.eye(2), D=D, steps=20)
    assert np.allclose(flow.Phi, V, atol=1e-12)
    assert np.allclose(flow.error, 0.0, atol=1e-20)


def test_turning_the_features_turns_the_solution() -> None:
    P, D, R, Phi, W = problem(4)
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    one = td_flow(P, R, GAMMA, Phi, W, D=D, step=0.05, steps=200)
    two = td_flow(P, R, GAMMA, Phi @ Q, Q.T @ W, D=D, step=0.05, steps=200)
    assert np.allclose(one.Phi @ Q, two.Phi)
    assert np.allclose(one.energy, two.energy)


def test_stacked_problems_are_the_problems_one_by_one() -> None:
    parts = [problem(seed) for seed in (5, 6)]
    P, D, R, Phi, W = (np.stack(each) for each in zip(*parts, strict=True))
    both = td_flow(P, R, GAMMA, Phi, W, D=D, steps=30)
    for i, (p, d, r, phi, w) in enumerate(parts):
        alone = td_flow(p, r, GAMMA, phi, w, D=d, steps=30)
        assert np.allclose(both.Phi[i], alone.Phi)
        assert np.allclose(both.energy[:, i], alone.energy)


def test_overlap_is_one_for_the_same_space_and_k_over_s_for_a_random_one() -> None:
    rng = np.random.default_rng(0)
    U = rng.standard_normal((20, 4))
    assert overlap(U @ rng.standard_normal((4, 4)), U) == pytest.approx(1.0)
    assert overlap(np.eye(20)[:, :4], np.eye(20)[:, 4:8]) == 0.0
    assert overlap(rng.standard_normal((500, 20, 4)), U).mean() == pytest.approx(0.2, abs=0.01)


def test_bad_flows_are_refused() -> None:
    P, _, R, Phi, W = problem(0)
    with pytest.raises(BadInput, match="gamma = 1"):
        td_flow(P, R, 1.0, Phi, W)
    with pytest.raises(BadInput, match="rows each"):
        td_flow(P, R[:3], GAMMA, Phi, W)
    with pytest.raises(BadInput, match="not symmetric"):
        top_eigenvectors(P, 2)
