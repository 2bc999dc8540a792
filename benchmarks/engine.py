"""Nodes per CPU second and bytes per node of the search engine, and of its peers in the same run.

    python benchmarks/engine.py [--largest 100000] [--repeats 5] [--peers PYTHON]

Values are random and free, so only the engine is timed: ask, (append to the journal,) tell.
``--peers`` names the interpreter of an environment with ``treequest`` and ``mini-swe-agent`` from
the package index, for instance

    python -m venv peers && peers/bin/pip install treequest mini-swe-agent
    python benchmarks/engine.py --peers peers/bin/python

A peer that is not installed there is named as missing. Every timing is process CPU time; a fixed
pure-Python loop is timed beside each, because machines that are shared change their speed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meritree.run.commit import commit
from meritree.run.journal import Journal
from meritree.search import (
    Child,
    MaxExpansions,
    Mean,
    SearchTree,
    Strategy,
    features,
    make_strategy,
)
from meritree.search.features import FileFacts, SweFeatures
from meritree.search.selectors import UCT
from meritree.value.estimate import Estimate

TOLD = "swe-search-moatless, files told"
STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "uct, 3 children": lambda: Strategy("uct", UCT(), Mean(), MaxExpansions(3)),
    "uct": lambda: make_strategy("uct"),
    "puct": lambda: make_strategy("puct"),
    "best-first": lambda: make_strategy("best-first"),
    "beam": lambda: make_strategy("beam"),
    "best-of-n": lambda: make_strategy("best-of-n"),
    "swe-search-paper": lambda: make_strategy("swe-search-paper"),
    "swe-search-dev": lambda: make_strategy("swe-search-dev"),
    "swe-search-moatless": lambda: make_strategy("swe-search-moatless"),
    f"{TOLD}, sample 4": lambda: make_strategy("swe-search-moatless", sample=4),
    f"{TOLD}, sample 16": lambda: make_strategy("swe-search-moatless", sample=16),
}
PATHS = tuple(f"package/module_{i}.py" for i in range(6))


class Files:
    """A code world for the diversity term: six files, views and edits, every patch another one."""

    def __init__(self) -> None:
        self._rng = random.Random(1)

    def child(self, parent: SweFeatures) -> SweFeatures:
        """The parent's facts with one file viewed or patched (even chances)."""
        rng = self._rng
        path = rng.choice(PATHS)
        old = parent.files.get(path, FileFacts())
        edit = rng.random() < 0.5
        facts = FileFacts(
            old.spans | {rng.choice("abcdefgh")}, self._patch() if edit else old.patch
        )
        kind = "StringReplace" if edit else "ViewCode"
        return SweFeatures(kind, files={**parent.files, path: facts})

    def _patch(self) -> str:
        draw = self._rng.randrange
        line = draw(300)
        return (
            f"@@ -{line},3 +{line},3 @@\n     total = 0\n-    for x in items[{draw(9)}:]:\n"
            f"+    for x in rows[{draw(99)}:-{draw(9)}]:\n"
        )


def plan(nodes: int) -> list[SweFeatures]:
    """One set of facts a node, made before the clock starts (parents drawn at random)."""
    world, rng, facts = Files(), random.Random(2), [SweFeatures()]
    for _ in range(nodes):
        facts.append(world.child(facts[rng.randrange(max(0, len(facts) - 200), len(facts))]))
    return facts


def grow(
    strategy: Strategy, nodes: int, journal: Journal | None, told: list[SweFeatures] | None = None
) -> SearchTree:
    """Grow a tree of this many nodes with values drawn from seed 0 and priors ~ 1 / rank."""
    engine, rng = SearchTree(strategy), random.Random(0)
    engine.start("root", Estimate(0.5), features=told[0] if told else None)
    raw = engine.tree.raw
    for number in range(1, nodes):
        ticket = engine.ask()
        if ticket is None:
            raise SystemExit(f"{strategy.name}: nothing to expand after {number} nodes")
        value = rng.random()
        rank = raw[ticket.node].expansions + 1
        if journal is not None:
            journal.append(
                "tell", {"ticket": ticket.id, "node": ticket.node, "key": number, "mean": value}
            )
        child = Child(
            number,
            None,
            Estimate(value),
            0.2 / rank,
            next_prior=0.2 / (rank + 1),
            features=told[number] if told else None,
        )
        engine.tell(ticket, child)
    return engine


