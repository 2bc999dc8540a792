"""Sums that do not depend on the version of Python."""

from __future__ import annotations

import math

from meritree.swe.harness.grade import credit
from meritree.swe.repair.ranking import Feature, score
from meritree.value.combine import weighted_mean
from meritree.value.sums import in_order


def test_every_step_is_rounded_as_python_3_11_did() -> None:
    assert in_order([1e16, 1.0, -1e16]) == 0.0  # 1.0 where rounding is made up for
    assert in_order([0.1] * 10) == 0.9999999999999999
    assert in_order([]) == 0


def test_weighted_means_are_sums_in_order() -> None:
    assert weighted_mean([0.1] * 10, [1.0] * 10) == 0.9999999999999999 / 10.0


def test_the_score_that_ranks_patches_is_a_sum_in_order() -> None:
    evidence = [Feature(str(i), value) for i, value in enumerate((1e16, 1.0, -1e16))]
    assert score(evidence, {"0": 1.0, "1": 1.0, "2": 1.0}) == 0.0


def test_partial_credit_of_a_mapping_is_a_sum_in_order() -> None:
    six = dict.fromkeys("abcdef", 0)
    _, alike = credit("failed", AssertionError(), (six, dict.fromkeys(six, 1)))
    total = 0.0
    for _ in six:
        total += 0.9 / (1.0 + math.log1p(1.0))
    assert alike == 0.95 * total / 6
