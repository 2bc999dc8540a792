"""Metrics of rankings: closed forms, the released nDCG."""

from __future__ import annotations

from math import log2

import pytest

from meritree.errors import BadInput
from meritree.stats.retrieval import (
    average_precision_at,
    ndcg_at,
    r_precision,
    recall_at,
    reciprocal_rank_at,
)

RANKED = ["a", "b", "c", "d", "e"]


def test_closed_forms() -> None:
    right = {"b", "d", "x"}
    assert recall_at(3, RANKED, right) == pytest.approx(1 / 3)
    assert reciprocal_rank_at(5, RANKED, right) == 0.5
    assert reciprocal_rank_at(1, RANKED, right) == 0.0
    assert average_precision_at(5, RANKED, right) == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert r_precision(RANKED, right) == pytest.approx(1 / 3)
    gain = 1 / log2(3) + 1 / log2(5)
    assert ndcg_at(5, RANKED, right) == pytest.approx(gain / (1 + 1 / log2(3) + 1 / log2(4)))


def test_the_released_ndcg_does_not_discount_the_second_place() -> None:
    assert ndcg_at(5, RANKED, {"b"}, "released") == 1.0
    assert ndcg_at(5, RANKED, {"b"}) == pytest.approx(1 / log2(3))
    many = set(RANKED)
    assert ndcg_at(1, RANKED, many) == 1.0
    assert ndcg_at(1, RANKED, many, "released") < 0.5


def test_a_query_without_an_answer_is_refused() -> None:
    with pytest.raises(BadInput, match="0 right answers"):
        recall_at(3, RANKED, set())
