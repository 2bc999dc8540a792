"""`meritree bench histories`: how often `fix` repairs real bugs from git histories, and rightly.

Mines cases when asked to, runs `fix` on each in a folder of its own, has every patch judged
and writes one JSON line per run as it ends, so that a stopped measurement continues.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from meritree.bench.history_cases import Case, load_cases, save_cases
from meritree.bench.history_mining import Limits, collect
from meritree.bench.judging import judge, patched_texts
from meritree.errors import BadInput, MeritreeError
from meritree.run.engines import Engine, Here, add_engine_options, make_engine
from meritree.stats import wilson_interval
from meritree.swe.result import DEFAULT_STRATEGY, FixOptions, FixResult


@dataclass(frozen=True, slots=True)
class Settings:
    """How each case is run.

    Attributes:
        python: interpreter of the cases' tests.
        budget_tests, budget_seconds, strategy: as for `meritree fix`.
        seeds: one run of every case for each.
    """

    python: Path
    budget_tests: int = 2000
    budget_seconds: float = 150.0
    strategy: str = DEFAULT_STRATEGY
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class CaseRun:
    """What became of one case with one seed.

    Attributes:
        status: as `FixResult.status`, or ``error``.
        verdict: of the patch ranked first; empty when there is none.
        any_right: whether any of the verified patches was judged right.
        found_after: candidate evaluations when the first-ranked patch was found.
        rate: candidate evaluations per second of the whole run.
    """

    case: str
    seed: int
    status: str
    verdict: str = ""
    why: str = ""
    any_right: bool = False
    verified: int = 0
    found_after: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    patch: str = ""
    message: str = ""

    @property
    def plausible(self) -> bool:
        return self.status == "verified"


def run_case(
    case: Case,
    settings: Settings,
    seed: int,
    fixer: Callable[[FixOptions], FixResult] | None = None,
) -> CaseRun:
    """Rebuild the bug in a temporary folder, run `fix` on it, judge what it found."""
    if fixer is None:
        from meritree.swe.fix import fix

        fixer = fix
    with tempfile.TemporaryDirectory(prefix="meritree-case-") as name:
        folder = case.materialise(Path(name) / case.name)
        options = FixOptions(
            repo=folder,
            test_command="python -m pytest " + " ".join(case.tests),
            failing_tests=case.failing,
            python=settings.python,
            strategy=settings.strategy,
            budget_tests=settings.budget_tests,
            budget_seconds=settings.budget_seconds,
            seed=seed,
            final_checks=settings.budget_tests,  # all: who would have been first by then
            out=Path(name) / "out",
        )
        try:
            result = fixer(options)
        except MeritreeError as error:
            return CaseRun(case.name, seed, "error", message=f"{type(error).__name__}: {error}")
        return _judged(case, settings, seed, result, folder)


def _judged(case: Case, settings: Settings, seed: int, result: FixResult, folder: Path) -> CaseRun:
    verified = [c for c in result.candidates if c.verified]
    run = CaseRun(
        case.name,
        seed,
        result.status,
        verified=len(verified),
        evaluations=result.evaluations,
        seconds=round(result.seconds, 2),
        rate=round(result.evaluations / result.seconds, 1) if result.seconds else 0.0,
        message=result.message,
    )
    if not verified:
        return run
    verdicts = [
        judge(case, patched_texts(folder, c.patch, c.files), settings.python) for c in verified[:5]
    ]
    return replace(
        run,
        verdict=verdicts[0].name,
        why=verdicts[0].why,
        any_right=any(v.right for v in verdicts),
        found_after=verified[0].evaluations,
        patch=verified[0].patch,
    )


def measure(
    cases: Sequence[Case],
    settings: Settings,
    out: Path,
    say: Callable[[str], None] = print,
    engine: Engine | None = None,
) -> list[CaseRun]:
    """Run what ``out/runs.jsonl`` does not hold yet; return all runs of these cases.

    ``engine``: where the cases run; in this process when None.

    Raises:
        BadInput: the folder holds runs made with other settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    _same_settings(out / "settings.json", settings)
    path = out / "runs.jsonl"
    runs = load_runs(path)
    done = {(run.case, run.seed) for run in runs}
    missing = [(c, s) for s in settings.seeds for c in cases if (c.name, s) not in done]
    for _, run in (engine or Here()).each(partial(_run, settings), missing):
        if run.status == "interrupted":
            raise KeyboardInterrupt  # no result: the next call runs this case again
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(run)) + "\n")
        runs.append(run)
        say(line(run))
    wanted = {case.name for case in cases}
    return [run for run in runs if run.case in wanted and run.seed in settings.seeds]


