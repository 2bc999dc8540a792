"""An offline judge of SWE-bench predictions: **not the official one**, which needs Docker.

Applies the prediction and then the developers' tests in a fresh copy, in the sandbox, and asks
whether FAIL_TO_PASS and PASS_TO_PASS pass with the interpreter of this machine. Differences from
the official harness stand in docs/swe-bench.md. Knows no search.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from meritree.bench.swebench_data import Answer, Instance
from meritree.bench.swebench_repos import Environment, materialise
from meritree.errors import BadInput, HarnessError, MeritreeError
from meritree.run.sandbox import Limits, Sandbox
from meritree.swe.git_diff import patch_bytes
from meritree.swe.testing import TestLimits, TestResult, TestSession, detect_python, parse_command

Found = Literal["resolved", "not-resolved", "cannot-judge"]
_LIMITS = TestLimits(baseline_seconds=120.0, collect_seconds=300.0)
_HEADER = re.compile(r"^diff --git a/(.+?) b/(.+)$", re.M)
# git must not take a repository around the copy for its own, nor read anybody's configuration.
_GIT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the offline judge says of one prediction.

    Attributes:
        found: ``resolved`` where every listed test passes, ``cannot-judge`` where the list names
            no test that pytest knows here.
        why: in words.
        failed: listed tests that do not pass (at most 20 are named).
    """

    found: Found
    why: str
    failed: tuple[str, ...] = ()


def judge_locally(
    instance: Instance,
    patch: str,
    *,
    repos: Path,
    environment: Environment,
    sandbox: Sandbox,
    folder: Path,
) -> Verdict:
    """Judge a prediction; ``folder`` is used for copies, and removed.

    Raises:
        BadInput: the clone or its commit is missing.
    """
    copy = folder / "repo"
    shutil.rmtree(folder, ignore_errors=True)  # of a judge that was killed
    try:
        folder.mkdir(parents=True)
        materialise(repos, instance.problem, copy)
        touched = changed_files(instance.answer.test_patch)
        # As officially: what a prediction does to the developers' test files is not kept.
        problem = apply_patch(copy, patch, sandbox, folder, without=touched)
        if problem:
            return Verdict("not-resolved", f"the patch does not apply: {problem}")
        problem = apply_patch(copy, instance.answer.test_patch, sandbox, folder)
        if problem:
            return Verdict("cannot-judge", f"the test patch does not apply: {problem}")
        return _tested(copy, instance.answer, touched, environment, sandbox, folder / "copies")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def changed_files(patch: str) -> tuple[str, ...]:
    """The files that a patch in git's format changes."""
    return tuple(dict.fromkeys(path for pair in _HEADER.findall(patch) for path in pair))


def apply_patch(
    copy: Path, patch: str, sandbox: Sandbox, folder: Path, without: Sequence[str] = ()
) -> str:
    """Apply a patch to a folder inside the sandbox; return what git objects to, or nothing.

    Args:
        without: files that are left as they are.
    """
    changed = set(changed_files(patch))
    if not patch.strip() or (changed and changed <= set(without)):
        return ""  # git calls a patch of which nothing is left an error
    file = folder / "prediction.diff"
    file.write_bytes(patch_bytes(patch if patch.endswith("\n") else patch + "\n"))
    left_out = [f"--exclude={path}" for path in without]
    done = sandbox.run(
        ["git", "apply", "-p1", *left_out, str(file)],
        cwd=copy,
        writable=[copy],
        readable=[file],
        env={**_GIT, "GIT_CEILING_DIRECTORIES": str(copy.parent)},
        limits=Limits(wall_seconds=60.0),
    )
    if done.returncode == 0:
        return ""
    return " ".join(done.stderr.decode("utf-8", "replace").split())[:300] or "git apply failed"


