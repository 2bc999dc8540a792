"""`meritree bench repair`: injected faults, strategies side by side, table, summary and plot.

Puts the parts together and writes down how the figures came about; measures nothing itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from meritree.bench.ablations import ABLATIONS
from meritree.bench.catalogue import PACKAGES
from meritree.bench.compare import Setting, Solver, Trial, compare
from meritree.bench.fix_solver import FixSolver
from meritree.bench.injected import generate
from meritree.bench.outcome_cache import OutcomeCache
from meritree.bench.packages import Package, fetch, lay_out, select
from meritree.bench.tables import markdown, summarise
from meritree.bench.tasks import Task, list_hash, load, save
from meritree.errors import BadInput
from meritree.run.commit import commit
from meritree.swe.result import DEFAULT_STRATEGY

STRATEGIES = (
    "linear",
    "best-of-n",
    "beam",
    "best-first",
    "uct",
    "puct",
    "swe-search-paper",
    "swe-search-dev",
    "swe-search-moatless",
    "ab-mcts",
    "guarded",
)
REFERENCE = DEFAULT_STRATEGY
SAMPLE = Package(
    name="parcel", version="2.3.0", sha256="", code=("parcel",), tests=("tests",)
)  # the sample repository that comes with meritree; never fetched

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RepairBench:
    """What to measure.

    Attributes:
        packages: names in the catalogue; empty: all.
        faults: one-slip faults a package; half as many with two slips are added.
        seeds: number of search seeds, 0 to ``seeds - 1``.
        budget_tests: candidate evaluations of each search.
        strategies: names; ``ablations`` adds ``reference`` without each part.
        out: folder for tasks, trials, summary, table and plot.
        tasks: an existing task list instead of a new one.
    """

    packages: tuple[str, ...] = ()
    faults: int = 4
    seeds: int = 10
    budget_tests: int = 1000
    strategies: tuple[str, ...] = STRATEGIES
    ablations: bool = False
    reference: str = REFERENCE
    list_seed: int = 1
    workers: int = 1
    data: Path | None = None
    tasks: Path | None = None
    smoke: bool = False
    out: Path = Path("meritree-bench")

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The strategies and, if asked for, the reference without each part."""
        plain = [Setting(name) for name in dict.fromkeys((self.reference, *self.strategies))]
        parts = tuple(ABLATIONS) if self.ablations else ()
        return (*plain, *(Setting(self.reference, frozenset({part})) for part in parts))


def run_repair_bench(
    bench: RepairBench, *, solver: Solver | None = None, say: Say = lambda _: None
) -> dict[str, Any]:
    """Make or load the task list, run all searches, write everything; return the summary.

    Interrupted at any moment, the same call goes on where it stood.

    Raises:
        BadInput: unknown package or strategy, a package that cannot be fetched, no faults.
    """
    check(bench)
    started = datetime.now(UTC)
    tasks = task_list(bench, say)
    if not tasks:
        raise BadInput("no injected fault was noticed by a test; raise --faults")
    cache = None if solver is not None else OutcomeCache(bench.out / "outcomes.db")
    try:
        trials = compare(
            tasks,
            bench.settings,
            seeds=range(bench.seeds),
            budget=bench.budget_tests,
            solver=solver or FixSolver(cache),
            lay_out=task_layout(bench.data),
            results=bench.out / "trials.jsonl",
            say=say,
        )
    finally:
        if cache is not None:
            cache.close()
    return write_report(bench, tasks, trials, started)


def task_list(bench: RepairBench, say: Say) -> tuple[Task, ...]:
    """The tasks of a bench: loaded, or generated and saved as ``tasks.json``."""
    if bench.tasks is not None:
        wanted = bench.packages
        tasks = tuple(t for t in load(bench.tasks) if not wanted or t.package in wanted)
        save(tasks, bench.out / "tasks.json", about={"from": bench.tasks.name})
        return tasks
    packages = (SAMPLE,) if bench.smoke else select(bench.packages, PACKAGES)
    tasks = generate(
        packages,
        singles=bench.faults,
        doubles=bench.faults // 2,
        seed=bench.list_seed,
        progress_file=bench.out / "tasks.progress.jsonl",
        workers=bench.workers,
        data=bench.data,
        say=say,
        lay_out_with=_sample_layout if bench.smoke else None,
    )
    save(tasks, bench.out / "tasks.json", about={"seed": bench.list_seed})
    return tasks


