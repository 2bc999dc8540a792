"""The final check of a patch: fresh processes, fresh copies, the original tests, a twin.

Knows how a verdict is put together; starting and feeding processes is the session's work.
"""

from __future__ import annotations

import random
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from meritree.errors import HarnessError
from meritree.swe.harness.wire import read
from meritree.swe.testing import twin
from meritree.swe.testing.detect import test_files_of
from meritree.swe.testing.touched import touched
from meritree.swe.testing.types import FinalVerdict, TestResult
from meritree.swe.wording import counted

if TYPE_CHECKING:
    from meritree.swe.testing.session import TestSession

FORGED = (
    "the patched code tampers with the test run: tests that had been made to fail were reported "
    "as passed"
)


def final_check(
    session: TestSession,
    original: Path,
    files: Mapping[str, str],
    targets: Sequence[str],
    must_pass: Sequence[str],
    runs: int,
) -> FinalVerdict:
    """See `TestSession.final_check`."""
    started = time.monotonic()
    edits = touched(files, session.test_files)
    if edits.judges:
        return FinalVerdict(
            False, reason=f"the patch changes test files: {', '.join(edits.judges)}"
        )
    judged = {path: text for path, text in files.items() if path not in edits.left_out}
    seen: list[Mapping[str, TestResult]] = []
    try:
        for _ in range(runs):
            results = _run(session, original, judged, [*targets, *must_pass])
            seen.append(results)
        verdict = _verdict(targets, must_pass, seen)
        if verdict.verified:
            forged = _forged(session, original, judged, targets, must_pass, seen)
            if forged:
                verdict = replace(verdict, verified=False, failing_targets=forged, reason=FORGED)
    except Tampered as error:
        verdict = FinalVerdict(False, tuple(targets), runs=tuple(seen), reason=str(error))
    except HarnessError as error:
        verdict = FinalVerdict(False, tuple(targets), runs=tuple(seen), reason=str(error))
    return replace(verdict, notes=edits.notes, seconds=time.monotonic() - started)


class Tampered(Exception):
    """The code under test changed the tests that judge it."""


def _run(
    session: TestSession, original: Path, files: Mapping[str, str], tests: Sequence[str]
) -> dict[str, TestResult]:
    """One run in a fresh copy; the test files in it must be the same afterwards.

    Raises:
        Tampered: they are not.
        HarnessError: the test process died, hung or broke its protocol.
    """
    folder = session.folder()
    try:
        results = session.results_in(folder, tests, files, original)
        for path in session.test_files:
            there = folder / "repo" / path
            expected = files[path].encode() if path in files else (original / path).read_bytes()
            if there.is_symlink() or not there.is_file() or there.read_bytes() != expected:
                raise Tampered(f"the patched code changed the test file {path} while it ran")
        return results
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _forged(
    session: TestSession,
    original: Path,
    files: Mapping[str, str],
    targets: Sequence[str],
    must_pass: Sequence[str],
    seen: Sequence[Mapping[str, TestResult]],
) -> tuple[str, ...]:
    """Tests that were reported as passed although they had been made to fail."""
    nonce = f"meant to fail: {secrets.token_hex(8)}"
    if session.command.kind == "plain":
        changed, expected = _plain_twins(original, nonce), tuple(targets)
    else:
        passed = [t for t in must_pass if all(run[t].status == "passed" for run in seen)]
        tests = twin.chosen(targets, passed, random.SystemRandom())
        paths = {session.files_of[t] for t in tests if t in session.files_of}
        texts = {path: read(str(original / path)) for path in paths}
        changed, expected = twin.twins(tests, session.files_of, texts, nonce)
    if not changed:
        return ()
    results = session.fresh_results(expected, {**files, **changed}, original)
    return twin.tampered(results, expected)


def _plain_twins(original: Path, nonce: str) -> dict[str, str]:
    """Every test file of a repository, with tests that fail."""
    found = {}
    for path in test_files_of(original):
        text = twin.sabotage_all(read(str(path)), nonce)
        if text is not None:
            found[path.relative_to(original).as_posix()] = text
    return found


def _verdict(
    targets: Sequence[str],
    must_pass: Sequence[str],
    runs: Sequence[Mapping[str, TestResult]],
) -> FinalVerdict:
    def bad(tests: Sequence[str]) -> tuple[str, ...]:
        return tuple(t for t in tests if any(t not in run or not run[t].ok for run in runs))

    missing = tuple(t for t in [*targets, *must_pass] if any(t not in run for run in runs))
    failing, broken = bad(targets), bad(must_pass)
    skipped = tuple(t for t in targets if any(t in r and r[t].status == "skipped" for r in runs))
    reasons = []
    if failing:
        still = counted(len(failing), "target test")
        reasons.append(f"{still} still failing: {', '.join(failing[:3])}")
    if broken:
        reasons.append(f"{counted(len(broken), 'test')} broken: {', '.join(broken[:3])}")
    if skipped:
        reasons.append(f"{counted(len(skipped), 'target test')} skipped: {', '.join(skipped[:3])}")
    return FinalVerdict(not reasons, failing, broken, missing, tuple(runs), "; ".join(reasons))
