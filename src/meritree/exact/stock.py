"""Objectives of the whole return, solved exactly: dynamic programming over (state, stock).

The stock is `value.contexts.stock`, c' = (c + r)/gamma, so that gamma^t (c_t + G_t) stays the same
along an episode. Finite horizons, finitely many rewards; knows no sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from meritree.errors import BadInput
from meritree.exact.mdp import MDP, Array, Ints
from meritree.value.contexts import stock
from meritree.value.risk.laws import Law

Utility = Callable[[Array], Array]
_DIGITS = 10  # stocks nearer than 1e-10 are one


class Points(NamedTuple):
    """The (state, stock) pairs that can be reached with a number of steps taken.

    Attributes:
        state: [N].
        stock: [N]; sorted by state, then by stock.
    """

    state: Ints
    stock: Array


class StockPlan(NamedTuple):
    """What `stock_dp` found, for every first stock asked about.

    Attributes:
        points: by steps taken, H + 1 of them.
        value: best E f(c + G) at each point, by steps taken.
        action: a best action at each point, by steps taken, H of them.
        first: [C] the first stocks.
        best: [C] E f(c_0 + G) from mu0 under the best policy.
    """

    points: tuple[Points, ...]
    value: tuple[Array, ...]
    action: tuple[Ints, ...]
    first: Array
    best: Array


def stock_dp(
    mdp: MDP, f: Utility, stocks: ArrayLike = 0.0, *, horizon: int | None = None
) -> StockPlan:
    """The policies that maximise E f(c_0 + G) among all, whatever they remember.

    f(x) = min(x, 0) with c_0 = -b is the shortfall below b, -x^2 or -|x| with c_0 = -target comes
    near a target, x >= 0 reaches one, x is the ordinary value.

    Args:
        f: elementwise on arrays.
        stocks: first stocks, a number or [C].

    Raises:
        BadInput: no horizon; gamma < 1 and f not homogeneous (its order would change with time);
            more than a million points.
    """
    steps = mdp.horizon if horizon is None else horizon
    if steps is None or steps < 1:
        raise BadInput(f"horizon = {steps}: exact stock planning needs at least one step")
    first = np.atleast_1d(np.asarray(stocks, dtype=float))
    points = reachable(mdp, first, steps)
    if mdp.gamma < 1.0:
        check_homogeneous(f, mdp.gamma, np.concatenate([each.stock for each in points]))
    values, actions = [np.asarray(f(points[-1].stock), dtype=float)], []
    factor = _order(f, mdp.gamma)
    for now, after in zip(points[-2::-1], points[:0:-1], strict=True):
        # f(c + G) = f(gamma (c' + G')) = gamma^p f(c' + G')
        Q = factor * _backed_up(mdp, now, after, values[-1])
        actions.append(Q.argmax(axis=1))
        values.append(Q.max(axis=1))
    start = points[0]
    best = np.zeros(len(first))
    for i, c in enumerate(rounded(first)):
        at = find(start, np.arange(mdp.S), np.full(mdp.S, c))
        best[i] = mdp.first @ np.where(mdp.first > 0.0, values[-1][at], 0.0)
    return StockPlan(points, tuple(values[::-1]), tuple(actions[::-1]), first, best)


def law_of(mdp: MDP, plan: StockPlan, index: int = 0) -> Law:
    """The law of the return G under the plan's policy from first stock ``first[index]``."""
    start = plan.points[0]
    c0 = float(rounded(plan.first[index : index + 1])[0])
    mass = np.zeros(len(start.state))
    at = find(start, np.arange(mdp.S), np.full(mdp.S, c0))
    np.add.at(mass, at[mdp.first > 0.0], mdp.first[mdp.first > 0.0])
    for now, after, action in zip(plan.points[:-1], plan.points[1:], plan.action, strict=True):
        moved = np.zeros(len(after.state))
        for s2 in range(mdp.S):
            p = mdp.P[now.state, action, s2] * mass
            use = p > 0.0
            if use.any():
                c = stepped(mdp, now.stock[use], mdp.rewards[now.state[use], action[use], s2])
                np.add.at(moved, find(after, np.full(use.sum(), s2), c), p[use])
        mass = moved
    returns = rounded(mdp.gamma ** len(plan.action) * plan.points[-1].stock - c0)
    kept = mass > 0.0
    values, where = np.unique(returns[kept], return_inverse=True)
    return Law(values, np.bincount(where, mass[kept]))


class ShortfallPlan(NamedTuple):
    """The policy of the greatest expected shortfall of rewards (CVaR).

    Attributes:
        value: CVaR_tau of the return, the mean of its worst share tau.
        b: the quantile, c_0 = -b.
        law: of the return under the policy.
        plan: the policy.
    """

    value: float
    b: float
    law: Law
    plan: StockPlan


