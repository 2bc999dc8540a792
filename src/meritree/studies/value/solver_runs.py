"""CPU times of real solvers on random instances: measured once, kept beside the code.

Every run is a forked child whose CPU clock (not the wall clock: the machine may be busy) is
limited by a timer; a run that reaches the cap is censored, never dropped. Knows no utility.
"""

from __future__ import annotations

import json
import os
import platform
import random
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from meritree.errors import BadInput

Instance = Any
Solve = Callable[[Instance], object]

DATA = "solver_runs.json"
SAT_SOLVERS = ("cadical153", "cadical195", "glucose4", "lingeling", "maplechrono", "minisat22")
MILP_SETTINGS: Mapping[str, Mapping[str, object]] = {
    "default": {},
    "no presolve": {"presolve": "off"},
    "more heuristics": {"mip_heuristic_effort": 0.5},
    "primal simplex": {"simplex_strategy": 4},
    "late branching": {"mip_pscost_minreliable": 64},
}


@dataclass(frozen=True)
class Family:
    """Runtimes of several algorithms on the same instances.

    Attributes:
        name: what was solved.
        cap: CPU seconds after which a run was stopped.
        seconds: for each algorithm one entry an instance; None is a run stopped at the cap.
    """

    name: str
    cap: float
    seconds: Mapping[str, tuple[float | None, ...]]


def stored() -> tuple[tuple[Family, ...], Mapping[str, Any]]:
    """The measured families and where they come from (command, versions, machine, load)."""
    text = files("meritree.studies.value").joinpath(DATA).read_text("utf-8")
    record = json.loads(text)
    families = tuple(
        Family(
            row["name"], row["cap"], {name: tuple(each) for name, each in row["seconds"].items()}
        )
        for row in record["families"]
    )
    return families, record["provenance"]


def run_capped(solve: Solve, instance: Instance, cap: float) -> float | None:
    """CPU seconds of ``solve(instance)`` in a forked child, None when ``cap`` stopped it.

    Raises:
        BadInput: the child ended otherwise than by an answer or its cap.
    """
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        os.close(receive)
        _child(solve, instance, cap, send)
    os.close(send)
    with os.fdopen(receive) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if text:
        return float(text)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
        return None
    raise BadInput(f"the solver's process ended with status {status} before its cap of {cap} s")


def _child(solve: Solve, instance: Instance, cap: float, send: int) -> None:  # pragma: no cover
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # some solvers print a banner
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    start = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, cap)
    try:
        solve(instance)
        seconds = time.process_time() - start
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        os.write(send, f"{seconds:.6f}".encode())
    finally:
        os._exit(0)


def random_3sat(variables: int, seed: int, ratio: float = 4.26) -> list[list[int]]:
    """Uniform random 3-SAT near the threshold: clauses of three different variables."""
    rng = random.Random(seed)
    clauses = []
    for _ in range(round(ratio * variables)):
        chosen = rng.sample(range(1, variables + 1), 3)
        clauses.append([literal if rng.random() < 0.5 else -literal for literal in chosen])
    return clauses


def sat_solver(name: str) -> Solve:
    """One of python-sat's solvers."""
    try:
        from pysat.solvers import Solver  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise BadInput("measuring SAT solvers needs python-sat: pip install python-sat") from error

    def solve(clauses: Instance) -> object:
        with Solver(name=name, bootstrap_with=clauses) as solver:
            return solver.solve()

    return solve


@dataclass(frozen=True)
class Knapsack:
    """maximise value @ x, weight @ x <= capacity, x binary: several dimensions, correlated."""

    value: tuple[int, ...]
    weight: tuple[tuple[int, ...], ...]
    capacity: tuple[int, ...]


