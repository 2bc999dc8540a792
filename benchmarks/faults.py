"""The journal under fire, as a table of faults survived.

    python benchmarks/faults.py [--points 500] [--fixes 24] [--json] [--out FILE]

Kills at every event boundary, kills inside writes, full and read-only disks, cut and changed
files, jumping clocks, several writers; then the real `meritree fix`, killed and resumed. Small
disks are mounted where that is allowed. Exit code 1 when a fault was not survived.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from meritree.bench.faults import document, measure, table
from meritree.bench.provenance import provenance


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=500, help="faults of the journal, about")
    parser.add_argument("--fixes", type=int, default=24, help="kills of `meritree fix`; 0: none")
    parser.add_argument("--python", type=Path, help="interpreter of the repaired repository")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where it happens (temporary files' disk)")
    parser.add_argument("--json", action="store_true", help="print the document, not the table")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "faults.json"
    )
    options = parser.parse_args()
    command = (
        f"python benchmarks/faults.py --points {options.points} --fixes {options.fixes} "
        f"--seed {options.seed}" + (" --python PYTHON" if options.python else "")
    )
    where = provenance(command, seeds=str(options.seed))
    rows = measure(
        options.points,
        fixes=options.fixes,
        python=options.python,
        seed=options.seed,
        folder=options.folder,
        said=lambda row: print(f"{row.survived} of {row.points}  {row.fault}", file=sys.stderr),
    )
    result = {"provenance": where, **document(rows)}
    text = json.dumps(result, indent=1) + "\n"
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, "utf-8")
    print(text if options.json else table(rows))
    return 0 if result["points"] == result["survived"] else 1


if __name__ == "__main__":
    sys.exit(main())
