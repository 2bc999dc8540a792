"""The small worlds and contestants of the studies on exact tools are what they are said to be."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from meritree import exact
from meritree.exact import linear, models
from meritree.studies.rl import dvw, martingale_td, reward_shift, stock_augmented_dp, td_benefits


def test_a_fixed_sequence_has_the_law_that_the_process_gives_it() -> None:
    for gamma, sequence in product((1.0, 0.9), ((0, 1, 2), (2, 2, 0))):
        game = models.betting_game(3, stock_augmented_dp.FIRST, gamma=gamma)
        law = stock_augmented_dp.sequence_law(stock_augmented_dp.FIRST, gamma, sequence)
        # a policy's rows count the steps that are left
        policy = np.stack([np.full(game.S, bet) for bet in reversed(sequence)])
        same = exact.return_law(game, policy)
        for moment in (1, 2, 3):
            assert (law.weights * law.values**moment).sum() == pytest.approx(
                (same.weights * same.values**moment).sum()
            )


def test_contestants_ask_for_as_many_samples() -> None:
    model = linear.jackpot_aggregation(np.random.default_rng(1))
    found = dvw.contestants(model, 20_000, 50, np.random.default_rng(2))
    for system in (dvw.EQUAL, dvw.VW, dvw.ORACLE, dvw.FREE, dvw.RELEASED):
        assert found[system].samples == pytest.approx(20_000, rel=0.06)


def test_lanes_meet_later_the_less_they_mix_and_are_all_as_long() -> None:
    times = []
    for mixing in td_benefits.MIXING[:3]:
        chain, other = td_benefits._lanes(mixing)
        times.append(exact.crossing_time(chain.P[:, 0], chain.ends)[0, other])
        assert exact.visits(chain).sum() == pytest.approx(td_benefits.DEPTH_OF_LANES)
        assert np.allclose(exact.evaluate(chain), 0.0)
    assert times == sorted(times)
    assert times[0] < 4.1


def test_the_process_of_ornstein_and_uhlenbeck_is_worth_its_closed_form() -> None:
    """On a fine mesh J is a martingale: the increments of the value at (1, 1) have mean 0."""
    from meritree.exact.martingale import values
    from meritree.objectives.advantages import martingale_increments

    family = martingale_td._ornstein(np.random.default_rng(3), 4000)
    dM = martingale_increments(values(family, [1.0, 1.0]), family.reward_dt).sum(axis=0)
    assert abs(dM.mean()) < 4.0 * dM.std() / len(dM) ** 0.5 + 1.0 / 160


def test_doses_are_named_once_and_the_chosen_one_is_among_them() -> None:
    names = [reward_shift.named(dose) for dose in reward_shift.DOSES]
    assert len(set(names)) == len(names)
    assert reward_shift.named(reward_shift.BEST) in names
