"""How different two reward functions are: STARC distances, EPIC, DARD, and the regret itself.

Exact, for finite decision processes. Rewards are arrays R[s, a, s']; needs NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meritree.errors import BadInput

Array = NDArray[np.floating[Any]]
_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Dynamics:
    """A finite decision process without its reward.

    Attributes:
        transition: [S, A, S] probability of s' after a in s; rows sum to 1.
        discount: gamma in [0, 1).
        initial: [S] probability of the first state; None: all alike.
    """

    transition: Array
    discount: float
    initial: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "transition", np.asarray(self.transition, dtype=float))
        shape = self.transition.shape
        if len(shape) != 3 or shape[0] != shape[2] or 0 in shape:
            raise BadInput(f"transition has shape {shape}, expected [S, A, S]")
        check_distribution("transition", self.transition)
        if not 0.0 <= self.discount < 1.0:
            raise BadInput(f"discount = {self.discount}: must lie in [0, 1)")
        first = np.full(shape[0], 1.0 / shape[0]) if self.initial is None else self.initial
        first = np.asarray(first, dtype=float)
        if first.shape != (shape[0],):
            raise BadInput(f"initial has shape {first.shape}, expected [{shape[0]}]")
        check_distribution("initial", first)
        object.__setattr__(self, "initial", first)

    @property
    def states(self) -> int:
        """S."""
        return int(self.transition.shape[0])

    @property
    def actions(self) -> int:
        """A."""
        return int(self.transition.shape[1])

    @cached_property
    def uniform(self) -> Array:
        """[S, A] the policy that takes every action alike."""
        return np.full((self.states, self.actions), 1.0 / self.actions)

    def expected(self, reward: Array) -> Array:
        """[S, A] reward expected over s'."""
        return (self.transition * reward).sum(axis=2)  # type: ignore[no-any-return]


# ---- what a policy is worth


def state_values(reward: ArrayLike, dynamics: Dynamics, policy: ArrayLike | None = None) -> Array:
    """[S] value of a policy, V = (I - gamma P_pi)^-1 r_pi.

    Args:
        reward: [S, A, S].
        policy: [S, A] probabilities; None: uniform.

    Raises:
        BadInput: shapes that do not fit, values that are not finite, no distribution.
    """
    r, pi = _reward(reward, dynamics), _policy(policy, dynamics)
    moves = np.einsum("sa,sat->st", pi, dynamics.transition)
    gains = (pi * dynamics.expected(r)).sum(axis=1)
    system = np.eye(dynamics.states) - dynamics.discount * moves
    return np.linalg.solve(system, gains)


def policy_return(reward: ArrayLike, dynamics: Dynamics, policy: ArrayLike | None = None) -> float:
    """J: expected discounted return from the initial distribution."""
    return float(np.dot(np.asarray(dynamics.initial), state_values(reward, dynamics, policy)))


def advantages(reward: ArrayLike, dynamics: Dynamics, policy: ArrayLike | None = None) -> Array:
    """[S, A] advantage of each action over a policy."""
    r = _reward(reward, dynamics)
    values = state_values(r, dynamics, policy)
    ahead = dynamics.discount * dynamics.transition @ values
    return dynamics.expected(r) + ahead - values[:, None]


def optimal_policy(reward: ArrayLike, dynamics: Dynamics) -> Array:
    """[S, A] a deterministic optimal policy, by policy iteration (ties: the first action)."""
    r = _reward(reward, dynamics)
    choice = np.zeros(dynamics.states, dtype=int)
    rows = np.arange(dynamics.states)
    while True:
        policy = np.zeros((dynamics.states, dynamics.actions))
        policy[rows, choice] = 1.0
        gain = advantages(r, dynamics, policy)
        # Only a real gain changes the choice: otherwise rounding could make it cycle.
        better = gain.max(axis=1) > 1e-10 * max(1.0, float(np.abs(r).max()))
        if not better.any():
            return policy
        choice = np.where(better, gain.argmax(axis=1), choice)


def regret(true: ArrayLike, proxy: ArrayLike, dynamics: Dynamics) -> float:
    """Share of the true return that is lost by optimising the proxy, in [0, 1].

    ``(J*(R) - J(R, pi_proxy)) / (J*(R) - J_min(R))``; 0 where the true reward is trivial.
    """
    best = policy_return(true, dynamics, optimal_policy(true, dynamics))
    worst = policy_return(true, dynamics, optimal_policy(-np.asarray(true), dynamics))
    spread = best - worst
    if spread <= _TOLERANCE * max(1.0, abs(best)):
        return 0.0
    got = policy_return(true, dynamics, optimal_policy(proxy, dynamics))
    return float(np.clip((best - got) / spread, 0.0, 1.0))


# ---- canonical rewards: one of each class that no policy can tell apart

Canonical = Callable[[Array, Dynamics], Array]


def value_canonical(reward: ArrayLike, dynamics: Dynamics) -> Array:
    """[S, A, S] c(R)(s, a, .) = E[R + gamma V(S') - V(s)], the uniform policy's advantage."""
    table = advantages(reward, dynamics)
    return np.broadcast_to(table[:, :, None], dynamics.transition.shape).copy()


def value_potential_canonical(reward: ArrayLike, dynamics: Dynamics) -> Array:
    """[S, A, S] c(R) = R + gamma V(s') - V(s) with V of the uniform policy.

    Undoes potential shaping but, unlike `value_canonical`, keeps what depends on s' alone.
    """
    r = _reward(reward, dynamics)
    values = state_values(r, dynamics)
    return r + dynamics.discount * values[None, None, :] - values[:, None, None]


