"""Is a patch that passes the tests also right? Evidence against the developer's own fix.

In order: the same code; tests the repair never saw (the whole suite, and later revisions of
the test files); the same results on recorded calls and seeded variations of them. What none
of this decides is left to a reader. Knows nothing of how the patch was made.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from meritree.bench.history_cases import Case, git, normalised, show
from meritree.bench.pytest_runs import clean_environment, run_tests
from meritree.errors import BadInput, MeritreeError
from meritree.swe.git_diff import patch_bytes
from meritree.swe.repository import is_test_path

VerdictName = Literal["equal", "agrees", "differs", "to-be-read"]
LEAST_COMPARED = 20  # calls that must have been compared before agreement says anything


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence says about one patch.

    Attributes:
        name: ``equal`` (same code as the developer's), ``agrees`` (no difference found by a
            check that tells the bug from the fix), ``differs`` (a test that the repair never
            saw, or a recorded call, tells it from the developer's), ``to-be-read``.
        why: the evidence in words.
    """

    name: VerdictName
    why: str

    @property
    def right(self) -> bool:
        """Whether the patch counts as correct without a reader."""
        return self.name in ("equal", "agrees")


def same_code(one: str, other: str) -> bool:
    """Whether two files differ only in comments, layout, docstrings and annotations."""
    first, second = normalised(one), normalised(other)
    if first is None or second is None:
        return False
    return ast.dump(canonical(first)) == ast.dump(canonical(second))


def judge(
    case: Case, patched: Mapping[str, str], python: Path, *, seconds: float = 60.0
) -> Verdict:
    """Weigh a patch against the developer's fix.

    Args:
        patched: path -> text of every file that the patch changed.
        seconds: wall-clock limit of each test run.
    """
    developer = case.developer_text()
    if set(patched) == {case.source} and same_code(patched[case.source], developer):
        return Verdict("equal", "the same code as the developer's")
    with tempfile.TemporaryDirectory(prefix="meritree-judge-") as name:
        theirs = case.materialise(Path(name) / "developer", fixed=True)
        ours = case.materialise(Path(name) / "candidate")
        for path, text in patched.items():
            (ours / path).write_text(text, encoding="utf-8")
        broken = _unseen_tests(case, theirs, ours, python, seconds)
        if broken:
            return Verdict("differs", f"a test that it never saw fails: {broken}")
        return _calls(case, patched, theirs, python, seconds)


def patched_texts(folder: Path, patch: str, files: Sequence[str]) -> dict[str, str]:
    """The texts of ``files`` of ``folder`` once ``patch`` is applied; the folder stays as it is.

    Raises:
        MeritreeError: the patch does not apply.
    """
    with tempfile.TemporaryDirectory(prefix="meritree-apply-") as name:
        copy = Path(name)
        for path in files:
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / path, copy / path)
        answer = subprocess.run(
            ["git", "apply", "-"], cwd=copy, input=patch_bytes(patch), capture_output=True
        )
        if answer.returncode:
            raise MeritreeError(f"the patch does not apply: {answer.stderr.decode().strip()}")
        return {path: (copy / path).read_text(encoding="utf-8") for path in files}


def changed_functions(before: str, after: str) -> frozenset[str] | None:
    """Qualified names of the outermost functions that differ; None if code outside them does."""
    old, new = dict(_outermost(before)), dict(_outermost(after))
    if old.keys() != new.keys() or old.pop("") != new.pop(""):
        return None
    return frozenset(name for name in old if old[name] != new[name])


def _outermost(text: str) -> Iterator[tuple[str, str]]:
    """(qualified name, dump) of each outermost function, and ("", dump) of all the rest."""
    tree = normalised(text)
    if tree is None:
        raise MeritreeError("a file to be compared is not valid Python")
    found: list[tuple[str, str]] = []

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append((prefix + node.name, ast.dump(ast.Module(node.body, []))))
                node.body = []
            elif isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.If | ast.Try | ast.With):
                for part in ("body", "orelse", "finalbody"):
                    visit(getattr(node, part, []), prefix)

    visit(tree.body, "")
    yield from found
    yield "", ast.dump(tree)


def canonical(tree: ast.Module) -> ast.Module:
    """Write `not a in b` and `not a is b` as their own operators."""

    class Rewrite(ast.NodeTransformer):
        def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
            self.generic_visit(node)
            inner = node.operand
            if isinstance(node.op, ast.Not) and isinstance(inner, ast.Compare):
                pairs = {ast.In: ast.NotIn, ast.Is: ast.IsNot, ast.NotIn: ast.In, ast.IsNot: ast.Is}
                other = pairs.get(type(inner.ops[0])) if len(inner.ops) == 1 else None
                if other is not None:
                    return ast.Compare(inner.left, [other()], inner.comparators)
            return node

    return Rewrite().visit(tree)  # type: ignore[no-any-return]


