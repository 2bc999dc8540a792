"""How well repair tasks scale over workers, and what 500 tasks would take on 100 machines.

    python benchmarks/cluster.py [--engines local,ray] [--workers 1,2] [--tasks 8] [--repeats 3]

Measured: the same tasks (`meritree fix` on small generated repositories, nothing shared) by each
engine with each number of workers; wall-clock seconds, and the efficiency T(1) / (n T(n)). Every
engine must give the same patches. Then a plan is checked by simulation: tasks with the durations
of the stored real-bug runs on machines that start late, copy the repository, and die at random;
what a dead machine had under way is begun again on another one.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from meritree.run.commit import commit
from meritree.run.engines import Here, Processes, Ray
from meritree.swe.result import FixOptions

RESULTS = Path(__file__).parent / "results"
CODE = """
def clamp_{k}(x, low, high):
    if x < low:
        return low
    if x > high:
        return low
    return x


def scaled_{k}(values, low, high):
    return [clamp_{k}(v, low, high) * {k} for v in values]
"""
TESTS = """
from shop import clamp_{k}, scaled_{k}

def test_clamp(): assert [clamp_{k}(x, 0, 5) for x in (-1, 0, 3, 5, 9, 12)] == [0, 0, 3, 5, 5, 5]
def test_other(): assert [clamp_{k}(x, 2, 7) for x in (0, 8, 100)] == [2, 7, 7]
def test_scaled(): assert scaled_{k}([1, 9], 0, 5) == [{k}, 5 * {k}]
def test_low(): assert clamp_{k}(-3, -2, 0) == -2
"""


def repair(number: int) -> str:
    """Generate a repository with a fault, repair it, and return the patch."""
    from meritree.swe.fix import fix

    with tempfile.TemporaryDirectory(prefix="meritree-cluster-") as scratch:
        repo = Path(scratch) / "shop"
        repo.mkdir()
        (repo / "shop.py").write_text(CODE.format(k=number + 1))
        (repo / "test_shop.py").write_text(TESTS.format(k=number + 1))
        options = FixOptions(repo, budget_tests=60, out=Path(scratch) / "out", sandbox="rlimits")
        result = fix(options)
        return result.candidates[0].patch if result.candidates else result.status


def measured(engines: Sequence[str], workers: Sequence[int], tasks: int, repeats: int) -> Any:
    """Seconds of every engine and number of workers; all answers must agree."""
    rows, answers = [], None
    for name in engines:
        for count in workers:
            if name == "ray":
                engine: Any = Ray(count)
                list(engine.each(repair, range(count)))  # workers start once
            else:
                engine = Here() if count == 1 else Processes(count)
            seconds = []
            for _ in range(repeats):
                started = time.monotonic()
                found = dict(engine.each(repair, range(tasks)))
                seconds.append(round(time.monotonic() - started, 2))
                answers = answers or found
                if found != answers:
                    raise SystemExit(f"{name} with {count} workers gave other patches")
            rows.append({"engine": name, "workers": count, "seconds": seconds})
            print(rows[-1], flush=True)
    for row in rows:
        alone = next(r for r in rows if r["engine"] == row["engine"] and r["workers"] == 1)
        ratio = statistics.median(alone["seconds"]) / statistics.median(row["seconds"])
        row["efficiency"] = round(ratio / row["workers"], 3)
    return rows


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is assumed of the machines.

    Attributes:
        machines: how many, one task at a time each.
        start: seconds until a machine takes its first task, uniform in 0 ... 2 x this.
        copy: seconds to fetch one repository and its environment.
        hand_over: seconds of the one driver for each task handed out or taken back.
        failures: chance that a machine dies in an hour.
        replace: seconds until another machine takes a dead one's place.
    """

    machines: int = 100
    start: float = 60.0
    copy: float = 20.0
    hand_over: float = 0.05
    failures: float = 0.02
    replace: float = 180.0


def simulate(durations: Sequence[float], cluster: Cluster, seed: int) -> dict[str, float]:
    """Hours until all tasks are done; machine hours used, lost to deaths, and retries."""
    chance = random.Random(seed)
    todo = list(durations)
    chance.shuffle(todo)
    free = [(chance.uniform(0, 2 * cluster.start), n) for n in range(cluster.machines)]
    heapq.heapify(free)
    driver = done = used = lost = 0.0
    retries = 0
    while todo:
        at, machine = heapq.heappop(free)
        task = todo.pop()
        begin = driver = max(at, driver) + cluster.hand_over
        length = cluster.copy + task
        rate = cluster.failures / 3600.0
        death = chance.expovariate(rate) if rate else float("inf")
        if death < length:
            lost, retries = lost + death, retries + 1
            todo.append(task)
            heapq.heappush(free, (begin + death + cluster.replace, machine))
            continue
        end = begin + length
        used += task
        done = max(done, end)
        heapq.heappush(free, (end, machine))
    return {
        "hours": done / 3600,
        "efficiency": used / (cluster.machines * done),
        "machine hours lost": lost / 3600,
        "retries": retries,
    }


def plan(tasks: int, machines: int, seeds: int) -> dict[str, Any]:
    """The plan at several rates of failure, durations drawn from the stored runs."""
    stored = json.loads((RESULTS / "histories.json").read_text())["validation_best_first"]
    rate = stored["median_evaluations_per_second"]
    # Search at the median rate, at most its 120 s, and about 15 s around it (tests, checks).
    known = [min(120.0, case["evaluations"] / rate) + 15.0 for case in stored["cases"]]
    rows = []
    for failures in (0.0, 0.02, 0.5):
        cluster = Cluster(machines=machines, failures=failures)
        runs = []
        for seed in range(seeds):
            durations = random.Random(seed).choices(known, k=tasks)
            runs.append(simulate(durations, cluster, seed))
        rows.append(
            {
                "deaths per machine and hour": failures,
                **{k: round(statistics.mean(r[k] for r in runs), 3) for k in runs[0]},
                "longest hours": round(max(r["hours"] for r in runs), 3),
            }
        )
        print(rows[-1], flush=True)
    alone = (sum(known) / len(known) + Cluster().copy) * tasks / 3600
    return {
        "tasks": tasks,
        "seeds": seeds,
        "assumed": asdict(Cluster(machines=machines)),
        "durations": f"drawn from {len(known)} stored runs, mean {statistics.mean(known):.0f} s",
        "one machine, hours": round(alone, 2),
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", default="local,ray")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=200, help="of the simulation")
    parser.add_argument("--out", type=Path, default=RESULTS / "cluster.json")
    given = parser.parse_args()
    load = [round(x, 1) for x in os.getloadavg()]
    counts = [int(n) for n in given.workers.split(",")]
    rows = measured(given.engines.split(","), counts, given.tasks, given.repeats)
    result = {
        "command": f"python benchmarks/cluster.py --tasks {given.tasks} --repeats {given.repeats}",
        "commit": commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "load": {"before": load, "after": [round(x, 1) for x in os.getloadavg()]},
        "unit": "wall-clock seconds for all tasks; same patches by all engines",
        "rows": rows,
        "plan": plan(500, 100, given.seeds),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
