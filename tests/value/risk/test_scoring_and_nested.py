"""Scoring functions reach their risks; nested risk is consistent in time, static risk is not."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.value.risk import (
    Entropic,
    EntropicVaR,
    ExpectedShortfall,
    Mean,
    MeanVariance,
    ScenarioTree,
    ScoringFunction,
    ValueAtRisk,
    backward_induction,
    entropic_score,
    entropic_var_score,
    expectile_score,
    joint_shortfall_score,
    mean_score,
    mean_variance_score,
    nested_risk,
    path_risk,
    quantile_score,
    shortfall_score,
    variance,
    variance_score,
)

RNG = np.random.default_rng(3)
Y = RNG.normal(size=(3, 9))
W = RNG.dirichlet(np.ones(9), size=3)
RISKS = [
    (mean_score(), Mean()),
    (variance_score(), variance),
    (mean_variance_score(0.7), MeanVariance(0.7)),
    (shortfall_score(0.8), ExpectedShortfall(0.8)),
    (entropic_score(0.9), Entropic(0.9)),
    (entropic_var_score(0.6), EntropicVaR(0.6)),
]
SCORES = [score for score, _ in RISKS] + [
    quantile_score(0.6),
    expectile_score(0.7),
    shortfall_score(0.8, 0.3),
]


@pytest.mark.parametrize(("score", "risk"), RISKS, ids=lambda each: getattr(each, "name", ""))
def test_the_least_expected_score_is_the_risk(score: ScoringFunction, risk: Any) -> None:
    np.testing.assert_allclose(score(Y, W), risk(Y, W), atol=1e-6)


@pytest.mark.parametrize("score", SCORES, ids=lambda each: each.name)
def test_no_other_v_scores_better(score: ScoringFunction) -> None:
    least = score(Y, W)
    for v in np.linspace(0.05 if "VaR" in score.name else -3.0, 3.0, 121):
        assert (score.at(np.full(3, v), Y, W) >= least - 1e-9).all()


def test_a_share_of_shortfall_is_between_mean_and_shortfall() -> None:
    mixed = shortfall_score(0.8, 0.3)(Y, W)
    want = 0.7 * Mean()(Y, W) + 0.3 * ExpectedShortfall(0.8)(Y, W)
    np.testing.assert_allclose(mixed, want, atol=1e-9)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_joint_score_is_least_at_the_true_pair(level: float) -> None:
    y = RNG.normal(size=4001) * 2.0
    var, es = ValueAtRisk(level)(y), ExpectedShortfall(level)(y)

    def expected(v: Any, e: Any) -> float:
        return float(joint_shortfall_score(np.asarray([v]), np.asarray([e]), y, level).mean())

    least = expected(var, es)
    for dv, de in itertools.product((-0.5, -0.1, 0.0, 0.1, 0.5), repeat=2):
        if (dv, de) != (0.0, 0.0):
            assert expected(var + dv, es + de) > least - 1e-12


COIN = ScenarioTree(
    parent=(-1, 0, 0, 1, 1, 2, 2),
    probability=np.asarray([1.0, 0.5, 0.5, 0.9, 0.1, 0.5, 0.5]),
    cost=np.asarray([0.0, 1.0, 2.0, 0.0, 10.0, 3.0, 1.0]),
)


def test_nested_expectation_and_nested_entropic_risk_are_the_static_ones() -> None:
    for risk in (Mean(), Entropic(0.4)):  # the only ones with the tower property
        assert nested_risk(risk, COIN)[0] == pytest.approx(path_risk(risk, COIN))


def test_nested_shortfall_by_hand() -> None:
    nested = nested_risk(ExpectedShortfall(0.5), COIN)
    # left: worst half of {0 (.9), 10 (.1)} is 2, plus 1; right: worst half of {3, 1} is 3, plus 2.
    np.testing.assert_allclose(nested[1:3], [3.0, 5.0])
    assert nested[0] == pytest.approx(5.0)
    assert path_risk(ExpectedShortfall(0.5), COIN) == pytest.approx(
        (0.05 * 11 + 0.25 * 5 + 0.2 * 3) / 0.5
    )


def test_static_shortfall_changes_its_mind_and_nested_shortfall_does_not() -> None:
    es = ExpectedShortfall(0.5)
    left = ScenarioTree((-1, 0, 0), np.asarray([1.0, 0.9, 0.1]), np.asarray([0.0, 0.0, 10.0]))
    assert nested_risk(es, left)[0] == path_risk(es, left)  # one step: the same
    # After the first coin the left branch looks better (3 < 5) though it holds the worst path.
    assert nested_risk(es, COIN)[1] < nested_risk(es, COIN)[2]
    assert COIN.cost[1] + COIN.cost[4] > COIN.cost[2] + COIN.cost[3 + 2]


def test_backward_induction_finds_the_best_of_all_policies() -> None:
    p = RNG.dirichlet(np.ones(3), size=(3, 2))
    c, end = RNG.normal(size=(3, 2, 3)), RNG.normal(size=3)
    risk = ExpectedShortfall(0.6)
    plan = backward_induction(risk, p, c, 2, end)
    best = np.full(3, np.inf)
    for rules in itertools.product(itertools.product(range(2), repeat=3), repeat=2):
        value = end
        for rule in rules:
            each = np.arange(3)
            value = risk(c[each, rule] + value, p[each, rule])
        best = np.minimum(best, value)
    np.testing.assert_allclose(plan.value[2], best)
    np.testing.assert_allclose(plan.value[0], end)
    assert plan.action.shape == (2, 3)


def test_the_risk_neutral_plan_is_ordinary_dynamic_programming() -> None:
    p = RNG.dirichlet(np.ones(3), size=(3, 2))
    c, end = RNG.normal(size=(3, 2, 3)), np.zeros(3)
    plan = backward_induction(Mean(), p, c, 3, end)
    value = end
    for _ in range(3):
        value = (p * (c + value)).sum(-1).min(-1)
    np.testing.assert_allclose(plan.value[3], value)


BAD = {
    r"parent\[1\]=2": lambda: ScenarioTree((-1, 2, 0), np.ones(3), np.ones(3)),
    "children of node 0": lambda: ScenarioTree((-1, 0, 0), np.ones(3), np.ones(3)),
    "side by side": lambda: ScenarioTree((-1, 0, 1, 0), np.asarray([1, 0.5, 1, 0.5]), np.zeros(4)),
    r"cost has shape \(2,\), the tree 3 nodes": lambda: ScenarioTree(
        (-1, 0, 0), np.ones(3), np.ones(2)
    ),
    r"need \(S, A, S\)": lambda: backward_induction(
        Mean(), np.full((2, 1, 2), 0.5), np.zeros((2, 2)), 1, np.zeros(2)
    ),
    "share=2": lambda: shortfall_score(0.5, 2.0),
    "not convex": lambda: mean_variance_score(-1.0),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named_with_the_way_out(message: str) -> None:
    with pytest.raises(BadInput, match=message):
        BAD[message]()
