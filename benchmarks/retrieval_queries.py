"""Queries of the retrieval benchmark: what the failing tests of known fixes say.

Usage: python benchmarks/retrieval_queries.py --clone PATH ... --python VENV/bin/python --out FILE

For each commit named in benchmarks/results/histories.json, found again in a clone by its hash:
the bug is rebuilt in a temporary folder, its tests are run with and without the fix, and the report
of the tests that only the fix mends is kept, with the commit's subject and what it changed.
A commit whose tests do not fail here is kept with its reason and has no report. Continues where it
was stopped.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from meritree.bench.history_cases import Case
from meritree.bench.history_mining import Limits, find_fixes
from meritree.bench.pytest_runs import clean_environment, run_tests
from meritree.errors import BadInput

HISTORIES = Path(__file__).parent / "results" / "histories.json"
MOST_TESTS = 5  # of which a report is asked; more say the same again
MOST_CHARACTERS = 20_000
_TOOK = re.compile(r" in \d+\.\d+s(?: \([\d:]+\))?")


def named_commits() -> dict[str, dict[str, str]]:
    """``{commit: {repository, commit, part}}`` of the stored list."""
    rows = json.loads(HISTORIES.read_text("utf-8"))["cases"]
    return {row["commit"]: row for row in rows}


def cases(clones: Sequence[Path]) -> Iterator[tuple[dict[str, str], Case]]:
    """The named commits that the clones hold, each with its part and project."""
    named = named_commits()
    for clone in clones:
        for case in find_fixes(clone, Limits(lines=8, hunks=1), since="2012-01-01"):
            if case.commit in named:
                yield named[case.commit], case


def report(case: Case, python: Path, seconds: float = 90.0) -> tuple[list[str], str, str]:
    """(failing tests, pytest's report of them, why there is none)."""
    with tempfile.TemporaryDirectory(prefix="meritree-queries-") as name:
        buggy = case.materialise(Path(name) / "buggy")
        fixed = case.materialise(Path(name) / "fixed", fixed=True)
        after = run_tests(fixed, case.tests, python, seconds)
        before = run_tests(buggy, case.tests, python, seconds)
        mended = after.with_outcome("passed") & before.with_outcome("failed", "error")
        if not mended:
            return [], "", "no test fails without the fix and passes with it here"
        asked = sorted(mended)[:MOST_TESTS]
        command = [str(python), "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--tb=long", "--no-header", "--color=no", *asked]
        try:
            done = subprocess.run(
                command,
                cwd=buggy,
                env=clean_environment(buggy, Path(name)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return sorted(mended), "", "the report took too long"
        text = done.stdout.decode("utf-8", "replace")
        # Where this benchmark put the folder says nothing about the bug, nor how long it took.
        text = _TOOK.sub("", text.replace(f"{buggy}/", ""))
        return sorted(mended), text[:MOST_CHARACTERS], ""


def versions(python: Path) -> str:
    """Of the interpreter that runs the tests and of its pytest."""
    code = "import platform, pytest; print('Python', platform.python_version(), end=', ')"
    code += "; print('pytest', pytest.__version__)"
    return subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clone", type=Path, nargs="+", required=True, help="local repositories")
    parser.add_argument("--python", type=Path, required=True, help="interpreter of the tests")
    parser.add_argument("--out", type=Path, required=True, help="one JSON line a commit")
    given = parser.parse_args(argv)
    done: set[str] = set()
    if given.out.exists():
        done = {json.loads(line)["commit"] for line in given.out.read_text("utf-8").splitlines()}
    made_with = versions(given.python)
    with given.out.open("a", encoding="utf-8") as stream:
        for row, case in cases(given.clone):
            if case.commit in done:
                continue
            failing, text, why = report(case, given.python)
            found: dict[str, Any] = {
                **row,
                "source": case.source,
                "parent": case.parent,
                "subject": case.subject,
                "diff": case.diff,
                "failing": failing,
                "report": text,
                "why_none": why,
                "made_with": made_with,
            }
            stream.write(json.dumps(found) + "\n")
            stream.flush()
            print(case.name, len(failing), len(text), why, flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BadInput as error:
        print(error, file=sys.stderr)
        sys.exit(2)
