"""Environment steps learned from per CPU second: our trainers and Stable-Baselines3.

    python benchmarks/rl.py [--repeats 3] [--kinds ppo,dqn,ppo-breakout,dqn-breakout]
                            [--steps KIND=N] [--peer-python PATH]

On CartPole, and on MinAtar's Breakout: gymnax's for us, the game's own package for them.

Same networks, batches, step sizes and schedules; each run is a process of its own with one thread,
ours and theirs in turns. Counted is the CPU time of learning; what JAX compiles first stands apart.
Every observation is consumed by a policy or a value network, none is thrown away unread. The
interpreter of ``--peer-python`` must have stable-baselines3 (``pip install --no-deps`` beside torch
and gymnasium; for Breakout also minatar). Prints a table; what benchmarks/results/rl.json holds of
other kinds stays there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from meritree.run.commit import commit

HERE = Path(__file__).parent
STEPS = {"ppo": 100_000, "dqn": 50_000, "ppo-breakout": 20_480, "dqn-breakout": 16_000}
# NPROC is what bounds XLA's pool of workers: its flags leave it a worker a core, and handing small
# operations from one to the other costs more CPU time than they do.
QUIET = {
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NPROC": "1", "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}  # fmt: skip
DIFFERENCES = (
    "our actor and critic have optimisers, and gradient norms to clip, of their own; CartPole is "
    "gymnax's, theirs gymnasium's; Breakout is gymnax's, theirs the numpy game of minatar 1.0.15 "
    "without sticky actions and rising difficulty; both bootstrap episodes that are cut short; "
    "DQN's 1000 steps before learning are among their steps, in which nothing is learned, and not "
    "among ours"
)


def learner(kind: str, steps: int) -> Any:
    """Our trainer with the numbers of `rl_peer.py`."""
    from functools import partial

    import optax

    from meritree.objectives import regression
    from meritree.rl.envs import Gymnax
    from meritree.rl.nets import MinAtarTorso
    from meritree.rl.on_policy import on_policy_trainer
    from meritree.rl.optimizers import flattened
    from meritree.rl.value_based.chain import TargetChain
    from meritree.rl.value_based.trainer import value_trainer
    from meritree.value.heads import Scalar

    kind, _, game = kind.partition("-")
    env = Gymnax("Breakout-MinAtar" if game else "CartPole-v1")
    if kind == "ppo":
        torsos = {"actor": MinAtarTorso(), "critic": MinAtarTorso()} if game else {}
        return on_policy_trainer(env, **torsos, steps=steps, n_env=4, rollout=128, windows=10)
    return value_trainer(
        env, net=MinAtarTorso() if game else None,
        head=Scalar(partial(regression.huber, delta=1.0)), steps=steps, n_env=8, batch=32,
        warmup=1000, gamma=0.99, chain=TargetChain(shift=200), windows=10,
        optimizer=flattened(optax.chain(optax.clip_by_global_norm(10.0), optax.adam(5e-4))),
    )  # fmt: skip


def ours(kind: str, steps: int, seed: int) -> dict[str, Any]:
    """One run of ours: steps, CPU seconds of learning and of compiling, late return."""
    from importlib.metadata import version

    import jax
    import numpy as np

    begun = time.process_time()
    trainer = learner(kind, steps)
    start = jax.jit(trainer.init).lower(jax.random.key(seed)).compile()
    state = start(jax.random.key(seed))
    window = jax.jit(trainer.window, donate_argnums=0).lower(state).compile()
    jax.block_until_ready(state)
    compiled, before = time.process_time() - begun, time.process_time()
    returns = []
    for _ in range(trainer.windows):
        state, log = window(state)
        returns.append(float(log["return"]))
    return {
        "steps": trainer.windows * trainer.window_steps,
        "cpu_s": time.process_time() - before,
        "compile_cpu_s": compiled,
        "return": returns[-1] if np.isfinite(returns[-1]) else None,
        "versions": {name: version(name) for name in ("jax", "flax", "optax", "gymnax")},
    }


def one(python: str, script: Path, kind: str, steps: int, seed: int) -> dict[str, Any]:
    """A run in a process of its own."""
    extra = ["--one"] if script.name == "rl.py" else []
    done = subprocess.run(
        [python, str(script), *extra, kind, str(steps), str(seed)],
        capture_output=True, text=True, check=False, env=os.environ | QUIET,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{script.name} {kind} failed (see --peer-python):\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(kind: str, steps: int, repeats: int, peer: str) -> dict[str, Any]:
    """Ours and theirs in turns."""
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "stable-baselines3": []}
    for seed in range(repeats):
        runs["ours"].append(one(sys.executable, HERE / "rl.py", kind, steps, seed))
        runs["stable-baselines3"].append(one(peer, HERE / "rl_peer.py", kind, steps, seed))
    speed = {name: [r["steps"] / r["cpu_s"] for r in each] for name, each in runs.items()}
    ratios = [a / b for a, b in zip(speed["ours"], speed["stable-baselines3"], strict=True)]
    return {
        "runs": runs,
        "steps_per_cpu_s": {name: statistics.median(each) for name, each in speed.items()},
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


def measured(kind: str, given: argparse.Namespace) -> dict[str, Any]:
    """One kind, with the command, commit and load of its measurement."""
    steps = dict(STEPS, **{name: int(n) for name, n in (each.split("=") for each in given.steps)})
    load = os.getloadavg()[0]
    found = compared(kind, steps[kind], given.repeats, given.peer_python)
    return {
        "command": f"python benchmarks/rl.py --repeats {given.repeats} --kinds {kind} "
        f"--steps {kind}={steps[kind]}",
        "commit": commit(), "load": round(load, 1), **found,
    }  # fmt: skip


def shown(results: dict[str, Any]) -> str:
    """A table in Markdown."""
    lines = [
        "| what | environment steps | steps per CPU s | compiling, CPU s | late return | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for kind, found in results.items():
        for name, runs in found["runs"].items():
            late = [run["return"] for run in runs if run["return"] is not None]
            cells = (
                f"{kind.upper()}, {name}",
                f"{runs[0]['steps']}",
                f"{found['steps_per_cpu_s'][name]:.0f}",
                f"{statistics.median(run['compile_cpu_s'] for run in runs):.1f}",
                f"{statistics.mean(late):.0f}" if late else "-",
                f"{found['ratio']:.1f}" if name == "ours" else "1",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kinds", default=",".join(STEPS))
    parser.add_argument("--steps", action="append", default=[], metavar="KIND=N")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "rl.json")
    parser.add_argument("--one", nargs=3, metavar=("KIND", "STEPS", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        kind, steps, seed = given.one
        print(json.dumps(ours(kind, int(steps), int(seed))))
        return
    document = json.loads(given.out.read_text("utf-8")) if given.out.is_file() else {}
    results = document.get("results", {})
    for kind in given.kinds.split(","):
        results[kind] = measured(kind, given)
    document = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "differences": DIFFERENCES,
        "results": results,
    }
    given.out.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    print(shown(results))
    loads = ", ".join(f"{kind} {found['load']}" for kind, found in results.items())
    print(f"load at the start: {loads}; written to {given.out}")


if __name__ == "__main__":
    main()
