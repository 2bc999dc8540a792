"""What each extra costs: packages, megabytes on disk, CPU seconds of its first import.

    python benchmarks/install.py --wheel WHEEL [--extras llm,bench,...] [--out FILE]

Each extra is installed by pip into a new virtual environment with the pins of constraints.txt; the
size is that of its site-packages, pip itself excepted; the import is the median of
five processes, each of which imports the modules named beside it. CPU time, not wall-clock. Rows of
extras that are not asked for stay in FILE, with their date and commit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import venv
from pathlib import Path
from typing import Any

from meritree.bench.provenance import provenance

ROOT = Path(__file__).parents[1]
# What is imported to use an extra; the core is the command line with the repair.
IMPORTS = {
    "": "meritree.cli.app, meritree.swe.fix",
    "llm": "meritree.respond.openai_chat",
    "bench": "meritree.bench.repair",
    "values": "meritree.objectives, meritree.value",
    "studies": "meritree.studies.runner, sklearn, arch",
    "swebench": "pyarrow.parquet",
    "rl": "meritree.rl",
    "gym": "meritree.rl, gymnasium, mujoco, ale_py",
    "align": "meritree.align.prefer",
    "lora": "meritree.align.prefer, peft",
    "trl": "trl",
    "ray": "ray",
    "mini": "minisweagent.agents.default, minisweagent.models.litellm_model",
    "docs": "mkdocs.commands.build",
}
REPEATS = 5


def measured(extra: str, wheel: Path, folder: Path) -> dict[str, Any]:
    """Install one extra and look at what came; a row of the table."""
    place = folder / (extra or "core")
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    wanted = f"meritree[{extra}] @ {wheel.resolve().as_uri()}" if extra else str(wheel)
    pip = [str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*pip, wanted], check=True, env=env)
    subprocess.run(
        [str(python), "-m", "pip", "check"], check=True, env=env, stdout=subprocess.DEVNULL
    )
    listed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format", "json"],
        check=True, env=env, capture_output=True, text=True,
    )  # fmt: skip
    versions = {one["name"].lower(): one["version"] for one in json.loads(listed.stdout)}
    packages = set(versions) - {"pip", "setuptools"}
    home = next(place.glob("lib/python*/site-packages"))
    files = [path for path in home.rglob("*") if path.is_file() and not _of_pip(path, home)]
    size = sum(path.stat().st_size for path in files)
    code = f"import {IMPORTS[extra]}"
    seconds = [cpu([str(python), "-c", code], env, folder) for _ in range(REPEATS + 1)]
    return {
        "extra": extra, "packages": len(packages), "megabytes": round(size / 1e6),
        "imports": IMPORTS[extra], "import_cpu_s": round(statistics.median(seconds[1:]), 2),
        "import_cpu_s_all": [round(one, 3) for one in seconds[1:]],
        "torch": versions.get("torch"),  # its builds for processors are gigabytes smaller
    }  # fmt: skip


def _of_pip(path: Path, home: Path) -> bool:
    return path.relative_to(home).parts[0].split("-")[0] in ("pip", "setuptools")


def cpu(command: list[str], env: dict[str, str], cwd: Path) -> float:
    """User and system seconds of one process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=env, cwd=cwd, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Measure the extras that were asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--wheel", type=Path, required=True, metavar="WHEEL")
    parser.add_argument("--extras", default=",".join(IMPORTS), help="comma-separated; '' is core")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "benchmarks" / "results" / "install.json"
    )
    options = parser.parse_args()
    document = {
        **provenance("python benchmarks/install.py --wheel WHEEL"),
        "repeats": REPEATS,
        "unit": "megabytes of site-packages without pip; CPU seconds of one import, median",
    }
    rows = _kept(options.out)
    for extra in options.extras.split(","):
        with tempfile.TemporaryDirectory() as folder:
            row = measured(extra, options.wheel, Path(folder))
        row |= {"date": document["date"], "commit": document["commit"]}
        rows[extra] = row
        document["load_at_end"] = [round(one, 1) for one in os.getloadavg()]
        document["rows"] = [rows[each] for each in IMPORTS if each in rows]
        print(json.dumps(row), flush=True)
        options.out.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def _kept(out: Path) -> dict[str, dict[str, Any]]:
    """The rows of an earlier run by their extra: each extra may be measured anew for itself."""
    if not out.exists():
        return {}
    stored = json.loads(out.read_text("utf-8"))
    since = {"date": stored["date"], "commit": stored["commit"]}
    return {row["extra"]: {**since, **row} for row in stored["rows"]}


if __name__ == "__main__":
    main()
