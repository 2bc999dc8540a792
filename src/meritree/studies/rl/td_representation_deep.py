"""The deep part of S053: features of four rooms learned by heads for random rewards.

`deep_part` yields rows that the study `td-representation` can add to its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meritree.studies.study import Row

ROOMS = "four rooms, deep"
NONE = "untrained features"
PROBE, OVERLAP = "share of new values unexplained", "overlap with the top eigenvectors"
GAMMA = 0.95
WIDTH = 16


def heads(count: int) -> str:
    """How rows call features learned with so many random rewards."""
    return f"{count} random rewards"


def rooms() -> Any:
    """Four rooms of 9 x 9, begun anywhere; the goal is never looked for on purpose."""
    from meritree.rl.envs import FourRooms

    return FourRooms(size=9, start=None, limit=100)


@cache
def random_walk() -> NDArray[np.float64]:
    """[S, S] of the random policy; what follows the goal counts as nothing."""
    tables = rooms().tables()
    P: NDArray[np.float64] = tables.P.mean(axis=1)
    P[tables.ends] = 0.0
    return P


def unexplained(features: NDArray[Any], targets: NDArray[Any]) -> float:
    """1 - R^2 of a linear regression of targets [S, m] on features [S, F] and a constant."""
    X = np.hstack([features, np.ones((len(features), 1))])
    fitted = X @ np.linalg.lstsq(X, targets, rcond=None)[0]
    spread = targets - targets.mean(axis=0)
    return float(np.sum((targets - fitted) ** 2) / np.sum(spread**2))


def overlap(features: NDArray[Any], count: int) -> float:
    """Mean squared cosine between the top eigenvectors of the walk and the features' span."""
    P = random_walk()
    vectors = np.linalg.eigh(0.5 * (P + P.T))[1][:, -count:]
    basis, scales, _ = np.linalg.svd(features, full_matrices=False)
    basis = basis[:, scales > 1e-6 * scales[0]]
    return float(np.sum((basis.T @ vectors) ** 2) / count)


def new_values(seed: int, count: int = 50) -> NDArray[np.float64]:
    """[S, count] values of rewards that no head was trained on."""
    P = random_walk()
    rewards = np.random.default_rng([seed, 5300]).standard_normal((len(P), count))
    return np.asarray(np.linalg.solve(np.eye(len(P)) - GAMMA * P, P @ rewards))


def rooms_trainer(count: int, steps: int) -> Any:
    """Random behaviour, nothing learned but the heads of ``count`` random rewards."""
    import optax

    from meritree.rl.nets import MLP
    from meritree.rl.value_based import act
    from meritree.rl.value_based.chain import TargetChain
    from meritree.rl.value_based.extras import RandomRewardHeads
    from meritree.rl.value_based.trainer import value_trainer

    return value_trainer(
        rooms(), net=MLP((64, WIDTH)), extra=RandomRewardHeads(count, replaces_main=True),
        act=act.uniformly, chain=TargetChain(shift=50),
        optimizer=optax.adam(optax.cosine_decay_schedule(1e-3, steps // 8)), steps=steps, n_env=8,
        batch=64, warmup=1000, gamma=GAMMA, windows=2,
    )  # fmt: skip


@cache
def _run(count: int, steps: int) -> Any:
    """A seed to features [S, WIDTH] before and after."""
    import jax
    import jax.numpy as jnp

    from meritree.rl.nets import MLP, network
    from meritree.rl.trainer import fit

    env, trainer = rooms(), rooms_trainer(count, steps)
    net = network(MLP((64, WIDTH)), env.spec.actions)
    cells = jnp.asarray(np.argwhere(env.open))
    goal = jnp.asarray(np.argwhere(env.open)[-1])
    seen = jax.vmap(lambda at: env._seen(_walk(at, goal)))(cells)

    def features(state: Any) -> Any:
        online = jax.tree.map(lambda leaf: leaf[0], state.learned.members.online["net"])
        return np.asarray(net.apply(online, seen, None)[0], np.float64)

    def run(seed: int) -> tuple[Any, Any]:
        return features(trainer.init(jax.random.key(seed))), features(fit(trainer, seed)[0])

    return run


def _walk(at: Any, goal: Any) -> Any:
    from meritree.rl.envs.grids import Walk

    return Walk(at, goal, 0)


def deep_part(
    seed: int, steps: int = 40_000, counts: Sequence[int] = (1, 20, 100)
) -> Iterator[Row]:
    """How well features explain values of new rewards, and the walk's slow directions."""
    values = new_values(seed)
    for place, count in enumerate(counts):
        before, after = _run(count, steps)(seed)
        found = {heads(count): after} | ({NONE: before} if place == 0 else {})
        for system, features in found.items():
            yield Row(system, ROOMS, PROBE, unexplained(features, values))
            yield Row(system, ROOMS, OVERLAP, overlap(features, 8))
