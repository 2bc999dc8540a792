"""Candidate evaluations per second: hot swap with the canary on, cold import, fresh process.

Usage: python benchmarks/candidates.py [--count N] [--packages toolz ...] [--out FILE]

Each package is given one seeded fault; the candidates are small edits of the functions that the
failing tests cover. Packages other than the generated one are downloaded with their tests by
name. All processes run on one core. A sample of the hot verdicts is compared with verdicts of
fresh processes, status by status.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from meritree.run.commit import commit
from meritree.swe.testing import Evaluator, Outcome, TestSession

_SMALL = '''"""Prices of a small shop."""

RATES = {"a": 2, "b": 3, "c": 5}


def price(key, count=1):
    if count < 0:
        raise ValueError("count")
    return RATES[key] * count - 1


def total(basket):
    result = 0
    for key, count in basket:
        result += price(key, count)
    return result


class Basket:
    def __init__(self):
        self.lines = []

    def add(self, key, count=1):
        self.lines.append((key, count))
        return self

    def total(self):
        return total(self.lines)

    def counts(self):
        found = {}
        for key, count in self.lines:
            found[key] = found.get(key, 0) + count
        return found
'''
_SMALL_TESTS = """
import pytest
from shop import Basket, price, total


@pytest.mark.parametrize("key, want", [("a", 4), ("b", 6), ("c", 10)])
def test_price(key, want):
    assert price(key, 2) == want


def test_total():
    assert total([("a", 1), ("b", 2)]) == 8


def test_basket():
    assert Basket().add("a").add("c", 2).total() == 12


def test_counts():
    assert Basket().add("a").add("a", 2).counts() == {"a": 3}


def test_negative():
    with pytest.raises(ValueError):
        price("a", -1)
