"""Running a repository's tests: detection, sessions, candidate evaluation, final verdicts.

The part that runs inside the target's interpreter is `meritree.swe.harness`.
"""

from meritree.swe.testing.detect import detect_command, detect_python, parse_command
from meritree.swe.testing.evaluator import Evaluator
from meritree.swe.testing.session import TestSession
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
    "Evaluator",
    "EvaluatorStats",
    "FinalVerdict",
    "Frame",
    "Outcome",
    "TestCommand",
    "TestLimits",
    "TestResult",
    "TestSession",
    "detect_command",
    "detect_python",
    "parse_command",
]
