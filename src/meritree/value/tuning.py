"""Tuning one hyper-parameter over many instances: exact duals, their best point, its confidence.

An instance's dual is u_x(alpha) = max_w f(x, alpha, w), the best its inner training can do. After
Balcan, Nguyen and Sharma (NeurIPS 2025, arXiv 2501.13734): where f is piecewise constant or
polynomial the dual has few pieces, so few instances suffice. Exact in one dimension; needs NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meritree.errors import BadInput

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Steps:
    """A piecewise constant function on [edges[0], edges[-1]].

    Attributes:
        edges: ``[K + 1]``, ascending.
        values: ``[K]``, the value on each open piece (edges[i], edges[i + 1]).
    """

    edges: Array
    values: Array

    def __post_init__(self) -> None:
        if self.edges.ndim != 1 or self.values.shape != (len(self.edges) - 1,):
            raise BadInput(
                f"edges {self.edges.shape}, values {self.values.shape}: need (K + 1,) and (K,)"
            )
        if not (np.diff(self.edges) > 0.0).all():
            raise BadInput(f"edges of shape {self.edges.shape} are not strictly ascending: sort")

    def __call__(self, alpha: ArrayLike) -> Array:
        """The value at each alpha, shape of ``alpha``; at an edge that of the piece to its right.

        Raises:
            BadInput: an alpha outside the range.
        """
        alpha = np.asarray(alpha, dtype=float)
        if not ((alpha >= self.edges[0]) & (alpha <= self.edges[-1])).all():
            raise BadInput(f"alpha outside [{self.edges[0]}, {self.edges[-1]}]")
        piece = np.searchsorted(self.edges, alpha, side="right") - 1
        return np.asarray(self.values[np.clip(piece, 0, len(self.values) - 1)])

    @property
    def pieces(self) -> int:
        """K."""
        return len(self.values)

    def best(self) -> tuple[float, float]:
        """Midpoint of the widest best piece, and its value."""
        top = self.values >= self.values.max() - 1e-12
        widths = np.where(top, np.diff(self.edges), -1.0)
        place = int(np.argmax(widths))
        return float(0.5 * (self.edges[place] + self.edges[place + 1])), float(self.values[place])


def dual_pieces(
    utility: Callable[[float], float], breakpoints: ArrayLike, low: float, high: float
) -> Steps:
    """The exact dual, given every point where it may jump.

    Evaluates the utility once inside every interval between breakpoints and merges equal
    neighbours; values at the breakpoints themselves (a null set) are not looked at.

    Args:
        utility: u_x(alpha), constant between breakpoints.
        breakpoints: ``[B]`` in any order; those outside (low, high) are left out.
        low, high: the hyper-parameter's range.
    """
    if not low < high:
        raise BadInput(f"low={low}, high={high}: need low < high")
    points = np.unique(np.asarray(breakpoints, dtype=float).ravel())
    if not np.isfinite(points).all():
        raise BadInput(f"breakpoints of shape {points.shape} are not all finite: leave those out")
    points = points[(points > low) & (points < high)]
    edges = np.concatenate([[low], points, [high]])
    values = np.asarray([utility(float(a)) for a in 0.5 * (edges[1:] + edges[:-1])])
    keep = np.concatenate([[True], values[1:] != values[:-1]])
    return Steps(np.concatenate([edges[:-1][keep], [high]]), values[keep])


def crossings(at_zero: ArrayLike, at_one: ArrayLike) -> Array:
    """All alpha where two of the lines (1 - alpha) at_zero_i + alpha at_one_i meet, ``[<= n^2/2]``.

    Between them the order of the lines is fixed, and so is whatever depends on the order alone.
    """
    a, b = np.asarray(at_zero, dtype=float), np.asarray(at_one, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise BadInput(f"at_zero {a.shape}, at_one {b.shape}: must be two vectors of one length")
    i, j = np.triu_indices(len(a), 1)
    gap, slope = a[i] - a[j], (a[i] - a[j]) - (b[i] - b[j])
    moving = slope != 0.0
    return np.asarray(gap[moving] / slope[moving])


def polynomial_roots(
    polynomial: Callable[[float], ArrayLike], degree: int, low: float, high: float
) -> Array:
    """Real roots in [low, high] of polynomials given by evaluation, all together, ``[R]``.

    Interpolates at degree + 1 Chebyshev points, so a function that is a polynomial of at most
    this degree is met exactly (to rounding); roots come from the Chebyshev companion matrix.

    Args:
        polynomial: alpha -> ``[P]`` values of P polynomials.
        degree: an upper bound of their degrees, >= 1.
        low, high: the range.
    """
    if degree < 1 or not low < high:
        raise BadInput(f"degree={degree}, low={low}, high={high}: need degree >= 1, low < high")
    nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    values = np.stack([np.atleast_1d(polynomial(middle + half * x)) for x in nodes])
    fitted = np.polynomial.chebyshev.chebfit(nodes, values, degree)
    found: list[Array] = []
    for line in fitted.T:
        significant = np.abs(line) > 1e-13 * np.abs(line).max(initial=0.0)
        line = line[: int(np.max(np.nonzero(significant)[0], initial=0)) + 1]
        if len(line) > 1:
            roots = np.polynomial.chebyshev.chebroots(line)
            real = roots[np.abs(roots.imag) < 1e-8].real
            found.append(real[np.abs(real) <= 1.0 + 1e-12])
    inside = np.concatenate(found) if found else np.zeros(0)
    return np.asarray(np.sort(middle + half * np.clip(inside, -1.0, 1.0)))


def mean_dual(duals: Sequence[Steps]) -> Steps:
    """The exact mean of piecewise constant functions over one range.

    Raises:
        BadInput: no duals, or ranges that differ.
    """
    edges, values = _common(duals)
    return Steps(edges, values.mean(axis=0))


@dataclass(frozen=True)
class Tuned:
    """What empirical maximisation over instances found.

    Attributes:
        alpha: the chosen hyper-parameter.
        value: its mean utility on the instances it was chosen on.
        width: with probability >= 1 - delta every alpha's true mean lies within this of its mean
            on the instances; so the chosen alpha is within twice this of the best there is.
        instances: how many.
    """

    alpha: float
    value: float
    width: float
    instances: int


def tune(
    duals: Sequence[Steps], delta: float = 0.05, scale: float = 1.0, bound: int | None = None
) -> Tuned:
    """The alpha of the best mean dual, with a width that holds for all alpha at once.

    Args:
        duals: independent instances.
        delta: probability that the width fails, in (0, 1).
        scale: all utilities lie in an interval of this length.
        bound: pieces that no instance's dual exceeds (from theory, not from the sample); None:
            the width by Rademacher averages, which needs no such bound.
    """
    if not 0.0 < delta < 1.0 or not scale > 0.0:
        raise BadInput(f"delta={delta}, scale={scale}: need 0 < delta < 1 and scale > 0")
    alpha, value = mean_dual(duals).best()
    if bound is None:
        width = rademacher_width(duals, delta, scale)
    else:
        width = uniform_width(len(duals), bound, delta, scale)
    return Tuned(alpha, value, width, len(duals))


def uniform_width(instances: int, pieces: int, delta: float, scale: float = 1.0) -> float:
    """sup_alpha |mean - truth| stays below this with probability >= 1 - delta, for any law.

    scale sqrt(8 log(4 (2 m (pieces - 1) + 1)/delta)/m): on 2 m instances (the sample and a ghost)
    the duals jump at most 2 m (pieces - 1) times, so alpha can tell apart no more than one more
    than that many vectors of utilities; symmetrisation and Hoeffding's bound do the rest.
    """
    if instances < 1 or pieces < 1:
        raise BadInput(f"instances={instances}, pieces={pieces}: both must be at least 1")
    cells = 2.0 * instances * (pieces - 1) + 1.0
    return scale * math.sqrt(8.0 * math.log(4.0 * cells / delta) / instances)


def rademacher_width(
    duals: Sequence[Steps], delta: float, scale: float = 1.0, draws: int = 200, seed: int = 0
) -> float:
    """2 R + 3 scale sqrt(log(4/delta)/(2 m)), R the empirical Rademacher average of the duals.

    R = E_s sup_alpha |(1/m) sum_i s_i u_i(alpha)| over random signs s; the supremum is exact, the
    expectation a mean of ``draws`` with the error of such a mean added.
    """
    _, values = _common(duals)
    m = len(values)
    centred = values - 0.5 * (values.min() + values.max())  # a constant changes no difference
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(draws, m))
    suprema = np.abs(signs @ centred).max(axis=1) / m
    average = suprema.mean() + 2.0 * suprema.std() / math.sqrt(draws)
    return float(2.0 * average + 3.0 * scale * math.sqrt(math.log(4.0 / delta) / (2.0 * m)))


def deviation(duals: Sequence[Steps], truth: Steps) -> float:
    """sup_alpha |mean dual - truth|, exact."""
    _, values = _common([mean_dual(duals), truth])
    return float(np.abs(values[0] - values[1]).max())


def _common(duals: Sequence[Steps]) -> tuple[Array, Array]:
    """All edges together ``[K + 1]``, and every function's value on each piece ``[m, K]``."""
    if not duals:
        raise BadInput("duals is empty: give at least one instance")
    ends = {(float(dual.edges[0]), float(dual.edges[-1])) for dual in duals}
    if len(ends) > 1:
        raise BadInput(f"duals have different ranges: {sorted(ends)[:3]}")
    edges = np.unique(np.concatenate([dual.edges for dual in duals]))
    middles = 0.5 * (edges[1:] + edges[:-1])
    return edges, np.stack([dual(middles) for dual in duals])
