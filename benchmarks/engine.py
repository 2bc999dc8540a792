"""Nodes per CPU second and bytes per node of the search engine, with and without the journal.

    python benchmarks/engine.py [--largest 100000] [--repeats 3] [--peers]

Values are random and free, so only the engine is timed: ask, (append to the journal,) tell.
`--peers` installs TreeQuest from the package index into a throw-away environment and times it
in the same run. Prints a table; writes JSON with command, commit and machine class.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import venv
from pathlib import Path
from typing import Any

from meritree.run.journal import Journal
from meritree.search import Child, MaxExpansions, Mean, SearchTree, Strategy, make_strategy
from meritree.search.selectors import UCT
from meritree.value.estimate import Estimate

STRATEGIES = {
    "uct (3 children)": lambda: Strategy("uct", UCT(), Mean(), MaxExpansions(3)),
    "swe-search-paper": lambda: make_strategy("swe-search-paper"),
    "swe-search-dev": lambda: make_strategy("swe-search-dev"),
    "swe-search-moatless": lambda: make_strategy("swe-search-moatless"),
}

TREEQUEST = """
import random, sys, time
import treequest as tq
for n in map(int, sys.argv[1:]):
    rng = random.Random(0)
    algo = tq.StandardMCTS()
    state = algo.init_tree()
    make = {"a": lambda parent: ("s", rng.random())}
    start = time.process_time()
    for _ in range(n):
        state = algo.step(state, make)
    print(n, n / (time.process_time() - start))
"""


def grow(strategy: Strategy, nodes: int, journal: Journal | None) -> SearchTree:
    """Grow a tree of this many nodes with values drawn from seed 0."""
    engine, rng = SearchTree(strategy), random.Random(0)
    engine.start("root", Estimate(0.5))
    for number in range(1, nodes):
        ticket = engine.ask()
        if ticket is None:
            raise SystemExit(f"{strategy.name}: nothing to expand after {number} nodes")
        value = rng.random()
        if journal is not None:
            journal.append(
                "tell", {"ticket": ticket.id, "node": ticket.node, "key": number, "mean": value}
            )
        engine.tell(ticket, Child(number, None, Estimate(value)))
    return engine


def rate(name: str, nodes: int, with_journal: bool, repeats: int) -> float:
    """Median nodes per CPU second over the repeats."""
    rates = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            journal = Journal.create(Path(folder) / "run.db", {}) if with_journal else None
            start = time.process_time()
            grow(STRATEGIES[name](), nodes, journal)
            rates.append(nodes / (time.process_time() - start))
            if journal is not None:
                journal.close()
    return statistics.median(rates)


def bytes_per_node(name: str, nodes: int = 2000) -> float:
    """Memory allocated while growing, the scheduler's included, over the nodes."""
    tracemalloc.start()
    try:
        engine = grow(STRATEGIES[name](), nodes, None)
        return tracemalloc.get_traced_memory()[0] / len(engine.tree)
    finally:
        tracemalloc.stop()


def treequest(sizes: list[int]) -> dict[str, float]:
    """Nodes per CPU second of TreeQuest's StandardMCTS, installed for this run only."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", "treequest"], check=True)
        command = [python, "-c", TREEQUEST, *map(str, sizes)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {n: float(r) for n, r in (line.split() for line in done.stdout.splitlines())}


def provenance(repeats: int) -> dict[str, Any]:
    """What is needed to repeat the run."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "command": "python benchmarks/engine.py " + " ".join(sys.argv[1:]),
        "commit": commit.stdout.strip() or None,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "repeats": repeats,
        "unit": "nodes per CPU second, median of the repeats",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "engine.json"
    )
    options = parser.parse_args()
    sizes = [n for n in (100, 1000, 10_000, 100_000) if n <= options.largest]
    rows = []
    for name in STRATEGIES:
        for with_journal in (False, True):
            found = {
                str(n): round(rate(name, n, with_journal, 1 if n > 10_000 else options.repeats))
                for n in sizes
            }
            rows.append({"strategy": name, "journal": with_journal, "nodes_per_cpu_s": found})
            print(f"{name:22} journal={with_journal!s:5}", found, flush=True)
    memory = {name: round(bytes_per_node(name)) for name in STRATEGIES}
    print("bytes per node", memory, flush=True)
    result: dict[str, Any] = {**provenance(options.repeats), "rows": rows, "bytes_per_node": memory}
    if options.peers:
        peers = treequest([100, 300, 1000])
        result["peers"] = {
            "treequest StandardMCTS, step()": {n: round(r) for n, r in peers.items()}
        }
        print("treequest", result["peers"])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