def _run(settings: Settings, task: tuple[Case, int]) -> CaseRun:
    case, seed = task
    return run_case(case, settings, seed)


def load_runs(path: Path) -> list[CaseRun]:
    """Read the runs of a measurement; a last line cut off by a kill is left out."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole, _, cut = text.rpartition("\n")
    runs = [CaseRun(**json.loads(row)) for row in whole.splitlines()]
    if cut:
        path.write_text(whole + "\n" if whole else "", encoding="utf-8")
    return runs


def summary(runs: Sequence[CaseRun]) -> dict[str, Any]:
    """The table's figures: counts, Wilson intervals, evaluations to a find, rates."""
    found = [run.found_after for run in runs if run.plausible]
    rates = [run.rate for run in runs if run.evaluations >= 100]
    counts = {
        "runs": len(runs),
        "plausible": sum(run.plausible for run in runs),
        "equal": sum(run.verdict == "equal" for run in runs),
        "agrees": sum(run.verdict == "agrees" for run in runs),
        "differs": sum(run.verdict == "differs" for run in runs),
        "to-be-read": sum(run.verdict == "to-be-read" for run in runs),
        "any right among the verified": sum(run.any_right for run in runs),
        "error": sum(run.status == "error" for run in runs),
    }
    right = counts["equal"] + counts["agrees"]
    return {
        **counts,
        "plausible_interval": _interval(counts["plausible"], len(runs)),
        "right": right,
        "right_interval": _interval(right, len(runs)),
        "median_evaluations_to_find": statistics.median(found) if found else None,
        "found_within": {n: sum(f <= n for f in found) for n in (10, 50, 200, 1000, 2000)},
        "median_evaluations_per_second": statistics.median(rates) if rates else None,
    }


def _interval(count: int, total: int) -> list[float] | None:
    if not total:
        return None
    low, high = wilson_interval(count, total)
    return [round(low, 3), round(high, 3)]


def line(run: CaseRun) -> str:
    """One run in one line."""
    words = f"{run.verdict}: {run.why}" if run.verdict else run.message
    return (
        f"{run.case:32} seed {run.seed}  {run.status:12} {run.found_after or '-':>5} of "
        f"{run.evaluations:5} evaluations, {run.rate:6.1f}/s  {words[:120]}"
    )


def _same_settings(path: Path, settings: Settings) -> None:
    mine = {**asdict(settings), "python": str(settings.python)}
    mine.pop("seeds")
    if path.exists():
        theirs = json.loads(path.read_text(encoding="utf-8"))
        if theirs != mine:
            changed = sorted(k for k in mine if theirs.get(k) != mine[k])
            raise BadInput(
                f"{path.parent} holds runs with other settings ({', '.join(changed)}); "
                "give another --out, or the same settings"
            )
    path.write_text(json.dumps(mine, indent=1) + "\n", encoding="utf-8")


def mine(arguments: argparse.Namespace) -> list[Case]:
    """Collect cases into the list's file as they are found; refused commits beside it."""
    path: Path = arguments.cases
    refused_path = path.with_suffix(".refused.json")
    cases = load_cases(path) if path.exists() else []
    refused: dict[str, str] = {}
    if refused_path.exists():
        refused = json.loads(refused_path.read_text(encoding="utf-8"))

    def say(text: str) -> None:
        print(text, flush=True)
        refused_path.write_text(json.dumps(refused, indent=1) + "\n", encoding="utf-8")

    path.parent.mkdir(parents=True, exist_ok=True)
    repos = [repo.expanduser().absolute() for repo in arguments.repo]
    limits = Limits(lines=arguments.lines, hunks=arguments.hunks)
    for case in collect(
        repos,
        arguments.python,
        per_repo=arguments.per_repo,
        tries=arguments.tries,
        limits=limits,
        since=arguments.since,
        known=cases,
        refused=refused,
        say=say,
    ):
        cases.append(case)
        save_cases(path, cases)
    return cases