def _unseen_tests(case: Case, theirs: Path, ours: Path, python: Path, seconds: float) -> str:
    """A test that passes with the developer's fix and not with ours, or the empty string."""
    for commit in _later_revisions(case):
        for folder in (theirs, ours):
            for path in case.tests:
                with suppress(BadInput):  # the file is gone in that revision
                    (folder / path).write_bytes(show(Path(case.repo), f"{commit}:{path}"))
        if broken := _first_broken(theirs, ours, case.tests, python, seconds):
            return f"{broken} (of {commit[:8]})"
    for folder in (theirs, ours):
        for path in case.tests:
            (folder / path).write_bytes(show(Path(case.repo), f"{case.commit}:{path}"))
    return _first_broken(theirs, ours, (), python, seconds)


def _first_broken(
    theirs: Path, ours: Path, tests: Sequence[str], python: Path, seconds: float
) -> str:
    expected = run_tests(theirs, tests, python, seconds)
    if not expected.ended:
        return ""
    actual = run_tests(ours, tests, python, 2 * seconds)
    if not actual.ended:
        return "the test run does not end"
    broken = expected.with_outcome("passed") & actual.with_outcome("failed", "error")
    for test in sorted(broken):  # twice, lest a flaky test decide
        again, there = (
            run_tests(ours, [test], python, seconds),
            run_tests(theirs, [test], python, seconds),
        )
        if test in again.with_outcome("failed", "error") and test in there.with_outcome("passed"):
            return test
    return ""


def _later_revisions(case: Case, most: int = 2) -> list[str]:
    """Commits after the fix that changed its test files: the next fifth and the next one."""
    text = git(
        Path(case.repo), "log", "--reverse", "--format=%H", f"{case.commit}..HEAD", "--",
        *[t for t in case.tests if is_test_path(t)],
    )  # fmt: skip
    commits = text.split()
    return list(dict.fromkeys(commits[i] for i in (0, 4) if i < len(commits)))[:most]


def _calls(
    case: Case, patched: Mapping[str, str], theirs: Path, python: Path, seconds: float
) -> Verdict:
    if set(patched) != {case.source}:
        return Verdict("to-be-read", "it changes another file than the developer did")
    developer, ours = case.developer_text(), patched[case.source]
    fixed = changed_functions(case.buggy_text(), developer)
    differing = changed_functions(case.buggy_text(), ours)
    if fixed is None or differing is None or not fixed:
        return Verdict("to-be-read", "code outside functions differs")
    if fixed != differing:
        return Verdict("to-be-read", "it changes another function than the developer did")
    job = {
        "path": str(theirs / case.source),
        "functions": sorted(fixed),
        "versions": {"candidate": ours, "bug": case.buggy_text()},
        "seed": 0,
    }
    found = compare_calls(job, theirs, case.tests, python, seconds)
    if found is None:
        return Verdict("to-be-read", "the calls could not be recorded")
    return verdict_on_calls(found)


def verdict_on_calls(found: Mapping[str, Any]) -> Verdict:
    """What the comparison of `compare_calls` says of the candidate."""
    ours, bug = found["counts"]["candidate"], found["counts"]["bug"]
    compared = ours["recorded"] + ours["varied"]
    if ours["recorded_differ"]:
        example = next(e for e in found["examples"]["candidate"] if e[0] == "recorded")
        return Verdict("differs", f"on a recorded call: {example[1:]}")
    if ours["varied_differ"]:
        example = found["examples"]["candidate"][0]
        return Verdict(
            "to-be-read",
            f"differs on {ours['varied_differ']} of {ours['varied']} varied calls: {example[1:]}",
        )
    if compared < LEAST_COMPARED or not bug["recorded_differ"] + bug["varied_differ"]:
        return Verdict("to-be-read", f"{compared} calls compared do not tell the bug from the fix")
    return Verdict("agrees", f"the same on {compared} recorded and varied calls, and on all tests")


def compare_calls(
    job: Mapping[str, Any], folder: Path, tests: Sequence[str], python: Path, seconds: float
) -> dict[str, Any] | None:
    """Run ``tests`` in ``folder`` and compare function versions on their calls (call_compare)."""
    with tempfile.TemporaryDirectory(prefix="meritree-calls-") as name:
        home = Path(name)
        (home / "job.json").write_text(json.dumps(dict(job)), encoding="utf-8")
        script = Path(__file__).with_name("call_compare.py")
        command = [str(python or sys.executable), "-B", str(script), str(home / "job.json")]
        command += [str(home / "out.json"), "-q", "-p", "no:cacheprovider", *tests]
        try:
            subprocess.run(
                command,
                cwd=folder,
                env=clean_environment(folder, home),
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=seconds,
            )
            document: dict[str, Any] = json.loads((home / "out.json").read_text("utf-8"))
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None
        return document
