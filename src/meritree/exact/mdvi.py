"""Mirror-descent value iteration with weighted least squares, from a generative model.

WLS-MDVI and VWLS-MDVI of Kitamura et al. (2023), arXiv 2305.13185, for linear processes; what it
may ask of the world is next states of chosen pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from meritree.exact.design import Design, g_optimal_design, weighted_ls
from meritree.exact.linear import LinearMDP
from meritree.exact.mdp import Array
from meritree.exact.sampling import generative_counts, pick, table
from meritree.exact.solve import evaluate

Regression = Callable[[Array, Array, Array, Array], Array]
"""(X [n, d], y [n], design u [n], f [n]) to theta [d]."""


class Iterate(NamedTuple):
    """Where MDVI stands.

    Attributes:
        theta, previous: [d] weights of the summed action values of the last two rounds.
        samples: next states asked for so far.
        gaps: [K] normalised policy gap before each round (empty where it was not followed).
    """

    theta: Array
    previous: Array
    samples: int
    gaps: Array

    def v(self, model: LinearMDP) -> Array:
        """[S] v_k = max_a s_k - gamma max_a s_{k-1}, s = phi theta: the value of round k."""
        return summed(model, self.theta) - model.gamma * summed(model, self.previous)

    def policy(self, model: LinearMDP) -> Array:
        """[S] the greedy policy of s_k."""
        return np.asarray((model.phi @ self.theta).argmax(axis=1))


def weighted_regression(X: Array, y: Array, u: Array, f: Array) -> Array:
    """[d] as in the paper: G = sum u x x'/f^2, theta = G^-1 sum u x y/f^2."""
    return weighted_ls(X, y, u / f**2)[0]


def released_regression(X: Array, y: Array, u: Array, f: Array) -> Array:
    """[d] as in the released notebook: the Gram matrix has 1/f where the sum has 1/f^2.

    For constant f this divides every regression by f; at f = 1 both agree.
    """
    return np.linalg.solve((X.T * (u / f)) @ X, (X.T * (u / f**2)) @ y)


def wls_mdvi(
    model: LinearMDP,
    f: ArrayLike,
    rng: Generator,
    *,
    rounds: int,
    draws: int,
    design: Design | None = None,
    regression: Regression = weighted_regression,
    follow: Callable[[Array], float] | None = None,
) -> Iterate:
    """``rounds`` of theta <- argmin sum u/f^2 (phi'theta - r - gamma mean v(s'))^2 + gamma theta.

    The second term is the recursion of the KL-regularised average with alpha = gamma and no
    entropy: action values of all rounds add up, which averages their noise.

    Args:
        f: [S, A] weighting function, > 0; 1 everywhere: LS-MDVI.
        rounds: K.
        draws: M next states for each pair of the core set and each round.
        design: over the pairs, for this f; None: computed.
        regression: how one round is fitted.
        follow: [S] policy to its gap, noted before every round.
    """
    weights = np.asarray(f, dtype=float).reshape(-1)
    if design is None:
        design = g_optimal_design(model.X, weights)
    core = design.core()
    X, u, scale = model.X[core], design.u[core], weights[core]
    rows = model.mdp.P.reshape(-1, model.mdp.S)[core]
    r = model.mdp.r.reshape(-1)[core]
    state = Iterate(np.zeros(model.d), np.zeros(model.d), 0, np.zeros(0))
    gaps = np.zeros(rounds if follow else 0)
    for k in range(rounds):
        if follow:
            gaps[k] = follow(state.policy(model))
        mean = generative_counts(rows, draws, rng) @ state.v(model) / draws
        target = regression(X, r + model.gamma * mean, u, scale)
        theta = target + model.gamma * state.theta
        state = Iterate(theta, state.theta, state.samples + draws * len(core), gaps)
    return state


def estimated_variance(
    model: LinearMDP, v: ArrayLike, rng: Generator, *, draws: int, design: Design | None = None
) -> Array:
    """[S, A] Var v(s') by regressing (v(s'_1) - v(s'_2))^2 / 2 of paired draws on phi."""
    if design is None:
        design = g_optimal_design(model.X)
    core, v = design.core(), np.asarray(v, dtype=float)
    rows, which = table(model.mdp.P), core[:, None]
    one, two = (pick(rows, which, rng.random((len(core), draws))) for _ in range(2))
    half_square = ((v[one] - v[two]) ** 2 / 2.0).mean(axis=1)
    omega = weighted_ls(model.X[core], half_square, design.u[core])[0]
    return np.asarray(model.phi @ omega)


def variance_weights(model: LinearMDP, variance: ArrayLike) -> Array:
    """[S, A] f = min(sqrt(max(Var, 0)) + sqrt(H), H), H = 1/(1 - gamma)."""
    H = 1.0 / (1.0 - model.gamma)
    return np.asarray(np.minimum(np.sqrt(np.maximum(variance, 0.0)) + np.sqrt(H), H))


def optimal_variance(model: LinearMDP, v: ArrayLike) -> Array:
    """[S, A] Var v(s'), from the model itself: what an oracle knows."""
    v = np.asarray(v, dtype=float)
    mean = model.mdp.P @ v
    return np.asarray(np.maximum(model.mdp.P @ v**2 - mean**2, 0.0))


def vwls_mdvi(
    model: LinearMDP,
    rng: Generator,
    *,
    rounds: int,
    draws: int,
    pairs: int = 5000,
    first: float = 0.2,
    bounds: Callable[[LinearMDP, Array], Array] = variance_weights,
    regression: Regression = weighted_regression,
) -> Iterate:
    """LS-MDVI for a share ``first`` of the rounds, the variance of its v, then WLS-MDVI with it.

    Args:
        pairs: M_sigma, paired draws for the variance.
        first: share of the rounds that find v.
        bounds: variance to weighting function.
    """
    plain = g_optimal_design(model.X)
    before = max(1, int(rounds * first))
    ones = np.ones(model.phi.shape[:2])
    start = wls_mdvi(
        model, ones, rng, rounds=before, draws=draws, design=plain, regression=regression
    )
    variance = estimated_variance(model, start.v(model), rng, draws=pairs, design=plain)
    f = bounds(model, variance)
    end = wls_mdvi(model, f, rng, rounds=rounds - before, draws=draws, regression=regression)
    asked = start.samples + 2 * pairs * len(plain.core()) + end.samples
    return end._replace(samples=asked)


def policy_gap(model: LinearMDP, best: ArrayLike, policy: ArrayLike) -> float:
    """max_s (V* - V_pi) / max_s |V*|: how much of the best value a policy leaves, at worst."""
    best = np.asarray(best, dtype=float)
    return float(np.abs(best - evaluate(model.mdp, policy)).max() / np.abs(best).max())


def summed(model: LinearMDP, theta: Array) -> Array:
    """[S] max_a phi'theta."""
    return np.asarray((model.phi @ theta).max(axis=1))
