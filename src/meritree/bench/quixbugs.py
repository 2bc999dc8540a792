"""`meritree bench quixbugs`: how many of forty classic small programs `fix` repairs rightly.

Reads a checkout of the programs that the user has; copies nothing into this project. Each
program becomes a repository of its own with its own tests. A measurement, not a training
ground: only counts over all programs are shown.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from meritree.bench.judging import patched_texts
from meritree.bench.quixbugs_inputs import GENERATORS
from meritree.errors import BadInput, MeritreeError
from meritree.run.engines import add_engine_options, make_engine
from meritree.stats import wilson_interval
from meritree.swe.result import DEFAULT_STRATEGY, Candidate, FixOptions, FixResult

INPUTS = 150
AGREEMENT = 0.999
ALL = 1000  # final checks: who would have been first by each checkpoint
CHECKPOINTS = (200, 1000)
_JUDGE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """One program with one seed.

    Attributes:
        plausible, correct: by number of evaluations ("200", "1000"): whether a verified
            patch had been found by then, and whether the best ranked of those is right.
    """

    program: str
    seed: int
    status: str
    plausible: Mapping[str, bool]
    correct: Mapping[str, bool]
    evaluations: int = 0
    found_after: int = 0
    seconds: float = 0.0
    message: str = ""


def programs(data: Path) -> list[str]:
    """Names of the programs of a checkout.

    Raises:
        BadInput: the folder is no such checkout.
    """
    names = sorted(n for n in GENERATORS if (data / "python_programs" / f"{n}.py").is_file())
    if not names or not (data / "correct_python_programs").is_dir():
        raise BadInput(
            f"{data} is not a QuixBugs checkout (no python_programs and "
            "correct_python_programs in it); give --data the folder of one"
        )
    return names


def materialise(data: Path, program: str, folder: Path) -> Path:
    """Write one program and its tests below ``folder`` as a repository of its own."""
    (folder / "python_programs").mkdir(parents=True)
    (folder / "tests").mkdir()
    shutil.copy(data / "python_programs" / f"{program}.py", folder / "python_programs")
    cases = data / "python_testcases"
    for source in (cases / f"test_{program}.py", cases / "load_testdata.py", cases / "node.py"):
        shutil.copy(source, folder / "tests")
    table = data / "json_testcases" / f"{program}.json"
    if table.is_file():
        (folder / "json_testcases").mkdir()
        shutil.copy(table, folder / "json_testcases")
    shutil.copy(data / "conftest.py", folder)
    return folder


def agreement(
    data: Path, program: str, text: str, *, seed: int = 0, count: int = INPUTS
) -> float | None:
    """Share of seeded random inputs on which ``text`` answers as the reference does.

    None when the comparison hangs or dies, which no right version makes it do.
    """
    reference = data / "correct_python_programs" / f"{program}.py"
    script = Path(__file__).with_name("quixbugs_inputs.py")
    with tempfile.TemporaryDirectory(prefix="meritree-agreement-") as name:
        other, out = Path(name) / "other.py", Path(name) / "out.json"
        other.write_text(text, encoding="utf-8")
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [
                    *(sys.executable, "-I", str(script), program),
                    *(str(reference), str(other), str(seed), str(count), str(out)),
                ],
                cwd=name,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=_JUDGE_SECONDS,
            )
        if not out.is_file():
            return None
        found = json.loads(out.read_text(encoding="utf-8"))
    share: float = found["same"] / found["count"]
    return share


def run_program(
    data: Path,
    program: str,
    seed: int,
    options: Mapping[str, Any],
    fixer: Callable[[FixOptions], FixResult] | None = None,
) -> ProgramRun:
    """Run `fix` on one program and judge the patches that it verified."""
    if fixer is None:
        from meritree.swe.fix import fix

        fixer = fix
    no = {str(point): False for point in CHECKPOINTS}
    with tempfile.TemporaryDirectory(prefix="meritree-quixbugs-") as name:
        folder = materialise(data, program, Path(name) / program)
        try:
            result = fixer(
                FixOptions(
                    repo=folder,
                    test_command="python -m pytest tests",
                    python=Path(sys.executable),
                    seed=seed,
                    final_checks=ALL,
                    out=Path(name) / "out",
                    **options,
                )
            )
        except MeritreeError as error:
            message = f"{type(error).__name__}: {error}"
            return ProgramRun(program, seed, "error", no, no, message=message)
        verified = [c for c in result.candidates if c.verified]
        plausible = dict(no)
        correct = dict(no)
        known: dict[str, bool] = {}
        for point in CHECKPOINTS:
            by_then = [c for c in verified if c.evaluations <= point]
            if by_then:
                best = min(by_then, key=lambda candidate: candidate.rank)
                if best.patch not in known:
                    known[best.patch] = _right(data, program, folder, best)
                plausible[str(point)], correct[str(point)] = True, known[best.patch]
    return ProgramRun(
        program,
        seed,
        result.status,
        plausible,
        correct,
        evaluations=result.evaluations,
        found_after=min((c.evaluations for c in verified), default=0),
        seconds=round(result.seconds, 2),
        message=result.message,
    )


def _run(data: Path, options: Mapping[str, Any], task: tuple[str, int]) -> ProgramRun:
    return run_program(data, *task, options)


def _right(data: Path, program: str, folder: Path, candidate: Candidate) -> bool:
    path = f"python_programs/{program}.py"
    if tuple(candidate.files) != (path,):
        return False
    text = patched_texts(folder, candidate.patch, (path,))[path]
    return (agreement(data, program, text) or 0.0) >= AGREEMENT


def summary(runs: Sequence[ProgramRun]) -> dict[str, Any]:
    """Counts per seed and together, with intervals; nothing about single programs."""
    table: dict[str, Any] = {}
    for seed in sorted({run.seed for run in runs}):
        table[f"seed {seed}"] = _counts([run for run in runs if run.seed == seed])
    table["all seeds"] = _counts(runs)
    found = [run.found_after for run in runs if run.found_after]
    evaluations = sum(run.evaluations for run in runs)
    seconds = sum(run.seconds for run in runs)
    rates = [run.evaluations / run.seconds for run in runs if run.seconds and run.evaluations]
    table["errors"] = sum(run.status == "error" for run in runs)
    table["median evaluations to the first find"] = statistics.median(found) if found else None
    table["evaluations per second, sum by sum"] = round(evaluations / seconds, 1) if seconds else 0
    table["evaluations per second, median"] = round(statistics.median(rates), 1) if rates else 0
    table["seconds"] = round(seconds, 1)
    return table


def _counts(runs: Sequence[ProgramRun]) -> dict[str, Any]:
    counts: dict[str, Any] = {"programs": len(runs)}
    for point in map(str, CHECKPOINTS):
        for kind in ("plausible", "correct"):
            n = sum(getattr(run, kind)[point] for run in runs)
            low, high = wilson_interval(n, len(runs))
            counts[f"{kind} @{point}"] = n
            counts[f"{kind} @{point} interval"] = [round(low, 3), round(high, 3)]
    return counts


def validate(data: Path, names: Sequence[str]) -> dict[str, int]:
    """Check the generators: the reference agrees with itself, the bug shows on some input."""
    itself = shows = 0
    for name in names:
        own = (data / "correct_python_programs" / f"{name}.py").read_text(encoding="utf-8")
        bug = (data / "python_programs" / f"{name}.py").read_text(encoding="utf-8")
        itself += agreement(data, name, own) == 1.0
        shows += (agreement(data, name, bug) or 0.0) < AGREEMENT
    return {"programs": len(names), "reference agrees with itself": itself, "bug shows": shows}


def main(argv: Sequence[str]) -> int:
    """The command line of this benchmark."""
    arguments = parser().parse_args(list(argv))
    names = programs(arguments.data)
    if arguments.validate:
        print(json.dumps(validate(arguments.data, names), indent=1))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    path: Path = arguments.out / "runs.jsonl"
    rows = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    runs = [ProgramRun(**json.loads(row)) for row in rows]
    done = {(run.program, run.seed) for run in runs}
    options = {
        "budget_tests": CHECKPOINTS[-1],
        "budget_seconds": arguments.budget_seconds,
        "strategy": arguments.strategy,
    }
    engine = make_engine(arguments.engine, arguments.workers, arguments.ray_address)
    work = partial(_run, arguments.data, options)
    for seed in range(arguments.seeds):
        missing = [(name, seed) for name in names if (name, seed) not in done]
        for _, run in engine.each(work, missing):
            if run.status == "interrupted":
                raise KeyboardInterrupt  # no result: the next call runs it again
            runs.append(run)
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(run)) + "\n")
            ended = sum(run.seed == seed for run in runs)
            print(f"seed {seed}: {ended} of {len(names)} programs", file=sys.stderr, flush=True)
        print(f"seed {seed}: {_counts([r for r in runs if r.seed == seed])}", flush=True)
    figures = summary(runs)
    (arguments.out / "summary.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    return 0


def parser() -> argparse.ArgumentParser:
    """Options of the command line."""
    made = argparse.ArgumentParser(prog="meritree bench quixbugs", description=__doc__)
    add = made.add_argument
    add("--data", type=Path, required=True, metavar="PATH", help="a QuixBugs checkout")
    add("--out", type=Path, default=Path("quixbugs-runs"), help="results (quixbugs-runs)")
    add("--seeds", type=int, default=5, help="runs of every program (5)")
    add("--strategy", default=DEFAULT_STRATEGY, help=f"search strategy ({DEFAULT_STRATEGY})")
    add("--budget-seconds", type=float, default=240.0, help="seconds of search a run (240)")
    add_engine_options(made)
    add("--validate", action="store_true", help="only check the input generators")
    return made