def minimal_canonical(reward: ArrayLike, dynamics: Dynamics) -> Array:
    """[S, A, S] the reward of least L2 norm among those no policy can tell from R.

    Those are ``R'`` with ``E[R'] = E[R + gamma phi(S') - phi(s)]`` for some potential phi. For a
    given expectation m the least norm is ``m tau / |tau|^2``, so that phi solves a weighted
    least-squares problem: closed form, where the released code descends a gradient.
    """
    r = _reward(reward, dynamics)
    tau, gamma = dynamics.transition, dynamics.discount
    size = np.linalg.norm(tau, axis=2)  # [S, A]
    shift = gamma * tau - np.eye(dynamics.states)[:, None, :]  # [S, A, S]: what phi adds
    weighted = (shift / size[:, :, None]).reshape(-1, dynamics.states)
    target = (-dynamics.expected(r) / size).reshape(-1)
    phi = np.linalg.lstsq(weighted, target, rcond=None)[0]
    mean = dynamics.expected(r) + shift @ phi
    return (mean / size**2)[:, :, None] * tau  # type: ignore[no-any-return]


def epic_canonical(reward: ArrayLike, dynamics: Dynamics) -> Array:
    """[S, A, S] EPIC: R + gamma E[R(s', A, S')] - E[R(s, A, S')] - gamma E[R(S, A, S')].

    States and actions uniform and independent of the dynamics (Gleave et al. 2021, arXiv
    2006.13900).
    """
    r = _reward(reward, dynamics)
    mean = r.mean(axis=(1, 2))  # [S]
    gamma = dynamics.discount
    shaped = r + gamma * mean[None, None, :] - mean[:, None, None]
    return shaped - gamma * r.mean()  # type: ignore[no-any-return]


def dard_canonical(reward: ArrayLike, dynamics: Dynamics) -> Array:
    """[S, A, S] DARD: R + E[gamma R(s', A, S'') - R(s, A, S') - gamma R(S', A, S'')].

    A uniform; S' follows s and S'' follows s' under the dynamics (Wulfe et al. 2022, arXiv
    2201.10081; as in the code released with STARC).
    """
    r = _reward(reward, dynamics)
    tau, gamma = dynamics.transition, dynamics.discount
    mean = dynamics.expected(r).mean(axis=1)  # [S]
    far = np.einsum("sax,xay,tay->st", tau, r, tau, optimize=True) / dynamics.actions
    shaped = r + gamma * mean[None, None, :] - mean[:, None, None]
    return shaped - gamma * far[:, None, :]  # type: ignore[no-any-return]


# ---- distances


def standardised(canonical: Array, order: float = 2) -> Array:
    """The canonical reward at norm 1; zero where it is trivial (every policy worth the same)."""
    size = float(np.linalg.norm(canonical.reshape(-1), order))
    return canonical * 0.0 if size <= _TOLERANCE else canonical / size


def starc_distance(
    one: ArrayLike,
    other: ArrayLike,
    dynamics: Dynamics,
    *,
    canonical: Canonical = value_canonical,
    order: float = 2,
) -> float:
    """STARC distance of two rewards in [0, 1]: half the norm of the standardised difference.

    0: both order all policies alike; 1: one is the other's opposite. It bounds the worst-case
    regret from above and from below, for `value_canonical` and `minimal_canonical`.
    Unaffected by potential shaping, by redistribution over s' and by positive scaling.

    Args:
        one, other: [S, A, S].
        canonical: also `value_potential_canonical`, `epic_canonical`, `dard_canonical`, which
            do not have all of these properties.
        order: of the norm, 1, 2 or infinity.

    Raises:
        BadInput: shapes that do not fit, values that are not finite.

    Source: Skalse, Farnik, Motwani, Jenner, Gleave and Abate (2024), arXiv 2309.15257.
    """
    first = standardised(canonical(_reward(one, dynamics), dynamics), order)
    second = standardised(canonical(_reward(other, dynamics), dynamics), order)
    return float(np.linalg.norm((first - second).reshape(-1), order)) / 2.0


def _reward(reward: ArrayLike, dynamics: Dynamics) -> Array:
    table = np.asarray(reward, dtype=float)
    if table.shape != dynamics.transition.shape:
        raise BadInput(
            f"reward has shape {table.shape}, expected [S, A, S] = {dynamics.transition.shape}"
        )
    if not np.isfinite(table).all():
        raise BadInput("reward holds values that are not finite")
    return table


def _policy(policy: ArrayLike | None, dynamics: Dynamics) -> Array:
    if policy is None:
        return dynamics.uniform
    table = np.asarray(policy, dtype=float)
    if table.shape != (dynamics.states, dynamics.actions):
        raise BadInput(
            f"policy has shape {table.shape}, expected [{dynamics.states}, {dynamics.actions}]"
        )
    check_distribution("policy", table)
    return table


def check_distribution(name: str, table: Array) -> None:
    """Entries >= 0 that sum to one along the last axis.

    Raises:
        BadInput: they do not; the message names the table and the sum.
    """
    if not np.isfinite(table).all() or table.min() < 0.0:
        raise BadInput(f"{name} holds values that are negative or not finite")
    sums = table.sum(axis=-1)
    if np.abs(sums - 1.0).max() > _TOLERANCE:
        raise BadInput(f"{name}: probabilities sum to {sums.flat[np.abs(sums - 1.0).argmax()]}")
