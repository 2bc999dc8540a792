"""Conformal risk control: closed forms, limits, the promise itself, and bad input."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.value.conformal import (
    Acceptance,
    controlled_risk,
    drift_gap,
    recency_weights,
    risk_control,
)

unit = st.floats(0.0, 1.0)
LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)


def steps(places: list[int]) -> list[list[float]]:
    """Losses that fall from 1 to 0 at each place."""
    return [[float(j < place) for j in range(len(LAMBDAS))] for place in places]


def test_the_controlled_risk_in_figures() -> None:
    assert controlled_risk([1.0, 0.0, 0.5]) == (1.5 + 1.0) / 4.0
    assert controlled_risk([1.0, 0.0], [0.5, 1.0]) == (0.5 + 1.0) / 2.5
    assert controlled_risk([3.0, 1.0], bound=4.0) == (4.0 + 4.0) / 3.0


def test_without_examples_the_worst_is_assumed() -> None:
    assert controlled_risk([]) == 1.0
    assert risk_control([], LAMBDAS, 0.9) == math.inf


def test_the_smallest_sufficient_parameter_is_chosen() -> None:
    losses = steps([1, 2, 2, 3])  # sums 4, 3, 1, 0, 0; with the new one's worst: 5, 4, 2, 1, 1
    assert risk_control(losses, LAMBDAS, 0.4) == 0.5
    assert risk_control(losses, LAMBDAS, 0.39) == 0.75
    assert risk_control(losses, LAMBDAS, 0.2) == 0.75
    assert risk_control(losses, LAMBDAS, 0.19) == math.inf


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), unit.filter(lambda a: 0 < a < 1))
def test_miscoverage_as_loss_gives_split_conformal_prediction(
    places: list[int], alpha: float
) -> None:
    """lambda is the ceil((n + 1)(1 - alpha))-th smallest score."""
    n = len(places)
    exact = (n + 1) * (1 - Fraction(alpha))
    # Beside a whole number, rounding decides the rank; on one it does not: the product is exact.
    assume(exact.denominator == 1 or abs(exact - round(exact)) > 1e-9)
    rank = math.ceil(exact)
    ordered = sorted(places)
    want = ordered[rank - 1] if rank <= n else 5
    grid = tuple(range(6))
    losses = [[float(score > x) for x in grid] for score in places]
    got = risk_control(losses, grid, alpha)
    assert got == (want if rank <= n else math.inf)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.data())
def test_a_stricter_promise_never_takes_a_smaller_parameter(
    places: list[int], data: st.DataObject
) -> None:
    low, high = sorted(data.draw(st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99))))
    losses = steps(places)
    assert risk_control(losses, LAMBDAS, low) >= risk_control(losses, LAMBDAS, high)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.data())
def test_arrays_and_lists_give_the_same(places: list[int], data: st.DataObject) -> None:
    weights = data.draw(st.lists(unit, min_size=len(places), max_size=len(places)))
    losses = steps(places)
    alpha = data.draw(st.floats(0.05, 0.95))
    plain = risk_control(losses, LAMBDAS, alpha, weights)
    # At a rounding's distance from the line either side is right.
    near = [abs(controlled_risk([r[j] for r in losses], weights) - alpha) < 1e-9 for j in range(5)]
    assert risk_control(np.array(losses), LAMBDAS, alpha, weights) == plain or any(near)


def test_a_bound_scales_losses_and_promise_alike() -> None:
    losses = steps([1, 2, 2, 3])
    tripled = [[3.0 * x for x in row] for row in losses]
    assert risk_control(tripled, LAMBDAS, 1.2, bound=3.0) == risk_control(losses, LAMBDAS, 0.4)


def test_the_promise_holds_on_exchangeable_data() -> None:
    """Mean loss of new examples over 4000 draws, within three standard errors."""
    rng = Random(1)
    grid = [x / 20 for x in range(21)]
    suffered = []
    for _ in range(4000):
        scores = [rng.random() for _ in range(20)]
        losses = [[max(0.0, score - x) for x in grid] for score in scores]
        chosen = risk_control(losses[:-1], grid, 0.1)
        suffered.append(max(0.0, scores[-1] - min(chosen, 1.0)))
    mean = sum(suffered) / len(suffered)
    error = (sum((x - mean) ** 2 for x in suffered) ** 0.5) / len(suffered)
    assert mean <= 0.1 + 3 * error


def test_recency_weights_are_powers_and_end_below_one() -> None:
    assert recency_weights(3, 0.5) == (0.125, 0.25, 0.5)
    assert recency_weights(2, 1.0) == (1.0, 1.0)


def test_the_gap_is_nothing_without_drift_and_at_most_the_bound() -> None:
    assert drift_gap([0.0, 0.0]) == 0.0
    assert drift_gap([1.0, 1.0], bound=2.0) == pytest.approx(4.0 / 3.0)
    assert drift_gap([1.0, 0.0], [0.0, 1.0]) == 0.0


def test_acceptance_counts_wrong_ones_at_least_as_high() -> None:
    known = Acceptance((0.1, 0.5, 0.9, 0.7), (False, True, True, False))
    assert known.risk(0.95) == 1.0 / 5.0
    assert known.risk(0.7) == 2.0 / 5.0
    assert known.risk(0.1) == 3.0 / 5.0
    assert known.threshold(0.4) == 0.5
    assert known.threshold(0.2) == 0.9
    assert known.threshold(0.1) == math.inf


@given(st.lists(st.tuples(unit, st.booleans()), max_size=15), unit, unit)
def test_a_higher_score_is_never_riskier(
    known: list[tuple[float, bool]], one: float, other: float
) -> None:
    acceptance = Acceptance(tuple(s for s, _ in known), tuple(r for _, r in known), rho=0.9)
    low, high = sorted((one, other))
    assert acceptance.risk(high) <= acceptance.risk(low)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: controlled_risk([1.5]), r"losses\[0\] = 1.5"),
        (lambda: controlled_risk([float("nan")]), r"losses\[0\] = nan"),
        (lambda: controlled_risk([0.5], [1.5]), r"weights\[0\] = 1.5"),
        (lambda: controlled_risk([0.5], [1.0, 1.0]), "2 weights for 1 examples"),
        (lambda: controlled_risk([0.5], bound=0.0), "bound = 0"),
        (lambda: risk_control(steps([1]), LAMBDAS, 0.0), "alpha = 0"),
        (lambda: risk_control(steps([1]), LAMBDAS[::-1], 0.1), "must ascend"),
        (lambda: risk_control([[0.0, 1.0]], (0.0, 1.0), 0.1), "increases"),
        (lambda: risk_control(np.array([[0.0, 1.0]]), (0.0, 1.0), 0.1), "increase"),
        (lambda: risk_control(np.array([[np.nan, 0.0]]), (0.0, 1.0), 0.1), "NaN"),
        (lambda: risk_control([[0.0]], LAMBDAS, 0.1), "1 values for 5 lambdas"),
        (lambda: risk_control(np.zeros((2, 3)), LAMBDAS, 0.1), r"shape \(2, 3\)"),
        (lambda: recency_weights(3, 0.0), "rho = 0"),
        (lambda: Acceptance((1.0,), ()), "1 scores, 0 verdicts"),
        (lambda: Acceptance((math.nan,), (True,)), r"scores\[0\] = nan"),
        (lambda: Acceptance((), ()).threshold(1.0), "alpha = 1"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call: object, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        call()  # type: ignore[operator]