"""
# package -> (file, original text, faulty text)
_FAULTS: Mapping[str, tuple[str, str, str]] = {
    "toolz": ("toolz/itertoolz.py", "return itertools.islice(seq, n, None)",
              "return itertools.islice(seq, n + 1, None)"),
    "more-itertools": ("more_itertools/recipes.py", "return list(islice(iterable, n))",
                       "return list(islice(iterable, n + 1))"),
    "inflection": ("inflection/__init__.py", "in (11, 12, 13):", "in (11, 12):"),
    "boltons": ("boltons/debugutils.py", "do_get = not events or 'get'",
                "do_get = not events and 'get'"),
}  # fmt: skip
_SWAPS = (
    (r"(?<![<>=!])<(?![<=])", "<="), (r"==", "!="), (r" \+ ", " - "), (r" - ", " + "),
    (r"\b1\b", "2"), (r"\b0\b", "1"), (r" is None", " is not None"), (r" and ", " or "),
    (r"\breturn (?=\w)", "return not "), (r"\bif ", "if not "), (r" \* ", " // "), (r"\bn\b", "0"),
)  # fmt: skip


def candidates(text: str, lines: frozenset[int]) -> Iterator[str]:
    """Endless distinct edits of covered lines: single ones first, then pairs."""
    rows = text.split("\n")
    edits = []
    for number in sorted(lines):
        row = rows[number - 1]
        for pattern, new in _SWAPS:
            found = re.finditer(pattern, row)
            edits += [(number, row[: m.start()] + new + row[m.end() :]) for m in found]
    rng = random.Random(0)
    rng.shuffle(edits)
    for number, row in edits:
        yield "\n".join([*rows[: number - 1], row, *rows[number:]])
    count = 0
    while edits:
        count += 1
        number, row = rng.choice(edits)
        yield "\n".join([*rows[: number - 1], f"{row}  # {count}", *rows[number:]])


def measure(root: Path, path: str, count: int, sample: int) -> dict[str, Any]:
    """Rates of the three ways on one repository with one fault in ``path``."""
    with TestSession.open(root) as session:
        baseline = session.baseline()
        targets, passing = baseline.failing, baseline.passing
        coverage = session.coverage(targets, passing)
        lines = frozenset[int]().union(*(coverage.lines[t].get(path, ()) for t in targets))
        text = (root / path).read_text()
        texts = candidates(text, lines)
        with Evaluator(session, targets, passing, coverage) as evaluator:
            evaluator.evaluate({path: text})  # starts the processes
            started, mine = time.perf_counter(), time.process_time()
            spent = evaluator.stats.cpu_seconds
            ways: dict[str, int] = {}
            judged: list[tuple[str, Outcome]] = []
            for _ in range(count):
                tried = next(texts)
                outcome = evaluator.evaluate({path: tried})
                ways[outcome.how] = ways.get(outcome.how, 0) + 1
                judged.append((tried, outcome))
            hot = time.perf_counter() - started
            cpu = evaluator.stats.cpu_seconds - spent + time.process_time() - mine
            evaluator.evaluate({path: text + "\nX = 0\n"})
            started = time.perf_counter()
            for number in range(10):
                evaluator.evaluate({path: f"{text}\nX = {number + 1}\n"})
            cold = time.perf_counter() - started
            stats = evaluator.stats
        started = time.perf_counter()
        for number in range(5):
            session.fresh_results(targets, {path: f"{text}\nX = {number}\n"})
        fresh = time.perf_counter() - started
        compared, differing = differences(session, path, judged, sample)
    hot_spans = [outcome.seconds for _, outcome in judged if outcome.how == "hot"]
    timeouts = sum(_timed_out(outcome) for _, outcome in judged)
    return {
        "targets": len(targets),
        "passing": len(passing),
        "lines_of_file": text.count("\n"),
        "candidates": count,
        "ways": ways,
        "hot_per_second": round(count / hot, 1),
        "hot_per_second_at_the_median": round(1 / statistics.median(hot_spans), 1),
        "timeouts": timeouts,
        "hot_per_cpu_second": round(count / cpu, 1),
        "cold_per_second": round(10 / cold, 2),
        "fresh_per_second": round(5 / fresh, 2),
        "results_compared_with_fresh": compared,
        "results_that_differ": differing,
        "events": {name: getattr(stats, name) for name in stats.__slots__},
    }


def differences(
    session: TestSession, path: str, judged: Sequence[tuple[str, Outcome]], sample: int
) -> tuple[int, list[str]]:
    """How many test results of a seeded sample were run fresh, and which came out otherwise."""
    hot = [(text, outcome) for text, outcome in judged if outcome.how == "hot"]
    compared, differing = 0, []
    for text, outcome in random.Random(1).sample(hot, min(sample, len(hot))):
        ran = {**outcome.results, **outcome.regression_results}
        again = session.fresh_results(list(ran), {path: text})
        for test, result in ran.items():
            compared += 1
            if again[test].ok != result.ok:
                differing.append(f"{test}: {result.status} hot, {again[test].status} fresh")
    return compared, differing


def _timed_out(outcome: Outcome) -> bool:
    return any(result.status == "timeout" for result in outcome.results.values())


def small(folder: Path) -> tuple[Path, str]:
    """The generated package."""
    (folder / "shop.py").write_text(_SMALL)
    (folder / "test_shop.py").write_text(_SMALL_TESTS)
    return folder, "shop.py"


def downloaded(name: str, folder: Path) -> tuple[Path, str]:
    """A package's source distribution, laid out as a repository, with its fault put in."""
    from meritree.bench.catalogue import PACKAGES
    from meritree.bench.packages import fetch, lay_out, select

    (package,) = select([name], PACKAGES)
    lay_out(package, fetch(package), folder / "x")
    path, old, new = _FAULTS[name]
    target = folder / "x" / path
    text = target.read_text()
    if old not in text:
        raise SystemExit(f"{name}: {path} has changed; the fault cannot be put in")
    target.write_text(text.replace(old, new, 1))
    return folder / "x", path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=20, help="hot verdicts judged again fresh")
    parser.add_argument("--packages", nargs="*", default=[], choices=sorted(_FAULTS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/candidates.json"))
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    report: dict[str, Any] = {
        "command": "python " + " ".join(sys.argv),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, one core",
        "commit": commit(),
        "load_average_at_start": os.getloadavg()[0],
        "packages": {},
    }
    for name in ["small", *options.packages]:
        folder = Path(tempfile.mkdtemp())
        try:
            root, path = small(folder) if name == "small" else downloaded(name, folder)
            result = measure(root, path, options.count, options.sample)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        report["packages"][name] = result
        print(name, json.dumps(result), flush=True)
        report["load_average_at_end"] = os.getloadavg()[0]
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
