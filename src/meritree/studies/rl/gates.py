"""A world with chance gates, in which only the joint law of two rewards tells the better way.

Stands for the gates of MD3QN's constraint mazes, cells from which chance decides where to go.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from meritree.rl.envs import Discrete, EnvSpec, Outcome
from meritree.rl.envs.env import Array, Key


class Passed(NamedTuple):
    """How many gates lie behind."""

    count: Array


@dataclass(frozen=True)
class Gates:
    """Gates one after the other; behind each, a unit of two kinds of reward may lie.

    Action 0: one coin for both kinds, with probability ``together``. Action 1: a coin for each,
    with probability ``apart`` each. The aim is a unit of both kinds behind every gate. Chances
    ``together`` < ``apart`` and ``together`` > ``apart``^2 make the first action better, though
    each kind by itself is likelier with the second.

    Attributes:
        gates: how many.
        together, apart: probabilities.
    """

    gates: int = 2
    together: float = 0.5
    apart: float = 0.6

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("gates", (self.gates + 1,), Discrete(2), (1.0, 1.0))

    def reset(self, key: Key) -> tuple[Passed, Array]:
        state = Passed(jnp.int32(0))
        return state, self._seen(state)

    def step(self, key: Key, state: Passed, action: Array) -> tuple[Passed, Outcome]:
        draws = jax.random.uniform(key, (3,))
        both = jnp.full(2, draws[0] < self.together)
        each = draws[1:] < self.apart
        reward = jnp.where(action == 0, both, each).astype(jnp.float32)
        state = Passed(state.count + 1)
        over = state.count >= self.gates
        return state, Outcome(self._seen(state), reward, over, jnp.asarray(False))

    def _seen(self, state: Passed) -> Array:
        return jax.nn.one_hot(state.count, self.gates + 1)

    def chances(self) -> dict[str, float]:
        """Probability of all units: of the best policy, and of the one that goes by margins."""
        return {
            "joint": max(self.together, self.apart**2) ** self.gates,
            "margins": (self.together if self._margins_agree() else self.apart**2) ** self.gates,
        }

    def _margins_agree(self) -> bool:
        return self.together**2 > self.apart**2


def margins_apart(points: np.ndarray) -> np.ndarray:
    """The sample with the same margins whose channels are independent: all pairs, [N^2, 2]."""
    return np.asarray(list(product(points[:, 0], points[:, 1])))
