"""Exact claims of S049: what the study measures is measured against."""

from __future__ import annotations

import numpy as np
import pytest

from meritree.objectives.advantages import gae
from meritree.studies.rl.gae import BATCHES, ERROR, LAMBDAS, WALK, _walk, named


def test_the_sum_of_shaped_rewards_is_the_sum_of_rewards_and_the_values_at_both_ends() -> None:
    """Potential-based shaping with V: with lambda 1 everything between cancels."""
    rng = np.random.default_rng(0)
    reward, v = rng.normal(size=9), rng.normal(size=10)
    gamma = 0.9
    powers = gamma ** np.arange(9)
    expected = np.sum(powers * reward) + gamma**9 * v[-1] - v[0]
    assert gae(reward, gamma, v[:-1], v[1:], False, 1.0)[0] == pytest.approx(expected, abs=1e-12)


def test_more_walks_take_away_variance_and_leave_bias() -> None:
    few, many = (
        {row.system: row.value for row in _walk(0, walks) if row.dataset == WALK}
        for walks in (BATCHES[0], BATCHES[-1])
    )
    assert set(few) == {named(lambda_) for lambda_ in LAMBDAS}
    assert many[named(1.0)] < 0.6 * few[named(1.0)]
    assert many[named(0.0)] == pytest.approx(few[named(0.0)], rel=0.2)
    assert ERROR == "advantage RMSE"