def main(argv: Sequence[str]) -> int:
    """The command line of this benchmark."""
    arguments = parser().parse_args(list(argv))
    if arguments.repo:
        mine(arguments)
    cases = [c for c in load_cases(arguments.cases) if arguments.part in ("all", c.part)]
    if arguments.only:
        cases = [c for c in cases if any(text in c.name for text in arguments.only)]
    if not cases:
        raise BadInput(f"{arguments.cases} holds no case of the part {arguments.part!r}")
    if arguments.reach:
        _reach(cases, arguments.budget_tests)
        return 0
    if arguments.out is None:
        print(f"{len(cases)} cases in {arguments.cases}; give --out DIR to run fix on them")
        return 0
    settings = Settings(
        python=arguments.python,
        budget_tests=arguments.budget_tests,
        budget_seconds=arguments.budget_seconds,
        strategy=arguments.strategy,
        seeds=tuple(range(arguments.seeds)),
    )
    engine = make_engine(arguments.engine, arguments.workers, arguments.ray_address)
    runs = measure(cases, settings, arguments.out, lambda text: print(text, flush=True), engine)
    figures = summary(runs)
    (arguments.out / "summary.json").write_text(json.dumps(figures, indent=1) + "\n")
    _print_table(figures.items())
    return 0


def _reach(cases: Sequence[Case], most: int) -> None:
    """Print where the developers' fixes stand among the policy's edits; no test is run."""
    from meritree.bench.reach import reach

    places: list[int | None] = []
    for case in cases:
        found = reach(case, most=most)
        places.append(found.place)
        words = found.why or ", ".join(found.templates)
        print(f"{case.name:32} {found.place or '-':>5} of {found.seen:5}  {words}", flush=True)
    known = [place for place in places if place is not None]
    counts = {n: sum(place <= n for place in known) for n in (10, 50, 200, 1000, 2000) if n <= most}
    _print_table({"cases": len(places), "in the order": len(known), "within": counts}.items())


def _print_table(rows: Iterable[tuple[str, Any]]) -> None:
    print()
    for name, value in rows:
        print(f"{name.replace('_', ' '):32} {value}")


def parser() -> argparse.ArgumentParser:
    """Options of the command line."""
    made = argparse.ArgumentParser(prog="meritree bench histories", description=__doc__)
    add = made.add_argument
    add("--cases", type=Path, required=True, metavar="FILE", help="the list of cases (JSON)")
    add("--repo", type=Path, action="append", default=[], help="mine this repository; repeatable")
    add("--out", type=Path, help="run fix on the cases and write the results here")
    add("--python", type=Path, default=Path(sys.executable), help="interpreter of the tests")
    add("--part", choices=("all", "dev", "validation"), default="dev", help="which third(s)")
    add("--only", action="append", default=[], metavar="TEXT", help="cases whose name has TEXT")
    add("--per-repo", type=int, default=3, help="most cases of one repository (3)")
    add("--tries", type=int, default=25, help="most commits tried in one repository (25)")
    add("--since", default="", help="oldest date of a commit, as for git log")
    add("--lines", type=int, default=10, help="most changed source lines")
    add("--hunks", type=int, default=2, help="most places that change")
    add("--budget-tests", type=int, default=2000, help="candidate evaluations a run (2000)")
    add("--budget-seconds", type=float, default=150.0, help="seconds of search a run (150)")
    add("--strategy", default=DEFAULT_STRATEGY, help=f"search strategy ({DEFAULT_STRATEGY})")
    add("--reach", action="store_true", help="only say at which place the fixes would be tried")
    add("--seeds", type=int, default=1, help="runs of every case (1)")
    add_engine_options(made)
    return made
