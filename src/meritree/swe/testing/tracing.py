"""Which code each test runs, traced on the unchanged repository.

Asks a test session to run tests under its tracer; knows nothing of what is made of the lines.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meritree.errors import HarnessError
from meritree.swe.repository import is_subject_path, words_of
from meritree.swe.testing import decode
from meritree.swe.testing.types import Baseline, Coverage, TestResult

if TYPE_CHECKING:
    from meritree.swe.testing.session import TestSession

_WARM_UP = 3  # passing tests traced before the failing ones


def coverage(session: TestSession, failing: Sequence[str], passing: Sequence[str]) -> Coverage:
    """Trace the failing tests and a seeded sample of the quick passing ones.

    Of the other quick ones only the functions that they enter are noted: it is cheaper, and
    all that is needed to know which changes they guard.
    """
    if session.command.kind == "plain":
        return _plain_coverage(session, failing)
    known = session.known_baseline()
    quick = [i for i in passing if known.results[i].seconds < 1.0]
    count = min(len(quick), session.limits.traced_passing)
    chosen = set(random.Random(session.setting.seed).sample(quick, count))
    # What runs only once in a process (caches, classes made late) must not look as if only
    # failing tests ran it: some passing tests of the same files go first.
    files = {session.files_of.get(t) for t in failing}
    warm = [i for i in passing if i in chosen and session.files_of.get(i) in files][:_WARM_UP]
    traced = [*warm, *failing, *(i for i in passing if i in chosen and i not in warm)]
    entered = [i for i in quick if i not in chosen][: session.limits.entered_passing]
    lines, lost = _traced(session, traced, known, "line")
    for test in failing:
        for path, numbers in _frame_lines(known.results[test]).items():
            if path not in session.test_files:
                found = lines.setdefault(test, {})
                found[path] = found.get(path, frozenset()) | numbers
    return Coverage(
        lines,
        _import_lines(session, failing),
        tuple(i for i in passing if i not in chosen),
        lost,
        _entered(session, entered, known),
    )


def _plain_coverage(session: TestSession, failing: Sequence[str]) -> Coverage:
    """The lines of tracebacks; where none is in code that may change, every line of it."""
    known = session.known_baseline()
    lines = {i: _frame_lines(known.results[i]) for i in failing}
    judges = words_of(session.command.text)  # a program that is called to judge is no suspect
    suspects = {path for found in lines.values() for path in found} - judges
    if not any(is_subject_path(path) for path in suspects):
        everywhere = _all_lines(session.setting.pristine)
        lines = {i: {**everywhere, **found} for i, found in lines.items()}
    return Coverage(lines, {}, (), ())


def _entered(
    session: TestSession, tests: Sequence[str], known: Baseline
) -> dict[str, dict[str, frozenset[int]]]:
    functions, lost = _traced(session, tests, known, "call")
    return {test: files for test, files in functions.items() if test not in lost}


def _traced(
    session: TestSession, tests: Sequence[str], known: Baseline, what: str
) -> tuple[dict[str, dict[str, frozenset[int]]], tuple[str, ...]]:
    """Lines (or first lines of functions) by test, and tests that disturbed the tracing."""
    if not tests:
        return {}, ()
    answer = session.run(tests, session.limits_again(tests, known.results, 2.0), what)
    with decode.reading("trace"):
        seen = zip(decode.results(answer["results"]), answer["lines"], strict=True)
        lines = {test: _of_code(session, found) for test, found in seen}
        return lines, decode.texts(answer["lost"])


def _of_code(session: TestSession, found: Any) -> decode.LinesByFile:
    """Lines by file, test files left out."""
    return {p: n for p, n in decode.lines(found).items() if p not in session.test_files}


def _import_lines(session: TestSession, failing: Sequence[str]) -> dict[str, frozenset[int]]:
    server = session.server("cold")
    try:
        limit = session.limits_again(failing[:1], session.known_baseline().results)
        request = session.request(failing[:1], (), limit, "", {}, traced=True)
        paths = dict.fromkeys(session.files_of[t] for t in failing if t in session.files_of)
        request["files_to_collect"] = list(paths)
        answer = server.ask(request, session.patience(failing))
        with decode.reading("trace"):
            return _of_code(session, answer["lines"])
    except HarnessError:
        return {}
    finally:
        server.close()
        shutil.rmtree(server.folder, ignore_errors=True)


def _frame_lines(result: TestResult) -> dict[str, frozenset[int]]:
    lines: dict[str, set[int]] = {}
    for frame in result.frames:
        lines.setdefault(frame.path, set()).add(frame.line)
    return {path: frozenset(numbers) for path, numbers in lines.items()}


def _all_lines(root: Path) -> dict[str, frozenset[int]]:
    """Every line of every file below ``root`` that a repair may change."""
    found: dict[str, frozenset[int]] = {}
    for file in sorted(root.rglob("*.py")):
        path = file.relative_to(root).as_posix()
        if is_subject_path(path) and file.is_file():
            count = len(file.read_bytes().splitlines())
            found[path] = frozenset(range(1, count + 1))
    return found
