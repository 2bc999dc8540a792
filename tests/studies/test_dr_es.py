"""The parts of the study dr-es that are not in value/risk: transport between samples, radii."""

from __future__ import annotations

import numpy as np
import pytest

from meritree.studies.value.dr_es import MARKETS, PROMISE, _quantile, portfolio, transport
from meritree.value.risk import ExpectedShortfall, robust_es

RNG = np.random.default_rng(5)


def test_moving_every_point_alike_costs_half_the_square() -> None:
    x = RNG.normal(size=(30, 2))
    assert transport(x, x + np.asarray([3.0, -4.0])) == pytest.approx(12.5)
    assert transport(x, x[::-1]) == pytest.approx(0.0)


def test_on_the_line_the_best_coupling_is_the_sorted_one() -> None:
    x, y = RNG.normal(size=(40, 1)), RNG.exponential(size=(40, 1))
    sorted_ = 0.5 * ((np.sort(x[:, 0]) - np.sort(y[:, 0])) ** 2).mean()
    assert transport(x, y) == pytest.approx(sorted_)


@pytest.mark.parametrize("name", MARKETS)
def test_the_bound_holds_for_the_law_at_the_balls_edge(name: str) -> None:
    pieces, columns = portfolio(name)
    for _ in range(20):
        x = RNG.normal(size=(25, len(columns)))
        y = RNG.normal(scale=2.0, size=(25, len(columns)))
        bound = robust_es(pieces, x, transport(x, y), 0.8)
        assert ExpectedShortfall(0.8)(pieces.loss(y)) <= bound + 1e-9


def test_a_portfolios_pieces_are_its_options_and_shares() -> None:
    pieces, _ = portfolio(MARKETS[2])
    x = RNG.normal(size=(50, 2))
    call, put = np.clip(x[:, 0] - 0.5, 0, None), np.clip(-0.5 - x[:, 1], 0, None)
    np.testing.assert_allclose(pieces.loss(x), call + put - x.sum(axis=1) / 2)


def test_the_learned_radius_is_a_conformal_quantile() -> None:
    covered = [
        float(draw[-1] <= _quantile(list(draw[:-1]))) for draw in RNG.exponential(size=(4000, 40))
    ]
    assert PROMISE - 0.015 <= np.mean(covered) <= PROMISE + 0.035
