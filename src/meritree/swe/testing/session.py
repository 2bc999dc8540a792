"""A repository's tests, ready to be run: collection, baseline, coverage, final verdict.

Owns the scratch copies and the processes in them. Judging candidates is `evaluator`'s work.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from meritree.errors import BadInput
from meritree.run.sandbox import choose
from meritree.swe.testing import decode, plain
from meritree.swe.testing.detect import detect_command, detect_python
from meritree.swe.testing.last_word import final_check
from meritree.swe.testing.lent import has_pytest, lend_pytest, without_pytest
from meritree.swe.testing.sandbox import Launcher
from meritree.swe.testing.server import Server, Setting, write_files
from meritree.swe.testing.tracing import coverage
from meritree.swe.testing.types import (
    Baseline,
    CollectionError,
    Coverage,
    FinalVerdict,
    TestCommand,
    TestLimits,
    TestResult,
)

Seconds = float | Mapping[str, float]
"""A limit for every test, or one for each by its id."""


class TestSession:
    """The tests of one state of a repository. Close it, or use it in a ``with``.

    Attributes:
        collected: test ids in the framework's order.
        collection_errors: files that could not be imported or collected.
        test_files: files with tests and conftest files, relative to the repository.
        modules: imported modules of the repository: name -> path.
        notes: what the user should know about how the tests are run.
    """

    __test__ = False

    def __init__(self, setting: Setting, scratch: Path, owns_scratch: bool) -> None:
        self.setting = setting
        self.command = setting.command
        self.limits = setting.limits
        self._scratch = scratch
        self._owns_scratch = owns_scratch
        self._count = 0
        self._lock = threading.Lock()
        self._running = threading.Lock()
        self._server: Server | None = None
        self._known: Baseline | None = None
        self.third: list[str] = []
        self.files_of: dict[str, str] = {}
        self.spawning: set[str] = set()
        self.collected: tuple[str, ...] = ()
        self.collection_errors: tuple[CollectionError, ...] = ()
        self.test_files: tuple[str, ...] = ()
        self.modules: dict[str, str] = {}
        self.notes: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        repo_copy: Path,
        command: TestCommand | None = None,
        python: Path | None = None,
        sandbox: Launcher | None = None,
        limits: TestLimits | None = None,
        seed: int = 0,
        *,
        scratch: Path | None = None,
    ) -> TestSession:
        """Collect the tests of ``repo_copy`` (which is only read, never run in).

        Args:
            repo_copy: a folder that does not change while the session is open.
            command: how tests are run; detected when None.
            python: the interpreter that runs them; detected when None.
            sandbox: confines the test processes; none beyond limits when None.
            scratch: where private copies go; a temporary folder when None.

        Raises:
            BadInput: no tests, no usable interpreter, or the tests import another copy of the
                package than the one in the repository.
        """
        pristine = repo_copy.resolve()
        command = command or detect_command(pristine)
        python = python or detect_python(pristine)
        folder = scratch or Path(tempfile.mkdtemp(prefix="meritree-"))
        launcher = sandbox or choose("rlimits")
        setting = Setting(pristine, command, python, launcher, limits or TestLimits(), seed)
        session = cls(setting, folder, scratch is None)
        try:
            if command.kind != "plain" and not has_pytest(python, launcher, folder):
                session._borrow_pytest()
            session._collect()
        except BaseException:
            session.close()
            raise
        return session

    def _borrow_pytest(self) -> None:
        """Lend our pytest to an interpreter that has none, or do without."""
        setting, python = self.setting, self.setting.python
        lent = lend_pytest(python, setting.launcher, self._scratch)
        if lent is not None:
            self.setting = replace(setting, lent=(lent,))
            return
        self.command, note = without_pytest(setting.command, python)
        self.setting = replace(setting, command=self.command)
        self.notes = (note,)

    def __enter__(self) -> TestSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session's processes and remove its scratch copies."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._owns_scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    # ---- processes

    def folder(self) -> Path:
        """A new empty folder for one process and its scratch copy."""
        with self._lock:
            self._count += 1
            made = self._scratch / f"copy-{self._count}"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        return made

    def server(
        self,
        mode: str,
        files: Mapping[str, str] | None = None,
        limits: TestLimits | None = None,
    ) -> Server:
        """Start a harness process of the given mode in a scratch copy of its own."""
        setting = self.setting if limits is None else replace(self.setting, limits=limits)
        return Server(setting, self.folder(), mode, files, {"third": self.third})

    def _live(self) -> Server:
        if self._server is None or self._server.process.poll() is not None:
            self._server = self.server("hot")
        return self._server

    def _collect(self) -> None:
        if self.command.kind == "plain":
            self.collected = (self.command.text,)
            return
        server = self._live()
        with decode.reading("census"):
            errors = list(server.first.get("errors", []))
        self.collection_errors = tuple(decode.collection_error(e) for e in errors)
        if "ended" in server.first:
            if not self.collection_errors:
                raise BadInput(f"the tests cannot be collected: {_tail(server.output())}")
            return
        census = decode.census(server.first)
        self.collected, self.test_files, self.files_of, self.modules, self.third = census[:5]
        if not self.collected and not self.collection_errors:
            raise BadInput(
                f"no tests found by `{self.command.text}`; give the test command with --test"
            )
        self._check_copies(census.elsewhere)

    def _check_copies(self, elsewhere: Mapping[str, str]) -> None:
        """Refuse to judge edits of files that the tests do not import."""
        root = str(self._live().root.resolve())
        for name, file in elsewhere.items():
            for place in self.command.roots:
                base = self.setting.pristine / place
                here = (base / name / "__init__.py").is_file() or (base / f"{name}.py").is_file()
                if here and not file.startswith(root) and name not in ("conftest", "setup"):
                    raise BadInput(
                        f"the tests import {name} from {file}, not from the repository; remove "
                        f"that installation (`pip uninstall {name}`) or install the repository "
                        "in editable mode"
                    )

    def run(self, tests: Sequence[str], seconds: Seconds, traced: str = "") -> Any:
        """The live process's answer; ``traced``: ``line``, ``call`` or nothing is noted."""
        limits = [seconds if isinstance(seconds, float) else seconds[t] for t in tests]
        pairs = [list(pair) for pair in zip(tests, limits, strict=True)]
        wait = sum(limits) * 1.5 + len(pairs) * 6.0 + 4 * self.limits.grace_seconds
        with self._running:
            return self._live().ask({"op": "run", "tests": pairs, "traced": traced}, wait)

    def known_baseline(self) -> Baseline:
        """The last baseline; taken now when there is none."""
        return self._known or self.baseline()

    # ---- baseline

    def baseline(self, ids: Sequence[str] | None = None) -> Baseline:
        """Run tests on the unchanged code, the failing ones again in fresh processes.

        A status that varies between runs of one kind makes a test flaky; one that differs
        between the live and the fresh process makes it unstable.
        """
        started = time.monotonic()
        wanted = list(ids if ids is not None else self.collected)
        if self.command.kind == "plain":
            return self._plain_baseline(started)
        limit = self.limits.baseline_seconds
        answer = self.run(wanted, limit)
        with decode.reading("baseline"):
            results = decode.results(answer["results"])
            self.spawning |= set(decode.texts(answer["spawned"]))
        failing = [i for i, r in results.items() if not r.ok]
        flaky: list[str] = []
        unstable: list[str] = []
        if failing:
            limits = self.limits_again(failing, results)
            fresh = self.fresh_results(failing, limits=limits)
            with decode.reading("baseline"):
                again = decode.results(self.run(failing, limits)["results"])
            flaky = [i for i in failing if _status(again, i) != results[i].status]
            doubtful = [i for i in failing if _status(fresh, i) != results[i].status]
            third = self.fresh_results(doubtful, limits=limits) if doubtful else {}
            for i in doubtful:
                if i in flaky or _status(third, i) != _status(fresh, i):
                    flaky += [] if i in flaky else [i]
                else:
                    unstable.append(i)
        seconds = time.monotonic() - started
        self._known = Baseline(results, tuple(flaky), tuple(unstable), seconds)
        return self._known

    def limits_again(
        self, tests: Sequence[str], known: Mapping[str, TestResult], most: float = 1.0
    ) -> dict[str, float]:
        """Limits for running tests again: what is known to hang is not waited for in full.

        A hanging test gets ten times the slowest test that ended, at least a second; others
        ``most`` times the limit of the baseline.
        """
        full = self.limits.baseline_seconds * most
        ended = [r.seconds for r in known.values() if r.status != "timeout"]
        short = min(full, max(1.0, 10.0 * max(ended, default=0.0)))
        return {t: short if known[t].status == "timeout" else full for t in tests}

    def _plain_baseline(self, started: float) -> Baseline:
        first, second = self.fresh_results([]), self.fresh_results([])
        flaky = tuple(i for i in first if first[i].status != second[i].status)
        self._known = Baseline(first, flaky, (), time.monotonic() - started)
        return self._known

    def fresh_results(
        self,
        tests: Sequence[str],
        files: Mapping[str, str] | None = None,
        original: Path | None = None,
        limits: Mapping[str, float] | None = None,
    ) -> dict[str, TestResult]:
        """Run tests in a new interpreter in a new copy of the repository.

        ``limits``: seconds of each test; the baseline's limit when None.
        """
        folder = self.folder()
        try:
            return self.results_in(folder, tests, files, original, limits)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def results_in(
        self,
        folder: Path,
        tests: Sequence[str],
        files: Mapping[str, str] | None = None,
        original: Path | None = None,
        limits: Mapping[str, float] | None = None,
    ) -> dict[str, TestResult]:
        """As `fresh_results`, in a given empty folder, which is kept as the run left it."""
        setting = self.setting if original is None else replace(self.setting, pristine=original)
        if self.command.kind == "plain":
            done = plain.run(setting, folder, files or {}, self.limits.collect_seconds)
            return {done.id: done}
        server = Server(setting, folder, "fresh", files, {"third": []})
        try:
            limit = self.limits.baseline_seconds if limits is None else limits
            answer = server.ask(self.request(tests, (), limit, "", {}), self.patience(tests))
        finally:
            server.close()
        with decode.reading("answer"):
            return decode.results([*answer["results"], *answer["guards"]])

    def request(
        self,
        targets: Sequence[str],
        guards: Sequence[str],
        seconds: Seconds,
        stop: str,
        files: Mapping[str, str],
        traced: bool = False,
    ) -> dict[str, Any]:
        """What a cold or fresh process is asked."""

        def pairs(tests: Sequence[str]) -> list[list[Any]]:
            return [[t, seconds if isinstance(seconds, float) else seconds[t]] for t in tests]

        collect = dict.fromkeys(self.files_of.get(t, "") for t in [*targets, *guards])
        return {
            "op": "session",
            "targets": pairs(targets),
            "guards": pairs(guards),
            "stop": stop,
            "files": dict(files),
            "traced": traced,
            "files_to_collect": [f for f in collect if f],
        }

    def coverage(self, failing: Sequence[str], passing: Sequence[str]) -> Coverage:
        """What the tests run of the unchanged code; see `tracing.coverage`."""
        return coverage(self, failing, passing)

    def patience(self, tests: Sequence[str]) -> float:
        """Seconds after which a fresh process that runs these tests is given up."""
        limits = self.limits
        each = limits.baseline_seconds * 1.2
        return limits.collect_seconds + len(tests) * each + 2 * limits.grace_seconds

    # ---- the last word

    def final_check(
        self,
        repo_original: Path,
        files: Mapping[str, str],
        targets: Sequence[str],
        must_pass: Sequence[str],
        runs: int = 2,
    ) -> FinalVerdict:
        """Judge a patch in fresh processes and fresh copies of ``repo_original``.

        The repository's own test files are used: ``files`` may not touch them, and those that
        configure tests keep their original form. A patch that passes is tried once more with
        tests that were made to fail (see `twin`): whoever passes those has forged the outcome.
        """
        return final_check(self, repo_original.resolve(), files, targets, must_pass, runs)


def _status(results: Mapping[str, TestResult], test: str) -> str:
    return results[test].status if test in results else "missing"


def _tail(text: str, lines: int = 6) -> str:
    kept = [line for line in text.splitlines() if line.strip()]
    return " | ".join(kept[-lines:]) or "no output"


__all__ = ["TestSession", "write_files"]
