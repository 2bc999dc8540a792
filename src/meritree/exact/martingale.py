"""Values in continuous time from paths: which conditions find them, for linear families.

J^theta(t, x) = g(t, x) + sum_d theta_d phi_d(t, x), both given along paths on a mesh. The losses
themselves are `objectives.advantages`; here is what minimises or solves them, in closed form.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from meritree.errors import BadInput
from meritree.exact.mdp import Array
from meritree.objectives.advantages import martingale_increments, traces


class Family(NamedTuple):
    """A linear family of value functions along n paths of K steps.

    Attributes:
        g: [K + 1, n] the fixed part; at time K the payment h(X_T) where phi is 0 there.
        phi: [K + 1, n, d] the features; 0 at time K, so that the end is built in.
        reward_dt: [K, n] running reward times the step length.
        dt: step length.
    """

    g: Array
    phi: Array
    reward_dt: Array
    dt: float

    def checked(self) -> Family:
        """The family with float arrays.

        Raises:
            BadInput: shapes that do not fit, features that do not vanish at the end.
        """
        g, phi, reward = (np.asarray(x, dtype=float) for x in self[:3])
        if phi.ndim != 3 or g.shape != phi.shape[:2] or reward.shape != (len(g) - 1, *g.shape[1:]):
            raise BadInput(
                f"g {g.shape}, phi {phi.shape}, reward_dt {reward.shape}: need [K + 1, n], "
                "[K + 1, n, d] and [K, n]"
            )
        if np.abs(phi[-1]).max() > 0.0:
            raise BadInput("phi is not 0 at the last time: build the terminal payment into g")
        return Family(g, phi, reward, self.dt)


def discounted(family: Family, beta: float) -> Family:
    """The family of e^{-beta t} J, a martingale where rewards are discounted at rate beta."""
    g, phi, reward, dt = family.checked()
    factor = np.exp(-beta * dt * np.arange(len(g)))
    return Family(factor[:, None] * g, factor[:, None, None] * phi, factor[:-1, None] * reward, dt)


def martingale_loss_minimiser(family: Family) -> Array:
    """[d] theta of least mean squared distance to what the paths paid: gradient Monte Carlo.

    argmin E sum_k (h(X_T) + sum_{j >= k} r_j dt - J^theta(t_k, X_k))^2 dt, least squares.
    """
    g, phi, reward, _ = family.checked()
    to_go = g[-1] + np.cumsum(reward[::-1], axis=0)[::-1]
    return _least_squares(phi[:-1], to_go - g[:-1])


def mstde_minimiser(family: Family) -> Array:
    """[d] theta of the least mean squared TD error E sum_k (Delta J + r dt)^2: the wrong goal.

    As the mesh shrinks this sum becomes the quadratic variation of M, which says how much M moves
    and nothing of whether it drifts.
    """
    g, phi, reward, _ = family.checked()
    return _least_squares(phi[1:] - phi[:-1], -martingale_increments(g, reward))


def orthogonality_solution(
    family: Family, test: ArrayLike, metric: ArrayLike | None = None
) -> Array:
    """[d] theta with E sum_k xi_k (Delta J^theta + r dt) = 0 for every test process.

    With more test processes than parameters: the theta of least moments' A moments (GTD-like).

    Args:
        test: [K, n, m] test processes at the left end of each step, m >= d; `td0`, `td_lambda`,
            or any process that does not look ahead.
        metric: [m, m] A, None: the identity.

    Raises:
        BadInput: shapes that do not fit, fewer tests than parameters, dependent moments.
    """
    g, phi, reward, _ = family.checked()
    xi = np.asarray(test, dtype=float)
    if xi.ndim != 3 or xi.shape[:2] != reward.shape or xi.shape[2] < phi.shape[2]:
        raise BadInput(
            f"test has shape {xi.shape}: need [{reward.shape[0]}, {reward.shape[1]}, m], "
            f"m >= {phi.shape[2]}"
        )
    n = reward.shape[1]
    A = np.einsum("knm,knd->md", xi, phi[1:] - phi[:-1]) / n
    b = np.einsum("knm,kn->m", xi, martingale_increments(g, reward)) / n
    if np.linalg.matrix_rank(A) < A.shape[1]:
        raise BadInput("the moments do not pin theta down: choose test processes that differ")
    if A.shape[0] == A.shape[1]:
        return np.linalg.solve(A, -b)
    M = np.eye(len(A)) if metric is None else np.asarray(metric, dtype=float)
    return np.linalg.solve(A.T @ M @ A, -A.T @ M @ b)


def td0(family: Family) -> Array:
    """[K, n, d] xi_t = dJ/dtheta: the test process whose solution is TD(0) (LSTD)."""
    return np.asarray(family.phi[:-1])


def td_lambda(family: Family, lambda_: float) -> Array:
    """[K, n, d] xi_t = int_0^t lambda^(t - s) dJ/dtheta_s ds: the test process of TD(lambda).

    Args:
        lambda_: in (0, 1], per unit of time; towards 0 the process becomes TD(0)'s, at 1 the
            solution is the martingale loss's.
    """
    if not 0.0 < lambda_ <= 1.0:
        raise BadInput(f"lambda = {lambda_}: must lie in (0, 1]; `td0` is the limit 0")
    return np.asarray(traces(np.asarray(family.phi[:-1]), float(lambda_**family.dt)) * family.dt)


def values(family: Family, theta: ArrayLike) -> Array:
    """[K + 1, n] J^theta along the paths."""
    return np.asarray(family.g + family.phi @ np.asarray(theta, dtype=float))


def _least_squares(features: Array, target: Array) -> Array:
    X, y = features.reshape(-1, features.shape[-1]), target.reshape(-1)
    gram = X.T @ X
    if np.linalg.matrix_rank(gram, hermitian=True) < len(gram):
        raise BadInput("features depend on each other along these paths: drop one, or add paths")
    return np.linalg.solve(gram, X.T @ y)
