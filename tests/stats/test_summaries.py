"""Quantile, interquartile mean, pass@k and Wilson interval against closed forms."""

from __future__ import annotations

import math
import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.stats import iqm, pass_at_k, quantile, wilson_interval


def test_the_quantile_is_linear_between_order_statistics() -> None:
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.1) == pytest.approx(1.3)
    assert quantile([7.0], 0.9) == 7.0


def test_the_interquartile_mean_drops_a_quarter_at_either_end() -> None:
    assert iqm([-1e9, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e9]) == 3.5
    assert iqm([1.0, 2.0, 9.0]) == 4.0  # fewer than four: nothing to drop


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_the_interquartile_mean_lies_between_the_quartile_order_statistics(
    values: list[float],
) -> None:
    cut = len(values) // 4
    ordered = sorted(values)
    assert ordered[cut] - 1e-6 <= iqm(values) <= ordered[-1 - cut] + 1e-6


def test_pass_at_k_counts_the_subsets_with_at_least_one_success() -> None:
    for n in range(1, 8):
        for correct in range(n + 1):
            for k in range(1, n + 1):
                subsets = list(combinations(range(n), k))
                hits = sum(any(i < correct for i in subset) for subset in subsets)
                assert pass_at_k(n, correct, k) == pytest.approx(hits / len(subsets))


def test_pass_at_k_is_unbiased() -> None:
    rng = random.Random(1)
    p, k, n = 0.2, 3, 10
    drawn = [pass_at_k(n, sum(rng.random() < p for _ in range(n)), k) for _ in range(20_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(1 - (1 - p) ** k, abs=0.006)


def test_pass_at_k_survives_sizes_whose_binomials_overflow_a_float() -> None:
    assert pass_at_k(100_000, 1, 50_000) == pytest.approx(0.5)


@pytest.mark.parametrize(("n", "correct", "k"), [(0, 0, 1), (3, 4, 1), (3, 1, 4), (3, 1, 0)])
def test_pass_at_k_refuses_impossible_counts(n: int, correct: int, k: int) -> None:
    with pytest.raises(BadInput, match="pass@k needs"):
        pass_at_k(n, correct, k)


def test_the_wilson_interval_has_its_published_value() -> None:
    # 10 of 20 at 95 %: 0.5 +- 1.96 sqrt(0.25/20 + 1.96^2/1600) / (1 + 1.96^2/20)
    low, high = wilson_interval(10, 20)
    z = 1.959963984540054
    half = z * math.sqrt(0.25 / 20 + z * z / 1600) / (1 + z * z / 20)
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half))
    assert (low, high) == pytest.approx((0.2993, 0.7007), abs=1e-4)


@given(st.integers(1, 200), st.data())
def test_the_wilson_ends_solve_the_score_equation(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    z = 1.959963984540054
    for end in wilson_interval(successes, n):
        assert 0.0 <= end <= 1.0
        assert (successes / n - end) ** 2 == pytest.approx(z * z * end * (1 - end) / n, abs=1e-9)


def test_all_and_none_reach_exactly_the_ends() -> None:
    assert wilson_interval(0, 9)[0] == 0.0
    assert wilson_interval(9, 9)[1] == 1.0


@pytest.mark.parametrize(("successes", "n", "level"), [(1, 0, 0.9), (-1, 3, 0.9), (1, 3, 0.0)])
def test_an_impossible_proportion_is_refused(successes: int, n: int, level: float) -> None:
    with pytest.raises(BadInput):
        wilson_interval(successes, n, level)


def test_bad_samples_are_refused() -> None:
    with pytest.raises(BadInput, match="empty"):
        iqm([])
    with pytest.raises(BadInput, match="empty"):
        quantile([], 0.5)
    with pytest.raises(BadInput, match="outside"):
        quantile([1.0], 1.5)
