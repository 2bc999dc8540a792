"""Running a repository's tests: detection, sessions, candidate evaluation, final verdicts.

The part that runs inside the target's interpreter is `meritree.swe.harness`.
"""

from meritree.swe.testing.types import (
    Amendment,
    Baseline,
    CollectionError,
    Coverage,
    EvaluatorStats,
    FinalVerdict,
    Frame,
    Outcome,
    TestCommand,
    TestLimits,
    TestResult,
)

__all__ = [
    "Amendment",
    "Baseline",
    "CollectionError",
    "Coverage",
    "EvaluatorStats",
    "FinalVerdict",
    "Frame",
    "Outcome",
    "TestCommand",
    "TestLimits",
    "TestResult",
]
