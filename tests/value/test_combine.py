"""The arithmetic of hybrid values: closed forms, the same lines for numbers and arrays."""

from __future__ import annotations

import math
from typing import Any

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.value.combine import (
    expected_cost,
    gate,
    product,
    product_compose,
    visit_schedule,
    visit_weight,
    weighted_mean,
)

UNIT = st.floats(0.0, 1.0)
LIBRARIES = ["numpy", "strict", "jax", "torch"]


def array(library: str, values: Any) -> Any:
    if library == "jax":
        jax = pytest.importorskip("jax.numpy")
        return jax.asarray(values, dtype=jax.float32)
    if library == "torch":
        return pytest.importorskip("torch").tensor(values)
    return {"numpy": np, "strict": array_api_strict}[library].asarray(values)


@pytest.mark.parametrize("library", LIBRARIES)
def test_arrays_of_any_library_give_what_numbers_give(library: str) -> None:
    a, b, w = [0.2, 0.9, 1.0], [0.5, 0.0, 1.0], [0.0, 1.0, 0.25]
    xa, xb, xw = (array(library, values) for values in (a, b, w))
    pairs = {
        "mean": (
            weighted_mean([xa, xb], [2.0, 1.0]),
            [weighted_mean(p, [2.0, 1.0]) for p in zip(a, b, strict=True)],
        ),
        "product": (product([xa, xb]), [x * y for x, y in zip(a, b, strict=True)]),
        "gate": (
            gate(xa, xw, 0.4, 0.8),
            [gate(x, s, 0.4, 0.8) for x, s in zip(a, w, strict=True)],
        ),
        "schedule": (
            visit_schedule(xa, xb, array(library, [0.0, 1.0, 7.0]), 0.5),
            [visit_schedule(*t, 0.5) for t in zip(a, b, [0.0, 1.0, 7.0], strict=True)],
        ),
        "cost": (
            expected_cost(xw, array(library, [1.0, 9.0, -1.0])),
            [expected_cost(*t) for t in zip(w, [1.0, 9.0, -1.0], strict=True)],
        ),
    }
    for name, (found, expected) in pairs.items():
        assert [float(x) for x in found] == pytest.approx(expected, rel=1e-6), name


@given(st.lists(st.tuples(UNIT, st.floats(0.01, 10.0)), min_size=1, max_size=6))
def test_a_weighted_mean_lies_between_its_parts_and_ignores_the_scale_of_weights(
    pairs: list[tuple[float, float]],
) -> None:
    values, weights = zip(*pairs, strict=True)
    mean = weighted_mean(values, weights)
    assert min(values) - 1e-12 <= mean <= max(values) + 1e-12
    assert weighted_mean(values, [3.0 * w for w in weights]) == pytest.approx(mean)


@given(UNIT, UNIT, st.floats(0.01, 10.0), st.floats(0.0, 1e6))
def test_a_prior_fades_as_visits_grow(p: float, e: float, c: float, n: float) -> None:
    assert visit_schedule(p, e, 0.0, c) == pytest.approx(p)
    assert visit_weight(n, c) >= visit_weight(n + 1.0, c)
    assert visit_weight(n, c) * n <= c + 1e-12
    assert visit_weight(1e12, c) * 1e12 == pytest.approx(c, rel=1e-6)
    assert visit_schedule(p, e, n + 1.0, 0.0) == e


def test_a_gate_is_exact_at_its_ends() -> None:
    for closed in (0.0, 0.1, 0.3, 1 / 3, 1.0):
        assert gate(0.7, 1.0, closed) == 0.7
        assert gate(0.7, 0.0, closed) == 0.7 * closed


@given(UNIT, UNIT, st.floats(0.0, 4.9))
def test_expected_cost_falls_with_success_while_success_is_cheaper(
    p: float, q: float, cost: float
) -> None:
    low, high = sorted((p, q))
    assert expected_cost(high, cost) <= expected_cost(low, cost) + 1e-12
    assert expected_cost(1.0, cost) == cost
    assert expected_cost(0.0, cost) == 5.0
    assert expected_cost(p, math.inf) == pytest.approx(5.0)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_product_of_scale_and_direction_keeps_the_order_of_a_row(library: str) -> None:
    scale, direction = array(library, [[2.0], [10.0]]), array(library, [[1.0, 3.0], [3.0, 1.0]])
    composed = product_compose(scale, direction)
    assert [[float(x) for x in row] for row in (composed[0, :], composed[1, :])] == [
        [2.0, 6.0],
        [30.0, 10.0],
    ]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(BadInput, match="2 values and 1 weights"):
        weighted_mean([1.0, 2.0], [1.0])
    with pytest.raises(BadInput, match="0 values"):
        weighted_mean([], [])
    with pytest.raises(BadInput, match=r"weights\[1\] is -1"):
        weighted_mean([1.0, 2.0], [1.0, -1.0])
    with pytest.raises(BadInput, match=r"values\[0\] is nan"):
        weighted_mean([math.nan, 2.0], [1.0, 1.0])
    with pytest.raises(BadInput, match="sum to 0"):
        weighted_mean([1.0], [0.0])
    with pytest.raises(BadInput, match="n is -1"):
        visit_weight(-1.0, 1.0)
    with pytest.raises(BadInput, match=r"p_success=1\.5"):
        expected_cost(1.5, 1.0)
    with pytest.raises(BadInput, match="failure_cost=0"):
        expected_cost(0.5, 1.0, 0.0)
    with pytest.raises(BadInput, match=r"scale has shape \(2, 2\)"):
        product_compose(np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(BadInput, match="equal leading axes"):
        product_compose(np.ones((3, 1)), np.ones((2, 2)))
