"""Games of features: what a model's output is worth when only some features are known.

``v(S)`` is the mean output with the features of S at the explained values. The others come from the
marginal distribution (interventional: true to the model) or from the conditional one given x_S
(observational: true to the data); Chen et al. 2020 (arXiv 2006.16234). Linear models in closed
form. Needs NumPy (extra ``values``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from math import comb
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meritree.errors import BadInput
from meritree.value.attribution import Game

Floats: TypeAlias = NDArray[np.float64]
Model = Callable[[Floats], Floats]
"""Rows [n, d] to outputs [n]."""

EXACT_AT_MOST = 15


def interventional(model: Model, x: ArrayLike, background: ArrayLike) -> Game[int]:
    """``v(S) = E f(x_S, B_rest)`` over the rows B of the background: breaks dependences.

    Args:
        model: rows [n, d] to outputs [n].
        x: [d], what is explained.
        background: [m, d], a sample of the features.
    """
    point, rows = _point(x, "background", background)

    def worth(known: frozenset[int]) -> float:
        asked = rows.copy()
        chosen = sorted(known)
        asked[:, chosen] = point[chosen]
        return float(np.mean(_outputs(model, asked)))

    return worth


def conditional_gaussian(
    model: Model,
    x: ArrayLike,
    mean: ArrayLike,
    covariance: ArrayLike,
    *,
    samples: int = 512,
    seed: int = 0,
) -> Game[int]:
    """``v(S) = E[f(X) | X_S = x_S]`` for normal features, by antithetic draws.

    The same draws for every coalition; a linear model is integrated exactly, whatever their number.

    Args:
        model: rows [n, d] to outputs [n].
        x: [d].
        mean: [d].
        covariance: [d, d], positive definite.
        samples: even number of draws, at least 2.
        seed: of the draws.
    """
    centre, sigma = _normal(mean, covariance)
    point = _vector("x", x, len(centre))
    if samples < 2 or samples % 2:
        raise BadInput(f"conditional_gaussian: samples={samples}; give an even number, at least 2")
    half = np.random.default_rng(seed).standard_normal((samples // 2, len(centre)))
    draws = np.concatenate([half, -half])

    def worth(known: frozenset[int]) -> float:
        chosen = sorted(known)
        rest = [i for i in range(len(centre)) if i not in known]
        asked = np.tile(point, (samples, 1))
        if rest:
            gain = np.linalg.solve(sigma[np.ix_(chosen, chosen)], sigma[np.ix_(chosen, rest)])
            middle = centre[rest] + (point - centre)[chosen] @ gain
            spread = sigma[np.ix_(rest, rest)] - sigma[np.ix_(rest, chosen)] @ gain
            asked[:, rest] = middle + draws[:, rest] @ _root(spread)
        return float(np.mean(_outputs(model, asked)))

    return worth


def empirical(
    model: Model, x: ArrayLike, background: ArrayLike, *, width: float = 0.1
) -> Game[int]:
    """``v(S)`` as a mean over background rows, weighed by how near they are to x in S.

    The kernel of Aas, Jullum and Loland (2021, arXiv 1903.10464): with D the Mahalanobis distance
    in the features of S over sqrt(|S|), weights ``exp(-D^2 / (2 width^2))``. A narrow kernel
    conditions strictly, a wide one is interventional.

    Args:
        model, x, background: as in `interventional`.
        width: > 0, in units of D.
    """
    point, rows = _point(x, "background", background)
    if not 0.0 < width < np.inf:
        raise BadInput(f"empirical: width={width}: must be finite and above 0; 0.1 is usual")
    sigma = np.cov(rows, rowvar=False).reshape(len(point), len(point))

    def worth(known: frozenset[int]) -> float:
        chosen = sorted(known)
        asked = rows.copy()
        asked[:, chosen] = point[chosen]
        if not chosen:
            return float(np.mean(_outputs(model, asked)))
        apart = rows[:, chosen] - point[chosen]
        inverse = np.linalg.pinv(sigma[np.ix_(chosen, chosen)])
        distance = np.einsum("ni,ij,nj->n", apart, inverse, apart) / len(chosen)
        # Subtracting the smallest distance keeps a weight above 0 where all rows are far.
        weights = np.exp(-(distance - distance.min()) / (2.0 * width**2))
        return float(weights @ _outputs(model, asked) / weights.sum())

    return worth


class LinearShares(NamedTuple):
    """Shapley values of a linear model.

    Attributes:
        values: [n, d], one row a point.
        std_errors: [n, d], of the sampling; 0 where nothing was sampled.
    """

    values: Floats
    std_errors: Floats


def linear_interventional(beta: ArrayLike, x: ArrayLike, mean: ArrayLike) -> LinearShares:
    """``phi_i = beta_i (x_i - mu_i)``: whatever the features' dependence.

    Args:
        beta: [d], coefficients.
        x: [n, d], or [d] for one point.
        mean: [d], of the features.
    """
    centre = _vector("mean", mean)
    values = _vector("beta", beta, len(centre)) * (_rows("x", x, len(centre)) - centre)
    return LinearShares(values, np.zeros_like(values))


def linear_conditional(
    beta: ArrayLike,
    x: ArrayLike,
    mean: ArrayLike,
    covariance: ArrayLike,
    method: Literal["exact", "permutation", "antithetic"] = "exact",
    *,
    samples: int = 256,
    seed: int = 0,
) -> LinearShares:
    """Shapley values of a linear model given normal features, for all points at once.

    ``v(S) = beta.mu + (Sigma beta)_S' Sigma_SS^-1 (x - mu)_S``: the value is linear in x, so that
    one matrix serves all points (Chen et al. 2020, section 2). For one order of arrival with
    ``Sigma = L L'`` in that order, what the k-th feature adds is ``(L^-1 Sigma beta)_k
    (L^-1 (x - mu))_k``: one Cholesky factor gives all of an order's gains.

    Args:
        beta: [d], coefficients.
        x: [n, d], or [d] for one point.
        mean: [d].
        covariance: [d, d], positive definite.
        method: ``exact`` (at most 15 features), or sampled orders as in `attribution.shapley`.
        samples: number of orders (``antithetic``: even).
        seed: of the orders.

    Raises:
        BadInput: shapes that do not fit, a covariance that is not positive definite, too many
            features for ``exact``, too few samples.
    """
    centre, sigma = _normal(mean, covariance)
    coefficients = _vector("beta", beta, len(centre))
    apart = _rows("x", x, len(centre)) - centre
    if method == "exact":
        values = apart @ _exact_matrix(coefficients, sigma).T
        return LinearShares(values, np.zeros_like(values))
    together = 2 if method == "antithetic" else 1
    if samples < 2 * together or samples % together:
        raise BadInput(
            f"linear_conditional: samples={samples} orders for method={method!r}; "
            f"give at least {2 * together}{', an even number' if together > 1 else ''}"
        )
    draws = samples // together
    means, squares = np.zeros_like(apart), np.zeros_like(apart)
    for count, group in enumerate(_orders(len(centre), draws, together == 2, seed), start=1):
        gains = sum(apart @ _order_matrix(coefficients, sigma, order).T for order in group)
        step = gains / together - means
        means = means + step / count
        squares = squares + step * (gains / together - means)  # Welford's update
    return LinearShares(means, np.sqrt(squares / (draws * (draws - 1))))


def _exact_matrix(beta: Floats, sigma: Floats) -> Floats:
    """[d, d] with phi = matrix @ (x - mu)."""
    d = len(beta)
    if d > EXACT_AT_MOST:
        raise BadInput(
            f"linear_conditional: {d} features have 2^{d} coalitions; "
            "use method='permutation' or 'antithetic'"
        )
    pull = sigma @ beta
    matrix = np.zeros((d, d))
    for size in range(1, d + 1):
        joins = 1.0 / (d * comb(d - 1, size - 1))
        leaves = 1.0 / (d * comb(d - 1, size)) if size < d else 0.0
        for chosen in combinations(range(d), size):
            own = list(chosen)
            worth = np.zeros(d)
            worth[own] = np.linalg.solve(sigma[np.ix_(own, own)], pull[own])
            inside = np.zeros(d, dtype=bool)
            inside[own] = True
            matrix[inside] += joins * worth
            matrix[~inside] -= leaves * worth
    return matrix


def _order_matrix(beta: Floats, sigma: Floats, order: NDArray[np.intp]) -> Floats:
    factor = np.linalg.cholesky(sigma[np.ix_(order, order)])
    inverse = np.linalg.inv(factor)
    pull = inverse @ (sigma @ beta)[order]
    matrix = np.zeros_like(sigma)
    matrix[np.ix_(order, order)] = pull[:, None] * inverse
    return matrix


def _orders(d: int, draws: int, reverse: bool, seed: int) -> Iterator[list[NDArray[np.intp]]]:
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        order = rng.permutation(d)
        yield [order, order[::-1]] if reverse else [order]


def _root(spread: Floats) -> Floats:
    """A matrix R with R' R = spread, also where rounding made it slightly indefinite."""
    values, vectors = np.linalg.eigh(spread)
    root: Floats = (vectors * np.sqrt(np.maximum(values, 0.0))).T
    return root


