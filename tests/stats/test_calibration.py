"""Calibration error and the Brier score: by hand, identities, what perfect forecasts get."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.stats.calibration import (
    Bin,
    brier,
    expected_calibration_error,
    reliability_bins,
)

FORECASTS = [0.1, 0.1, 0.4, 0.4, 0.8, 0.8, 0.8, 1.0]
OUTCOMES = [0, 1, 0, 0, 1, 1, 0, 1]
DATA = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), st.integers(0, 1)),
    min_size=1,
    max_size=40,
)


def test_bins_and_calibration_error_have_the_values_computed_by_hand() -> None:
    found = reliability_bins(FORECASTS, OUTCOMES, bins=2)
    assert found == [
        Bin(pytest.approx(0.25), 0.25, 4),
        Bin(pytest.approx(0.85), 0.75, 4),
    ]
    # Two bins: (4 * 0 + 4 * 0.1) / 8. Many: the four values, 2 * .4 + 2 * .4 + 3 * .4/3 + 0.
    assert expected_calibration_error(FORECASTS, OUTCOMES, bins=2) == pytest.approx(0.05)
    assert expected_calibration_error(FORECASTS, OUTCOMES, bins=100) == pytest.approx(2.0 / 8)
    # Equal counts: (.1, .1, .4 | .4, .8 | ...) cut at 8 * k // 3 = 2, 5.
    masses = reliability_bins(FORECASTS, OUTCOMES, bins=3, scheme="mass")
    assert [b.count for b in masses] == [2, 3, 3]


def test_a_bins_upper_edge_belongs_to_it_and_zero_to_the_first() -> None:
    found = reliability_bins([0.0, 0.5, 0.5000001, 1.0], [0, 0, 1, 1], bins=2)
    assert [b.count for b in found] == [2, 2]


def test_the_brier_score_has_the_parts_computed_by_hand() -> None:
    got = brier(FORECASTS, OUTCOMES)
    score = (0.01 + 0.81 + 0.16 + 0.16 + 0.04 + 0.04 + 0.64 + 0.0) / 8
    assert got.score == pytest.approx(score)
    assert got.reliability == pytest.approx((2 * 0.16 + 2 * 0.16 + 3 * (0.8 - 2 / 3) ** 2) / 8)
    assert got.resolution == pytest.approx((0 + 2 * 0.25 + 3 * (1 / 6) ** 2 + 0.25) / 8)
    assert got.uncertainty == 0.25
    assert got.within == 0.0


@given(DATA, st.integers(1, 20))
def test_the_parts_of_the_brier_score_add_up(data: list[tuple[float, int]], bins: int) -> None:
    forecasts, outcomes = zip(*data, strict=True)
    for got in (brier(forecasts, outcomes), brier(forecasts, outcomes, bins)):
        total = got.reliability - got.resolution + got.uncertainty + got.within
        assert total == pytest.approx(got.score, abs=1e-12)
        assert got.reliability >= 0.0 <= got.resolution <= got.uncertainty + 1e-12


@given(DATA, st.integers(1, 20))
def test_the_calibration_error_is_bounded_by_the_reliability(
    data: list[tuple[float, int]], bins: int
) -> None:
    forecasts, outcomes = zip(*data, strict=True)
    for scheme in ("width", "mass"):
        error = expected_calibration_error(forecasts, outcomes, bins, scheme)  # type: ignore[arg-type]
        assert 0.0 <= error <= 1.0
        found = reliability_bins(forecasts, outcomes, bins, scheme)  # type: ignore[arg-type]
        assert sum(b.count for b in found) == len(forecasts)
    squares = brier(forecasts, outcomes, bins).reliability
    assert expected_calibration_error(forecasts, outcomes, bins) ** 2 <= squares + 1e-12


def test_certain_and_right_forecasts_cost_nothing_and_the_base_rate_is_calibrated() -> None:
    assert expected_calibration_error([0.0, 1.0, 1.0], [0, 1, 1]) == 0.0
    assert brier([0.0, 1.0], [0, 1]).score == 0.0
    rate = brier([0.25] * 4, [1, 0, 0, 0])
    assert (rate.reliability, rate.resolution) == (0.0, 0.0)
    assert rate.score == pytest.approx(0.1875)


def test_the_score_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import brier_score_loss

    assert brier(FORECASTS, OUTCOMES).score == pytest.approx(brier_score_loss(OUTCOMES, FORECASTS))


def test_what_is_no_forecast_is_refused() -> None:
    for make, words in (
        (lambda: brier([], []), "0 forecasts"),
        (lambda: brier([0.5], [0, 1]), "1 forecasts and 2 outcomes"),
        (lambda: brier([0.1, 1.5], [0, 1]), r"forecast 1 is 1\.5"),
        (lambda: brier([0.1], [0.5]), r"outcome 0 is 0\.5"),
        (lambda: reliability_bins([0.1], [1], bins=0), "0 bins"),
        (lambda: reliability_bins([0.1], [1], scheme="equal"), "'equal'"),  # type: ignore[arg-type]
    ):
        with pytest.raises(BadInput, match=words):
            make()