def _tested(
    copy: Path,
    answer: Answer,
    touched: Sequence[str],
    environment: Environment,
    sandbox: Sandbox,
    scratch: Path,
) -> Verdict:
    named = {test.split("::")[0] for test in (*answer.fail_to_pass, *answer.pass_to_pass)}
    files = [path for path in dict.fromkeys((*touched, *sorted(named))) if _is_test(copy, path)]
    if not files:
        return Verdict("cannot-judge", "neither the test patch nor the list names a test file")
    try:
        command = parse_command("python -m pytest " + " ".join(files), copy)
        python = detect_python(copy, environment.python)
        with TestSession.open(copy, command, python, sandbox, _LIMITS, scratch=scratch) as session:
            wanted = {
                test: matching(test, session.collected)
                for test in (*answer.fail_to_pass, *answer.pass_to_pass)
            }
            if not any(wanted.values()) and not session.collection_errors:
                return Verdict("cannot-judge", _unknown(answer))
            ids = list(dict.fromkeys(one for found in wanted.values() for one in found))
            results = session.fresh_results(ids) if ids else {}
            broken = [str(error) for error in session.collection_errors]
    except (BadInput, HarnessError) as error:
        return Verdict("not-resolved", f"the tests cannot be run: {error}")
    return _verdict(answer, wanted, results, broken)


def _is_test(copy: Path, path: str) -> bool:
    file = copy / path
    return path.endswith(".py") and " " not in path and file.is_file() and not file.is_symlink()


def matching(test: str, collected: Sequence[str]) -> tuple[str, ...]:
    """The collected tests that a listed name stands for; empty where there is none.

    Besides exact names: names cut off inside their parameters, as the official lists have them
    (then every test that begins so), and bare function names, where only one test has them.
    """
    if test in collected:
        return (test,)
    if test.count("[") > test.count("]"):
        return tuple(one for one in collected if one.startswith(test))
    if "::" not in test and " " not in test:
        found = [one for one in collected if one.split("::")[-1] == test]
        return tuple(found) if len(found) == 1 else ()
    return ()


def _unknown(answer: Answer) -> str:
    return (
        f"pytest knows none of the listed tests, such as {answer.fail_to_pass[0]!r}: the project "
        "has a test runner of its own; use the official harness"
    )


def _verdict(
    answer: Answer,
    wanted: dict[str, tuple[str, ...]],
    results: dict[str, TestResult],
    broken: Sequence[str],
) -> Verdict:
    def passes(test: str, fine: Sequence[str]) -> bool:
        found = wanted[test]
        return bool(found) and all(t in results and results[t].status in fine for t in found)

    # A target that is skipped is not mended; a skipped guard is no regression (as officially).
    failed = [t for t in answer.fail_to_pass if not passes(t, ("passed",))]
    lost = [t for t in answer.pass_to_pass if not passes(t, ("passed", "skipped"))]
    if not failed and not lost:
        total = len(answer.fail_to_pass) + len(answer.pass_to_pass)
        return Verdict("resolved", f"all {total} listed tests pass")
    parts = []
    if failed:
        parts.append(f"{len(failed)} of {len(answer.fail_to_pass)} FAIL_TO_PASS fail")
    if lost:
        parts.append(f"{len(lost)} of {len(answer.pass_to_pass)} PASS_TO_PASS fail")
    parts += broken[:1]
    return Verdict("not-resolved", "; ".join(parts), tuple([*failed, *lost][:20]))


def validated(
    instance: Instance, *, repos: Path, environment: Environment, sandbox: Sandbox, folder: Path
) -> str:
    """Why this machine cannot judge an instance; empty where it can.

    The developers' patch must be judged resolved, and no patch at all must not.
    """
    for patch, wanted in ((instance.answer.patch, "resolved"), ("", "not-resolved")):
        try:
            verdict = judge_locally(
                instance, patch, repos=repos, environment=environment, sandbox=sandbox,
                folder=folder,
            )  # fmt: skip
        except MeritreeError as error:
            return str(error)
        if verdict.found != wanted:
            whose = "the developers' patch" if patch else "the unchanged code"
            return f"{whose} is judged {verdict.found}: {verdict.why}"
    return ""
