"""The deep agent of S084: Munchausen DQN with and without weights by variance, in a maze.

`deep_part` yields rows that the study `dvw` can add to its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from meritree.studies.study import Row

EQUAL, WEIGHTED = "M-DQN", "M-DQN with DVW"
SYSTEMS = (EQUAL, WEIGHTED)
MAZE = "pitfall maze, deep"
WHOLE, END = "return, whole run", "return, last fifth"


def maze(noise: float = 0.1, size: int = 8) -> Any:
    """A smaller maze than the release's 25 x 25, observed as row and column."""
    from meritree.rl.envs import PitfallMaze

    return PitfallMaze(noise=noise, size=size, pitfalls=4, features=0, limit=100)


def maze_trainer(system: str, steps: int) -> Any:
    """Both systems alike but for the weights; the release's Munchausen parameters."""
    import optax

    from meritree.rl.value_based import bootstrap
    from meritree.rl.value_based.chain import TargetChain
    from meritree.rl.value_based.trainer import value_trainer
    from meritree.rl.value_based.weights import InverseVariance

    env, soft = maze(), bootstrap.munchausen()
    weight = None
    if system == WEIGHTED:
        weight = InverseVariance(env.spec.actions, soft, step=1e-3)
    return value_trainer(
        env, bootstrap=soft, weight=weight, chain=TargetChain(shift=200, keep_previous=True),
        optimizer=optax.adam(1e-3), steps=steps, n_env=8, warmup=1000, gamma=0.95,
    )  # fmt: skip


@cache
def _run(system: str, steps: int) -> Any:
    from meritree.rl.trainer import fit

    trainer = maze_trainer(system, steps)
    return lambda seed: fit(trainer, seed)[1]["return"]


def deep_part(seed: int, steps: int = 80_000) -> Iterator[Row]:
    """Returns of both systems while learning, epsilon from 1 to 0.05 over the first half."""
    import numpy as np

    for system in SYSTEMS:
        returns = np.asarray(_run(system, steps)(seed))
        yield Row(system, MAZE, WHOLE, float(np.nanmean(returns)))
        yield Row(system, MAZE, END, float(np.nanmean(returns[-4:])))