def write_report(
    bench: RepairBench, tasks: Sequence[Task], trials: Sequence[Trial], started: datetime
) -> dict[str, Any]:
    """Write ``summary.json``, ``table.md`` and ``solved.png``; return the summary."""
    from meritree.bench.plot import draw_curves

    provenance = {
        "command": " ".join(["meritree bench repair", *sys.argv[3:]]),
        "commit": commit(),
        "versions": {name: _version(name) for name in ("meritree", "pytest")},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "task_list": list_hash(tasks),
        "tasks": len(tasks),
        "list_seed": bench.list_seed,
        "seeds": bench.seeds,
        "budget_tests": bench.budget_tests,
    }
    summary = summarise(trials, bench.reference, provenance)
    packages = len({task.package for task in tasks})
    caption = (
        f"{len(tasks)} injected faults in {packages} packages (task list "
        f"{provenance['task_list']}), {bench.seeds} search seeds each, at most "
        f"{bench.budget_tests} candidate evaluations. Correct: the first patch that passes the "
        "shown tests also passes the hidden ones. Bands: 95 % bootstrap over tasks."
    )
    draw_curves(trials, bench.out / "solved.png", caption=caption)
    (bench.out / "table.md").write_text(f"{markdown(summary)}\n{caption}\n", encoding="utf-8")
    text = json.dumps(summary, indent=1, sort_keys=True) + "\n"
    (bench.out / "summary.json").write_text(text, encoding="utf-8")
    return summary


def check(bench: RepairBench) -> None:
    """Refuse impossible settings by name.

    Raises:
        BadInput: see above.
    """
    unknown = [s for s in (*bench.strategies, bench.reference) if s not in STRATEGIES]
    if unknown:
        raise BadInput(f"--strategies {unknown[0]}: unknown; choose from {', '.join(STRATEGIES)}")
    for name in ("faults", "seeds", "budget_tests", "workers"):
        if getattr(bench, name) < 1:
            option = "--" + name.replace("_", "-")
            raise BadInput(f"{option} {getattr(bench, name)}: must be at least 1")


def main(arguments: Sequence[str]) -> int:
    """The command line of the benchmark; prints the table."""
    bench = parse(arguments)
    summary = run_repair_bench(bench, say=lambda words: print(words, file=sys.stderr, flush=True))
    print(markdown(summary))
    print(f"written to {bench.out}: tasks.json, trials.jsonl, summary.json, table.md, solved.png")
    return 0


def parser() -> argparse.ArgumentParser:
    """Options of the command line."""
    made = argparse.ArgumentParser(prog="meritree bench repair", description=__doc__)
    default, add = RepairBench(), made.add_argument
    add("--packages", default="", help="comma-separated names (default: all)")
    add("--faults", type=int, help="one-slip faults a package (default 4)")
    add("--seeds", type=int, help="search seeds (default 10)")
    add("--budget-tests", type=int, help="evaluations a search (default 1000)")
    add("--strategies", default="", help="comma-separated names (default: all)")
    add("--ablations", action="store_true", help="reference without each part")
    add("--reference", default=default.reference, help="of paired differences")
    add("--list-seed", type=int, default=1, help="seed of the faults drawn")
    add("--workers", type=int, default=1, help="packages prepared at once")
    add("--data", type=Path, help="folder with source distributions")
    add("--tasks", type=Path, help="an existing task list")
    add("--smoke", action="store_true", help="bundled sample only, offline")
    add("--out", type=Path, default=default.out, help="folder for the results")
    return made


def parse(arguments: Sequence[str]) -> RepairBench:
    """Options to a `RepairBench`; ``--smoke`` is a few minutes' work cut to under one."""
    default, given = RepairBench(), parser().parse_args(list(arguments))
    if given.data is not None and not given.data.is_dir():
        raise BadInput(f"--data {given.data}: no such folder; give one with source distributions")
    small = given.smoke
    strategies = _names(given.strategies) or (("linear", "best-first") if small else STRATEGIES)
    return RepairBench(
        packages=_names(given.packages),
        faults=_or(given.faults, 2 if small else default.faults),
        seeds=_or(given.seeds, 2 if small else default.seeds),
        budget_tests=_or(given.budget_tests, 60 if small else default.budget_tests),
        strategies=strategies,
        ablations=given.ablations,
        reference=given.reference,
        list_seed=given.list_seed,
        workers=given.workers,
        data=given.data,
        tasks=given.tasks,
        smoke=given.smoke,
        out=given.out,
    )


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def task_layout(data: Path | None = None) -> Callable[[Task, Path], None]:
    """What writes a task's package, without its fault, to an empty folder.

    Args:
        data: folder with source distributions placed by hand.
    """
    table = {package.name: package for package in PACKAGES}

    def layout(task: Task, root: Path) -> None:
        if task.package == SAMPLE.name:
            _sample_layout(SAMPLE, root)
            return
        package = table.get(task.package)
        if package is None or package.version != task.version:
            raise BadInput(f"{task.id}: {task.package} {task.version} is not in the catalogue")
        lay_out(package, fetch(package, data=data), root)

    return layout


def _sample_layout(_package: Package, root: Path) -> None:
    with resources.as_file(resources.files("meritree.demo") / "sample") as sample:
        ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(sample, root, dirs_exist_ok=True, ignore=ignore)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"
