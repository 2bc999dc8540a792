"""Risks judge the values of heads: the number that an actor maximises."""

from __future__ import annotations

import numpy as np
import pytest

from meritree.value.heads import Categorical, Quantile
from meritree.value.risk import Entropic, ExpectedShortfall, Mean, as_score, law

RAW = np.random.default_rng(2).normal(size=(4, 3 * 21))
WORST_FIFTH = as_score(ExpectedShortfall(0.8))


def test_a_quantile_head_maximises_the_mean_of_its_worst_fifth() -> None:
    head = Quantile(n=21, judge=WORST_FIFTH)
    value = head.value(RAW)
    score = head.score(value)
    assert score.shape == (4, 3)
    assert score[2, 1] == pytest.approx(WORST_FIFTH(value[2, 1]))
    neutral = Quantile(n=21).score(value)
    np.testing.assert_allclose(Quantile(n=21, judge=as_score(Mean())).score(value), neutral)
    assert (score <= neutral).all()


def test_a_categorical_head_is_judged_by_its_probabilities() -> None:
    head = Categorical(-1.0, 1.0, 21, judge=as_score(Entropic(2.0)))
    value = head.value(RAW)
    atoms = np.linspace(-1.0, 1.0, 21)
    want = -np.log((value * np.exp(-2.0 * atoms)).sum(axis=-1)) / 2.0
    np.testing.assert_allclose(head.score(value), want)
    np.testing.assert_allclose(law(atoms, value).weights, value)


def test_a_stock_moves_a_monetary_score_by_itself() -> None:
    head = Quantile(n=21, judge=WORST_FIFTH)
    value = head.value(RAW)
    stock = np.full((4, 1), 0.7)
    np.testing.assert_allclose(head.score(value, stock), head.score(value) + 0.7)
