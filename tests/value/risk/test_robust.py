"""Worst cases over transport balls: closed forms, brute force, limits and scaling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.value.risk import (
    ExpectedShortfall,
    Pieces,
    ValueAtRisk,
    call_writer_robust_es,
    robust_es,
    robust_expectation,
)

RNG = np.random.default_rng(7)
X = RNG.normal(size=(40, 2))
W = RNG.dirichlet(np.ones(40))
LOSS = Pieces(RNG.normal(size=(3, 2)), RNG.normal(size=3))


def call(strike: float) -> Pieces:
    return Pieces(np.asarray([[0.0], [1.0]]), np.asarray([0.0, -strike]))


def lognormal(n: int, s0: float = 100.0, sigma: float = 0.2, years: float = 0.5) -> Any:
    stats = pytest.importorskip("scipy.stats")
    z = stats.norm.ppf((np.arange(n) + 0.5) / n)
    spread = sigma * math.sqrt(years)
    return (s0 * np.exp(spread * z - 0.5 * spread**2))[:, None]


def test_without_ambiguity_it_is_the_plain_functional() -> None:
    loss = LOSS.loss(X)
    assert robust_expectation(LOSS, X, 0.0, W) == pytest.approx((W * loss).sum())
    assert robust_es(LOSS, X, 0.0, 0.8, W) == pytest.approx(ExpectedShortfall(0.8)(loss, W))
    near = robust_es(LOSS, X, 1e-12, 0.8, W)
    assert near == pytest.approx(ExpectedShortfall(0.8)(loss, W), abs=1e-4)


def test_a_linear_loss_moves_by_its_slope_times_the_radius() -> None:
    m, c, theta = np.asarray([[3.0, -4.0]]), np.asarray([0.5]), 0.3
    mean = (W * (X @ m[0] + c[0])).sum()
    # sup over the ball of a linear function: |m| sqrt(2 theta), in the tail / (1 - level).
    assert robust_expectation(Pieces(m, c), X, theta, W) == pytest.approx(
        mean + 5.0 * math.sqrt(2 * theta)
    )
    plain = ExpectedShortfall(0.75)(X @ m[0] + c[0], W)
    assert robust_es(Pieces(m, c), X, theta, 0.75, W) == pytest.approx(
        plain + 5.0 * math.sqrt(2 * theta / 0.25)
    )


@pytest.mark.parametrize("theta", [0.05, 0.5, 2.0, 20.0])
@pytest.mark.parametrize("strike", [90.0, 105.0, 115.0])
def test_the_call_writers_closed_form_is_what_the_minimiser_finds(
    theta: float, strike: float
) -> None:
    s, level = lognormal(4000), 0.95
    var, es = float(ValueAtRisk(level)(s[:, 0])), float(ExpectedShortfall(level)(s[:, 0]))
    found = robust_es(call(strike), s, theta, level)
    assert found == pytest.approx(call_writer_robust_es(var, es, strike, theta, level), abs=1e-6)


def test_the_two_dimensional_dual_of_the_paper_has_the_same_minimum() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    s, level, theta = lognormal(2000)[:, 0], 0.95, 2.0

    def dual(at: Any) -> float:
        eta, lam = at[0], math.exp(at[1])
        lines = np.stack([np.zeros_like(s), -eta + 0 * s, s - 105.0 - eta + 0.5 / lam])
        return float(eta + (lam * theta + lines.max(axis=0).mean()) / (1 - level))

    found = min(
        (
            optimize.minimize(dual, [eta, 0.0], method="Nelder-Mead", options={"maxiter": 4000})
            for eta in (10.0, 25.0)
        ),
        key=lambda each: each.fun,
    )
    # eta may be negative only where the loss itself is: both forms keep the piece 0 of the call.
    assert robust_es(call(105.0), s[:, None], theta, level) == pytest.approx(found.fun, abs=1e-4)


def test_no_law_on_a_fine_grid_is_worse_and_some_come_close() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    x, theta, level = np.asarray([-1.0, 0.0, 0.5, 2.0]), 0.2, 0.5
    loss = Pieces(np.asarray([[-0.5], [1.0], [2.0]]), np.asarray([0.0, 0.0, -2.0]))
    grid = np.linspace(-6.0, 8.0, 561)
    values = loss.loss(grid[:, None])
    cost = 0.5 * (x[:, None] - grid) ** 2
    # sup over plans pi and tails 0 <= tail <= pi of total mass 1 - level, transport <= theta.
    n = cost.size
    equal = np.zeros((len(x) + 1, 2 * n))
    for i in range(len(x)):
        equal[i, i * len(grid) : (i + 1) * len(grid)] = 1.0
    equal[-1, n:] = 1.0
    upper = np.concatenate([-np.eye(n), np.eye(n)], axis=1)
    upper = np.concatenate([upper, np.concatenate([cost.ravel(), np.zeros(n)])[None]])
    found = optimize.linprog(
        -np.concatenate([np.zeros(n), np.tile(values, len(x)) / (1 - level)]),
        A_ub=optimize_sparse(upper),
        b_ub=np.concatenate([np.zeros(n), [theta]]),
        A_eq=equal,
        b_eq=np.concatenate([np.full(len(x), 1 / len(x)), [1 - level]]),
    )
    exact = robust_es(loss, x[:, None], theta, level)
    assert -found.fun <= exact + 1e-6
    assert -found.fun == pytest.approx(exact, rel=1e-2)


def optimize_sparse(matrix: Any) -> Any:
    return pytest.importorskip("scipy.sparse").csr_matrix(matrix)


def test_it_is_monotone_and_concave_in_the_radius() -> None:
    radii = np.linspace(0.01, 3.0, 30)
    for level in (0.0, 0.6):
        risk = np.asarray([robust_es(LOSS, X, t, level, W) for t in radii])
        assert (np.diff(risk) > 0).all()
        assert (np.diff(risk, 2) < 1e-9).all()


def test_it_translates_with_the_loss_and_scales_with_loss_and_radius() -> None:
    base = robust_es(LOSS, X, 0.4, 0.7, W)
    moved = Pieces(LOSS.slopes, LOSS.offsets + 2.5)
    assert robust_es(moved, X, 0.4, 0.7, W) == pytest.approx(base + 2.5)
    doubled = Pieces(2 * LOSS.slopes, 2 * LOSS.offsets)
    assert robust_es(doubled, X, 0.4, 0.7, W) == pytest.approx(2 * base)
    stretched = Pieces(LOSS.slopes / 3, LOSS.offsets)  # x in other units: theta in their square
    assert robust_es(stretched, 3 * X, 9 * 0.4, 0.7, W) == pytest.approx(base)


def test_more_pieces_and_higher_levels_are_worse() -> None:
    fewer = Pieces(LOSS.slopes[:2], LOSS.offsets[:2])
    assert robust_es(fewer, X, 0.4, 0.7, W) <= robust_es(LOSS, X, 0.4, 0.7, W) + 1e-9
    levels = [robust_es(LOSS, X, 0.4, level, W) for level in (0.0, 0.3, 0.6, 0.9)]
    assert levels == sorted(levels)


def test_the_gradient_in_a_sample_is_the_tails_weight_times_the_active_slope() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, requires_grad=True)
    pieces = Pieces(torch.tensor(LOSS.slopes), torch.tensor(LOSS.offsets))
    robust_es(pieces, x, 0.4, 0.7, torch.tensor(W)).backward()
    for i, j in ((0, 0), (3, 1), (11, 0)):
        step = np.zeros_like(X)
        step[i, j] = 1e-5
        up, down = (robust_es(LOSS, X + sign * step, 0.4, 0.7, W) for sign in (1, -1))
        assert float(x.grad[i, j]) == pytest.approx((up - down) / 2e-5, abs=1e-4)


def test_every_array_library_gives_the_same_bound(backend: Any) -> None:
    pieces = Pieces(backend.array(LOSS.slopes), backend.array(LOSS.offsets))
    got = robust_es(pieces, backend.array(X), 0.4, 0.7, backend.array(W))
    want = robust_es(LOSS, X, 0.4, 0.7, W)
    assert float(backend.numpy(got)) == pytest.approx(float(want), abs=1e-9)


def test_the_bound_compiles_where_samples_are_not_known() -> None:
    jax = pytest.importorskip("jax")
    pieces = Pieces(*(jax.numpy.asarray(each) for each in LOSS))
    bound = jax.jit(lambda x: robust_es(pieces, x, 0.4, 0.7))(jax.numpy.asarray(X))
    assert float(bound) == pytest.approx(float(robust_es(LOSS, X, 0.4, 0.7)), rel=1e-4)


def test_a_constant_loss_cannot_be_made_worse() -> None:
    flat = Pieces(np.zeros((1, 2)), np.asarray([1.5]))
    assert robust_es(flat, X, 9.0, 0.9, W) == pytest.approx(1.5)


BAD = {
    "theta=-1.0": lambda: robust_expectation(LOSS, X, -1.0),
    r"slopes \(3, 2\), offsets \(2,\)": lambda: robust_es(
        Pieces(LOSS.slopes, LOSS.offsets[:2]), X, 0.1, 0.5
    ),
    r"samples has shape \(40,\): must have 2 axes": lambda: robust_es(LOSS, X[:, 0], 0.1, 0.5),
    "divide by the sum": lambda: robust_es(LOSS, X, 0.1, 0.5, 2 * W),
    "level=1.5": lambda: robust_es(LOSS, X, 0.1, 1.5),
    "use robust_es instead": lambda: call_writer_robust_es(80.0, 90.0, 100.0, 0.01, 0.9),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named_with_the_way_out(message: str) -> None:
    with pytest.raises(BadInput, match=message):
        BAD[message]()
