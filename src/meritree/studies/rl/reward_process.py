"""Markov reward processes for robust Bellman errors: exact minimisers, and a world to sample from.

Exact solutions are NumPy and SciPy; `RewardProcess` is a world of the trainers. Knows no study.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Process(NamedTuple):
    """A reward process with features that cannot tell everything.

    Attributes:
        P: ``[n, n]`` transitions.
        reward: ``[n]`` expected, on leaving a state.
        features: ``[n, d]``.
        value: ``[n]`` true.
        elsewhere: ``[n]`` bool, the states over which estimates are judged.
        gamma: discount.
    """

    P: Floats
    reward: Floats
    features: Floats
    value: Floats
    elsewhere: NDArray[np.bool_]
    gamma: float

    @property
    def differences(self) -> Floats:
        """(I - gamma P) features: Bellman errors are reward - differences @ weights."""
        n = len(self.reward)
        return (np.eye(n) - self.gamma * self.P) @ self.features

    def rmse(self, weights: Floats) -> float:
        """Of estimated values, over the states that count."""
        gap = (self.features @ weights - self.value)[self.elsewhere]
        return float(np.sqrt(np.mean(gap**2)))


def odd_value(seed: int, n: int = 30, d: int = 6, size: float = 30.0) -> Process:
    """One state's value lies ``size`` off what features can say; judged everywhere else."""
    P, features, weights, k = _random(seed, n, d)
    value = features @ weights + size * np.eye(n)[k]
    return _process(P, features, value, np.arange(n) != k)


def odd_reward(seed: int, n: int = 30, d: int = 6, size: float = 30.0) -> Process:
    """Leaving one state really pays ``size`` more than features can say; judged everywhere."""
    P, features, weights, k = _random(seed, n, d)
    extra = np.linalg.solve(np.eye(n) - 0.9 * P, size * np.eye(n)[k])
    return _process(P, features, features @ weights + extra, np.ones(n, dtype=bool))


def _random(seed: int, n: int, d: int) -> tuple[Floats, Floats, Floats, int]:
    """Three successors a state with random probabilities; normal features and weights."""
    rng = np.random.default_rng([seed, 65])
    P = np.zeros((n, n))
    for s in range(n):
        P[s, rng.choice(n, min(3, n), replace=False)] = rng.dirichlet(np.ones(min(3, n)))
    return P, rng.normal(size=(n, d)), rng.normal(size=d), int(rng.integers(n))


def _process(P: Floats, features: Floats, value: Floats, elsewhere: Any) -> Process:
    return Process(P, value - 0.9 * P @ value, features, value, elsewhere, 0.9)


def td_fixed_point(process: Process) -> Floats:
    """Weights at which expected semi-gradient TD stands still, all states alike."""
    X, y = process.differences, process.reward
    return np.asarray(np.linalg.solve(process.features.T @ X, process.features.T @ y))


def least_squares(process: Process) -> Floats:
    """Weights of the least mean squared Bellman error."""
    return np.asarray(np.linalg.lstsq(process.differences, process.reward, rcond=None)[0])


def least_huber(process: Process, tau: float = 1.0) -> Floats:
    """Weights of the least mean Huber Bellman error: convex, solved to the gradient's zero."""
    from scipy.optimize import minimize

    X, y = process.differences, process.reward

    def value_and_gradient(w: Floats) -> tuple[float, Floats]:
        u = y - X @ w
        h = np.clip(u, -tau, tau)
        return float(np.sum(h * u - 0.5 * h**2)), -X.T @ h

    found = minimize(value_and_gradient, least_squares(process), jac=True, method="BFGS")
    return np.asarray(found.x)


def least_absolute(process: Process) -> Floats:
    """Weights of the least mean absolute Bellman error, by a linear programme."""
    from scipy.optimize import linprog

    X, y = process.differences, process.reward
    n, d = X.shape
    found = linprog(
        np.r_[np.zeros(d), np.ones(n)],
        A_ub=np.block([[X, -np.eye(n)], [-X, -np.eye(n)]]),
        b_ub=np.r_[y, -y],
        bounds=[(None, None)] * d + [(0, None)] * n,
    )
    return np.asarray(found.x[:d])


@dataclass(frozen=True)
class RewardProcess:
    """A process as a world of one action; every episode is one transition from a random state.

    The observation is the features and then which state it is. Rewards are paid with probability
    ``chance`` and are then so much larger. Leaves may be traced arrays.

    Attributes:
        P, reward, features: as in `Process`.
        chance: in (0, 1]; 1: the reward is certain.
    """

    P: Any
    reward: Any
    features: Any
    chance: float = 1.0

    @property
    def spec(self) -> Any:
        from meritree.rl.envs import Discrete, EnvSpec

        n, d = self.features.shape
        return EnvSpec("reward process", (d + n,), Discrete(1))

    def reset(self, key: Any) -> tuple[Any, Any]:
        import jax

        state = jax.random.randint(key, (), 0, self.reward.shape[0])
        return state, self._seen(state)

    def step(self, key: Any, state: Any, action: Any) -> tuple[Any, Any]:
        import jax
        import jax.numpy as jnp

        from meritree.rl.envs import Outcome

        paying, going = jax.random.split(key)
        paid = jax.random.uniform(paying) < self.chance
        reward = jnp.where(paid, self.reward[state] / self.chance, 0.0)
        following = jax.random.choice(going, self.reward.shape[0], p=self.P[state])
        ends, cut = jnp.asarray(False), jnp.asarray(True)
        return following, Outcome(self._seen(following), reward[None], ends, cut)

    def _seen(self, state: Any) -> Any:
        import jax
        import jax.numpy as jnp

        which = jax.nn.one_hot(state, self.reward.shape[0])
        return jnp.concatenate([jnp.asarray(self.features, jnp.float32)[state], which])
