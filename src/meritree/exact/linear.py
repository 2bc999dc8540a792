"""Linear decision processes: transitions and rewards linear in known features.

P(s'|s, a) = phi(s, a)' mu(s') and r(s, a) = phi(s, a)' theta. The instances of theory papers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Generator

from meritree.errors import BadInput
from meritree.exact.mdp import MDP, Array


@dataclass(frozen=True)
class LinearMDP:
    """Features and what is linear in them.

    Attributes:
        phi: [S, A, d] features.
        mu: [d, S] signed measures; phi' mu must be distributions.
        theta: [d] rewards.
        gamma: discount in [0, 1].
        mu0: [S] probability of the first state; None: all states alike.
    """

    phi: Array
    mu: Array
    theta: Array
    gamma: float = 0.9
    mu0: Array | None = None

    def __post_init__(self) -> None:
        for name in ("phi", "mu", "theta"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=float))
        S, d = self.phi.shape[0], self.phi.shape[-1]
        if self.phi.ndim != 3 or self.mu.shape != (d, S) or self.theta.shape != (d,):
            raise BadInput(
                f"phi {self.phi.shape}, mu {self.mu.shape}, theta {self.theta.shape}: need "
                "[S, A, d], [d, S] and [d]"
            )
        _ = self.mdp

    @property
    def d(self) -> int:
        """Number of features."""
        return int(self.phi.shape[-1])

    @property
    def X(self) -> Array:
        """[S A, d] the features as rows."""
        return self.phi.reshape(-1, self.d)

    @cached_property
    def mdp(self) -> MDP:
        """The process itself.

        Raises:
            BadInput: phi' mu is no distribution.
        """
        return MDP(self.phi @ self.mu, self.phi @ self.theta, self.gamma, self.mu0)


def soft_aggregation(
    states: int, actions: int, d: int, rng: Generator, *, gamma: float = 0.9, spread: float = 0.5
) -> LinearMDP:
    """Every (s, a) is a mixture of d anchors, every anchor a distribution over next states.

    Args:
        spread: of the Dirichlet that mixtures are drawn from; small: nearly one anchor each.
    """
    phi = rng.dirichlet(np.full(d, spread), size=(states, actions))
    return LinearMDP(phi, rng.dirichlet(np.full(states, 0.5), size=d), rng.random(d), gamma)


def jackpot_aggregation(
    rng: Generator,
    *,
    states: int = 30,
    actions: int = 4,
    d: int = 6,
    gamma: float = 0.9,
    share: float = 0.4,
    chance: float = 0.02,
    prize: float = 1.0,
) -> LinearMDP:
    """Soft aggregation with noise of very different size: our heteroscedastic instance.

    Anchor 0 is the feature of the jackpot, state 0, which pays prize / chance; anchors 1 .. d - 2
    are ordinary; anchor d - 1 leads to the jackpot with probability ``chance``. A ``share`` of all
    (s, a) puts much of its mass on the last anchor: the next state's value varies a lot there and
    little elsewhere, while all share the ordinary features.

    Args:
        share: of pairs that go through the last anchor.
        chance: of the jackpot.
        prize: expected reward of the last anchor's jackpot.
    """
    if d < 3 or not 0.0 < chance < 1.0:
        raise BadInput(f"d = {d}, chance = {chance}: need at least 3 features and 0 < chance < 1")
    lucky = np.where(rng.random((states, actions)) < share, rng.uniform(0.3, 0.9), 0.0)
    phi = np.zeros((states, actions, d))
    phi[..., 1:-1] = rng.dirichlet(np.full(d - 2, 0.5), size=(states, actions))
    phi *= 1.0 - lucky[..., None]
    phi[..., -1] = lucky
    phi[0] = np.eye(d)[0]
    mu = np.zeros((d, states))
    mu[:, 1:] = rng.dirichlet(np.full(states - 1, 0.5), size=d)
    mu[-1] *= 1.0 - chance
    mu[-1, 0] = chance
    theta = rng.random(d)
    theta[0] = prize / chance
    return LinearMDP(phi, mu, theta, gamma)


def hard_two_state(
    rng: Generator, *, actions: int = 30, delta: float = 0.01, d: int = 4, gamma: float = 0.9
) -> LinearMDP:
    """Two states, hard to tell actions apart in: the instance of Kitamura et al.'s experiment.

    State 0 pays 1 and is kept with probability gamma + delta a'b, a in [0, 1]^(d - 2) the action
    and b the last action's vector; state 1 pays nothing and is never left. Source: arXiv
    2305.13185, appendix L, and the released notebook.
    """
    if d < 3 or actions < 2:
        raise BadInput(f"d = {d}, actions = {actions}: need at least 3 features and 2 actions")
    vectors = rng.random((actions, d - 2))
    best = vectors[-1]
    phi = np.zeros((2, actions, d))
    phi[0, :, 0], phi[0, :, 2:], phi[1, :, 1] = 1.0, vectors, 1.0
    stay = np.concatenate([[gamma, 0.0], delta * best])
    leave = np.concatenate([[1.0 - gamma, 1.0], -delta * best])
    return LinearMDP(phi, np.stack([stay, leave], axis=1), np.eye(d)[0], gamma)
