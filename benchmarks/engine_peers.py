"""Steps per CPU second of TreeQuest and mini-swe-agent; run by `engine.py` in their environment.

Imports nothing of ours. Values are random and free; mini-swe-agent's model is its own
deterministic one and its environment does nothing, so only the programs themselves are timed.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES = (100, 300, 1000)


def version(package: str) -> str | None:
    """The installed version, None if the package is missing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def treequest(algorithm: str, nodes: int, inplace: bool) -> None:
    """Grow a tree with one action and random scores."""
    import treequest as tq

    rng = random.Random(0)
    search = getattr(tq, algorithm)()
    state = search.init_tree()
    actions = {"a": lambda parent: ("state", rng.random())}
    for _ in range(nodes):
        state = search.step(state, actions, inplace=inplace)


class Nothing:
    """An environment in which every command succeeds at once."""

    config: Any = None

    def execute(self, action: dict[str, Any], cwd: str = "") -> dict[str, Any]:
        return {"output": "", "returncode": 0, "exception_info": ""}

    def get_template_vars(self, **_: Any) -> dict[str, Any]:
        return {}

    def serialize(self) -> dict[str, Any]:
        return {}


def mini(steps: int, path: Path | None) -> None:
    """Run the default agent for this many steps; ``path`` saves the trajectory at each."""
    from minisweagent.agents.default import DefaultAgent
    from minisweagent.models.test_models import DeterministicModel, make_output

    outputs = [make_output("go on", [{"command": "true"}], cost=0.0) for _ in range(steps)]
    agent = DefaultAgent(
        DeterministicModel(outputs=outputs, cost_per_call=0.0),
        Nothing(),
        system_template="system",
        instance_template="{{task}}",
        step_limit=steps,
        cost_limit=0.0,
        output_path=path,
    )
    agent.run("task")
    if agent.n_calls != steps:
        raise SystemExit(f"mini-swe-agent made {agent.n_calls} of {steps} steps")


def timed(work: Callable[[int], None], largest: int) -> dict[str, int]:
    """Steps per CPU second at each size; imports are done before the clock starts."""
    work(2)
    found = {}
    for size in (n for n in SIZES if n <= largest):
        start = time.process_time()
        work(size)
        found[str(size)] = round(size / (time.process_time() - start))
    return found


def main(largest: int) -> dict[str, Any]:
    result: dict[str, Any] = {"unit": "nodes (steps of the agent) per CPU second, one run"}
    if (found := version("treequest")) is None:
        result["treequest"] = "missing: pip install treequest"
    else:
        result["treequest"] = {"version": found}
        for algorithm in ("StandardMCTS", "ABMCTSA"):
            for name, inplace in (("step()", False), ("step(inplace=True)", True)):
                result["treequest"][f"{algorithm}, {name}"] = timed(
                    lambda n, a=algorithm, i=inplace: treequest(a, n, i), largest
                )
    if (found := version("mini-swe-agent")) is None:
        result["mini-swe-agent"] = "missing: pip install mini-swe-agent"
    else:
        result["mini-swe-agent"] = {
            "version": found,
            "not saving": timed(lambda n: mini(n, None), largest),
        }
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trajectory.json"
            result["mini-swe-agent"]["saving each step"] = timed(lambda n: mini(n, path), largest)
    return result


if __name__ == "__main__":
    os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")
    os.environ.setdefault("MSWEA_GLOBAL_CONFIG_DIR", tempfile.mkdtemp(prefix="peer-config-"))
    print(json.dumps(main(int(sys.argv[1]))))
