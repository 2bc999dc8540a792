"""Combining judges: closed forms, ranges, ablations, refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.value import Cost, Estimate, Gate, Median, Product, Schedule, WeightedSum

UNIT = st.floats(0.0, 1.0)


@given(UNIT, UNIT, st.floats(0.0, 10.0), st.floats(0.1, 10.0))
def test_a_weighted_sum_lies_between_its_parts(a: float, b: float, u: float, v: float) -> None:
    mean = WeightedSum({"a": u, "b": v})({"a": Estimate(a), "b": Estimate(b)}).mean
    assert min(a, b) - 1e-12 <= mean <= max(a, b) + 1e-12


def test_a_missing_channel_leaves_its_weight_to_the_others() -> None:
    rule = WeightedSum({"a": 1.0, "b": 1.0, "c": 2.0})
    parts = {"a": Estimate(0.2), "c": Estimate(0.8)}
    assert rule(parts).mean == pytest.approx((0.2 + 2 * 0.8) / 3)
    assert rule.without("c")(parts).mean == pytest.approx(0.2)


def test_channels_reasons_and_costs_of_the_parts_are_kept() -> None:
    part = Estimate(0.5, n=2, channels={"x": 0.1}, reasons={"x": "why"}, cost=Cost(evaluations=1))
    joined = WeightedSum({"a": 1.0, "b": 1.0})({"a": part, "b": part})
    assert joined.channels["a.x"] == 0.1
    assert joined.reasons["a"] == "why"
    assert set(joined.channels) == set(joined.reasons)
    assert joined.cost.evaluations == 2
    assert joined.n == 4


def test_a_median_stays_with_the_many() -> None:
    rule = Median({"a": 1.0, "b": 1.0, "c": 1.0})
    parts = {"a": Estimate(0.6), "b": Estimate(0.7), "c": Estimate(0.0)}
    assert rule(parts).mean == 0.6
    assert rule({**parts, "c": Estimate(1.0)}).mean == 0.7
    assert rule.without("c")(parts).mean == pytest.approx(0.65)
    with pytest.raises(BadInput, match="sum to 0"):
        Median({"a": 0.0})


def test_a_product_ignores_what_it_is_told_to_leave_out() -> None:
    rule = Product(frozenset({"a", "b"}))
    parts = {"a": Estimate(0.5), "b": Estimate(0.4)}
    assert rule(parts).mean == pytest.approx(0.2)
    assert rule.without("b")(parts).mean == pytest.approx(0.5)


def test_a_gate_opens_at_its_threshold() -> None:
    rule = Gate(WeightedSum({"a": 1.0}), "safe", threshold=0.5, otherwise=0.1)
    for safe, expected in ((0.5, 0.8), (0.49, 0.08)):
        value = rule({"a": Estimate(0.8), "safe": Estimate(safe)}).mean
        assert value == pytest.approx(expected)


@given(UNIT, UNIT, st.floats(0.0, 1e6))
def test_the_prior_gives_way_to_evidence(prior: float, evidence: float, n: float) -> None:
    rule = Schedule("prior", "evidence", n0=3.0)
    mean = rule({"prior": Estimate(prior), "evidence": Estimate(evidence, n=n)}).mean
    assert mean == pytest.approx((3.0 * prior + n * evidence) / (3.0 + n))
    assert rule({"prior": Estimate(prior)}).mean == prior


def test_impossible_settings_and_unknown_channels_are_named() -> None:
    with pytest.raises(BadInput, match="'a' is -1"):
        WeightedSum({"a": -1.0})
    with pytest.raises(BadInput, match="sum to 0"):
        WeightedSum({"a": 0.0})
    with pytest.raises(BadInput, match="unknown channel 'z'"):
        WeightedSum({"a": 1.0})({"z": Estimate(0.1)})
    with pytest.raises(BadInput, match="unknown channel 'z'"):
        WeightedSum({"a": 1.0}).without("z")
    with pytest.raises(BadInput, match="must lie in"):
        WeightedSum({"a": 1.0})({"a": Estimate(1.5)})
    with pytest.raises(BadInput, match="no channel 'safe'"):
        Gate(Product(frozenset()), "safe")({"a": Estimate(0.1)})
    with pytest.raises(BadInput, match="n0=0"):
        Schedule("a", "b", n0=0.0)
