"""Sums that do not depend on the version of Python."""

from __future__ import annotations

from meritree.value.combine import weighted_mean
from meritree.value.sums import in_order


def test_every_step_is_rounded_as_python_3_11_did() -> None:
    assert in_order([1e16, 1.0, -1e16]) == 0.0  # 1.0 where rounding is made up for
    assert in_order([0.1] * 10) == 0.9999999999999999
    assert in_order([]) == 0


def test_weighted_means_are_sums_in_order() -> None:
    assert weighted_mean([0.1] * 10, [1.0] * 10) == 0.9999999999999999 / 10.0