def random_knapsack(items: int, dimensions: int, seed: int) -> Knapsack:
    """Weights uniform in 1..1000, value = mean weight + noise, half of all weight fits."""
    rng = random.Random(seed)
    weight = [[rng.randint(1, 1000) for _ in range(items)] for _ in range(dimensions)]
    value = [
        round(sum(row[i] for row in weight) / dimensions + 500 * rng.random()) for i in range(items)
    ]
    capacity = [sum(row) // 2 for row in weight]
    return Knapsack(tuple(value), tuple(map(tuple, weight)), tuple(capacity))


def highs_solver(options: Mapping[str, object]) -> Solve:
    """HiGHS, one thread, proven optimum (relative gap 0), under some options."""
    try:
        import highspy  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise BadInput("measuring MILP solvers needs highspy: pip install highspy") from error

    def solve(task: Instance) -> object:
        model = highspy.Highs()
        fixed = {"output_flag": False, "threads": 1, "parallel": "off", "mip_rel_gap": 0.0}
        for key, setting in {**fixed, **options}.items():
            model.setOptionValue(key, setting)
        x = [model.addBinary(obj=float(value)) for value in task.value]
        for row, limit in zip(task.weight, task.capacity, strict=True):
            model.addConstr(sum(w * xi for w, xi in zip(row, x, strict=True)) <= limit)
        model.maximize()
        if model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise BadInput(f"HiGHS ended with {model.getModelStatus()}: no optimum")
        return model.getObjectiveValue()

    return solve


def measure(
    name: str,
    solvers: Mapping[str, Solve],
    instances: Sequence[Instance],
    cap: float,
    seen: Callable[[int], None] = lambda _: None,
) -> Family:
    """Every solver on every instance, instance by instance so that load hits all alike."""
    seconds: dict[str, list[float | None]] = {each: [] for each in solvers}
    for index, instance in enumerate(instances):
        for each, solve in solvers.items():
            seconds[each].append(run_capped(solve, instance, cap))
        seen(index)
    return Family(name, cap, {each: tuple(times) for each, times in seconds.items()})


def sat_family(count: int, cap: float, seen: Callable[[int], None]) -> Family:
    """``count`` random 3-SAT instances of 120 to 230 variables, six solvers."""
    sizes = random.Random(0)
    instances = [random_3sat(sizes.randint(120, 230), seed) for seed in range(count)]
    solvers = {each: sat_solver(each) for each in SAT_SOLVERS}
    return measure("random 3-SAT", solvers, instances, cap, seen)


def milp_family(count: int, cap: float, seen: Callable[[int], None]) -> Family:
    """``count`` knapsacks of 5 dimensions and 20 to 45 items, HiGHS under five settings."""
    sizes = random.Random(1)
    instances = [random_knapsack(sizes.randint(20, 45), 5, seed) for seed in range(count)]
    solvers = {each: highs_solver(options) for each, options in MILP_SETTINGS.items()}
    return measure("knapsack MILP", solvers, instances, cap, seen)


def save(families: Iterable[Family], path: Path, command: str) -> None:
    """Write the families with where they come from."""
    rows = [
        {
            "name": family.name,
            "cap": family.cap,
            "seconds": {
                each: [None if t is None else round(t, 5) for t in times]
                for each, times in family.seconds.items()
            },
        }
        for family in families
    ]
    provenance = {
        "command": command,
        "clock": "CPU seconds of the solving child, building of the model included",
        "cpu": platform.machine(),
        "cores": os.cpu_count(),
        "load over 1, 5, 15 minutes, at the end": [round(each, 2) for each in os.getloadavg()],
        "versions": {each: version(each) for each in ("python-sat", "highspy")},
        "python": platform.python_version(),
    }
    path.write_text(json.dumps({"provenance": provenance, "families": rows}) + "\n", "utf-8")


def main(count: int = 80, cap: float = 2.0) -> None:
    """Measure both families anew and replace the stored file (some ten minutes of CPU)."""

    def seen(index: int) -> None:
        print(f"\rinstance {index + 1} of {count}", end="", flush=True)

    path = Path(str(files("meritree.studies.value").joinpath(DATA)))
    families: list[Family] = []
    for family in (sat_family, milp_family):
        families.append(family(count, cap, seen))
        save(families, path, "python -m meritree.studies.value.solver_runs")


if __name__ == "__main__":
    main()
