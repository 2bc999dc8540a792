"""Fit the ranking of passing patches to injected faults whose hidden tests say which are right.

    python benchmarks/fit_ranking.py TASKS.json... --work ROWS.jsonl --report OUT.json

Every task is searched as `meritree fix` does, going on after the first passing patch. Each patch
is right if the whole suite, hidden tests included, then passes as it did before the fault.
Weights are fitted by `meritree.swe.repair.ranking.fit`; whether they help is measured on packages
that the fit has not seen, as the share of tasks whose first-ranked patch is right (among tasks
that have right and wrong patches). An interrupted collection goes on where it stood.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meritree.bench.catalogue import PACKAGES
from meritree.bench.compare import Verdicts
from meritree.bench.packages import fetch, lay_out
from meritree.bench.tasks import Task, inject, load
from meritree.errors import MeritreeError
from meritree.run.ledger import Ledger, Limits
from meritree.swe.passing import SearchLimits
from meritree.swe.prepare import prepare
from meritree.swe.repair.ranking import WEIGHTS, LabelledPatch, all_features, fit
from meritree.swe.result import FixOptions
from meritree.swe.run_folder import create
from meritree.swe.search_setup import new_search
from meritree.swe.targets import Ended
from meritree.swe.verify import plausible_patch

Row = dict[str, Any]


def patches_of(task: Task, budget: int, patience: int) -> list[Row]:
    """Passing patches of one task in the order in which they were found, with verdicts."""
    package = next(p for p in PACKAGES if p.name == task.package)
    with tempfile.TemporaryDirectory(prefix="meritree-fit-") as scratch:
        clean, repo = Path(scratch) / "clean", Path(scratch) / "repo"
        clean.mkdir()
        lay_out(package, fetch(package), clean)
        shutil.copytree(clean, repo)
        inject(task, repo)
        options = FixOptions(repo, failing_tests=task.shown, out=Path(scratch) / "run")
        prepared = prepare(options, create(options), lambda _: None)
        try:
            search = new_search(
                prepared,
                strategy=options.strategy,
                seed=0,
                ledger=Ledger(Limits(evaluations=budget)),
                limits=SearchLimits(patience=patience),
            )
            search.run()
            verdicts = Verdicts(task, clean, repo)
            evidence = all_features([plausible_patch(prepared, search, n) for n in search.found])
            rows = []
            for node, features in zip(search.found, evidence, strict=True):
                held_out, kept, original = verdicts.of(search.files(node))
                rows.append(
                    {
                        "at": search.states[node].found_at,
                        "edits": [edit.template for edit in search.path(node)],
                        "values": {f.name: f.value for f in features},
                        "held out": held_out,
                        "right": kept or original,
                    }
                )
            return rows
        finally:
            prepared.close()


def collect(tasks: Sequence[Task], path: Path, budget: int, patience: int) -> list[Row]:
    """Rows of all tasks; appended to ``path`` one by one."""
    known: dict[str, Row] = {}
    if path.exists():
        known = {row["task"]: row for row in map(json.loads, path.read_text().splitlines())}
    for task in tasks:
        if task.id in known:
            continue
        try:
            found = patches_of(task, budget, patience)
        except (MeritreeError, Ended) as error:
            print(f"{task.id}: left out: {error}", flush=True)
            continue
        known[task.id] = {"task": task.id, "package": task.package, "patches": found}
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(known[task.id]) + "\n")
        right = sum(row["right"] for row in found)
        print(f"{task.id}: {len(found)} passing patches, {right} right", flush=True)
    return [known[task.id] for task in tasks if task.id in known]


def labelled(row: Row) -> list[LabelledPatch]:
    return [LabelledPatch(p["values"], bool(p["right"])) for p in row["patches"]]


def first_right(task: Sequence[LabelledPatch], weights: Mapping[str, float]) -> bool:
    """Whether the first-ranked patch is right (ties keep the order of finding)."""

    def score(patch: LabelledPatch) -> float:
        return sum(weights.get(name, 0.0) * value for name, value in patch.values.items())

    return max(task, key=score).right


def figures(rows: Sequence[Row], strength: float, seed: int = 0) -> Row:
    """Shares of mixed tasks whose first patch is right: first found, hand-set, fitted elsewhere."""
    mixed = [row for row in rows if len({bool(p["right"]) for p in row["patches"]}) == 2]
    outcome: list[tuple[str, bool, bool, bool]] = []
    for package in sorted({row["package"] for row in mixed}):
        others = [labelled(row) for row in mixed if row["package"] != package]
        weights = fit(others, strength=strength)
        for row in mixed:
            if row["package"] == package:
                task = labelled(row)
                outcome.append(
                    (package, task[0].right, first_right(task, WEIGHTS), first_right(task, weights))
                )
    gains = [int(new) - int(old) for _, _, old, new in outcome]
    chance = random.Random(seed)
    draws = sorted(
        sum(chance.choice(gains) for _ in gains) / len(gains) for _ in range(4000 if gains else 0)
    )
    return {
        "tasks": len(rows),
        "tasks with a passing patch": sum(bool(row["patches"]) for row in rows),
        "tasks with right and wrong patches": len(mixed),
        "first found is right": sum(first for _, first, _, _ in outcome),
        "first by the weights in use is right": sum(old for _, _, old, _ in outcome),
        "first by weights fitted to other packages is right": sum(new for *_, new in outcome),
        "gain (95 %)": [round(draws[int(q * len(draws))], 3) for q in (0.025, 0.975)]
        if draws
        else None,
        "weights fitted to all": {
            name: round(value, 3)
            for name, value in fit([labelled(row) for row in mixed], strength=strength).items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="+", type=Path, help="task lists of the repair bench")
    parser.add_argument("--work", type=Path, required=True, help="rows, one task a line")
    parser.add_argument("--report", type=Path, required=True, help="figures to write")
    parser.add_argument("--budget-tests", type=int, default=220, help="evaluations a task")
    parser.add_argument("--patience", type=int, default=150, help="evaluations after the first")
    parser.add_argument("--strength", type=float, default=2.0, help="pull of the weights in use")
    given = parser.parse_args()
    tasks = list({task.diff: task for path in given.tasks for task in load(path)}.values())
    rows = collect(tasks, given.work, given.budget_tests, given.patience)
    report = {**figures(rows, given.strength), "strength": given.strength}
    given.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
