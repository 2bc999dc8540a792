"""Ready-made finite processes: the small worlds that theory papers are told on.

Each function returns an `MDP`; random ones draw from the generator that they are given.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from meritree.errors import BadInput
from meritree.exact.mdp import MDP, Array, markov_reward_process

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left: (row, column)


def garnet(states: int, actions: int, branching: int, rng: Generator, *, gamma: float = 0.9) -> MDP:
    """Random process: ``branching`` successors of each (s, a), uniform-spacing weights.

    Rewards are standard normal on each (s, a). Source: Archibald, McKinnon and Thomas (1995).
    """
    _at_least(1, states=states, actions=actions, branching=branching)
    if branching > states:
        raise BadInput(f"branching = {branching}: there are only {states} states")
    P = np.zeros((states, actions, states))
    chosen = rng.random(P.shape).argsort(axis=2)[..., :branching]
    cuts = np.sort(rng.random((states, actions, branching - 1)), axis=2)
    edges = np.concatenate([np.zeros_like(P[..., :1]), cuts, np.ones_like(P[..., :1])], axis=2)
    np.put_along_axis(P, chosen, np.diff(edges, axis=2), axis=2)
    return MDP(P, rng.standard_normal((states, actions)), gamma)


def random_walk(states: int = 5, *, right: float = 0.5, gamma: float = 1.0) -> MDP:
    """A walk on a line from its middle; leaving at the right pays 1 (Sutton and Barto, ex. 6.2).

    States 0 .. n - 1 are the places, n the end.
    """
    _at_least(1, states=states)
    P, R = np.zeros((states + 1, states + 1)), np.zeros((states + 1, states + 1))
    for s in range(states):
        P[s, s + 1] += right
        P[s, s - 1 if s else states] += 1.0 - right
    P[states, states] = 1.0
    # Both ways out lead to one end: the last place pays on leaving to the right.
    R[states - 1, states] = 1.0 if states > 1 else right
    return markov_reward_process(P, R, gamma=gamma, mu0=_point(states + 1, states // 2))


def gamblers_ruin(goal: int = 10, p: float = 0.4, *, gamma: float = 1.0) -> MDP:
    """Capital 0 .. goal, staking any amount up to what is missing (Sutton and Barto, ex. 4.3).

    Action a stakes min(a + 1, capital, goal - capital), won with probability p; reaching the goal
    pays 1. First state: goal // 2.
    """
    _at_least(2, goal=goal)
    actions = goal // 2
    P, R = np.zeros((goal + 1, actions, goal + 1)), np.zeros((goal + 1, actions, goal + 1))
    P[0, :, 0] = P[goal, :, goal] = 1.0
    for s in range(1, goal):
        for a in range(actions):
            stake = min(a + 1, s, goal - s)
            P[s, a, s + stake] += p
            P[s, a, s - stake] += 1.0 - p
    R[1:goal, :, goal] = 1.0
    return MDP(P, R, gamma, _point(goal + 1, goal // 2))


def river_swim(states: int = 6, *, gamma: float = 0.95) -> MDP:
    """Swimming right (action 1) is uncertain and pays 1 at the far bank; left pays 5/1000.

    Source: Strehl and Littman (2008): right moves on with 0.35 (0.6 from the left bank, 0.6 to
    stay at the right one), stays with 0.6 and drifts back with 0.05.
    """
    _at_least(2, states=states)
    P, R = np.zeros((states, 2, states)), np.zeros((states, 2))
    for s in range(states):
        P[s, 0, max(s - 1, 0)] = 1.0
        if s == 0:
            P[s, 1, [0, 1]] = 0.4, 0.6
        elif s == states - 1:
            P[s, 1, [s - 1, s]] = 0.4, 0.6
        else:
            P[s, 1, [s - 1, s, s + 1]] = 0.05, 0.6, 0.35
    R[0, 0], R[-1, 1] = 0.005, 1.0
    return MDP(P, R, gamma, _point(states, 0))


def layered_chain(width: int, depth: int, *, p: float = 0.5) -> MDP:
    """``depth`` layers of ``width`` states, uniform moves to the next layer, a coin at the end.

    States of layer t are t width .. (t + 1) width - 1, first states those of layer 0; the last
    layer leads to an end that was won (reward 1, probability p) or one that was lost. In the first
    layer the pooling coefficient is 1/width. Source: Cheikhi and Russo (2023), arXiv 2301.13289.
    """
    _at_least(1, width=width, depth=depth)
    n = width * depth
    P, R = np.zeros((n + 2, n + 2)), np.zeros((n + 2, n + 2))
    for s in range(n - width):
        after = (s // width + 1) * width
        P[s, after : after + width] = 1.0 / width
    P[n - width : n, n], P[n - width : n, n + 1] = p, 1.0 - p
    P[n, n] = P[n + 1, n + 1] = 1.0
    R[n - width : n, n] = 1.0
    mu0 = np.zeros(n + 2)
    mu0[:width] = 1.0 / width
    return markov_reward_process(P, R, mu0=mu0)


def four_rooms(size: int = 11, *, gamma: float = 0.98) -> MDP:
    """A grid of four rooms with a door in each wall; reaching the far corner pays 1.

    Free cells are numbered row by row (`four_rooms_map`); actions up, right, down, left; a wall
    keeps you where you are. First state: the top left corner; end: the bottom right one.
    """
    walls = four_rooms_map(size)
    cells = [(int(i), int(j)) for i, j in np.argwhere(~walls)]
    number = {cell: k for k, cell in enumerate(cells)}
    n = len(cells)
    P, R = np.zeros((n, 4, n)), np.zeros((n, 4, n))
    for cell, s in number.items():
        for a, (down, right) in enumerate(MOVES):
            after = number.get((cell[0] + down, cell[1] + right), s)
            P[s, a, after] = 1.0
    P[n - 1], R[: n - 1, :, n - 1] = 0.0, 1.0
    P[n - 1, :, n - 1] = 1.0
    return MDP(P, R, gamma, _point(n, 0))


def four_rooms_map(size: int = 11) -> NDArray[np.bool_]:
    """[size, size] whether a cell of `four_rooms` is a wall.

    Raises:
        BadInput: an even size or one below 5.
    """
    if size < 5 or size % 2 == 0:
        raise BadInput(f"size = {size}: must be odd and at least 5, so that a wall halves it")
    middle, door = size // 2, size // 4
    walls = np.zeros((size, size), dtype=bool)
    walls[middle, :] = walls[:, middle] = True
    for place in (door, size - 1 - door):
        walls[middle, place] = walls[place, middle] = False
    return walls


def key_door(size: int = 8, *, gamma: float = 0.98) -> MDP:
    """Two rooms and a door that opens with a key; reaching the far corner pays 1.

    The wall is column size // 2, its door row size // 2; the key lies in the bottom left corner,
    the goal in the bottom right one. Free cells are numbered row by row, first without the key,
    then with it; actions as in `four_rooms`. First state: the top left corner without the key.

    Raises:
        BadInput: a size below 4.
    """
    _at_least(4, size=size)
    door = (size // 2, size // 2)
    cells = [(i, j) for i in range(size) for j in range(size) if j != door[1] or i == door[0]]
    number, n = {cell: k for k, cell in enumerate(cells)}, len(cells)
    key, end = number[(size - 1, 0)], n - 1
    P, R = np.zeros((2 * n, 4, 2 * n)), np.zeros((2 * n, 4, 2 * n))
    for held in (0, 1):
        for cell, s in number.items():
            if cell == door and not held:  # nobody is there without the key
                P[s, :, s] = 1.0
                continue
            for a, (down, right) in enumerate(MOVES):
                there = (cell[0] + down, cell[1] + right)
                after = s if there == door and not held else number.get(there, s)
                P[held * n + s, a, after + n * (held or after == key)] = 1.0
    for last in (end, n + end):
        P[last] = 0.0
        P[last, :, last] = 1.0
        R[:, :, last] = 1.0
    R[[end, n + end]] = 0.0
    return MDP(P, R, gamma, _point(2 * n, 0))


def combination_lock(code: Sequence[int], actions: int = 2, *, gamma: float = 1.0) -> MDP:
    """The right digit leads on, any other to the end; the last right one pays 1.

    State t waits for digit t; the end is state len(code).
    """
    _at_least(1, digits=len(code), actions=actions)
    if min(code) < 0 or max(code) >= actions:
        raise BadInput(f"code {tuple(code)}: digits lie in 0 .. {actions - 1}")
    n = len(code)
    P, R = np.zeros((n + 1, actions, n + 1)), np.zeros((n + 1, actions))
    P[:, :, n] = 1.0
    for t, digit in enumerate(code):
        P[t, digit] = 0.0
        P[t, digit, t + 1] = 1.0
    R[n - 1, code[-1]] = 1.0
    return MDP(P, R, gamma, _point(n + 1, 0), horizon=n)


def betting_game(
    rounds: int, bets: Sequence[Sequence[tuple[float, float]]], *, gamma: float = 1.0
) -> MDP:
    """``rounds`` rounds, in each one of ``bets`` is taken: pairs of payment and probability.

    State 0 begins; state 1 + t K + k is outcome k of round t, K the number of different payments.
    Markov states remember nothing of what was won before the last round.

    Raises:
        BadInput: no rounds, no bets.
    """
    _at_least(1, rounds=rounds, bets=len(bets))
    payments = sorted({payment for bet in bets for payment, _ in bet})
    K, A = len(payments), len(bets)
    law = np.zeros((A, K))
    for a, bet in enumerate(bets):
        for payment, probability in bet:
            law[a, payments.index(payment)] += probability
    n = 1 + rounds * K
    P, R = np.zeros((n, A, n)), np.zeros((n, A, n))
    for s in range(n):
        t = 0 if s == 0 else 1 + (s - 1) // K
        if t == rounds:
            P[s, :, s] = 1.0
        else:
            P[s, :, 1 + t * K : 1 + (t + 1) * K] = law
            R[s, :, 1 + t * K : 1 + (t + 1) * K] = payments
    return MDP(P, R, gamma, _point(n, 0), horizon=rounds)


def random_absorbing_chain(states: int, rng: Generator, *, stop: float = 0.2) -> MDP:
    """A chain with dense random moves, standard normal rewards on arrival, and one end.

    Args:
        states: without the end, which is the last state.
        stop: probability of ending at each step, in (0, 1].
    """
    _at_least(1, states=states)
    P = np.zeros((states + 1, states + 1))
    P[:states, :states] = (1.0 - stop) * rng.dirichlet(np.full(states, 0.5), size=states)
    P[:states, states] = stop
    P[states, states] = 1.0
    R = rng.standard_normal(P.shape)
    R[states] = 0.0
    return markov_reward_process(P, R, mu0=np.append(np.full(states, 1.0 / states), 0.0))


def reversible_chain(states: int, rng: Generator) -> Array:
    """[S, S] a random walk on a graph with random symmetric weights: in detailed balance."""
    _at_least(1, states=states)
    weights = rng.random((states, states)) ** 3
    weights = weights + weights.T
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def cyclic_chain(states: int, rng: Generator, *, spread: float = 0.05) -> Array:
    """[S, S] a chain that almost always goes round in a circle: far from reversible."""
    _at_least(2, states=states)
    turn = np.roll(np.eye(states), 1, axis=1)
    return np.asarray((1.0 - spread) * turn + spread * rng.dirichlet(np.ones(states), size=states))


def _point(states: int, s: int) -> Array:
    return np.asarray(np.eye(states)[s])


def _at_least(least: int, **counts: int) -> None:
    for name, count in counts.items():
        if count < least:
            raise BadInput(f"{name} = {count}: must be at least {least}")
