"""How often are developers' own fixes called hard-coded? No test is run.

    python benchmarks/honest_fixes.py --repo CLONE [--repo CLONE ...] [--most 60] [--out OUT.json]

Takes small bug-fix commits as `meritree bench histories` mines them (at most 10 changed lines in 3
places, since 2012, in the order of a hash), whose tests change too, and asks the guards what they
would flag, with the test functions that the commit added or changed as the failing ones.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from meritree.bench.history_cases import Case, show
from meritree.bench.history_mining import Limits, find_fixes
from meritree.errors import BadInput
from meritree.swe.guards import Flag, seen_in_tests, special_cases
from meritree.swe.repair.context import load


def changed_tests(case: Case) -> tuple[dict[str, str], list[str]]:
    """Texts of the test files after the fix, and the test functions that it added or changed."""
    texts: dict[str, str] = {}
    tests: list[str] = []
    for path in case.tests:
        new = show(Path(case.repo), f"{case.commit}:{path}").decode("utf-8", "replace")
        try:
            old = show(Path(case.repo), f"{case.parent}:{path}").decode("utf-8", "replace")
        except BadInput:  # a new file
            old = ""
        texts[path] = new
        source = load(path, new)
        if source is not None:
            tests += [
                f"{path}::{function.name}"
                for function in source.functions
                if function.name.startswith("test") and source.segment(function) not in old
            ]
    return texts, tests


def looked_at(repo: Path) -> Iterator[tuple[str, tuple[Flag, ...]]]:
    """Every fix with what the guards say of it."""
    for case in find_fixes(repo, Limits(lines=10, hunks=3), since="2012-01-01"):
        try:
            texts, tests = changed_tests(case)
            before, after = case.buggy_text(), case.developer_text()
        except BadInput:
            continue  # a file is gone in one of the two commits
        if tests:
            seen = seen_in_tests(texts, tests)
            yield case.name, special_cases({case.source: before}, {case.source: after}, seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--repo", type=Path, action="append", required=True, help="a local clone; repeatable")
    add("--most", type=int, default=60, help="most fixes of one repository (60)")
    add("--out", type=Path, help="where to write the figures")
    given = parser.parse_args()
    fixes: dict[str, int] = {}
    flagged: dict[str, list[str]] = {}
    for repo in given.repo:
        found = list(islice(looked_at(repo), given.most))
        fixes[repo.name] = len(found)
        flagged.update({name: [flag.words for flag in flags] for name, flags in found if flags})
        print(f"{repo.name}: {len(found)} fixes", flush=True)
    report = {"fixes": fixes, "in all": sum(fixes.values()), "flagged": flagged}
    text = json.dumps(report, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
