"""Linear regression as theory uses it: optimal designs, weighted least squares, bonuses.

Knows feature vectors and weights; not where they come from.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meritree.errors import BadInput
from meritree.exact.mdp import Array


class Design(NamedTuple):
    """A distribution over feature vectors.

    Attributes:
        u: [n] probabilities.
        gram: [d, d] G = sum_i u_i x_i x_i', of the weighted vectors x_i / f_i.
        worst: max_i x_i' G^-1 x_i; at least d, and d at the optimum.
        steps: how many Frank-Wolfe steps it took.
    """

    u: Array
    gram: Array
    worst: float
    steps: int

    def core(self, share: float = 1e-6) -> NDArray[np.intp]:
        """Indices of the vectors that carry more than ``share`` of the mass."""
        return np.flatnonzero(self.u > share)


def g_optimal_design(
    X: ArrayLike, f: ArrayLike | float = 1.0, *, epsilon: float = 0.01, most: int = 100_000
) -> Design:
    """The design that makes the worst variance max_i x_i' G^-1 x_i least, up to 1 + epsilon.

    Frank-Wolfe with exact steps, towards the worst vector or away from the best one of the
    support (Fedorov; Wynn; Atwood 1973; Todd and Yildirim 2007). By Kiefer and Wolfowitz the
    optimum is d; it stops at d (1 + epsilon).

    Args:
        X: [n, d] feature vectors that span R^d.
        f: weighting function, > 0, a number or [n]: vectors count as x_i / f_i.

    Raises:
        BadInput: shapes that do not fit, f not positive, vectors that do not span.
    """
    vectors = np.asarray(X, dtype=float)
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise BadInput(f"X has shape {vectors.shape}, expected [n, d]")
    n, d = vectors.shape
    scale = np.broadcast_to(np.asarray(f, dtype=float), (n,))
    if not (np.isfinite(scale).all() and scale.min() > 0.0):
        raise BadInput(f"f goes down to {scale.min():.6g}: it must be finite and above 0")
    vectors = vectors / scale[:, None]
    rank = int(np.linalg.matrix_rank(vectors))
    if rank < d:
        raise BadInput(f"the {n} vectors span {rank} of {d} dimensions: drop dependent features")
    u, steps = np.full(n, 1.0 / n), 0
    H = np.linalg.inv((vectors.T * u) @ vectors)
    w = np.einsum("nd,de,ne->n", vectors, H, vectors)
    while w.max() > d * (1.0 + epsilon):
        if steps == most:
            raise BadInput(f"after {most} steps the design is at {w.max():.6g}, not {d}: ask less")
        steps += 1
        towards = int(w.argmax())
        away = int(np.where(u > 0.0, w, np.inf).argmin())
        i = towards if w[towards] - d >= d - w[away] else away
        # The exact line search of log det G along e_i, cut where u_i would become negative.
        step = (w[i] - d) / ((d - 1.0) * w[i]) if d > 1 else np.inf
        step = max(step, -u[i])
        if d == 1:
            u, H, w = _point_mass(vectors)
            continue
        u[i] = max(u[i] + step, 0.0)
        u /= 1.0 + step
        cross = vectors @ (H @ vectors[i])
        shrink = step / (1.0 + step * w[i])
        H = (1.0 + step) * (H - shrink * np.outer(H @ vectors[i], H @ vectors[i]))
        w = (1.0 + step) * (w - shrink * cross**2)
        if steps % 200 == 0:  # rounding of rank-one updates adds up
            H = np.linalg.inv((vectors.T * u) @ vectors)
            w = np.einsum("nd,de,ne->n", vectors, H, vectors)
    return Design(u, (vectors.T * u) @ vectors, float(w.max()), steps)


def _point_mass(vectors: Array) -> tuple[Array, Array, Array]:
    """In one dimension the optimum is all mass on the longest vector."""
    u = np.zeros(len(vectors))
    u[np.abs(vectors[:, 0]).argmax()] = 1.0
    H = np.linalg.inv((vectors.T * u) @ vectors)
    return u, H, np.einsum("nd,de,ne->n", vectors, H, vectors)


def weighted_ls(
    X: ArrayLike, y: ArrayLike, w: ArrayLike | float = 1.0, ridge: float = 0.0
) -> tuple[Array, Array]:
    """(theta, Lambda): argmin sum_i w_i (x_i'theta - y_i)^2 + ridge |theta|^2, and its Gram matrix.

    Lambda = sum_i w_i x_i x_i' + ridge I, theta = Lambda^-1 sum_i w_i x_i y_i.

    Args:
        X: [n, d].
        y: [n] or [n, m] targets.
        w: weights >= 0, a number or [n].

    Raises:
        BadInput: shapes that do not fit, negative weights, a singular Lambda.
    """
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if X.ndim != 2 or y.shape[:1] != X.shape[:1]:
        raise BadInput(f"X has shape {X.shape} and y {y.shape}: need [n, d] and [n] or [n, m]")
    weight = np.broadcast_to(np.asarray(w, dtype=float), X.shape[:1])
    if weight.min(initial=0.0) < 0.0 or ridge < 0.0:
        raise BadInput(f"weights down to {weight.min():.6g}, ridge {ridge}: must be >= 0")
    Lambda = (X.T * weight) @ X + ridge * np.eye(X.shape[1])
    if np.linalg.matrix_rank(Lambda, hermitian=True) < len(Lambda):
        raise BadInput("the weighted vectors do not span: add a ridge above 0, or drop features")
    return np.linalg.solve(Lambda, (X.T * weight) @ y), Lambda


def bonus(X: ArrayLike, Lambda: ArrayLike) -> Array:
    """[...] sqrt(x' Lambda^-1 x) of vectors [..., d]: how little is known in that direction."""
    X = np.asarray(X, dtype=float)
    solved = np.linalg.solve(np.asarray(Lambda, dtype=float), X.reshape(-1, X.shape[-1]).T).T
    return np.asarray(np.sqrt(np.maximum((X * solved.reshape(X.shape)).sum(axis=-1), 0.0)))