def best_shortfall(mdp: MDP, tau: float, *, horizon: int | None = None) -> ShortfallPlan:
    """max over policies of CVaR_tau = max_b { b + E min(G - b, 0) / tau }, exactly.

    Every policy's law has finitely many values, and the maximum over b lies at one of them: so it
    is enough to try all returns that any policy can have.

    Args:
        tau: the share of the worst returns that counts, in (0, 1].
    """
    if not 0.0 < tau <= 1.0:
        raise BadInput(f"tau = {tau}: must lie in (0, 1]")
    steps = mdp.horizon if horizon is None else horizon
    if steps is None or steps < 1:
        raise BadInput(f"horizon = {steps}: exact stock planning needs at least one step")
    last = reachable(mdp, np.zeros(1), steps)[-1].stock
    b = np.unique(rounded(mdp.gamma**steps * last))
    plan = stock_dp(mdp, shortfall, -b, horizon=steps)
    worth = b + plan.best / tau
    i = int(worth.argmax())
    return ShortfallPlan(float(worth[i]), float(b[i]), law_of(mdp, plan, i), plan)


def shortfall(x: Array) -> Array:
    """min(x, 0)."""
    return np.minimum(x, 0.0)


def reachable(mdp: MDP, first: ArrayLike, steps: int, most: int = 1_000_000) -> tuple[Points, ...]:
    """All (state, stock) pairs by steps taken, from all states with mu0 > 0 and all first stocks.

    Raises:
        BadInput: there are more than ``most`` at once.
    """
    c = rounded(np.atleast_1d(np.asarray(first, dtype=float)))
    pairs = [(int(s), c) for s in range(mdp.S)]
    found = [_points(pairs)]
    for _ in range(steps):
        now, pairs = found[-1], []
        for s2 in range(mdp.S):
            s, a = np.nonzero(mdp.P[:, :, s2])
            arrived = [
                stepped(mdp, now.stock[now.state == one], mdp.rewards[one, act, s2])
                for one, act in zip(s, a, strict=True)
            ]
            if arrived:
                pairs.append((s2, np.concatenate(arrived)))
        found.append(_points(pairs))
        if len(found[-1].state) > most:
            raise BadInput(
                f"more than {most} pairs of state and stock: round the rewards to a grid, or "
                "shorten the horizon"
            )
    return tuple(found)


def check_homogeneous(f: Utility, gamma: float, at: ArrayLike) -> float:
    """gamma^p with f(gamma x) = gamma^p f(x) at all x: then f judges alike at all times.

    Raises:
        BadInput: there is no such p.
    """
    x = np.asarray(at, dtype=float)
    factor = _order(f, gamma)
    if not np.allclose(f(gamma * x), factor * f(x), rtol=1e-9, atol=1e-9):
        raise BadInput(
            f"gamma = {gamma} < 1, but f(gamma x) is no multiple of f(x): a stock in today's money "
            "needs a homogeneous f (x, min(x, 0), -|x|, -x^2, x >= 0); take gamma = 1"
        )
    return factor


def _order(f: Utility, gamma: float) -> float:
    """f(gamma x)/f(x), measured where f is not 0."""
    if gamma == 1.0:
        return 1.0
    x = np.array([-3.0, -1.0, 1.0, 3.0])
    here, scaled = np.asarray(f(x), dtype=float), np.asarray(f(gamma * x), dtype=float)
    known = np.flatnonzero(here != 0.0)
    return float(scaled[known[0]] / here[known[0]]) if len(known) else 1.0


def _backed_up(mdp: MDP, now: Points, after: Points, value: Array) -> Array:
    """[N, A] sum_s' P(s'|s, a) value(s', c')."""
    Q = np.zeros((len(now.state), mdp.A))
    for a in range(mdp.A):
        for s2 in range(mdp.S):
            p = mdp.P[now.state, a, s2]
            use = p > 0.0
            if use.any():
                c = stepped(mdp, now.stock[use], mdp.rewards[now.state[use], a, s2])
                Q[use, a] += p[use] * value[find(after, np.full(int(use.sum()), s2), c)]
    return Q


def stepped(mdp: MDP, c: Array, reward: Array | float) -> Array:
    step = stock(mdp.gamma, lambda _: np.zeros(1)).step
    paid = np.broadcast_to(np.asarray(reward, dtype=float), c.shape)
    return rounded(step(c[:, None], paid[:, None])[:, 0])


def rounded(c: Array) -> Array:
    return np.round(c, _DIGITS) + 0.0  # + 0.0: no negative zero


def _points(pairs: list[tuple[int, Array]]) -> Points:
    unique = [(s, np.unique(c)) for s, c in pairs]
    return Points(
        np.concatenate([np.full(len(c), s) for s, c in unique]),
        np.concatenate([c for _, c in unique]),
    )


def find(points: Points, state: Ints, c: Array) -> Ints:
    """Index of each (state, stock) among the points."""
    found = np.zeros(len(state), dtype=int)
    low = np.searchsorted(points.state, np.arange(int(points.state.max()) + 2))
    for s in np.unique(state):
        rows = state == s
        found[rows] = low[s] + np.searchsorted(
            points.stock[low[s] : low[s + 1]], c[rows] - 0.4 * 10.0**-_DIGITS
        )
    return found
