"""Deep agents of study S047: DQN in four rooms with shifted rewards, and an ensemble of shifts.

Only what the agent is trained with is shifted: returns are the environment's own. Must not know
the study's tables.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

DOSES = (0.5, 0.0, -0.05, -0.25, -0.5, -1.0, -5.0)  # c/(1 - gamma), the largest value being 1
ENSEMBLE = (-0.5, 0.0, 0.5)  # doses of the three members (RRS)
GAMMA, SIZE, LIMIT, WORLDS, WINDOWS = 0.98, 9, 80, 4, 20


class Learner(NamedTuple):
    """What is learned from.

    Attributes:
        doses: c/(1 - gamma) of each member.
        start: what values start higher by.
        bonus: what the largest bonus of random network distillation, 1, would be worth if it
            were paid for ever, in the units of doses; 0: none.
    """

    doses: tuple[float, ...] = (0.0,)
    start: float = 0.0
    bonus: float = 0.0


class Run(NamedTuple):
    """What a run brought.

    Attributes:
        success: share of episodes at the goal, mean over equal parts of the run.
        final: the same in the last quarter.
        value: mean largest value of the states met in the last part, the shift taken out; an
            ensemble's members are averaged.
    """

    success: float
    final: float
    value: float


def run(learner: Learner, seed: int, steps: int) -> Run:
    """One run from a seed."""
    import jax
    import numpy as np

    from meritree.value.transforms import unshifted_value

    log = runner(learner, steps)(jax.random.key(seed))
    won = np.asarray(log["return"], float)
    if np.isnan(won).any():
        won = np.nan_to_num(won)  # no episode ended in that part: nor did any reach the goal
    mean = sum(learner.doses) / len(learner.doses)
    value = float(unshifted_value(np.asarray(log["value"])[-1], mean * (1.0 - GAMMA), GAMMA))
    return Run(float(won.mean()), float(won[-WINDOWS // 4 :].mean()), value)


@cache
def runner(learner: Learner, steps: int) -> Callable[[Any], Any]:
    """Random key to the log of a run, compiled."""
    import jax

    made = trainer(learner, steps)
    compiled: Callable[[Any], Any] = jax.jit(lambda key: made.run(key)[1])
    return compiled


def trainer(learner: Learner, steps: int) -> Any:
    """DQN (or an ensemble that acts by one member an episode) under the learner's shifts."""
    import flax.linen as nn
    import jax
    import optax

    from meritree.rl.envs.grids import FourRooms
    from meritree.rl.nets import MLP
    from meritree.rl.value_based import act
    from meritree.rl.value_based.chain import TargetChain
    from meritree.rl.value_based.data import Uniform
    from meritree.rl.value_based.trainer import value_trainer

    env = FourRooms(SIZE, limit=LIMIT)
    members = len(learner.doses)
    raised = jax.nn.initializers.constant(learner.start)
    return value_trainer(
        env, net=MLP((64,)),
        readout=lambda outputs: nn.Dense(outputs, bias_init=raised),
        reward=rewards_of(learner, env.spec),
        chain=TargetChain(K=members, shift=100, chained=False),
        act=act.epsilon_greedy(act.decayed(0.9, 0.05, max(1, steps // 10)), act.member_of_episode),
        data=Uniform(10_000 // WORLDS), optimizer=optax.adam(1e-3), gamma=GAMMA, steps=steps,
        n_env=WORLDS, batch=32, updates=2, warmup=WORLDS * LIMIT, windows=WINDOWS,
    )  # fmt: skip


def rewards_of(learner: Learner, spec: Any) -> list[Any]:
    """What each member is rewarded with: bonus first, then its shift."""
    from meritree.rl.bonuses import rnd
    from meritree.value.transforms import added, chain, clip, shift

    rewards = [shift(dose * (1.0 - GAMMA), GAMMA) for dose in learner.doses]
    if not learner.bonus:
        return rewards
    new = added(chain(rnd(spec), clip(0.0, 1.0)), learner.bonus * (1.0 - GAMMA))
    return [chain(new, moved) for moved in rewards]
