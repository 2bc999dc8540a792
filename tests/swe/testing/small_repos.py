"""Small real repositories for the tests of the testing room."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent

from meritree.swe.testing import Baseline, Evaluator, Outcome, TestLimits, TestSession

QUICK = TestLimits(baseline_seconds=5.0, grace_seconds=2.0)


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Write a repository; texts are dedented."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return root


class Bench:
    """A session and an evaluator on a repository, opened together."""

    def __init__(self, root: Path, limits: TestLimits = QUICK) -> None:
        self.root = root
        self.stack = ExitStack()
        self.session = self.stack.enter_context(TestSession.open(root, limits=limits))
        self.baseline: Baseline = self.session.baseline()
        coverage = self.session.coverage(self.baseline.failing, self.baseline.passing)
        self.coverage = coverage
        self.evaluator = self.stack.enter_context(
            Evaluator(self.session, self.baseline.failing, self.baseline.passing, coverage)
        )

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def try_(self, path: str, *pairs: tuple[str, str]) -> Outcome:
        """Evaluate the file with each old text replaced by the new one."""
        text = (self.root / path).read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new, 1)
        return self.evaluator.evaluate({path: text})
