"""Values by classification (S014): what the encoding keeps, and slopes that cannot explode."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from meritree.objectives.distributional import cross_entropy
from meritree.objectives.projections import hl_gauss
from meritree.studies.rl.contest import cartpole
from meritree.studies.rl.hl_gauss import CARTPOLE, HLG, MSE, TOPS, _encoding, candidates, tuned
from meritree.value.heads import HLGauss, TwoHot

RNG = np.random.default_rng(14)


def written(head: Any, y: Any) -> Any:
    """Numbers [B] as distributions [B, m]."""
    return head.target(np.asarray(y), np.zeros((len(y), 1)), np.ones(len(y)))


def read(head: Any, law: Any) -> Any:
    return head.value(np.log(np.maximum(law, 1e-300)))[:, 0]


@pytest.mark.parametrize(
    ("ratio", "at_most", "at_least"),
    [(0.25, 0.2, 1e-2), (0.5, 1e-2, 1e-4), (0.75, 1e-4, 0.0), (1.0, 2e-3, 0.0)],
)
def test_numbers_come_back_as_exactly_as_the_ratio_allows(
    ratio: float, at_most: float, at_least: float
) -> None:
    # In the interior and in bin widths: the error is that of summing a normal law on a lattice,
    # which falls like exp(-2 pi^2 ratio^2).
    head = HLGauss(-1.0, 1.0, 51, ratio=ratio, padding=4)
    y = np.linspace(-0.9, 0.9, 2001)
    worst = np.abs(read(head, written(head, y)) - y).max() / head.width
    assert at_least <= worst <= at_most
    lattice = math.exp(-2.0 * math.pi**2 * ratio**2) / math.pi
    assert worst == pytest.approx(lattice, rel=0.1, abs=1e-4)


def test_a_small_ratio_is_the_one_hot_vector_of_the_bin() -> None:
    edges = np.linspace(-1.0, 1.0, 11)
    y = RNG.uniform(-1.0, 1.0, size=50)
    y = y[np.abs(y[:, None] - edges).min(axis=1) > 0.01]  # not on an edge
    law = hl_gauss(y, edges, 1e-4)
    np.testing.assert_allclose(law[np.arange(len(y)), np.digitize(y, edges) - 1], 1.0)


def test_two_hot_keeps_every_number_inside_its_support_exactly() -> None:
    head, y = TwoHot(-1.0, 2.0, 13), RNG.uniform(-1.0, 2.0, size=100)
    np.testing.assert_allclose(read(head, written(head, y)), y, atol=1e-12)


def test_moving_and_scaling_the_support_with_the_numbers_changes_no_probability() -> None:
    y = RNG.uniform(-1.0, 1.0, size=40)
    plain = written(HLGauss(-1.0, 1.0, 31), y)
    moved = written(HLGauss(-2.0 + 7.0, 2.0 + 7.0, 31), 2.0 * y + 7.0)
    np.testing.assert_allclose(moved, plain, atol=1e-12)


def test_no_target_however_wrong_pulls_a_logit_harder_than_one(differentiable: Any) -> None:
    head = HLGauss(-1.0, 1.0, 21)
    logits = RNG.normal(scale=5.0, size=(30, 21))
    target = written(head, RNG.uniform(-100.0, 100.0, size=30))
    slope = differentiable.gradient(
        lambda x: cross_entropy(x, differentiable.array(target)), logits
    )
    assert np.abs(slope).max() <= 1.0
    np.testing.assert_allclose(slope.sum(axis=-1), 0.0, atol=1e-12)
    assert np.abs(slope).sum(axis=-1).max() <= 2.0


def test_the_least_loss_is_the_targets_entropy_and_its_mean_is_the_number() -> None:
    head = HLGauss(-1.0, 1.0, 51)
    y = RNG.uniform(-0.9, 0.9, size=20)
    law = written(head, y)
    exact = np.log(np.maximum(law, 1e-300))
    entropy = -(law * exact).sum(axis=-1)
    np.testing.assert_allclose(cross_entropy(exact, law), entropy, rtol=1e-9)
    for _ in range(5):
        assert (cross_entropy(exact + RNG.normal(size=exact.shape), law) >= entropy).all()
    np.testing.assert_allclose(head.error(exact, law), 0.0, atol=1e-9)


def test_the_study_reports_what_each_ratio_keeps() -> None:
    found = {row.system: row.value for row in _encoding()}
    assert found[f"{HLG}, ratio 0.75"] < 0.01 < found[f"{HLG}, ratio 0.25"]


def test_candidates_differ_in_their_support_and_the_untuned_choice_is_named() -> None:
    heads = [system.head for _, system in candidates(HLG, CARTPOLE)]
    assert [head.high for head in heads] == list(TOPS)
    assert [top for top, _ in candidates(MSE, CARTPOLE)] == [0.0]
    untuned = tuned(HLG, CARTPOLE, cartpole(400), 0)
    assert (untuned.top, untuned.rate) == (TOPS[-1], 5e-4)
