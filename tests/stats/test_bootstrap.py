"""Bootstrap intervals: closed forms, invariances, coverage by simulation, bad input."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.stats import (
    bootstrap_mean,
    cluster_bootstrap,
    paired_bootstrap,
    quantile,
    stratified_bootstrap,
)

FINITE = st.floats(-1e3, 1e3)


def test_a_constant_sample_has_an_interval_of_width_zero() -> None:
    interval = bootstrap_mean([0.25] * 7, resamples=50)
    assert (interval.mean, interval.low, interval.high, interval.n) == (0.25, 0.25, 0.25, 7)


def test_one_value_gives_itself() -> None:
    interval = bootstrap_mean([3.0], resamples=10)
    assert (interval.low, interval.high) == (3.0, 3.0)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    rng = random.Random(5)
    values = [rng.random() for _ in range(20)]
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_the_interval_of_three_values_agrees_with_all_27_resamples() -> None:
    values = [0.0, 1.0, 5.0]
    means = [sum(draw) / 3 for draw in itertools.product(values, repeat=3)]
    exact = (quantile(means * 500, 0.25), quantile(means * 500, 0.75))
    interval = bootstrap_mean(values, resamples=40_000, level=0.5)
    assert (interval.low, interval.high) == pytest.approx(exact, abs=1e-9)


def test_the_interval_of_a_large_sample_agrees_with_the_normal_one() -> None:
    rng = random.Random(11)
    values = [rng.gauss(2.0, 3.0) for _ in range(400)]
    mean = sum(values) / 400
    error = math.sqrt(sum((v - mean) ** 2 for v in values)) / 400
    interval = bootstrap_mean(values, resamples=8000)
    assert interval.mean == pytest.approx(mean)
    assert interval.low == pytest.approx(mean - 1.96 * error, abs=0.12 * error)
    assert interval.high == pytest.approx(mean + 1.96 * error, abs=0.12 * error)


def test_ninety_per_cent_intervals_cover_the_true_mean_about_ninety_times_in_a_hundred() -> None:
    rng = random.Random(3)
    covered = 0
    for trial in range(300):
        values = [rng.gauss(0.0, 1.0) for _ in range(40)]
        covered += not bootstrap_mean(values, seed=trial, resamples=300, level=0.9).excludes(0.0)
    assert 0.84 <= covered / 300 <= 0.94  # nominal 0.9, the percentile interval is a bit narrow


def test_resampling_clusters_covers_where_resampling_values_does_not() -> None:
    rng = random.Random(8)
    by_cluster = by_value = 0
    for trial in range(200):
        clusters = []
        for _ in range(25):
            shared = rng.gauss(0.0, 1.0)  # all seeds of a task share its difficulty
            clusters.append([shared + rng.gauss(0.0, 0.2) for _ in range(6)])
        flat = [v for cluster in clusters for v in cluster]
        by_cluster += not cluster_bootstrap(clusters, seed=trial, resamples=200).excludes(0.0)
        by_value += not bootstrap_mean(flat, seed=trial, resamples=200).excludes(0.0)
    assert by_cluster / 200 >= 0.87
    assert by_value / 200 <= 0.7


def test_strata_that_differ_only_between_themselves_have_no_width() -> None:
    strata = [[[0.0]] * 5, [[1.0]] * 5]
    assert stratified_bootstrap(strata, resamples=100).low == 0.5
    assert stratified_bootstrap(strata, resamples=100).high == 0.5
    pooled = [cluster for stratum in strata for cluster in stratum]
    assert cluster_bootstrap(pooled, resamples=100).low < 0.5


def test_unequal_clusters_weigh_by_their_size() -> None:
    assert cluster_bootstrap([[1.0, 1.0, 1.0], [0.0]], resamples=20).mean == 0.75


def test_pairing_narrows_the_interval_when_units_differ_in_difficulty() -> None:
    rng = random.Random(2)
    hard = [rng.gauss(0.0, 5.0) for _ in range(60)]
    a = [h + 0.5 + rng.gauss(0.0, 0.1) for h in hard]
    paired = paired_bootstrap([x - y for x, y in zip(a, hard, strict=True)], resamples=500)
    alone = bootstrap_mean(a, resamples=500)
    assert paired.excludes(0.0)
    assert (paired.high - paired.low) < 0.1 * (alone.high - alone.low)


@given(st.lists(FINITE, min_size=1, max_size=12), st.floats(-50, 50))
@settings(max_examples=40, deadline=None)
def test_shifting_all_values_shifts_the_interval(values: list[float], shift: float) -> None:
    base = bootstrap_mean(values, resamples=60)
    moved = bootstrap_mean([v + shift for v in values], resamples=60)
    assert moved.mean == pytest.approx(base.mean + shift, abs=1e-6)
    assert moved.low == pytest.approx(base.low + shift, abs=1e-6)
    assert moved.high == pytest.approx(base.high + shift, abs=1e-6)


@given(st.lists(FINITE, min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_the_interval_stays_between_the_extremes(values: list[float]) -> None:
    interval = bootstrap_mean(values, resamples=60)
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9


@pytest.mark.parametrize(
    ("strata", "resamples", "level", "words"),
    [
        ([], 10, 0.9, "at least one value"),
        ([[]], 10, 0.9, "at least one value"),
        ([[[]]], 10, 0.9, "cluster 0 of a bootstrap is empty"),
        ([[[1.0], [math.nan]]], 10, 0.9, "cluster 1 .* not finite"),
        ([[[1.0]]], 0, 0.9, "0 resamples"),
        ([[[1.0]]], 10, 1.0, "confidence level 1.0"),
    ],
)
def test_impossible_requests_say_what_is_wrong(
    strata: list[list[list[float]]], resamples: int, level: float, words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        stratified_bootstrap(strata, resamples=resamples, level=level)