def _outputs(model: Model, rows: Floats) -> Floats:
    found = np.asarray(model(rows), dtype=float)
    if found.shape != (len(rows),):
        raise BadInput(
            f"the model gave shape {found.shape} for {len(rows)} rows; "
            "it must return one number a row, shape [n]"
        )
    return found


def _vector(name: str, values: ArrayLike, size: int | None = None) -> Floats:
    found = np.asarray(values, dtype=float)
    if found.ndim != 1 or not found.size or (size is not None and len(found) != size):
        asked = "[d]" if size is None else f"[{size}]"
        raise BadInput(f"{name} has shape {found.shape}, expected {asked}: one entry a feature")
    return _finite(name, found)


def _rows(name: str, values: ArrayLike, size: int) -> Floats:
    found = np.asarray(values, dtype=float)
    found = found[None] if found.ndim == 1 else found
    if found.ndim != 2 or not found.size or found.shape[1] != size:
        raise BadInput(f"{name} has shape {found.shape}, expected [n, {size}]: one row a point")
    return _finite(name, found)


def _finite(name: str, found: Floats) -> Floats:
    bad = int(np.sum(~np.isfinite(found)))
    if bad:
        raise BadInput(f"{name} {found.shape} has {bad} entries that are not finite; impute them")
    return found


def _point(x: ArrayLike, name: str, background: ArrayLike) -> tuple[Floats, Floats]:
    point = _vector("x", x)
    return point, _rows(name, background, len(point))


def _normal(mean: ArrayLike, covariance: ArrayLike) -> tuple[Floats, Floats]:
    centre = _vector("mean", mean)
    sigma = _finite("covariance", np.asarray(covariance, dtype=float))
    if sigma.shape != (len(centre), len(centre)) or not np.allclose(sigma, sigma.T):
        raise BadInput(
            f"covariance has shape {sigma.shape} for {len(centre)} features; "
            "give a symmetric matrix [d, d]"
        )
    smallest = float(np.linalg.eigvalsh(sigma)[0])
    if not smallest > 1e-12 * float(np.trace(sigma)):
        raise BadInput(
            f"covariance is not positive definite (smallest eigenvalue {smallest:.3g}): drop "
            "features that others determine, or add a little to its diagonal"
        )
    return centre, sigma
