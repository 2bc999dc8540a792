"""How features move when they are learned end to end by temporal differences.

V = Phi W; the expected semi-gradient step as a flow of Phi and W (Tang and Munos 2023). Knows
matrices only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from meritree.errors import BadInput
from meritree.exact.mdp import Array


class Flow(NamedTuple):
    """Where the flow went; leading axes are independent problems.

    Attributes:
        Phi: [..., S, k] features at the end.
        W: [..., k, m] weights at the end.
        energy: [T + 1, ...] 1/2 tr e' D (I - gamma P) e, e = Phi W - V the error of the values.
        error: [T + 1, ...] 1/2 tr e' D e.
    """

    Phi: Array
    W: Array
    energy: Array
    error: Array


def td_flow(
    P: ArrayLike,
    R: ArrayLike,
    gamma: float,
    Phi0: ArrayLike,
    W0: ArrayLike | None,
    *,
    D: ArrayLike | None = None,
    step: float = 0.01,
    steps: int = 1000,
) -> Flow:
    """Euler steps of dPhi = D (R - (I - gamma P) Phi W) W', dW = Phi' D (R - (I - gamma P) Phi W).

    Without W0 the weights stand at their fixed point at every time (two time scales): W solves
    Phi' D (I - gamma P) Phi W = Phi' D R, and then Phi' dPhi = 0.

    If D(I - gamma P) is symmetric (P reversible under D) the flow is the gradient descent of the
    energy, which then falls strictly until a TD fixed point; else nothing is promised.

    Args:
        P: [..., S, S].
        R: [..., S, m] rewards, one column a value function.
        gamma: in [0, 1).
        Phi0: [..., S, k].
        W0: [..., k, m], or None.
        D: [..., S] state weights; None: 1/S each.
        step, steps: of Euler's method.

    Raises:
        BadInput: shapes that do not fit, gamma outside [0, 1).

    Source: Tang and Munos (2023), arXiv 2305.18491.
    """
    P, R = np.asarray(P, dtype=float), np.asarray(R, dtype=float)
    Phi = np.asarray(Phi0, dtype=float)
    S = P.shape[-1]
    if P.shape[-2] != S or R.shape[-2] != S or Phi.shape[-2] != S:
        raise BadInput(f"P {P.shape}, R {R.shape}, Phi0 {Phi.shape}: S = {S} rows each")
    if not 0.0 <= gamma < 1.0:
        raise BadInput(f"gamma = {gamma}: must lie in [0, 1)")
    weights = np.full(S, 1.0 / S) if D is None else np.asarray(D, dtype=float)
    d = weights[..., :, None]
    L = np.eye(S) - gamma * P
    V = np.linalg.solve(L, R)
    W = fixed_point(L, R, Phi, d) if W0 is None else np.asarray(W0, dtype=float)
    energy, error = [], []
    for t in range(steps + 1):
        e = Phi @ W - V
        pull = -d * (L @ e)  # D (R - (I - gamma P) Phi W)
        energy.append(-0.5 * (e * pull).sum(axis=(-2, -1)))
        error.append(0.5 * (d * e * e).sum(axis=(-2, -1)))
        if t == steps:
            break
        move = step * pull @ _T(W)
        if W0 is None:
            Phi = Phi + move
            W = fixed_point(L, R, Phi, d)
        else:
            Phi, W = Phi + move, W + step * _T(Phi) @ pull
    return Flow(Phi, W, np.stack(energy), np.stack(error))


def fixed_point(L: Array, R: Array, Phi: Array, d: Array) -> Array:
    """[..., k, m] the TD fixed point (Phi' D L Phi)^-1 Phi' D R; d is [..., S, 1]."""
    weighted = _T(Phi * d)
    return np.asarray(np.linalg.solve(weighted @ L @ Phi, weighted @ R))


def overlap(Phi: ArrayLike, basis: ArrayLike) -> Array:
    """[...] mean squared cosine of the principal angles between two column spaces, in [0, 1].

    A random k-dimensional space has k/S of another one in the mean.

    Args:
        Phi: [..., S, k], of full rank.
        basis: [..., S, k].
    """
    one, other = np.linalg.qr(np.asarray(Phi))[0], np.linalg.qr(np.asarray(basis))[0]
    k = min(one.shape[-1], other.shape[-1])
    return np.asarray(((np.swapaxes(one, -1, -2) @ other) ** 2).sum(axis=(-2, -1)) / k)


def top_eigenvectors(P: ArrayLike, k: int) -> Array:
    """[S, k] eigenvectors of a symmetric P with the k largest eigenvalues.

    Raises:
        BadInput: P is not symmetric; its eigenvectors then need not be orthogonal.
    """
    P = np.asarray(P, dtype=float)
    if np.abs(P - P.T).max() > 1e-12:
        raise BadInput("P is not symmetric: give a symmetric chain")
    return np.asarray(np.linalg.eigh(P)[1][:, ::-1][:, :k])


def _T(x: Array) -> Array:
    return np.swapaxes(x, -1, -2)
