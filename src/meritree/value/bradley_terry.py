"""Strengths from comparisons: maximum likelihood of the Bradley-Terry-Luce model.

``P(a beats b) = 1 / (1 + exp(r_b - r_a))``. Needs NumPy (extra ``values``).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meritree.errors import BadInput

Floats: TypeAlias = NDArray[np.float64]
STEPS = 200
TOLERANCE = 1e-10


def strengths(wins: ArrayLike, ridge: float = 0.0) -> Floats:
    """Strength r of every player from a table of wins, mean 0.

    Args:
        wins: [m, m], ``wins[a, b]`` = weight of comparisons that a won against b; >= 0.
        ridge: >= 0, of |r|^2 / 2 with the wins scaled to sum 1.

    Returns:
        [m].

    Raises:
        BadInput: a table that is not square, negative or not finite; without a ridge also one with
            no maximum: some players won every comparison with the others, or never met them.
    """
    table = np.asarray(wins, dtype=float)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not table.size:
        raise BadInput(f"strengths: wins has shape {table.shape}, expected [m, m]")
    if not np.all(np.isfinite(table)) or np.any(table < 0.0):
        raise BadInput("strengths: wins must be finite and >= 0")
    m = len(table)
    pairs = [(a, b) for a in range(m) for b in range(m) if a != b and table[a, b] > 0.0]
    if not ridge and not _connected(m, pairs):
        raise BadInput(
            "strengths: no maximum, because some players always beat the rest or never met them; "
            "give a ridge above 0 (0.001, say)"
        )
    if not pairs:
        return np.zeros(m)
    rows = np.zeros((len(pairs), m))
    for i, (a, b) in enumerate(pairs):
        rows[i, a], rows[i, b] = 1.0, -1.0
    found = logistic(rows, [table[pair] for pair in pairs], ridge)
    centred: Floats = found - found.mean()
    return centred


def logistic(differences: ArrayLike, weights: ArrayLike, ridge: float = 0.0) -> Floats:
    """``argmin_theta sum_i w_i log(1 + exp(-theta . d_i)) / sum_i w_i + ridge |theta|^2 / 2``.

    Newton steps, halved until the objective falls; the minimum of least norm where many are.

    Args:
        differences: [n, d], features of the winner minus those of the loser.
        weights: [n], >= 0, not all 0.
        ridge: >= 0; above 0 where the data may be separable, else theta grows until steps run out.

    Returns:
        [d].

    Raises:
        BadInput: shapes, weights or a ridge that are impossible.
    """
    d = np.asarray(differences, dtype=float)
    w = np.asarray(weights, dtype=float)
    if d.ndim != 2 or w.shape != d.shape[:1] or not d.size:
        raise BadInput(
            f"logistic: differences {d.shape} and weights {w.shape}; expected [n, d] and [n]"
        )
    if not (np.all(np.isfinite(d)) and np.all(np.isfinite(w)) and np.all(w >= 0.0) and w.any()):
        raise BadInput("logistic: entries must be finite, weights >= 0 and not all 0")
    if not 0.0 <= ridge < np.inf:
        raise BadInput(f"logistic: ridge={ridge}: must be finite and >= 0")
    w = w / w.sum()

    def objective(theta: Floats) -> float:
        return float(w @ np.logaddexp(0.0, -(d @ theta)) + 0.5 * ridge * theta @ theta)

    theta = np.zeros(d.shape[1])
    value = objective(theta)
    for _ in range(STEPS):
        lost = 0.5 * (1.0 - np.tanh(0.5 * (d @ theta)))  # probability of the other outcome
        slope = ridge * theta - d.T @ (w * lost)
        if np.abs(slope).max() < TOLERANCE:
            break
        curve = d.T @ ((w * lost * (1.0 - lost))[:, None] * d) + ridge * np.eye(len(theta))
        step = np.linalg.lstsq(curve, slope, rcond=1e-13)[0]
        size = 1.0
        while size > 1e-12 and objective(theta - size * step) > value:
            size *= 0.5
        theta = theta - size * step
        value = objective(theta)
    return theta


def _connected(m: int, pairs: list[tuple[int, int]]) -> bool:
    """Whether wins lead from every player to every other (Ford 1957)."""
    return all(
        len(_reached(0, [(b, a) if turned else (a, b) for a, b in pairs])) == m
        for turned in (False, True)
    )


def _reached(start: int, pairs: list[tuple[int, int]]) -> set[int]:
    reached, new = {start}, {start}
    while new:
        new = {b for a, b in pairs if a in new} - reached
        reached |= new
    return reached
