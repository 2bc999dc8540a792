"""Comparisons over tasks and runs against rliable, the authors' own library.

It runs only when asked for: MERITREE_ORACLES=1 pytest tests/oracles (needs the extra [oracles]).
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from meritree.stats import iqm, runs

pytestmark = pytest.mark.skipif(
    "MERITREE_ORACLES" not in os.environ, reason="set MERITREE_ORACLES=1 to ask other libraries"
)


def test_statistics_are_rliables() -> None:
    library = pytest.importorskip("rliable.library")
    metrics = pytest.importorskip("rliable.metrics")
    rng = np.random.default_rng(0)
    x, y = (np.round(rng.normal(size=(8, 5)) + shift, 1) for shift in (0.3, 0.0))
    ours, other = x.T.tolist(), y.T.tolist()
    chance = runs.probability_of_improvement(ours, other)
    assert chance == pytest.approx(metrics.probability_of_improvement(x, y))
    assert runs.optimality_gap(ours) == pytest.approx(metrics.aggregate_optimality_gap(x))
    taus = np.linspace(-1.0, 1.0, 9) + 0.01
    np.testing.assert_allclose(
        runs.performance_profile(ours, taus.tolist()),
        [library.run_score_deviation(x, tau) for tau in taus],
    )
    np.testing.assert_allclose(
        runs.mean_profile(ours, taus.tolist()),
        [library.mean_score_deviation(x, tau) for tau in taus],
    )
    # Its intervals do not run with arch 8 (None as random state); tests/stats/test_runs.py compares
    # ours with the same resampling in NumPy.
    assert iqm([score for task in ours for score in task]) == pytest.approx(
        metrics.aggregate_iqm(x)
    )
