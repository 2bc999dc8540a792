"""Values, policies and visits of a finite process, exact or to a stated tolerance.

Linear algebra and dynamic programming only: no sample is drawn here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meritree.errors import BadInput
from meritree.exact.mdp import MDP, Array, Ints, chain, policy_table
from meritree.value.comparison import optimal_policy
from meritree.value.risk.nested import Plan


class Solution(NamedTuple):
    """An optimal policy and its values.

    Attributes:
        V: [S] optimal values.
        Q: [S, A] optimal action values.
        policy: [S] a best action each (ties: the first).
        sweeps: how many sweeps or improvements it took.
    """

    V: Array
    Q: Array
    policy: Ints
    sweeps: int


def action_values(mdp: MDP, V: ArrayLike) -> Array:
    """[S, A] r + gamma P V."""
    return np.asarray(mdp.r + mdp.gamma * mdp.P @ np.asarray(V))


def evaluate(mdp: MDP, policy: ArrayLike | None = None) -> Array:
    """[S] values of a policy, V = (I - gamma P_pi)^-1 r_pi; ends are worth 0.

    Args:
        policy: [S] actions, [S, A] probabilities, or None for the uniform policy.

    Raises:
        BadInput: no such policy; gamma = 1 and the policy never ends from some state.
    """
    moves, gains = chain(mdp, policy)
    live = ~mdp.ends
    if mdp.gamma == 1.0:
        check_ends(moves, mdp.ends)
    values = np.zeros(mdp.S)
    system = np.eye(int(live.sum())) - mdp.gamma * moves[np.ix_(live, live)]
    values[live] = np.linalg.solve(system, gains[live])
    return values


def evaluate_steps(mdp: MDP, policy: ArrayLike | None = None, horizon: int | None = None) -> Array:
    """[H + 1, S] values of a policy with 0 to H steps left.

    Args:
        policy: as for `evaluate`, or [H, S] actions with 1 to H steps left.
        horizon: None: the process's own.
    """
    steps = _steps(mdp, horizon)
    given = np.asarray(policy) if policy is not None else None
    timed = given is not None and given.dtype.kind in "iu" and given.ndim == 2
    V = np.zeros((steps + 1, mdp.S))
    for k in range(steps):
        pi = policy_table(mdp, given[k] if timed and given is not None else policy)
        V[k + 1] = (pi * action_values(mdp, V[k])).sum(axis=1)
    return V


def value_iteration(mdp: MDP, tolerance: float = 1e-10, most: int = 1_000_000) -> Solution:
    """Optimal values by repeated backups, within ``tolerance`` of V* for gamma < 1.

    It stops when a sweep changes nothing by more than tolerance (1 - gamma) / gamma; for
    gamma = 1, by more than the tolerance, which bounds the sweep's change and not the error.

    Raises:
        BadInput: a tolerance that is not above 0, or not reached after ``most`` sweeps.
    """
    if not tolerance > 0.0:
        raise BadInput(f"tolerance = {tolerance}: must be above 0")
    gamma = mdp.gamma
    change = tolerance * (1.0 - gamma) / gamma if 0.0 < gamma < 1.0 else tolerance
    V = np.zeros(mdp.S)
    for sweep in range(1, most + 1):
        Q = action_values(mdp, V)
        V, old = Q.max(axis=1), V
        if np.abs(V - old).max() <= change:
            Q = action_values(mdp, V)
            return Solution(V, Q, Q.argmax(axis=1), sweep)
    raise BadInput(
        f"value iteration: {most} sweeps left a change of {np.abs(V - old).max():.3g}, asked "
        f"{change:.3g}; raise the tolerance, or give a horizon where rewards never end"
    )


def policy_iteration(mdp: MDP) -> Solution:
    """Optimal values and policy, exact up to rounding.

    Raises:
        BadInput: gamma = 1 (a policy on the way may never end); use `value_iteration`.
    """
    policy = optimal_policy(mdp.rewards, mdp.dynamics).argmax(axis=1)
    V = evaluate(mdp, policy)
    return Solution(V, action_values(mdp, V), policy, 0)


def backward_induction(mdp: MDP, horizon: int | None = None) -> Plan:
    """Best values [H + 1, S] and actions [H, S] by the number of steps left.

    ``value[k]`` with k steps left, ``action[k]`` with k + 1; ties: the first action. For other
    objectives than the mean see `meritree.value.risk.backward_induction` and `exact.stock`.

    Raises:
        BadInput: neither the process nor the call has a horizon.
    """
    steps = _steps(mdp, horizon)
    V, policy = np.zeros((steps + 1, mdp.S)), np.zeros((steps, mdp.S), dtype=int)
    for k in range(steps):
        Q = action_values(mdp, V[k])
        policy[k], V[k + 1] = Q.argmax(axis=1), Q.max(axis=1)
    return Plan(V, policy)


def visits(mdp: MDP, policy: ArrayLike | None = None) -> Array:
    """[S, A] expected discounted number of times that a is taken in s, ends left out.

    sum_t gamma^t P(S_t = s, A_t = a) from mu0; its product with r sums to the policy's value.
    """
    pi = policy_table(mdp, policy)
    moves, _ = chain(mdp, policy)
    live = ~mdp.ends
    if mdp.gamma == 1.0:
        check_ends(moves, mdp.ends)
    counts = np.zeros(mdp.S)
    system = np.eye(int(live.sum())) - mdp.gamma * moves[np.ix_(live, live)]
    counts[live] = np.linalg.solve(system.T, mdp.first[live])
    return np.asarray(counts[:, None] * pi)


def occupancy(mdp: MDP, policy: ArrayLike | None = None) -> Array:
    """[S, A] (1 - gamma) sum_t gamma^t P(S_t = s, A_t = a), ends included: sums to one.

    Raises:
        BadInput: gamma = 1; `visits` counts there.
    """
    pi = policy_table(mdp, policy)
    reached = mdp.first @ successor(mdp, policy)
    return np.asarray((1.0 - mdp.gamma) * reached[:, None] * pi)


def successor(mdp: MDP, policy: ArrayLike | None = None) -> Array:
    """[S, S] successor measure M = (I - gamma P_pi)^-1; every row sums to 1/(1 - gamma).

    Raises:
        BadInput: gamma = 1.
    """
    if mdp.gamma == 1.0:
        raise BadInput("gamma = 1: the successor measure is infinite; `visits` leaves ends out")
    moves, _ = chain(mdp, policy)
    return np.linalg.inv(np.eye(mdp.S) - mdp.gamma * moves)


def stationary(P: ArrayLike) -> Array:
    """[S] the stationary distribution of a chain, mu P = mu.

    Raises:
        BadInput: there are several (the chain falls into parts that never meet again).
    """
    P = np.asarray(P, dtype=float)
    n = len(P)
    # mu (P - I) = 0 has one solution exactly where its left null space is a line.
    _, sizes, right = np.linalg.svd((P - np.eye(n)).T)
    if n > 1 and sizes[-2] < 1e-10:
        raise BadInput("the chain has several stationary distributions: give one recurrent class")
    mu = right[-1] / right[-1].sum()
    return np.asarray(np.clip(mu, 0.0, None) / np.clip(mu, 0.0, None).sum())


def reversible(P: ArrayLike, mu: ArrayLike | None = None, tolerance: float = 1e-10) -> bool:
    """Whether mu_s P(s, t) = mu_t P(t, s) (detailed balance); mu None: the stationary one."""
    flow = (stationary(P) if mu is None else np.asarray(mu))[:, None] * np.asarray(P)
    return bool(np.abs(flow - flow.T).max() <= tolerance)


def check_ends(P: Array, ends: NDArray[np.bool_]) -> None:
    """Every state leads to an end.

    Raises:
        BadInput: one does not; it is named.
    """
    reaches, moves = ends.copy(), P > 0.0
    for _ in range(len(P)):
        grown = reaches | (moves & reaches).any(axis=1)
        if (grown == reaches).all():
            break
        reaches = grown
    if not reaches.all():
        raise BadInput(
            f"gamma = 1, but from state {int(np.argmin(reaches))} the policy never comes to an "
            "end: take gamma < 1 or a horizon"
        )


def _steps(mdp: MDP, horizon: int | None) -> int:
    steps = mdp.horizon if horizon is None else horizon
    if steps is None or steps < 1:
        raise BadInput(f"horizon = {steps}: give the process or the call at least one step")
    return steps
