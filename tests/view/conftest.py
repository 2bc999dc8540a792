"""Results as `fix` makes them, for the views."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meritree.swe.result import Candidate, FixResult, TestOutcome
from meritree.value.estimate import Estimate

PATCH = """diff --git a/shop/price.py b/shop/price.py
--- a/shop/price.py
+++ b/shop/price.py
@@ -1,2 +1,2 @@
 def price(n):
-    return n - 1
+    return n + 1
"""


def make_result(**changes: Any) -> FixResult:
    estimate = Estimate(0.9, channels={"targets": 1.0}, reasons={"targets": "1 of 1 pass"})
    candidates = tuple(
        Candidate(rank, rank == 1, PATCH, ("shop/price.py",), ("`-` becomes `+`",), estimate,
                  rank, 5, "passes twice in fresh processes", gains={"targets": 0.625})
        for rank in (1, 2)
    )  # fmt: skip
    before = (TestOutcome("t.py::a", "failed", "assert 1 == 3"), TestOutcome("t.py::b", "passed"))
    after = tuple(TestOutcome(one.id, "passed") for one in before)
    values: dict[str, Any] = {
        "status": "verified", "message": "verified: one target passes", "candidates": candidates,
        "evaluations": 5, "seconds": 1.5, "tests_before": before, "tests_after": after,
        "targets": ("t.py::a",), "nodes": 6, "strategy": "puct", "out": "/runs/one",
        "settings": {"repo": "/code/shop", "budget_tests": 100},
    }  # fmt: skip
    return FixResult(**{**values, **changes})


def as_document(result: FixResult) -> dict[str, Any]:
    return json.loads(json.dumps(result.to_json()))


@pytest.fixture
def document() -> dict[str, Any]:
    return as_document(make_result())
