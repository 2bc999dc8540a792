"""Profiles, chance of improvement and stratified intervals: by hand and against SciPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from meritree.errors import BadInput
from meritree.stats import iqm
from meritree.stats.runs import (
    mean_profile,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    stratified_interval,
)

SCORES = [[0.0, 0.5, 1.0], [0.25, 0.75]]
TASKS = st.lists(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=5),
    min_size=1,
    max_size=4,
)


def test_profiles_have_the_values_computed_by_hand() -> None:
    got = performance_profile(SCORES, [-1.0, 0.0, 0.5, 0.8, 1.0])
    assert got == pytest.approx([1.0, (2 / 3 + 1) / 2, (1 / 3 + 1 / 2) / 2, 1 / 6, 0.0])
    assert mean_profile(SCORES, [0.4, 0.5]) == [1.0, 0.0]
    # 1, .5, 0 and .75, .25 short of 1; with gamma = .5: .5 and .25 short.
    assert optimality_gap(SCORES) == pytest.approx(2.5 / 5)
    assert optimality_gap(SCORES, gamma=0.5) == pytest.approx(0.75 / 5)


@given(TASKS)
def test_a_profile_falls_from_one_to_zero_and_its_area_is_the_mean(
    tasks: list[list[float]],
) -> None:
    grid = np.linspace(-0.0005, 0.9995, 1001)
    profile = performance_profile(tasks, grid.tolist())
    assert all(a >= b for a, b in itertools.pairwise(profile))
    assert performance_profile(tasks, [-1.0, 1.0]) == [1.0, 0.0]
    area = float(np.sum(profile)) * 0.001
    mean = float(np.mean([np.mean(runs) for runs in tasks]))
    assert area == pytest.approx(mean, abs=2e-3)


@given(TASKS)
def test_the_chance_of_improvement_is_the_mann_whitney_statistic(tasks: list[list[float]]) -> None:
    others = [[1.0 - x for x in runs] + [0.5] for runs in tasks]
    got = probability_of_improvement(tasks, others)
    expected = np.mean(
        [
            scipy_stats.mannwhitneyu(a, b).statistic / (len(a) * len(b))
            for a, b in zip(tasks, others, strict=True)
        ]
    )
    assert got == pytest.approx(expected)
    assert probability_of_improvement(others, tasks) == pytest.approx(1.0 - got)
    assert probability_of_improvement(tasks, tasks) == pytest.approx(0.5)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_the_interquartile_mean_is_scipys_trimmed_mean(values: list[float]) -> None:
    assert iqm(values) == pytest.approx(scipy_stats.trim_mean(values, 0.25))


def test_the_interval_is_that_of_resampling_runs_within_tasks() -> None:
    """Against the same bootstrap written with NumPy, as rliable does it: columns drawn apart."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(10, 6)) + np.arange(6)  # runs, tasks
    drawn = []
    for _ in range(3000):
        rows = rng.integers(0, 10, size=(10, 6))
        drawn.append(scipy_stats.trim_mean(scores[rows, np.arange(6)], 0.25, axis=None))
    low, high = np.quantile(drawn, [0.025, 0.975])
    got = stratified_interval(scores.T.tolist(), resamples=3000)
    assert got.mean == pytest.approx(scipy_stats.trim_mean(scores, 0.25, axis=None))
    width = high - low
    assert got.low == pytest.approx(low, abs=0.07 * width)
    assert got.high == pytest.approx(high, abs=0.07 * width)
    assert got.n == 60
    # Differences between tasks do not widen it: far narrower than drawing from all runs at once.
    pooled = stratified_interval([scores.ravel().tolist()], resamples=500)
    assert pooled.high - pooled.low > 1.5 * width


def test_the_same_seed_gives_the_same_interval_and_equal_runs_a_point() -> None:
    one, two = (stratified_interval(SCORES, seed=5, resamples=50) for _ in range(2))
    assert one == two
    point = stratified_interval([[0.5, 0.5], [0.5]], resamples=20)
    assert (point.low, point.mean, point.high) == (0.5, 0.5, 0.5)


def test_what_cannot_be_compared_is_refused() -> None:
    for make, words in (
        (lambda: performance_profile([], [0.0]), "at least one run"),
        (lambda: performance_profile([[]], [0.0]), "at least one run"),
        (lambda: optimality_gap([[float("nan")]]), "not finite"),
        (lambda: probability_of_improvement([[1.0]], [[1.0], [2.0]]), "1 and 2 tasks"),
        (lambda: stratified_interval([[1.0]], resamples=0), "0 resamples"),
        (lambda: stratified_interval([[1.0]], level=1.0), "level 1.0"),
    ):
        with pytest.raises(BadInput, match=words):
            make()
