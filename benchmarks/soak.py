"""Thousands of small repairs in one process: does anything grow, is anything left behind?

    python benchmarks/soak.py [--tasks 2000] [--parallel 2] [--every 20] [--python PYTHON]

Of ten repositories five have a fault in reach, one has a fault beyond the budget, two have none;
one run is interrupted and resumed, one repository's test leaves a daemon, a socket, a thread and
files behind. The file is written after every sample. Exit code 1 when something is left or fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from meritree.bench.provenance import provenance
from meritree.bench.soak import run


def show(result: dict[str, Any]) -> None:
    last = result["samples"][-1]
    print(
        f"{last['tasks']:6} tasks {last['seconds']:8.1f} s  {last['rss'] / 2**20:6.1f} MiB  "
        f"{last['descriptors']:3} descriptors  {last['processes']} processes  "
        f"{last['temporary']} temporary files",
        file=sys.stderr,
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--every", type=int, default=20, help="tasks between two samples")
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--python", type=Path, help="interpreter of the repositories' tests")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first task")
    parser.add_argument("--plain", action="store_true", help="tests are a program, not pytest's")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "soak.json")
    options = parser.parse_args()
    command = (
        f"python benchmarks/soak.py --tasks {options.tasks} --parallel {options.parallel} "
        f"--every {options.every} --sandbox {options.sandbox} --seed {options.seed}"
        + (f" --first {options.first}" if options.first else "")
        + (" --plain" if options.plain else "")
        + (" --python PYTHON" if options.python else "")
    )
    where = provenance(command, seeds=f"{options.seed} + number of the task")
    options.out.parent.mkdir(parents=True, exist_ok=True)

    def keep(result: dict[str, Any]) -> None:
        show(result)
        text = json.dumps({"provenance": where, **result}, indent=1)
        options.out.write_text(text + "\n", "utf-8")

    result = run(
        options.tasks,
        parallel=options.parallel,
        every=options.every,
        sandbox=options.sandbox,
        python=options.python,
        seed=options.seed,
        first=options.first,
        plain=options.plain,
        said=keep,
    )
    shown = {key: value for key, value in result.items() if key not in ("samples", "start")}
    print(json.dumps(shown, indent=1))
    clean = not any(result["left_behind"].values())
    odd = [status for status in result["statuses"] if "left" in status or "error" in status]
    return 0 if clean and not odd else 1


if __name__ == "__main__":
    sys.exit(main())
