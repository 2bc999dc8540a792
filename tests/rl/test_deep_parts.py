"""The deep parts of two studies: their parts go together, their measures are what they say."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.rl.value_based.trainer import value_trainer
from meritree.rl.value_based.weights import InverseVariance
from meritree.studies.rl import dvw_deep
from meritree.studies.rl import td_representation_deep as rooms


def test_values_of_new_rewards_solve_the_walks_bellman_equation() -> None:
    P, rng = rooms.random_walk(), np.random.default_rng([4, 5300])
    values, rewards = rooms.new_values(4, 3), rng.standard_normal((len(P), 3))
    np.testing.assert_allclose(values, P @ (rewards + rooms.GAMMA * values), atol=1e-10)
    # The goal, where nothing follows, is the only state whose rows do not add up to 1.
    assert sorted(P.sum(axis=1).round(9))[:2] == [0.0, 1.0]


def test_features_that_hold_the_values_leave_nothing_unexplained() -> None:
    values, rng = rooms.new_values(0, 5), np.random.default_rng(0)
    assert rooms.unexplained(values @ rng.normal(size=(5, 5)) + 3.0, values) < 1e-12
    assert rooms.unexplained(np.zeros((len(values), 2)), values) == pytest.approx(1.0)


def test_the_walks_own_eigenvectors_overlap_in_full_and_others_in_part() -> None:
    P, rng = rooms.random_walk(), np.random.default_rng(0)
    top = np.linalg.eigh(0.5 * (P + P.T))[1][:, -8:]
    assert rooms.overlap(top @ rng.normal(size=(8, 8)), 8) == pytest.approx(1.0)
    chance = rooms.overlap(rng.normal(size=(len(P), 8)), 8)
    assert 0.0 < chance < 0.4


def test_heads_of_random_rewards_go_with_the_trainer() -> None:
    trainer = rooms.rooms_trainer(5, 80)
    state = trainer.trace()
    kernel = state.learned.members.online["extra"]["kernel"]
    assert kernel.shape == (1, rooms.WIDTH, 5)
    assert isinstance(kernel, jax.ShapeDtypeStruct)


def test_weights_by_variance_go_with_the_trainer_if_it_keeps_the_previous_targets() -> None:
    state = dvw_deep.maze_trainer(dvw_deep.WEIGHTED, 80).trace()
    assert state.learned.weights.log_scale.shape == (1,)
    assert state.learned.members.previous is not None
    with pytest.raises(BadInput, match="keep_previous"):
        value_trainer(dvw_deep.maze(), weight=InverseVariance(5), steps=80)
