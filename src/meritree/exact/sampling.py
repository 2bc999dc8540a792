"""Samples of finite processes from a NumPy generator: episodes, and next states on demand.

All episodes are walked side by side; the same generator state gives the same samples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from meritree.errors import BadInput
from meritree.exact.mdp import MDP, Array, Ints, policy_table


class Episodes(NamedTuple):
    """Episodes side by side, padded after their ends.

    Attributes:
        states: [n, T + 1]; after an end the end itself.
        actions: [n, T].
        rewards: [n, T]; 0 after an end.
        taken: [n, T] whether the step was taken (False after an end).
    """

    states: Ints
    actions: Ints
    rewards: Array
    taken: NDArray[np.bool_]

    def returns(self, gamma: float = 1.0) -> Array:
        """[n, T] discounted reward from each step on."""
        G = np.zeros_like(self.rewards)
        later = np.zeros(len(self.rewards))
        for t in reversed(range(self.rewards.shape[1])):
            later = self.rewards[:, t] + gamma * later
            G[:, t] = later
        return G

    def part(self, low: int, high: int) -> Episodes:
        """The episodes low .. high - 1."""
        cut = slice(low, high)
        return Episodes(self.states[cut], self.actions[cut], self.rewards[cut], self.taken[cut])


def sample_episodes(
    mdp: MDP,
    policy: ArrayLike | None,
    n: int,
    rng: Generator,
    *,
    horizon: int | None = None,
    most: int = 100_000,
) -> Episodes:
    """``n`` episodes from mu0 until an end, or for ``horizon`` steps at most.

    Args:
        policy: [S] actions, [S, A] probabilities, or None for the uniform policy.
        horizon: None: the process's own; there it may also be None.
        most: steps after which an episode without a horizon is refused.

    Raises:
        BadInput: n < 1, or an episode without horizon that is too long.
    """
    if n < 1:
        raise BadInput(f"n = {n} episodes: at least one")
    limit = horizon if horizon is not None else mdp.horizon
    choose, move = table(policy_table(mdp, policy)), table(mdp.P)
    state = pick(table(mdp.first), np.zeros(n, dtype=int), rng.random(n))
    states: list[Ints] = [state]
    actions: list[Ints] = []
    rewards: list[Array] = []
    taken: list[NDArray[np.bool_]] = []
    alive = ~mdp.ends[state]
    while alive.any() and (limit is None or len(actions) < limit):
        if len(actions) >= most:
            raise BadInput(f"an episode is longer than {most} steps: give a horizon")
        action = pick(choose, state, rng.random(n))
        after = np.where(alive, pick(move, state * mdp.A + action, rng.random(n)), state)
        actions.append(action)
        rewards.append(np.where(alive, mdp.rewards[state, action, after], 0.0))
        taken.append(alive)
        states.append(after)
        state, alive = after, alive & ~mdp.ends[after]
    if not actions:
        raise BadInput("every first state is an end: no step to sample; change mu0")
    return Episodes(
        np.stack(states, axis=1),
        np.stack(actions, axis=1),
        np.stack(rewards, axis=1),
        np.stack(taken, axis=1),
    )


def generative(mdp: MDP, s: ArrayLike, a: ArrayLike, n: int, rng: Generator) -> Ints:
    """[..., n] next states drawn anew after a in s, for s and a of shape [...].

    Raises:
        BadInput: n < 1.
    """
    if n < 1:
        raise BadInput(f"n = {n} draws: at least one")
    state, action = np.broadcast_arrays(np.asarray(s), np.asarray(a))
    row = (state * mdp.A + action)[..., None]
    return pick(table(mdp.P), row, rng.random((*state.shape, n)))


def generative_counts(P: ArrayLike, n: int, rng: Generator) -> Ints:
    """[..., S] how often each state follows in n draws of each row of P [..., S].

    The same law as counting `generative`, one multinomial draw a row.
    """
    if n < 1:
        raise BadInput(f"n = {n} draws: at least one")
    return rng.multinomial(n, np.asarray(P))


class Table(NamedTuple):
    """Distributions to draw from, many at once.

    Attributes:
        edges: cumulative probabilities of row k, plus k, one row after the other.
        last: [K] last index of each row that has any probability.
        size: N, entries of a row.
    """

    edges: Array
    last: Ints
    size: int


def table(P: ArrayLike) -> Table:
    """The rows of P [..., N], numbered in C order."""
    rows = np.asarray(P, dtype=float)
    rows = rows.reshape(-1, rows.shape[-1])
    edges = np.asarray(np.cumsum(rows, axis=1) + np.arange(float(len(rows)))[:, None])
    last = rows.shape[1] - 1 - np.argmax(rows[:, ::-1] > 0.0, axis=1)
    return Table(np.asarray(edges.reshape(-1), dtype=float), last, rows.shape[1])


def pick(table: Table, row: ArrayLike, u: ArrayLike) -> Ints:
    """[...] the entry of each row that uniform numbers u in [0, 1) fall on."""
    row = np.asarray(row)
    found = np.searchsorted(table.edges, row + u, side="right") - row * table.size
    # A sum of probabilities may be 1 - 1e-16: no draw may pass the last entry that has some.
    return np.asarray(np.minimum(found, table.last[row]))
