"""Distributional value iteration, exactly: laws of returns, and what may be optimised with them.

A functional K gives a number to a law; greedy backups optimise K of the return only if K is
indifferent to mixtures, which `check_mixtures` tries to refute. Finite horizons.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from meritree.errors import BadInput
from meritree.exact.mdp import MDP, Array, Ints, policy_table
from meritree.exact.stock import Points, find, reachable, rounded, stepped
from meritree.value.risk.laws import Law
from meritree.value.risk.measures import Score

Functional = Score | Callable[[Array, Array | None], Array]


class DistPlan(NamedTuple):
    """What `dist_dp` found.

    Attributes:
        points: by steps taken, H + 1 of them.
        laws: of the return to come at each point, by steps taken.
        action: at each point, by steps taken, H of them.
        law: of the return from mu0 and the first stock.
        score: K of the law of c_0 + G.
    """

    points: tuple[Points, ...]
    laws: tuple[tuple[Law, ...], ...]
    action: tuple[Ints, ...]
    law: Law
    score: float


def dist_dp(
    mdp: MDP,
    K: Functional,
    c0: float = 0.0,
    *,
    horizon: int | None = None,
    check: bool = True,
    tries: int = 200,
) -> DistPlan:
    """eta(s, c) <- law of r + gamma G'(s', c'), a maximising K(law of c + G).

    Args:
        K: laws of rewards (values, weights) to numbers, larger is better (`value.risk.as_score`,
            or a mean of a utility).
        c0: the first stock.
        check: try to refute that K is indifferent to mixtures first.
        tries: of that check.

    Raises:
        BadInput: no horizon; K is not indifferent to mixtures, or (gamma < 1) to scaling by gamma.
    """
    steps = mdp.horizon if horizon is None else horizon
    if steps is None or steps < 1:
        raise BadInput(f"horizon = {steps}: exact laws need at least one step")
    if check:
        check_mixtures(K, np.random.default_rng(0), tries=tries)
        if mdp.gamma < 1.0:
            check_scaling(K, mdp.gamma, np.random.default_rng(1), tries=tries)
    points = reachable(mdp, np.array([c0]), steps)
    nothing = Law(np.zeros(1), np.ones(1))
    laws: list[tuple[Law, ...]] = [tuple(nothing for _ in points[-1].state)]
    actions: list[Ints] = []
    for now, after in zip(points[-2::-1], points[:0:-1], strict=True):
        chosen: list[Law] = []
        best = np.zeros(len(now.state), dtype=int)
        for i, (s, c) in enumerate(zip(now.state, now.stock, strict=True)):
            offers = [_backed_up(mdp, int(s), float(c), a, after, laws[-1]) for a in range(mdp.A)]
            scores = [float(K(c + law.values, law.weights)) for law in offers]
            best[i] = int(np.argmax(scores))
            chosen.append(offers[best[i]])
        laws.append(tuple(chosen))
        actions.append(best)
    start = find(points[0], np.arange(mdp.S), np.full(mdp.S, rounded(np.array([c0]))[0]))
    law = mixture([laws[-1][k] for k in start], mdp.first)
    score = float(K(c0 + law.values, law.weights))
    return DistPlan(points, tuple(laws[::-1]), tuple(actions[::-1]), law, score)


class MarkovPlan(NamedTuple):
    """What `dist_dp_without_stock` found.

    Attributes:
        action: [H, S] with 1 to H steps left.
        law: of the return from mu0.
        score: K of it.
    """

    action: Ints
    law: Law
    score: float


def dist_dp_without_stock(mdp: MDP, K: Functional, *, horizon: int | None = None) -> MarkovPlan:
    """eta(s) <- law of r + gamma G'(s'), a maximising K of it: what was won so far is forgotten.

    The baseline of the stock: optimal for K = the mean (and exponential utilities, gamma = 1), for
    other objectives a greedy rule that nothing is promised of.
    """
    steps = mdp.horizon if horizon is None else horizon
    if steps is None or steps < 1:
        raise BadInput(f"horizon = {steps}: exact laws need at least one step")
    laws, chosen = [Law(np.zeros(1), np.ones(1))] * mdp.S, np.zeros((steps, mdp.S), dtype=int)
    for k in range(steps):
        offers = [[_moved(mdp, s, a, laws) for a in range(mdp.A)] for s in range(mdp.S)]
        scores = np.array([[float(K(*law)) for law in row] for row in offers])
        chosen[k] = scores.argmax(axis=1)
        laws = [row[a] for row, a in zip(offers, chosen[k], strict=True)]
    law = mixture(laws, mdp.first)
    return MarkovPlan(chosen, law, float(K(*law)))


def return_law(mdp: MDP, policy: ArrayLike | None = None, *, horizon: int | None = None) -> Law:
    """The law of the return from mu0 under a policy without memory.

    Args:
        policy: [S] actions, [S, A] probabilities, or [H, S] actions with 1 to H steps left.
    """
    steps = mdp.horizon if horizon is None else horizon
    if steps is None or steps < 1:
        raise BadInput(f"horizon = {steps}: exact laws need at least one step")
    timed = policy is not None and np.ndim(policy) == 2 and np.asarray(policy).dtype.kind in "iu"
    laws = [Law(np.zeros(1), np.ones(1))] * mdp.S
    for k in range(steps):
        pi = policy_table(mdp, np.asarray(policy)[k] if timed else policy)
        laws = [
            mixture([_moved(mdp, s, a, laws) for a in range(mdp.A)], pi[s]) for s in range(mdp.S)
        ]
    return mixture(laws, mdp.first)


def mixture(laws: list[Law], weights: ArrayLike) -> Law:
    """The law of first drawing one of the laws; equal values (to 1e-10) are one."""
    w = np.asarray(weights, dtype=float)
    used = [(law, p) for law, p in zip(laws, w, strict=True) if p > 0.0]
    values = rounded(np.concatenate([law.values for law, _ in used]))
    mass = np.concatenate([p * law.weights for law, p in used])
    unique, where = np.unique(values, return_inverse=True)
    return Law(unique, np.bincount(where, mass))


def expected_utility(f: Callable[[Array], Array]) -> Score:
    """K(nu) = E f: always indifferent to mixtures."""

    def score(rewards: Array, weights: Array | None = None) -> Array:
        values = np.asarray(f(rewards), dtype=float)
        mass = np.full(values.shape, 1.0 / values.shape[-1]) if weights is None else weights
        return np.asarray((mass * values).sum(axis=-1))

    return score


def check_mixtures(K: Functional, rng: Generator, *, tries: int = 200) -> None:
    """K(nu) >= K(nu') implies K(p nu + q mu) >= K(p nu' + q mu), as far as random laws can tell.

    Raises:
        BadInput: a counter-example was found: greedy backups need not be optimal for this K.
    """
    for _ in range(tries):
        one, two, mixed = (_random_law(rng) for _ in range(3))
        p = float(rng.uniform(0.1, 0.9))
        better, worse = (one, two) if float(K(*one)) >= float(K(*two)) else (two, one)
        if float(K(*better)) - float(K(*worse)) < 1e-9:
            continue
        high = float(K(*mixture([better, mixed], [p, 1.0 - p])))
        low = float(K(*mixture([worse, mixed], [p, 1.0 - p])))
        if high < low - 1e-9:
            raise BadInput(
                f"K is not indifferent to mixtures: it prefers one law to another by "
                f"{float(K(*better)) - float(K(*worse)):.3g}, but after mixing both with a third "
                f"the other by {low - high:.3g}; dynamic programming then need not find the best "
                "policy. Write it as an expected utility of the stock, with an outer maximum "
                "(as `best_shortfall` does)"
            )


def check_scaling(K: Functional, gamma: float, rng: Generator, *, tries: int = 200) -> None:
    """K(nu) >= K(nu') implies K(gamma nu) >= K(gamma nu'), as far as random laws can tell.

    Raises:
        BadInput: a counter-example was found: with gamma < 1 later choices would be judged anew.
    """
    for _ in range(tries):
        one, two = _random_law(rng), _random_law(rng)
        gap = float(K(*one)) - float(K(*two))
        after = float(K(gamma * one.values, one.weights)) - float(
            K(gamma * two.values, two.weights)
        )
        if abs(gap) > 1e-9 and gap * after < -1e-12:
            raise BadInput(
                f"K is not indifferent to scaling by gamma = {gamma}: the order of two laws turns "
                "round; take gamma = 1 or a homogeneous objective"
            )


def _random_law(rng: Generator) -> Law:
    n = int(rng.integers(1, 4))
    return Law(rounded(rng.normal(scale=3.0, size=n)), rng.dirichlet(np.ones(n)))


def _moved(mdp: MDP, s: int, a: int, laws: list[Law]) -> Law:
    after = np.flatnonzero(mdp.P[s, a])
    moved = [Law(mdp.rewards[s, a, t] + mdp.gamma * laws[t].values, laws[t].weights) for t in after]
    return mixture(moved, mdp.P[s, a, after])


def _backed_up(mdp: MDP, s: int, c: float, a: int, after: Points, laws: tuple[Law, ...]) -> Law:
    states = np.flatnonzero(mdp.P[s, a])
    reward = mdp.rewards[s, a, states]
    at = find(after, states, stepped(mdp, np.full(len(states), c), reward))
    moved = [
        Law(r + mdp.gamma * laws[k].values, laws[k].weights)
        for r, k in zip(reward, at, strict=True)
    ]
    return mixture(moved, mdp.P[s, a, states])
