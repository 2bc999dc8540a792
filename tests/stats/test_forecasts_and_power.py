"""The Diebold-Mariano test and power: against SciPy, by hand, by simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from meritree.errors import BadInput
from meritree.stats.forecasts import diebold_mariano, long_run_variance
from meritree.stats.power import achieved_power, needed_pairs, simulated_power


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=12, unique=True))
def test_one_step_ahead_the_test_is_the_paired_t_test(a: list[float]) -> None:
    b = [0.5 * x * x for x in a]
    differences = np.array(a) - np.array(b)
    if np.std(differences) < 1e-6:
        return
    got, theirs = diebold_mariano(a, b), scipy_stats.ttest_rel(a, b)
    assert got.statistic == pytest.approx(theirs.statistic, rel=1e-9)
    assert got.p_value == pytest.approx(theirs.pvalue, rel=1e-9)


def test_two_steps_ahead_the_statistic_is_the_one_computed_by_hand() -> None:
    # d = 3, 1, 2, 2: mean 2, deviations 1, -1, 0, 0; gamma_0 = 1/2, gamma_1 = -1/4.
    a, b = [4.0, 2.0, 3.0, 3.0], [1.0, 1.0, 1.0, 1.0]
    correction = math.sqrt((4 + 1 - 4 + 2 / 4) / 4)
    bartlett = diebold_mariano(a, b, horizon=2)
    assert bartlett.statistic == pytest.approx(correction * 2 / math.sqrt((0.5 - 0.25) / 4))
    assert bartlett.p_value == pytest.approx(2 * scipy_stats.t.sf(bartlett.statistic, 3))
    with pytest.raises(BadInput, match="use variance='bartlett'"):
        diebold_mariano(a, b, horizon=2, variance="rectangular")
    smooth = [0.0, 1.0, 2.0, 3.0]
    # Deviations -1.5, -.5, .5, 1.5: gamma_0 = 5/4, gamma_1 = (.75 - .25 + .75) / 4 = 5/16.
    rectangular = diebold_mariano(smooth, [0.0] * 4, horizon=2, variance="rectangular")
    assert rectangular.statistic == pytest.approx(correction * 1.5 / math.sqrt(1.875 / 4))
    assert (rectangular.mean, rectangular.n) == (1.5, 4)


def test_exchanging_the_forecasters_turns_the_sign() -> None:
    a, b = [0.1, 0.9, 0.4, 0.3], [0.2, 0.3, 0.5, 0.1]
    one, two = diebold_mariano(a, b, 2), diebold_mariano(b, a, 2)
    assert one.statistic == pytest.approx(-two.statistic)
    assert one.p_value == pytest.approx(two.p_value)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20), st.integers(0, 19))
def test_bartlett_weights_never_give_a_negative_variance(values: list[float], lags: int) -> None:
    lags = min(lags, len(values) - 1)
    assert long_run_variance(values, lags) >= -1e-9
    assert long_run_variance(values, 0) == pytest.approx(np.var(values), abs=1e-9)


def test_equal_forecasters_are_rejected_as_often_as_the_level_says() -> None:
    """Overlapping four-step errors, 60 forecasts: a size near 5 % where the t-test has far more."""
    rng = np.random.default_rng(0)
    trials, naive, corrected = 400, 0, 0
    for _ in range(trials):
        steps = rng.normal(size=63)
        d = np.convolve(steps, np.ones(4), mode="valid")
        zero = np.zeros(60)
        naive += diebold_mariano(d, zero).p_value < 0.05
        corrected += diebold_mariano(d, zero, 4, "rectangular").p_value < 0.05
    assert naive / trials > 0.2
    assert corrected / trials < 0.12


def test_power_is_the_level_without_effect_and_one_with_a_large_one() -> None:
    assert achieved_power(0.0, 1.0, 50, alpha=0.05) == pytest.approx(0.05)
    assert achieved_power(9.0, 1.0, 50) == pytest.approx(1.0)
    # The textbook's: half a deviation, 32 pairs, 80 %.
    assert needed_pairs(0.5, 1.0) == 32
    assert achieved_power(0.5, 1.0, 32) == pytest.approx(0.807, abs=1e-3)


def test_power_is_near_that_of_the_t_test() -> None:
    for effect, n in ((0.3, 60), (0.5, 40), (0.2, 200)):
        shift, df = effect * math.sqrt(n), n - 1
        critical = scipy_stats.t.ppf(0.975, df)
        exact = scipy_stats.nct.sf(critical, df, shift) + scipy_stats.nct.cdf(-critical, df, shift)
        assert achieved_power(effect, 1.0, n) == pytest.approx(exact, abs=0.02)


@given(st.floats(0.05, 3), st.floats(0.1, 5), st.sampled_from([0.5, 0.8, 0.95]))
def test_the_needed_pairs_are_the_fewest(effect: float, deviation: float, power: float) -> None:
    n = needed_pairs(effect, deviation, power)
    assert achieved_power(effect, deviation, n) >= power - 1e-12
    assert n == 1 or achieved_power(effect, deviation, n - 1) < power
    assert needed_pairs(-effect, deviation, power) == n


def test_simulated_power_agrees_with_the_formula_and_keeps_the_size() -> None:
    rng = np.random.default_rng(1)
    pilot = rng.normal(0.4, 1.0, 400).tolist()
    mean, deviation = float(np.mean(pilot)), float(np.std(pilot))
    formula = achieved_power(mean, deviation, 50)
    assert simulated_power(pilot, 50, trials=1500) == pytest.approx(formula, abs=0.05)
    assert simulated_power(pilot, 50, effect=0.0, trials=1500) == pytest.approx(0.055, abs=0.025)
    assert simulated_power(pilot, 50, seed=3, trials=50) == simulated_power(
        pilot, 50, seed=3, trials=50
    )


def test_a_pilot_without_variation_rejects_unless_it_is_zero() -> None:
    assert simulated_power([1.0, 1.0], 5, trials=10) == 1.0
    assert simulated_power([0.0, 0.0], 5, trials=10) == 0.0


def test_impossible_questions_are_refused() -> None:
    cases: tuple[tuple[Any, str], ...] = (
        (lambda: diebold_mariano([1.0], [1.0]), "1 and 1 losses"),
        (lambda: diebold_mariano([1.0, 2.0], [1.0, 2.0]), "all are equal"),
        (lambda: diebold_mariano([1.0, 2.0], [1.0, 4.0], 2), "horizon 2 with 2"),
        (lambda: diebold_mariano([1.0, math.nan], [1.0, 4.0]), "not finite"),
        (lambda: long_run_variance([1.0], 0, "parzen"), "'parzen'"),  # type: ignore[arg-type]
        (lambda: achieved_power(1.0, 0.0, 5), "deviation of 0.0"),
        (lambda: achieved_power(1.0, 1.0, 0), "0 pairs"),
        (lambda: needed_pairs(0.0, 1.0), "effect of 0.0"),
        (lambda: needed_pairs(1.0, 1.0, power=0.01), "power 0.01"),
        (lambda: simulated_power([1.0], 5), "1 pilot differences"),
    )
    for make, words in cases:
        with pytest.raises(BadInput, match=words):
            make()
