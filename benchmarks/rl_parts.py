"""What heads, chains, networks, worlds side by side and seeds cost, in CPU time.

    python benchmarks/rl_parts.py [--only cartpole,breakout,worlds,seeds] [--rounds 3]

``cartpole`` and ``breakout``: CPU time of a window of training against plain DQN's, all else equal;
programs are compiled first, then run in turns, so that what else the machine does meets them all
alike. ``worlds``: steps per CPU second by their number. ``seeds``: runs mapped in one program. What
was not measured anew stays in benchmarks/results/rl_parts.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from meritree.run.commit import commit

HERE = Path(__file__).parent
# NPROC is what bounds XLA's pool of workers: its flags leave it a worker a core, and handing small
# operations from one to the other costs more CPU time than they do.
QUIET = {
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NPROC": "1", "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}  # fmt: skip
COUNTS = (1, 8, 64, 512, 2048)  # of worlds
ROUNDS_OF_SEEDS = (1, 4, 16)


def learners(game: str) -> Mapping[str, dict[str, Any]]:
    """The slots in which each differs from plain DQN."""
    from meritree.rl.moe import Convolutions, Flattened, SoftMoE, Tokenised, TopOneMoE
    from meritree.rl.value_based.act import epsilon_greedy, random_member
    from meritree.rl.value_based.chain import TargetChain
    from meritree.value.heads import Categorical, HLGauss, Particles, Quantile, TwoHot

    low, high = (0.0, 150.0) if game == "cartpole" else (-1.0, 15.0)
    chain = {"chain": TargetChain(5), "act": epsilon_greedy(0.1, random_member)}
    made: dict[str, dict[str, Any]] = {
        "DQN": {},
        "C51, 51 atoms": {"head": Categorical(low, high)},
        "HL-Gauss, 51 bins": {"head": HLGauss(low, high)},
        "two-hot, 51 bins": {"head": TwoHot(low, high)},
        "quantiles, 32": {"head": Quantile(32)},
        "particles, 32": {"head": Particles(32)},
        "chain, K=5": chain,
        "ensemble, K=5": chain | {"chain": TargetChain(5, chained=False)},
    }
    if game == "breakout":
        del made["ensemble, K=5"]
        one = Convolutions((16,), ("VALID",))
        made |= {
            "soft mixture, 8 experts": {"net": Tokenised(one, SoftMoE(8, hidden=128))},
            "top-1 mixture, 8 experts": {"net": Tokenised(one, TopOneMoE(8, hidden=128))},
            "two convolutions, dense 128": {
                "net": Flattened(Convolutions((16, 16), ("SAME", "VALID")), 128)
            },
        }
    return made


def dqn(game: str, **parts: Any) -> Any:
    """DQN on CartPole or Breakout with other parts."""
    from meritree.rl.envs import Gymnax
    from meritree.rl.nets import MinAtarTorso
    from meritree.rl.value_based.act import epsilon_greedy
    from meritree.rl.value_based.trainer import value_trainer

    own = {"n_env": 8, "batch": 32, "steps": 40_000, "warmup": 1000, "windows": 20}
    own["act"] = epsilon_greedy(0.1)  # type: ignore[assignment]
    env = Gymnax("CartPole-v1")
    if game == "breakout":
        env = Gymnax("Breakout-MinAtar")
        own |= {"n_env": 16, "batch": 64, "net": MinAtarTorso()}
    return value_trainer(env, **(own | parts))


class Running:
    """A compiled trainer on its way."""

    def __init__(self, trainer: Any) -> None:
        import jax

        begun = time.process_time()
        self.trainer = trainer
        # Its own jitted pieces, which were traced when it was made.
        self._advance = trainer._advance
        self._state = trainer._start(jax.random.key(0))
        self.window()
        self.compiled = time.process_time() - begun

    def window(self) -> float:
        """CPU seconds of a window."""
        import jax

        begun = time.process_time()
        self._state, _ = jax.block_until_ready(self._advance(self._state))
        return time.process_time() - begun


def costs(game: str, rounds: int) -> dict[str, Any]:
    """CPU time of each learner's windows, and its ratio to plain DQN's."""
    running = {name: Running(dqn(game, **own)) for name, own in learners(game).items()}
    spent: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, one in running.items():
            spent[name].append(one.window())
    plain = spent["DQN"]
    found = {}
    for name, one in running.items():
        ratios = [a / b for a, b in zip(spent[name], plain, strict=True)]
        found[name] = {
            "steps_per_cpu_s": one.trainer.window_steps / statistics.median(spent[name]),
            "cost": statistics.median(ratios),
            "costs": ratios,
            "compile_cpu_s": one.compiled,
        }
    return found


def worlds(rounds: int) -> dict[str, Any]:
    """Steps per CPU second by the number of worlds, CartPole."""
    from meritree.rl.envs import Gymnax
    from meritree.rl.on_policy import on_policy_trainer

    def ppo(count: int) -> Any:
        size = max(8, 16_384 // count) if count > 8 else 128
        steps = 20 * max(16_384, count * size)
        env = Gymnax("CartPole-v1")
        return on_policy_trainer(env, n_env=count, rollout=size, steps=steps, windows=20)

    def value(count: int) -> Any:
        return dqn("cartpole", n_env=count, steps=20 * max(2048, 8 * count))

    found: dict[str, Any] = {}
    for name, make in (("PPO", ppo), ("DQN, an update a step of all", value)):
        for count in COUNTS:
            one = Running(make(count))
            each = [one.window() for _ in range(rounds)]
            speed = one.trainer.window_steps / statistics.median(each)
            found.setdefault(name, {})[str(count)] = {
                "steps_per_cpu_s": speed, "window_steps": one.trainer.window_steps,
                "compile_cpu_s": one.compiled,
            }  # fmt: skip
    return found


def mapped(rounds: int) -> dict[str, Any]:
    """Steps per CPU second of PPO on CartPole, seeds one after the other in one program."""
    import jax

    from meritree.rl.envs import Gymnax
    from meritree.rl.on_policy import on_policy_trainer

    trainer = on_policy_trainer(Gymnax("CartPole-v1"), steps=20_480, windows=4)
    steps = trainer.windows * trainer.window_steps
    found = {}
    for count in ROUNDS_OF_SEEDS:
        begun = time.process_time()
        keys = jax.vmap(jax.random.key)(jax.numpy.arange(count))
        program = jax.jit(lambda keys: jax.lax.map(trainer.run, keys)).lower(keys).compile()
        compiled = time.process_time() - begun
        spent = []
        for _ in range(rounds):
            begun = time.process_time()
            jax.block_until_ready(program(keys))
            spent.append(time.process_time() - begun)
        found[str(count)] = {
            "steps_per_cpu_s": count * steps / statistics.median(spent), "compile_cpu_s": compiled,
        }  # fmt: skip
    return found


MEASURES: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "cartpole": lambda rounds: costs("cartpole", rounds),
    "breakout": lambda rounds: costs("breakout", rounds),
    "worlds": worlds,
    "seeds": mapped,
}


def shown(name: str, found: Mapping[str, Any]) -> str:
    """One section as a table in Markdown."""
    if name in ("cartpole", "breakout"):
        lines = [f"| {name} | steps per CPU s | cost against DQN | compiling, CPU s |", ""]
        lines[1] = "|---|---|---|---|"
        lines += [
            f"| {one} | {row['steps_per_cpu_s']:.0f} | {row['cost']:.2f} | "
            f"{row['compile_cpu_s']:.0f} |"
            for one, row in found.items()
        ]
        return "\n".join(lines)
    table = found if name == "worlds" else {"seeds mapped, PPO": found}
    return "\n".join(
        f"{kind}: "
        + ", ".join(f"{count}: {row['steps_per_cpu_s']:.0f}" for count, row in rows.items())
        + " steps per CPU s"
        for kind, rows in table.items()
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default=",".join(MEASURES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "rl_parts.json")
    given = parser.parse_args()
    os.environ.update(QUIET)
    document = json.loads(given.out.read_text("utf-8")) if given.out.is_file() else {}
    for name in given.only.split(","):
        load = os.getloadavg()[0]
        found = MEASURES[name](given.rounds)
        document[name] = {
            "command": f"python benchmarks/rl_parts.py --only {name} --rounds {given.rounds}",
            "commit": commit(), "load": round(load, 1),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "versions": {each: version(each) for each in ("jax", "flax", "optax", "gymnax")},
            "results": found,
        }  # fmt: skip
        given.out.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
        print(shown(name, found), f"(load {load:.1f} at the start)\n", sep="\n", flush=True)


if __name__ == "__main__":
    main()
