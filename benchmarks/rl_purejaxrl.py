"""Our PPO beside PureJaxRL's at its own settings on CartPole, in steps per CPU second.

    git clone https://github.com/luchris429/purejaxrl
    python benchmarks/rl_purejaxrl.py purejaxrl/purejaxrl [--repeats 3] [--worlds 4,64]

Nothing of theirs is kept here. A temporary copy is changed in two places so that it runs with this
gymnax: imports of brax and navix are left out (CartPole needs neither), and the wrapper that
flattens observations takes the six results of gymnax 1.0's step. Both programs are compiled in one
process and run in turns with one thread: where XLA has a second worker it updates our actor and
critic side by side, for more CPU time in all. Writes benchmarks/results/rl_purejaxrl.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rl import QUIET

from meritree.run.commit import commit

HERE = Path(__file__).parent
ROLLOUT = 128
OLD_STEP = "obs, state, reward, done, info = self._env.step("
NEW_STEP = "obs, state, reward, ended, cut, info = self._env.step("


def patched(source: Path, folder: Path) -> None:
    """The two files that PPO needs, changed as the module says."""
    wrappers = (source / "wrappers.py").read_text("utf-8")
    kept = [
        line
        for line in wrappers.splitlines(keepends=True)
        if not line.startswith(("from brax", "import brax", "import navix"))
    ]
    before, found, after = "".join(kept).partition(OLD_STEP)
    if not found:
        sys.exit(f"{source}/wrappers.py is not the version this was written for")
    line, _, rest = after.partition("\n")
    text = f"{before}{NEW_STEP}{line}\n        done = jnp.logical_or(ended, cut)\n{rest}"
    (folder / "wrappers.py").write_text(text, "utf-8")
    (folder / "ppo.py").write_text((source / "ppo.py").read_text("utf-8"), "utf-8")


def theirs(worlds: int, steps: int) -> Callable[[Any], Any]:
    """Key to mean return of the episodes that ended in the last tenth."""
    import jax.numpy as jnp
    from ppo import make_train  # type: ignore[import-not-found]

    config = {
        "LR": 2.5e-4, "NUM_ENVS": worlds, "NUM_STEPS": ROLLOUT, "TOTAL_TIMESTEPS": steps,
        "UPDATE_EPOCHS": 4, "NUM_MINIBATCHES": 4, "GAMMA": 0.99, "GAE_LAMBDA": 0.95,
        "CLIP_EPS": 0.2, "ENT_COEF": 0.01, "VF_COEF": 0.5, "MAX_GRAD_NORM": 0.5,
        "ACTIVATION": "tanh", "ENV_NAME": "CartPole-v1", "ANNEAL_LR": True, "DEBUG": False,
    }  # fmt: skip
    train = make_train(config)

    def run(key: Any) -> Any:
        log = train(key)["metrics"]
        ended, gains = log["returned_episode"], log["returned_episode_returns"]
        late = len(ended) - max(1, len(ended) // 10)
        return jnp.sum(gains[late:] * ended[late:]) / jnp.sum(ended[late:])

    return run


def ours(worlds: int, steps: int) -> Callable[[Any], Any]:
    """The same of our trainer, values clipped as theirs are."""
    from meritree.rl.envs import Gymnax
    from meritree.rl.on_policy import AdamEpochs, on_policy_trainer

    trainer = on_policy_trainer(
        Gymnax("CartPole-v1"), value_step=AdamEpochs(clip=0.2), n_env=worlds, rollout=ROLLOUT,
        steps=steps, windows=10,
    )  # fmt: skip
    return lambda key: trainer.run(key)[1]["return"][-1]


def compared(worlds: int, steps: int, repeats: int) -> dict[str, Any]:
    """Compile both, run them in turns."""
    import jax

    steps = steps // (10 * worlds * ROLLOUT) * (10 * worlds * ROLLOUT)  # whole windows of ours
    programs, found = {}, {}
    for name, make in (("ours", ours), ("PureJaxRL", theirs)):
        begun = time.process_time()
        run = make(worlds, steps)
        programs[name] = jax.jit(run).lower(jax.random.key(0)).compile()
        found[name] = {"compile_cpu_s": time.process_time() - begun, "cpu_s": [], "return": []}
    for seed in range(repeats):
        for name, program in programs.items():
            begun = time.process_time()
            late = float(jax.block_until_ready(program(jax.random.key(seed))))
            found[name]["cpu_s"].append(time.process_time() - begun)
            found[name]["return"].append(late)
    for each in found.values():
        each["steps_per_cpu_s"] = steps / statistics.median(each["cpu_s"])
    ratios = [
        b / a for a, b in zip(found["ours"]["cpu_s"], found["PureJaxRL"]["cpu_s"], strict=True)
    ]
    return {"steps": steps, **found, "ratios": ratios, "ratio": statistics.median(ratios)}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path, help="their folder purejaxrl/purejaxrl")
    parser.add_argument("--commit", default="", help="of theirs, where the folder is no checkout")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worlds", default="4", help="numbers of worlds; theirs is 4")
    parser.add_argument("--steps", type=int, default=204_800)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "rl_purejaxrl.json")
    given = parser.parse_args()
    os.environ.update(QUIET)
    load = os.getloadavg()[0]
    theirs = given.commit or _head(given.source)
    with tempfile.TemporaryDirectory() as folder:
        patched(given.source, Path(folder))
        sys.path.insert(0, folder)
        results = {
            f"{count} worlds": compared(int(count), given.steps, given.repeats)
            for count in given.worlds.split(",")
        }
    document = {
        "command": f"python benchmarks/rl_purejaxrl.py purejaxrl --repeats {given.repeats} "
        f"--worlds {given.worlds} --steps {given.steps}",
        "commit": commit(), "load": round(load, 1),
        "theirs": f"github.com/luchris429/purejaxrl at {theirs}, purejaxrl/ppo.py",
        "patched": "imports of brax and navix left out; the six results of gymnax 1.0's step",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("jax", "flax", "optax", "gymnax", "distrax")},
        "results": results,
    }  # fmt: skip
    given.out.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    for name, row in results.items():
        speeds = (row[who]["steps_per_cpu_s"] for who in ("ours", "PureJaxRL"))
        print(name, *(f"{speed:.0f}" for speed in speeds), f"ratio {row['ratio']:.2f}", row)
    print(f"load {load:.1f} at the start; written to {given.out}")


def _head(folder: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main()
