"""Duals of a hyper-parameter: exact pieces, exact means, widths that hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.value.tuning import (
    Steps,
    crossings,
    deviation,
    dual_pieces,
    mean_dual,
    polynomial_roots,
    rademacher_width,
    tune,
    uniform_width,
)


def steps(rng: np.random.Generator) -> Steps:
    """A threshold at a random place, up or down, with values in [0, 1]."""
    cut = rng.uniform(0.05, 0.95)
    return Steps(np.asarray([0.0, cut, 1.0]), rng.permutation([0.2, 0.8]))


def test_a_dual_has_the_pieces_of_its_utility_and_no_more() -> None:
    def utility(alpha: float) -> float:
        return float(alpha > 0.3) + float(alpha > 0.7)

    dual = dual_pieces(utility, [0.7, 0.1, 0.3, 0.5, -2.0, 0.3], 0.0, 1.0)
    np.testing.assert_allclose(dual.edges, [0.0, 0.3, 0.7, 1.0])
    np.testing.assert_allclose(dual.values, [0.0, 1.0, 2.0])
    assert dual.pieces == 3
    assert dual.best() == (0.85, 2.0)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_no_finer_grid_finds_another_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    at_zero, at_one, labels = rng.normal(size=8), rng.normal(size=8), rng.integers(0, 2, 8)

    def utility(alpha: float) -> float:
        order = np.argsort((1 - alpha) * at_zero + alpha * at_one)
        return float(np.abs(np.cumsum(2 * labels[order] - 1)).max())

    dual = dual_pieces(utility, crossings(at_zero, at_one), 0.0, 1.0)
    for alpha in rng.uniform(size=200):
        if np.abs(dual.edges - alpha).min() > 1e-9:
            assert dual(alpha) == utility(float(alpha))


def test_lines_cross_where_they_are_equal() -> None:
    at_zero, at_one = np.asarray([0.0, 1.0, 2.0]), np.asarray([1.0, 0.0, 2.0])
    found = crossings(at_zero, at_one)
    np.testing.assert_allclose(np.sort(found), [-1.0, 0.5, 2.0])
    for alpha in found:
        lines = (1 - alpha) * at_zero + alpha * at_one
        assert np.abs(np.diff(np.sort(lines))).min() < 1e-12
    assert len(crossings([0.0, 1.0], [2.0, 3.0])) == 0  # parallel lines never meet


@given(st.lists(st.floats(-0.9, 1.9), min_size=1, max_size=5, unique=True), st.floats(0.1, 50.0))
@settings(max_examples=60, deadline=None)
def test_roots_of_a_polynomial_given_by_values_are_found(roots: list[float], scale: float) -> None:
    spread = np.sort(np.asarray(roots))
    if len(spread) > 1 and np.diff(spread).min() < 0.05:
        return  # nearly double roots are ill-conditioned whatever the method

    def polynomial(x: float) -> Any:
        return [scale * np.prod(x - spread)]

    found = polynomial_roots(polynomial, len(roots) + 2, 0.0, 1.0)
    inside = spread[(spread >= 0.0) & (spread <= 1.0)]
    clear = inside[(inside > 1e-3) & (inside < 1.0 - 1e-3)]
    for root in clear:
        assert np.abs(found - root).min() < 1e-6


def test_a_constant_has_no_roots() -> None:
    assert len(polynomial_roots(lambda x: [1.0, 0.0], 3, 0.0, 1.0)) == 0


def test_the_mean_of_duals_is_their_mean_everywhere() -> None:
    rng = np.random.default_rng(1)
    duals = [steps(rng) for _ in range(9)]
    mean = mean_dual(duals)
    grid = rng.uniform(size=300)
    np.testing.assert_allclose(mean(grid), np.mean([dual(grid) for dual in duals], axis=0))
    assert deviation(duals, mean) == 0.0
    assert mean.best()[1] == pytest.approx(max(mean(grid)), abs=0.2)
    assert (mean(grid) <= mean.best()[1] + 1e-12).all()


@given(st.integers(0, 500), st.floats(0.1, 5.0), st.floats(-3.0, 3.0))
@settings(max_examples=30, deadline=None)
def test_the_choice_does_not_change_with_the_unit_of_utility(
    seed: int, scale: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    duals = [steps(rng) for _ in range(7)]
    other = [Steps(dual.edges, scale * dual.values + shift) for dual in duals]
    one, two = tune(duals), tune(other, scale=scale)
    assert one.alpha == pytest.approx(two.alpha)
    assert two.value == pytest.approx(scale * one.value + shift)
    assert two.width == pytest.approx(scale * one.width)


def test_the_widths_hold_for_a_law_with_a_known_mean() -> None:
    # Cuts uniform on [0, 1], value 1 to the right: the true mean at alpha is alpha.
    rng = np.random.default_rng(3)
    fine = np.linspace(0.0, 1.0, 2001)
    truth = Steps(fine, 0.5 * (fine[1:] + fine[:-1]))
    broken = dict.fromkeys(("uniform", "rademacher"), 0)
    for _ in range(60):
        duals = [
            Steps(np.asarray([0.0, cut, 1.0]), np.asarray([0.0, 1.0]))
            for cut in rng.uniform(size=40)
        ]
        off = deviation(duals, truth)
        broken["uniform"] += off > uniform_width(40, 2, 0.1)
        broken["rademacher"] += off > rademacher_width(duals, 0.1)
        assert off > 0.02  # a width of nothing would be broken
    assert broken["uniform"] <= 6
    assert broken["rademacher"] <= 6


def test_the_uniform_width_shrinks_like_the_root_of_instances() -> None:
    assert uniform_width(400, 1, 0.05) == pytest.approx(0.5 * uniform_width(100, 1, 0.05))
    assert uniform_width(100, 50, 0.05) > uniform_width(100, 2, 0.05)
    # Many pieces cost only their logarithm.
    ratio = uniform_width(100, 10**6, 0.05) / uniform_width(100, 10**3, 0.05)
    assert ratio < math.sqrt(2.0)


@pytest.mark.parametrize(
    ("message", "make"),
    [
        ("strictly ascending", lambda: Steps(np.asarray([0.0, 0.0]), np.ones(1))),
        (r"need \(K \+ 1,\)", lambda: Steps(np.asarray([0.0, 1.0]), np.ones(2))),
        ("alpha outside", lambda: Steps(np.asarray([0.0, 1.0]), np.ones(1))(2.0)),
        ("not all finite", lambda: dual_pieces(float, [math.nan], 0.0, 1.0)),
        ("need low < high", lambda: dual_pieces(float, [], 1.0, 0.0)),
        ("two vectors of one length", lambda: crossings([1.0], [1.0, 2.0])),
        ("degree=0", lambda: polynomial_roots(lambda x: [x], 0, 0.0, 1.0)),
        ("duals is empty", lambda: mean_dual([])),
        ("delta=2", lambda: tune([Steps(np.asarray([0.0, 1.0]), np.ones(1))], 2.0)),
        ("instances=0", lambda: uniform_width(0, 1, 0.1)),
        (
            "different ranges",
            lambda: mean_dual(
                [
                    Steps(np.asarray([0.0, 1.0]), np.ones(1)),
                    Steps(np.asarray([0.0, 2.0]), np.ones(1)),
                ]
            ),
        ),
    ],
)
def test_bad_input_is_named_with_the_way_out(message: str, make: Any) -> None:
    with pytest.raises(BadInput, match=message):
        make()
