"""Running tests for an agent: the targets, the tests it names, and the test it wrote itself.

Each worker has a desk with processes of its own. Where no target was given, the agent's own
failing test is the judge. Knows no model and no tree.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from meritree.errors import BadInput, HarnessError
from meritree.swe.agent.situation import Changes, Situation, digest
from meritree.swe.code_search import Tester
from meritree.swe.prepared import Prepared
from meritree.swe.testing import Baseline, Evaluator, Outcome, TestResult, TestSession
from meritree.swe.testing.types import FinalVerdict
from meritree.swe.value import Reference

_NAMED = 20  # tests that one action may name


@dataclass(slots=True)
class Bench:
    """Some tests and what they said of the starting code.

    Attributes:
        session: their processes.
        pristine: the copy they run in.
        targets: those that fail and must pass.
        reference: what a candidate is compared with.
        problem: why these tests cannot judge; empty when they can.
    """

    session: TestSession | None
    pristine: Path
    baseline: Baseline
    targets: tuple[str, ...]
    reference: Reference | None
    problem: str = ""


@dataclass(slots=True)
class Trials:
    """All benches of a run; safe to share between threads."""

    prepared: Prepared
    folder: Path  # for scratch copies
    _own: dict[str, Bench] = field(default_factory=dict)
    _mutex: threading.Lock = field(default_factory=threading.Lock)
    _count: int = 0

    @property
    def has_targets(self) -> bool:
        """Whether failing tests were given (or found) that judge a patch."""
        return bool(self.prepared.targets)

    def given(self) -> Bench | None:
        """The bench of the given targets."""
        prepared = self.prepared
        if not prepared.targets:
            return None
        reference = Reference.of(prepared.baseline, prepared.targets)
        return Bench(
            prepared.session, prepared.pristine, prepared.baseline, prepared.targets, reference
        )

    def own(self, tests: Mapping[str, str]) -> Bench:
        """The bench of the agent's own tests, made when first asked for."""
        name = digest("\0".join(f"{path}\0{text}" for path, text in sorted(tests.items())))
        with self._mutex:
            if name not in self._own:
                self._own[name] = self._opened(tests)
            return self._own[name]

    def _opened(self, tests: Mapping[str, str]) -> Bench:
        prepared = self.prepared
        copy = self.scratch()
        shutil.copytree(prepared.pristine, copy, symlinks=True)
        for path, text in tests.items():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_text(text, encoding="utf-8", newline="")
        command = replace(prepared.command, kind="pytest", arguments=tuple(tests), text="own test")
        session: TestSession | None = None
        try:
            session = TestSession.open(
                copy, command, prepared.python, prepared.sandbox, prepared.session.limits,
                prepared.options.seed, scratch=self.scratch(),
            )  # fmt: skip
            if not session.collected:
                raise BadInput(str(session.collection_errors[0]))
            baseline = session.baseline()
        except (BadInput, HarnessError) as error:
            if session is not None:
                session.close()
            return Bench(None, copy, Baseline({}), (), None, str(error))
        targets = baseline.failing
        reference = Reference.of(baseline, targets) if targets else None
        problem = "" if targets else "it passes on the starting code, so it shows no fault"
        if baseline.flaky:
            problem = "it passes and fails without any change"
        return Bench(session, copy, baseline, targets, reference, problem)

    def judging(self, situation: Situation) -> Bench | None:
        """The bench that judges a situation: the given targets, else the agent's own test."""
        if self.has_targets:
            return self.given()
        if not situation.tests:
            return None
        bench = self.own(situation.tests)
        return None if bench.problem else bench

    def scratch(self) -> Path:
        """A new place for a copy."""
        with self._numbering:
            self._count += 1
            return self.folder / f"agent-{self._count}"

    _numbering: threading.Lock = field(default_factory=threading.Lock)

    def desk(self, tester: Tester | None = None) -> Desk:
        """A worker's own processes; ``tester`` judges the given targets where there is one."""
        return Desk(self, tester)

    def final_check(self, situation: Situation, runs: int) -> FinalVerdict:
        """The last word on a patch, in fresh processes."""
        prepared = self.prepared
        with self.without_deleted(prepared.pristine, situation.changes) as (root, files):
            given = prepared.session.final_check(
                root, files, prepared.targets, prepared.guards, runs=runs
            )
        bench = self.judging(situation)
        if prepared.targets or bench is None or bench.session is None or not given.verified:
            return given
        with self.without_deleted(bench.pristine, situation.changes) as (root, files):
            return bench.session.final_check(root, files, bench.targets, (), runs=runs)

    @contextmanager
    def without_deleted(
        self, pristine: Path, changes: Changes
    ) -> Iterator[tuple[Path, dict[str, str]]]:
        """A copy of the starting files without those deleted (the original if none is)."""
        files = {path: text for path, text in changes.items() if text is not None}
        gone = [path for path, text in changes.items() if text is None]
        if not gone:
            yield pristine, files
            return
        copy = self.scratch()
        try:
            shutil.copytree(pristine, copy, symlinks=True)
            for path in gone:
                (copy / path).unlink(missing_ok=True)
            yield copy, files
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    def close(self) -> None:
        """End the processes of the agent's own tests."""
        with self._mutex:
            for bench in self._own.values():
                if bench.session is not None:
                    bench.session.close()
            self._own.clear()


