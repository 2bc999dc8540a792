"""Find small bug-fix commits with tests in git histories, and keep what reproduces.

A fix is told by its message and its shape; that it is one is told by its tests, which must
fail without it and pass with it, twice. Knows nothing of repairs.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from meritree.bench.history_cases import (
    Case,
    change_size,
    code_lines,
    git,
    project_name,
    show,
)
from meritree.bench.pytest_runs import run_tests
from meritree.errors import BadInput
from meritree.swe.repository import is_subject_path, is_test_path

_FIX = re.compile(
    r"\b(fix(e[sd]|ing)?|bug(s|fix(es)?)?|correct(s|ed|ly)?|wrong(ly)?|crash(es|ed)?|"
    r"regression|incorrect(ly)?|broken?|breaks|rais(es|ed|ing)|error|fail(s|ed|ure|ing)?|"
    r"handle[sd]?|prevent(s|ed)?|avoid(s|ed)?|resolve[sd]?|close[sd]?|should|don't|do not|"
    r"not work(ing)?|properly|issue|edge case)\b|#\d+",
    re.IGNORECASE,
)
_NOT_FIX = re.compile(
    r"\b(typos?|flake8|pep8|lint(er)?|refactor(ed|ing)?|clean ?up|deprecat(e[sd]?|ion)|"
    r"python ?3\.?\d*|py3k?|release|bump|coverage|type hints?|annotations?|mypy|docs?|"
    r"docstrings?|new feature|performance|speed)\b|^(add|implement|feat|introduce|support)\b",
    re.IGNORECASE,
)
_RECORD = "\x1e"
_FIELD = "\x1f"


@dataclass(frozen=True, slots=True)
class Limits:
    """Which commits count as a small bug fix.

    Attributes:
        lines: most changed lines of the source file, added and removed together, not
            counting comments, docstrings, annotations and layout.
        hunks: most separate places that change.
        failing: most tests that a bug may make fail (more is a change of interface).
        seconds: wall-clock limit of one test run.
    """

    lines: int = 10
    hunks: int = 2
    failing: int = 40
    seconds: float = 90.0


def find_fixes(repo: Path, limits: Limits | None = None, *, since: str = "") -> Iterator[Case]:
    """Yield commits that look like small bug fixes with tests, newest first, not yet run.

    A commit counts when its message speaks of a fix, exactly one source file of the project
    changes, that change is small in `Limits`' sense, and at least one test file changes.
    Merges count as the difference to their first parent; the same change is yielded once.

    Args:
        since: a date for ``git log --since``; empty for the whole history.

    Raises:
        BadInput: ``repo`` is no git repository.
    """
    limits = limits or Limits()
    seen: set[tuple[str, str, str]] = set()
    for commit, parent, date, message, files in _log(repo, since):
        subject = message.strip().split("\n")[0]
        if not _FIX.search(message) or _NOT_FIX.search(subject):
            continue
        python = [name for name in files if name.endswith(".py")]
        sources = [name for name in python if is_subject_path(name)]
        tests = [name for name in python if is_test_path(name)]
        if len(sources) != 1 or not tests or len(sources) + len(tests) != len(python):
            continue
        change = _change(repo, commit, parent, sources[0], limits)
        if change is None or (key := (sources[0], *change[:2])) in seen:
            continue
        seen.add(key)
        _, _, diff, lines, hunks = change
        yield Case(
            name=f"{project_name(repo)}-{commit[:8]}",
            repo=str(repo),
            commit=commit,
            parent=parent,
            source=sources[0],
            tests=_test_files(repo, commit, sources[0], tests),
            diff=diff,
            subject=subject[:200],
            date=date,
            lines=lines,
            hunks=hunks,
        )


def reproduce(case: Case, python: Path, limits: Limits | None = None) -> Case | str:
    """Run the case's tests without and with the fix, twice; say why when it is no case.

    Returns:
        The case with its failing tests filled in, or the reason for leaving it out.
    """
    limits = limits or Limits()
    if not case.tests:
        return "no test file"
    with tempfile.TemporaryDirectory(prefix="meritree-history-") as name:
        buggy = case.materialise(Path(name) / "buggy")
        fixed = case.materialise(Path(name) / "fixed", fixed=True)
        failing: frozenset[str] = frozenset()
        for time in range(2):
            after = run_tests(fixed, case.tests, python, limits.seconds)
            if not after.ended:
                return "the test run hangs, dies or takes too long"
            if not (passed := after.with_outcome("passed")):
                return "no test passes with the fix (missing dependency?)"
            before = run_tests(buggy, case.tests, python, limits.seconds)
            if before.uncollected != after.uncollected:
                return "the tests cannot be collected without the fix"
            if not before.ended:
                return "the tests hang without the fix"
            again = passed & before.with_outcome("failed", "error")
            failing = failing & again if time else again
            if not failing:
                return "no test fails before and passes after"
    if len(failing) > limits.failing:
        return f"{len(failing)} tests fail: a change of interface rather than a bug"
    kept = before.with_outcome("passed") & passed
    return replace(
        case, failing=tuple(sorted(failing)), passing=len(kept), seconds=round(after.seconds, 2)
    )


def collect(
    repos: Sequence[Path],
    python: Path,
    *,
    per_repo: int = 3,
    tries: int = 25,
    limits: Limits | None = None,
    since: str = "",
    known: Sequence[Case] = (),
    refused: MutableMapping[str, str] | None = None,
    say: Callable[[str], None] = print,
) -> Iterator[Case]:
    """Yield reproducible cases, at most ``per_repo`` of each repository.

    Candidates are tried in the order of a hash of their commit, so that the choice does not
    follow time or taste. ``known`` cases count and are not tried again, nor are the commits
    in ``refused`` (commit -> reason), to which the ones refused now are added.
    """
    refused = {} if refused is None else refused
    for repo in repos:
        have = {case.commit for case in known if case.repo == str(repo)}
        found = sorted(find_fixes(repo, limits, since=since), key=_order)
        say(f"{project_name(repo)}: {len(found)} candidates")
        for case in found[:tries]:
            if len(have) >= per_repo:
                break
            if case.commit in have or case.commit in refused:
                continue
            answer = reproduce(case, python, limits)
            if isinstance(answer, str):
                refused[case.commit] = answer
                say(f"  {case.name}: {answer}")
                continue
            have.add(case.commit)
            say(f"  {case.name}: {len(answer.failing)} failing, {answer.passing} passing")
            yield answer


def _change(
    repo: Path, commit: str, parent: str, source: str, limits: Limits
) -> tuple[str, str, str, int, int] | None:
    """(text before, text after, diff, lines, hunks) of a small change of a file, else None."""
    try:
        before = show(repo, f"{parent}:{source}").decode("utf-8")
        after = show(repo, f"{commit}:{source}").decode("utf-8")
    except (BadInput, UnicodeDecodeError):
        return None  # added, removed or renamed in this commit, or not UTF-8
    if abs(len(after) - len(before)) > 4000:
        return None
    old, new = code_lines(before), code_lines(after)
    if old is None or new is None:
        return None
    lines, hunks = change_size(old, new)
    if not 0 < lines <= limits.lines or hunks > limits.hunks:
        return None
    diff = "".join(
        difflib.unified_diff(
            before.splitlines(keepends=True),
            after.splitlines(keepends=True),
            f"a/{source}",
            f"b/{source}",
        )
    )
    return before, after, diff, lines, hunks


def _test_files(repo: Path, commit: str, source: str, changed: list[str]) -> tuple[str, ...]:
    """Changed test modules, and those named after the source module."""
    stem = PurePosixPath(source).stem.strip("_")
    if stem == "init":
        stem = PurePosixPath(source).parent.name
    wanted = {f"test_{stem}.py", f"{stem}_test.py", f"test{stem}.py"}
    tree = git(repo, "ls-tree", "-r", "--name-only", "-z", commit).split("\0")
    there = set(tree)
    own = [name for name in tree if PurePosixPath(name).name in wanted and is_test_path(name)]
    modules = [
        name
        for name in changed
        if name in there and re.search(r"test", PurePosixPath(name).name) and name not in own
    ]
    return tuple(dict.fromkeys([*modules, *own[:3]])) if modules or own else ()


def _log(repo: Path, since: str) -> Iterator[tuple[str, str, str, str, list[str]]]:
    """(commit, first parent, date, message, changed files) of every commit of HEAD."""
    form = f"--format={_RECORD}%H{_FIELD}%P{_FIELD}%cs{_FIELD}%B{_FIELD}"
    options = ["--since", since] if since else []
    text = git(
        repo, "log", "--diff-merges=first-parent", "--no-renames", "--name-only", form, *options
    )
    for record in text.split(_RECORD)[1:]:
        commit, parents, date, message, files = record.split(_FIELD, 4)
        if parents:
            names = [line for line in files.split("\n") if line.strip()]
            yield commit, parents.split()[0], date, message, names


def _order(case: Case) -> str:
    return hashlib.sha256(b"order" + case.commit.encode()).hexdigest()