def calibrate() -> float:
    """Million turns a CPU second of a fixed pure-Python loop."""
    start, total = time.process_time(), 0.0
    for i in range(200_000):
        total += i * 0.5
    return 0.2 / (time.process_time() - start)


def forget_similarities() -> None:
    """Empty the cache of text similarities that all searches of a process share."""
    features._ratio.cache_clear()


def rates(name: str, nodes: int, with_journal: bool, repeats: int) -> dict[str, float]:
    """Nodes per CPU second, median and best of the repeats, and the loop's speed beside them."""
    found, loops = [], []
    told = plan(nodes) if name.startswith(TOLD) else None
    for _ in range(repeats):
        forget_similarities()  # else every repeat but the first would find them all known
        loops.append(calibrate())
        with tempfile.TemporaryDirectory() as folder:
            journal = Journal.create(Path(folder) / "run.db", {}) if with_journal else None
            start = time.process_time()
            grow(STRATEGIES[name](), nodes, journal, told)
            found.append(nodes / (time.process_time() - start))
            if journal is not None:
                journal.close()
    return {
        "median": round(statistics.median(found)),
        "best": round(max(found)),
        "loop": round(statistics.median(loops), 1),
    }


def bytes_per_node(name: str, nodes: int = 10_000) -> int:
    """Memory allocated while growing, the scheduler's included, over the nodes.

    The cache of text similarities that all searches of a process share (at most 2 MB) counts too.
    """
    forget_similarities()
    told = plan(nodes) if name.startswith(TOLD) else None
    tracemalloc.start()
    try:
        engine = grow(STRATEGIES[name](), nodes, None, told)
        return round(tracemalloc.get_traced_memory()[0] / len(engine.tree))
    finally:
        tracemalloc.stop()


def peers(python: str | None, largest: int) -> dict[str, Any]:
    """What `engine_peers.py` measures in another environment; which peers are missing there."""
    if python is None:
        return {"missing": "no --peers PYTHON was given: treequest, mini-swe-agent not measured"}
    script = Path(__file__).with_name("engine_peers.py")
    done = subprocess.run(
        [python, str(script), str(largest)], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def provenance(options: argparse.Namespace) -> dict[str, Any]:
    """What is needed to repeat the run (but for the paths of this machine)."""
    peers_option = " --peers PYTHON" if options.peers else ""
    return {
        "command": f"python benchmarks/engine.py --largest {options.largest} "
        f"--repeats {options.repeats}{peers_option}",
        "commit": commit(),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": [round(x, 1) for x in os.getloadavg()],
        "seeds": "values 0, facts 1 and 2",
        "repeats": f"{options.repeats} (1 above 10000 nodes)",
        "unit": "nodes per CPU second; loop: million turns a CPU second of `calibrate`",
    }


def write(out: Path, result: dict[str, Any]) -> None:
    """Store what is measured so far."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has the peers")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "engine.json"
    )
    options = parser.parse_args()
    result: dict[str, Any] = provenance(options)
    sizes = [n for n in (100, 1000, 10_000, 100_000) if n <= options.largest]
    result["peers"] = peers(options.peers, min(options.largest, 1000))
    print("peers", json.dumps(result["peers"], indent=1), flush=True)
    result["rows"] = rows = []
    for name in STRATEGIES:
        for with_journal in (False, True):
            found = {
                str(n): rates(name, n, with_journal, 1 if n > 10_000 else options.repeats)
                for n in sizes
            }
            rows.append({"strategy": name, "journal": with_journal, "nodes_per_cpu_s": found})
            medians = {n: found[n]["median"] for n in found}
            print(f"{name:42} journal={with_journal!s:5} {medians}", flush=True)
            write(options.out, result)
    result["bytes_per_node"] = {name: bytes_per_node(name) for name in STRATEGIES}
    print("bytes per node", result["bytes_per_node"], flush=True)
    result["load_at_end"] = [round(x, 1) for x in os.getloadavg()]
    write(options.out, result)


if __name__ == "__main__":
    main()
