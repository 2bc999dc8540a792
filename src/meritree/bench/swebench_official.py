"""The official SWE-bench harness as a program beside us: called where it can run, else named.

It needs the package `swebench` and a Docker daemon. Knows predictions and rows, no search.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meritree.bench.swebench_data import Instance
from meritree.errors import MeritreeError


@dataclass(frozen=True, slots=True)
class Official:
    """A call of the harness.

    Attributes:
        python: interpreter that has the package.
        folder: where it runs and leaves its logs.
        run_id: names the run; of the folder, so that a second call goes on.
        workers: containers at once.
    """

    python: Path
    folder: Path
    run_id: str
    workers: int = 1

    def command(self) -> list[str]:
        """The command line, to be run in ``folder``."""
        return [
            str(self.python), "-m", "swebench.harness.run_evaluation",
            "--dataset_name", "dataset.json",
            "--split", "test",
            "--predictions_path", "predictions.json",
            "--max_workers", str(self.workers),
            "--run_id", self.run_id,
        ]  # fmt: skip

    def shown(self) -> str:
        """The command line for people."""
        return f"cd {shlex.quote(str(self.folder))} && {shlex.join(self.command())}"


def missing(python: Path) -> str:
    """Why the harness cannot run here; empty where it can."""
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('swebench') is None)"
    try:
        found = subprocess.run([str(python), "-c", code], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{python} cannot be started: {error}"
    if found.returncode:
        return f"the package swebench is not installed for {python} (pip install swebench)"
    docker = shutil.which("docker")
    if docker is None:
        return "Docker is not installed (no program `docker`)"
    try:
        answer = subprocess.run([docker, "info"], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"Docker does not answer: {error}"
    if answer.returncode:
        lines = answer.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"Docker does not answer: {lines[-1] if lines else 'docker info failed'}"
    return ""


def write_inputs(
    official: Official, instances: Sequence[Instance], predictions: Mapping[str, Any]
) -> None:
    """Write the chosen rows, as they stood, and the predictions for them."""
    official.folder.mkdir(parents=True, exist_ok=True)
    rows = [dict(one.row) for one in instances if one.id in predictions]
    (official.folder / "dataset.json").write_text(json.dumps(rows, default=str), "utf-8")
    (official.folder / "predictions.json").write_text(json.dumps(dict(predictions)), "utf-8")


def evaluate(official: Official, model: str) -> dict[str, bool]:
    """Run the harness to its end; return instance -> resolved, for those that it completed.

    Raises:
        MeritreeError: it failed, or left no report.
    """
    log = official.folder / "harness.log"
    with log.open("wb") as stream:
        done = subprocess.run(
            official.command(), cwd=official.folder, stdout=stream, stderr=subprocess.STDOUT
        )
    if done.returncode:
        raise MeritreeError(
            f"the official harness ended with {done.returncode}; its words are in {log}; "
            f"to try again: {official.shown()}"
        )
    name = f"{model.replace('/', '__')}.{official.run_id}.json"
    try:
        report = json.loads((official.folder / name).read_text("utf-8"))
        resolved = set(report["resolved_ids"])
        completed = [*report["resolved_ids"], *report["unresolved_ids"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MeritreeError(
            f"the official harness left no readable report {name} ({error!r}); see {log}"
        ) from None
    return {one: one in resolved for one in completed}
