"""Tabular Q-learning, many runs side by side: online by epsilon-greedy, offline from a data set.

Rewards come as tables, so that a transform of rewards is applied once (`mdp.transformed`). Knows
no network.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from meritree.errors import BadInput
from meritree.exact.mdp import MDP, Array, Ints
from meritree.exact.sampling import pick, table


class Runs(NamedTuple):
    """What B runs of Q-learning did.

    Attributes:
        Q: [B, S, A] action values at the end.
        finished: [B, E] whether an episode came to an end of the process.
        lengths: [B, E] steps of each episode.
        returns: [B, E] undiscounted rewards of the process itself, whatever was learned from.
        visited: [B] number of states entered at least once.
    """

    Q: Array
    finished: Array
    lengths: Ints
    returns: Array
    visited: Ints


class Bonus(Protocol):
    """What learners pay themselves; `curiosity.Curiosity` is one."""

    def begin(self) -> None:
        """A new episode of all runs."""
        ...

    def pay(self, state: Ints, action: Ints, after: Ints, alive: NDArray[np.bool_]) -> Array:
        """[B] for one step of each run; of what is not alive nothing is learned."""
        ...


def q_learning(
    mdp: MDP,
    learned: ArrayLike,
    rng: Generator,
    *,
    q0: ArrayLike = 0.0,
    end_value: ArrayLike = 0.0,
    episodes: int,
    most: int,
    epsilon: float = 0.05,
    alpha: float = 0.5,
    bonus: Bonus | None = None,
) -> Runs:
    """B runs of one-step Q-learning with common random numbers.

    Ties are broken by the same random numbers in every run, and values nearer than 1e-9 are ties:
    runs whose values differ by a constant take the same actions.

    Args:
        learned: [B, S, A, S] rewards that each run learns from.
        q0: first action values, a number or [B].
        end_value: value of ends, a number or [B]; c/(1 - gamma) where rewards are shifted by c at
            every step and the shift goes on for ever at an end.
        episodes: E.
        most: steps after which an episode is cut short (and its last value bootstrapped).
        epsilon: chance of a uniform action.
        alpha: step size.
        bonus: what is added to the learned rewards, step by step; returns do not count it.

    Raises:
        BadInput: shapes that do not fit.
    """
    tables = np.asarray(learned, dtype=float)
    if tables.shape[1:] != mdp.P.shape:
        raise BadInput(f"learned has shape {tables.shape}, expected [B, {mdp.P.shape}]")
    B, rows = len(tables), np.arange(len(tables))
    Q = np.broadcast_to(np.asarray(q0, dtype=float), (B,))[:, None, None] * np.ones(mdp.P.shape[:2])
    Q[:, mdp.ends] = np.broadcast_to(np.asarray(end_value, dtype=float), (B,))[:, None, None]
    move, begin = table(mdp.P), table(mdp.first)
    finished = np.zeros((B, episodes))
    lengths, returns = np.zeros((B, episodes), dtype=int), np.zeros((B, episodes))
    visited = np.zeros((B, mdp.S), dtype=bool)
    for e in range(episodes):
        state = np.repeat(pick(begin, 0, rng.random()), B)
        alive = np.ones(B, dtype=bool)
        if bonus is not None:
            bonus.begin()
        for _ in range(most):
            visited[rows, state] = True
            action = _choose(Q[rows, state], epsilon, rng)
            after = pick(move, state * mdp.A + action, rng.random())
            target = tables[rows, state, action, after] + mdp.gamma * Q[rows, after].max(axis=1)
            if bonus is not None:
                target = target + bonus.pay(state, action, after, alive)
            error = alpha * (target - Q[rows, state, action])
            Q[rows, state, action] += np.where(alive, error, 0.0)
            returns[:, e] += np.where(alive, mdp.rewards[state, action, after], 0.0)
            lengths[:, e] += alive
            state = np.where(alive, after, state)
            alive = alive & ~mdp.ends[state]
            if not alive.any():
                break
        finished[:, e] = mdp.ends[state]
    return Runs(Q, finished, lengths, returns, visited.sum(axis=1))


def offline_q(
    mdp: MDP,
    learned: ArrayLike,
    counts: ArrayLike,
    *,
    q0: float = 0.0,
    end_value: float = 0.0,
    among: ArrayLike | None = None,
    sweeps: int = 2000,
) -> Array:
    """[S, A] action values that Q-iteration on a data set converges to; unseen pairs keep q0.

    Args:
        learned: [S, A, S] rewards.
        counts: [S, A, S] how often each transition stands in the data.
        among: [S, A] bool, actions that may be bootstrapped from, such as those seen (BCQ); where
            a state has none, all. None: all everywhere.
        sweeps: backups; the error left is gamma^sweeps.
    """
    table, n = np.asarray(learned, dtype=float), np.asarray(counts, dtype=float)
    total = n.sum(axis=2)
    seen = total > 0.0
    P = n / np.where(seen, total, 1.0)[:, :, None]
    r = (P * table).sum(axis=2)
    possible = np.ones(seen.shape, dtype=bool) if among is None else np.asarray(among, dtype=bool)
    possible = possible | ~possible.any(axis=1, keepdims=True)
    Q = np.full(seen.shape, float(q0))
    Q[mdp.ends] = end_value
    for _ in range(sweeps):
        best = np.where(possible, Q, -np.inf).max(axis=1)
        new = np.where(seen, r + mdp.gamma * P @ best, Q)
        new[mdp.ends] = end_value
        if np.abs(new - Q).max() == 0.0:
            break
        Q = new
    return Q


def _choose(Q: Array, epsilon: float, rng: Generator) -> Ints:
    """[B] epsilon-greedy actions from one set of random numbers for all runs."""
    A = Q.shape[1]
    explore, any_action, order = rng.random(), int(rng.integers(A)), rng.permutation(A)
    ties = Q.max(axis=1, keepdims=True) - 1e-9 <= Q
    greedy = order[ties[:, order].argmax(axis=1)]
    return np.where(explore < epsilon, any_action, greedy)
