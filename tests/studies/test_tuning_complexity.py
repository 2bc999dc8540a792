"""The instances of the study tuning-complexity: their duals are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from meritree.studies.value.tuning_complexity import bayesian_optimum
from meritree.studies.value.tuning_families import (
    graph_instance,
    readout_instance,
    ridge_instance,
    threshold_instance,
)


@pytest.mark.parametrize("make", [threshold_instance, readout_instance, graph_instance])
def test_a_dual_stays_within_its_bound_and_range(make: Any) -> None:
    rng = np.random.default_rng(4)
    for _ in range(5):
        instance = make(rng)
        assert 1 <= instance.dual.pieces <= instance.bound
        assert ((instance.dual.values >= 0.0) & (instance.dual.values <= 1.0)).all()


def test_a_ridge_dual_agrees_with_training_anew_at_every_alpha() -> None:
    rng = np.random.default_rng(6)
    one, zero, labels = rng.normal(size=(20, 3)), rng.normal(size=(20, 3)), rng.choice([-1, 1], 20)

    def features(alpha: float) -> Any:
        return alpha * one + (1.0 - alpha) * zero

    dual = ridge_instance(features, labels, 10, 1).dual
    assert dual.pieces > 1
    for alpha in rng.uniform(size=300):
        h = features(alpha)
        gram = h[:10].T @ h[:10] + 0.1 * np.eye(3)
        w = np.linalg.inv(gram) @ h[:10].T @ labels[:10]
        if np.abs(h[10:] @ w).min() > 1e-6:
            assert dual(alpha) == pytest.approx(np.mean(np.sign(h[10:] @ w) == labels[10:]))


def test_a_threshold_dual_agrees_with_trying_every_threshold() -> None:
    instance = threshold_instance(np.random.default_rng(8), points=6)
    assert instance.bound == 16
    assert set(np.round(instance.dual.values * 6)) <= {3.0, 4.0, 5.0, 6.0}


def test_bayesian_optimisation_finds_a_smooth_maximum_and_repeats_from_its_seed() -> None:
    asked: list[float] = []

    def utility(alpha: float) -> float:
        asked.append(alpha)
        return -((alpha - 0.37) ** 2)

    found = bayesian_optimum(utility, 12, 4)
    assert found == pytest.approx(0.37, abs=0.01)
    assert len(asked) == 12
    assert all(0.0 <= alpha < 1.0 for alpha in asked)
    assert bayesian_optimum(utility, 12, 4) == found


def test_bayesian_optimisation_bears_a_flat_dual() -> None:
    assert 0.0 <= bayesian_optimum(lambda alpha: 0.5, 8, 0) < 1.0