class Desk:
    """One worker's evaluators; used by one thread at a time."""

    def __init__(self, trials: Trials, tester: Tester | None = None) -> None:
        self.trials = trials
        self._tester = tester
        self._evaluators: dict[int, Evaluator] = {}

    def outcome(self, situation: Situation) -> Outcome | None:
        """What the tests say of the files; None where nothing can judge them."""
        bench = self.trials.judging(situation)
        if bench is None or bench.session is None:
            return None
        if any(text is None for text in situation.changes.values()):
            outcome = self._afresh(bench, situation)
        else:
            files = {p: t for p, t in situation.changes.items() if t is not None}
            outcome = self._evaluator(bench).evaluate(files)
        if outcome.passed_all and not self.trials.has_targets:
            outcome = self._guarded(outcome, situation)
        return replace(outcome, amended=())

    def _evaluator(self, bench: Bench) -> Tester:
        if self._tester is not None and bench.session is self.trials.prepared.session:
            return self._tester
        key = id(bench.session)
        if key not in self._evaluators:
            prepared = self.trials.prepared
            if bench.session is prepared.session:
                self._evaluators[key] = prepared.evaluator()
            else:
                assert bench.session is not None
                passing = bench.baseline.passing
                coverage = bench.session.coverage(bench.targets, passing)
                self._evaluators[key] = Evaluator(
                    bench.session, bench.targets, passing, coverage, baseline=bench.baseline
                )
                prepared.evaluators.append(self._evaluators[key])
        return self._evaluators[key]

    def _afresh(self, bench: Bench, situation: Situation) -> Outcome:
        """Judge files some of which are deleted: live processes cannot forget a module."""
        assert bench.session is not None
        with self.trials.without_deleted(bench.pristine, situation.changes) as (root, files):
            results = bench.session.fresh_results(bench.targets, files, root)
            fine = bool(results) and all(t in results and results[t].ok for t in bench.targets)
            guards = self.trials.prepared.guards if self.trials.has_targets else ()
            kept = bench.session.fresh_results(guards, files, root) if fine and guards else {}
        broken = {t: kept[t] for t in guards if fine and t in kept and not kept[t].ok}
        lost = tuple(t for t in guards if fine and t not in kept)
        return Outcome(
            fine and not broken and not lost,
            results,
            regressions=(*broken, *lost),
            ran=len(results) + len(kept),
            how="fresh",
            reason_not_hot="files are deleted",
            regression_results=broken,
        )

    def _guarded(self, outcome: Outcome, situation: Situation) -> Outcome:
        """The agent's own test passes: do the repository's tests go on passing?"""
        prepared = self.trials.prepared
        if not prepared.guards:
            return outcome
        with self.trials.without_deleted(prepared.pristine, situation.changes) as (root, files):
            kept = prepared.session.fresh_results(prepared.guards, files, root)
        broken = {t: r for t, r in kept.items() if not r.ok}
        lost = tuple(t for t in prepared.guards if t not in kept)
        return replace(
            outcome,
            passed_all=not broken and not lost,
            regressions=(*broken, *lost),
            regression_results=broken,
            ran=outcome.ran + len(kept),
        )

    def named(self, situation: Situation, tests: Sequence[str]) -> dict[str, TestResult] | str:
        """Results of tests named by the agent in a fresh process, or why they cannot be run."""
        prepared = self.trials.prepared
        collected = prepared.session.collected
        wanted: list[str] = []
        for name in tests:
            hits = [t for t in collected if t == name or t.startswith((f"{name}::", f"{name}["))]
            if not hits:
                import difflib

                near = difflib.get_close_matches(name, collected, 3, 0.3)
                return f"there is no test {name[:120]!r}" + (
                    f"; did you mean {', '.join(near)}?" if near else ""
                )
            wanted += hits
        wanted = list(dict.fromkeys(wanted))[:_NAMED]
        try:
            with self.trials.without_deleted(prepared.pristine, situation.changes) as (root, files):
                return prepared.session.fresh_results(wanted, files, root)
        except HarnessError as error:
            return str(error)
