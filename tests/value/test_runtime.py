"""Utilities of runtimes: closed forms, dominance, censoring, sample sizes, largest entropy."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.value.runtime import (
    Exponential,
    Logarithmic,
    LogLaplace,
    LogNormal,
    Pareto,
    Piecewise,
    Runs,
    Uniform,
    Utility,
    captime,
    from_log_deviations,
    from_log_excess,
    median_time,
    penalised_mean,
    required_samples,
    solved_share,
    worth,
)

UTILITIES: list[Utility] = [
    Uniform(5.0),
    Exponential(2.0),
    Pareto(1.0, 1.5),
    LogLaplace(2.0, 1.5, 3.0),
    LogNormal(2.0, 0.8),
    Piecewise(10.0, 2.0, 0.3),
    Logarithmic(50.0),
]
NAMES = [type(each).__name__ for each in UTILITIES]
times = st.floats(0.0, 1e4)


@pytest.mark.parametrize("u", UTILITIES, ids=NAMES)
def test_a_utility_falls_from_one_to_nothing(u: Utility) -> None:
    grid = [u(0.05 * i) for i in range(2000)]
    assert u(0.0) == 1.0
    assert u(math.inf) == 0.0
    assert all(0.0 <= later <= earlier <= 1.0 for earlier, later in pairwise(grid))


@pytest.mark.parametrize("u", UTILITIES, ids=NAMES)
@given(level=st.floats(0.01, 0.99))
def test_the_inverse_undoes_the_utility(u: Utility, level: float) -> None:
    assert u(u.inverse(level)) == pytest.approx(level, abs=1e-9)


@pytest.mark.parametrize("u", UTILITIES, ids=NAMES)
def test_the_utility_is_the_chance_to_end_before_the_captime(u: Utility) -> None:
    rng = Random(1)
    caps = [u.inverse(1.0 - rng.random()) for _ in range(20_000)]
    for t in (0.5, 1.5, 4.0):
        assert sum(cap > t for cap in caps) / len(caps) == pytest.approx(u(t), abs=0.012)


def test_closed_forms_at_hand_computed_points() -> None:
    assert Uniform(4.0)(1.0) == 0.75
    assert Exponential(2.0)(2.0) == pytest.approx(math.exp(-1.0))
    assert Pareto(1.0, 2.0)(2.0) == 0.25
    assert LogLaplace(1.0, 5.0, 5.0)(1.0) == 0.5
    assert LogLaplace(1.0, 1.0, 3.0)(0.0) == 1.0
    assert LogNormal(3.0, 0.5)(3.0) == pytest.approx(0.5)
    assert Piecewise(10.0, 2.0, 0.3)(2.0) == pytest.approx(0.7)
    assert Logarithmic(3.0)(1.0) == pytest.approx(0.5)


@pytest.mark.parametrize("u", UTILITIES, ids=NAMES)
@given(runs=st.lists(times, min_size=1, max_size=8), sooner=st.floats(0.0, 1.0))
def test_an_algorithm_that_is_never_slower_is_worth_no_less(
    u: Utility, runs: list[float], sooner: float
) -> None:
    slow, fast = Runs(tuple(runs)), Runs(tuple(sooner * t for t in runs))
    assert worth(u, fast).low >= worth(u, slow).low


def test_a_heavy_tail_rules_the_mean_but_not_the_utility() -> None:
    steady, risky = Runs((1.0,) * 10), Runs((0.5,) * 9 + (90.0,))
    assert penalised_mean(steady) < penalised_mean(risky)
    for u in (Uniform(5.0), Exponential(1.0), Pareto(0.4, 1.0)):
        assert worth(u, risky).low > worth(u, steady).low


@pytest.mark.parametrize("u", UTILITIES, ids=NAMES)
@given(runs=st.lists(times, min_size=1, max_size=20), eps=st.floats(0.01, 0.5))
def test_stopping_at_the_captime_costs_at_most_eps(
    u: Utility, runs: list[float], eps: float
) -> None:
    whole = Runs(tuple(runs))
    cut = whole.capped(captime(u, eps))
    truth, seen = worth(u, whole).low, worth(u, cut)
    assert seen.low - 1e-12 <= truth <= seen.low + eps + 1e-9
    assert truth <= seen.high + 1e-9
    assert cut.n == whole.n


def test_the_known_sample_size_keeps_its_promise() -> None:
    assert required_samples(0.05, 0.05) == 738
    u, rng = Exponential(1.0), Random(0)
    # Runtimes exponential with mean 1: E u = 1/2.
    m = required_samples(0.1, 0.2)
    misses = 0
    for _ in range(300):
        runs = Runs(tuple(rng.expovariate(1.0) for _ in range(m)))
        low, high = worth(u, runs).interval(0.2)
        misses += not low <= 0.5 <= high
        assert worth(u, runs).low == pytest.approx(0.5, abs=0.2)
    assert misses <= 60


def test_stopped_runs_are_censored_and_not_missing() -> None:
    runs = Runs.of([1.0, None, 3.0, None], cap=4.0)
    assert (runs.n, runs.stopped) == (4, (4.0, 4.0))
    seen = worth(Uniform(8.0), runs)
    assert seen.low == pytest.approx((7 / 8 + 5 / 8) / 4)
    assert seen.high == pytest.approx((7 / 8 + 5 / 8 + 2 * 0.5) / 4)
    assert penalised_mean(runs) == pytest.approx((1 + 3 + 80) / 4)
    assert median_time(runs) == 3.0
    assert median_time(Runs((1.0,), (9.0, 9.0))) == math.inf
    assert solved_share(runs, 2.0) == 0.25
    assert Runs.of([5.0], cap=4.0).solved == ()


def test_what_is_known_of_the_captime_is_kept() -> None:
    rng = Random(2)
    u = from_log_deviations(3.0, above=0.7, below=0.2)
    logs = [math.log(u.inverse(1.0 - rng.random()) / 3.0) for _ in range(40_000)]
    assert sum(max(0.0, each) for each in logs) / len(logs) == pytest.approx(0.7, abs=0.02)
    assert sum(max(0.0, -each) for each in logs) / len(logs) == pytest.approx(0.2, abs=0.01)
    pareto = from_log_excess(2.0, 0.4)
    logs = [math.log(pareto.inverse(1.0 - rng.random()) / 2.0) for _ in range(40_000)]
    assert sum(logs) / len(logs) == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize(
    ("u", "known", "top", "log_scale"),
    [
        (Uniform(4.0), [], 4.0, False),
        (Exponential(1.5), [lambda x: x], 40.0, False),
        (Pareto(1.0, 2.0), [lambda x: x], 12.0, True),  # x = log(captime/k0)
    ],
    ids=["bound", "mean", "log excess"],
)
def test_no_law_that_agrees_with_what_is_known_has_more_entropy(
    u: Utility, known: list, top: float, log_scale: bool
) -> None:
    import numpy as np

    edges = np.linspace(0.0, top, 4001)
    survival = np.asarray([u(math.exp(x) if log_scale else x) for x in edges])
    f, x = -np.diff(survival), 0.5 * (edges[1:] + edges[:-1])
    fixed = np.stack([np.ones_like(x), *(each(x) for each in known)])
    rng = np.random.default_rng(0)

    def entropy(p: np.ndarray) -> float:
        return float(-(p * np.log(np.clip(p, 1e-300, None))).sum())

    for _ in range(20):
        # A smooth change, damped like f itself, that leaves mass and the known moments alone.
        change = f * np.cos(rng.uniform(0.3, 3.0) * x + rng.uniform(0, 6))
        weights = np.linalg.solve((fixed * f) @ fixed.T, fixed @ change)
        change = change - f * (weights @ fixed)
        step = 0.3 / np.abs(change / np.clip(f, 1e-300, None)).max()
        assert entropy(f + step * change) < entropy(f)
        assert entropy(f - step * change) < entropy(f)


@pytest.mark.parametrize(
    ("message", "make"),
    [
        ("k0=0.0", lambda: Uniform(0.0)),
        ("a=-1.0", lambda: Pareto(1.0, -1.0)),
        ("need 0 < k1 < k0", lambda: Piecewise(1.0, 2.0, 0.5)),
        ("time -1.0", lambda: Exponential(1.0)(-1.0)),
        ("time nan", lambda: Exponential(1.0)(math.nan)),
        ("worth=0.0", lambda: Exponential(1.0).inverse(0.0)),
        ("solved has inf", lambda: Runs((math.inf,))),
        ("no runs", lambda: Runs(())),
        ("delta=0", lambda: required_samples(0.1, 0)),
        ("eps=1.5", lambda: required_samples(1.5, 0.1)),
    ],
)
def test_bad_input_is_named_with_the_way_out(message: str, make) -> None:
    with pytest.raises(BadInput, match=message):
        make()
