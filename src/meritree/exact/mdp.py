"""A finite Markov decision process as arrays: what all exact computations start from.

Knows transitions, rewards, discount and first states; no solver, no learner, no random number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meritree.errors import BadInput
from meritree.value.comparison import Dynamics, check_distribution
from meritree.value.transforms import RewardTransform, Step

Array = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class MDP:
    """A finite decision process with its reward.

    An *end* is a state that no action leaves and that pays nothing: episodes stop on arrival.

    Attributes:
        P: [S, A, S] probability of s' after a in s.
        R: [S, A] expected reward, or [S, A, S] reward on arriving at s'.
        gamma: discount in [0, 1]; 1 needs ends that every policy asked about reaches, or a horizon.
        mu0: [S] probability of the first state; None: all states alike.
        horizon: number of steps of an episode; None: until an end.
    """

    P: Array
    R: Array
    gamma: float = 1.0
    mu0: Array | None = None
    horizon: int | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "P", np.asarray(self.P, dtype=float))
        put(self, "R", np.asarray(self.R, dtype=float))
        shape = self.P.shape
        if len(shape) != 3 or shape[0] != shape[2] or 0 in shape:
            raise BadInput(f"P has shape {shape}, expected [S, A, S]")
        check_distribution("P", self.P)
        if self.R.shape not in (shape, shape[:2]):
            raise BadInput(f"R has shape {self.R.shape}, expected {shape[:2]} or {shape}")
        if not np.isfinite(self.R).all():
            raise BadInput("R holds values that are not finite")
        if not 0.0 <= self.gamma <= 1.0:
            raise BadInput(f"gamma = {self.gamma}: must lie in [0, 1]")
        first = np.full(shape[0], 1.0 / shape[0]) if self.mu0 is None else self.mu0
        put(self, "mu0", np.asarray(first, dtype=float))
        if self.first.shape != (shape[0],):
            raise BadInput(f"mu0 has shape {self.first.shape}, expected [{shape[0]}]")
        check_distribution("mu0", self.first)
        if self.horizon is not None and self.horizon < 1:
            raise BadInput(f"horizon = {self.horizon}: must be at least 1, or None for no limit")

    @property
    def S(self) -> int:
        """Number of states."""
        return int(self.P.shape[0])

    @property
    def A(self) -> int:
        """Number of actions."""
        return int(self.P.shape[1])

    @property
    def first(self) -> Array:
        """[S] probability of the first state, whether or not it was given."""
        return np.asarray(self.mu0)

    @cached_property
    def r(self) -> Array:
        """[S, A] expected reward."""
        if self.R.ndim == 2:
            return self.R
        return np.asarray((self.P * self.R).sum(axis=2))

    @cached_property
    def rewards(self) -> Array:
        """[S, A, S] reward on arriving at s'; a read-only view where R is [S, A]."""
        return self.R if self.R.ndim == 3 else np.broadcast_to(self.R[:, :, None], self.P.shape)

    @cached_property
    def ends(self) -> NDArray[np.bool_]:
        """[S] whether the state is an end."""
        stays = np.einsum("sas->sa", self.P) == 1.0
        paid = np.where(self.P > 0.0, self.rewards, 0.0)
        return np.asarray(stays.all(axis=1) & (paid == 0.0).all(axis=(1, 2)))

    @property
    def dynamics(self) -> Dynamics:
        """Transitions, discount and first states, as `value.comparison` wants them.

        Raises:
            BadInput: gamma = 1.
        """
        return Dynamics(self.P, self.gamma, self.first)


def policy_table(mdp: MDP, policy: ArrayLike | None) -> Array:
    """[S, A] probabilities of a policy.

    Args:
        policy: [S] actions, [S, A] probabilities, or None for the uniform policy.

    Raises:
        BadInput: another shape, an action that does not exist, no distribution.
    """
    if policy is None:
        return np.full((mdp.S, mdp.A), 1.0 / mdp.A)
    given = np.asarray(policy)
    if given.shape == (mdp.S,) and given.dtype.kind in "iu":
        if given.min() < 0 or given.max() >= mdp.A:
            raise BadInput(f"policy names actions {given.min()} to {given.max()} of {mdp.A}")
        return np.asarray(np.eye(mdp.A)[given])
    if given.shape != (mdp.S, mdp.A):
        raise BadInput(
            f"policy has shape {given.shape} and type {given.dtype}: give [{mdp.S}] whole numbers "
            f"or [{mdp.S}, {mdp.A}] probabilities"
        )
    table = given.astype(float)
    check_distribution("policy", table)
    return table


def chain(mdp: MDP, policy: ArrayLike | None = None) -> tuple[Array, Array]:
    """(P_pi [S, S], r_pi [S]): the Markov chain that a policy makes of the process."""
    pi = policy_table(mdp, policy)
    moves = np.asarray(np.einsum("sa,sat->st", pi, mdp.P))
    return moves, np.asarray((pi * mdp.r).sum(axis=1), dtype=float)


def markov_reward_process(P: ArrayLike, R: ArrayLike, **settings: Any) -> MDP:
    """A chain with rewards as a process of one action.

    Args:
        P: [S, S].
        R: [S] expected reward, or [S, S] reward on arriving at s'.
        settings: gamma, mu0, horizon of `MDP`.
    """
    return MDP(np.asarray(P)[:, None, :], np.asarray(R)[:, None, ...], **settings)


def transformed(mdp: MDP, transform: RewardTransform) -> MDP:
    """The process whose rewards a stateless transform has relabelled (`value.transforms`).

    Arrivals at ends are true ends (boot 0), so that a shift can treat them as its kind demands.
    Rewards of staying at an end stay 0: nobody takes that step.
    """
    arrival = np.broadcast_to(mdp.ends, mdp.P.shape)
    step = Step(mdp.rewards[..., None], np.where(arrival, 0.0, mdp.gamma), arrival)
    changed = np.asarray(transform.sample(transform.init(None), step))
    if changed.shape != (*mdp.P.shape, 1):
        raise BadInput(f"the transform gives {changed.shape[-1]} channels: one is needed")
    table = np.where(mdp.ends[:, None, None], 0.0, changed[..., 0])
    return MDP(mdp.P, table, mdp.gamma, mdp.mu0, mdp.horizon)
