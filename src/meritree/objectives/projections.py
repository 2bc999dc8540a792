"""Numbers written as distributions on fixed bins, and distributions moved onto other bins.

Nothing here is differentiated: these are targets for `distributional.cross_entropy`.
"""

from __future__ import annotations

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, Namespace, check, device_of, namespace
from meritree.objectives.special import erf


def linear_support(low: float, high: float, m: int, like: Array) -> Array:
    """m evenly spaced numbers from low to high, in the library, dtype and device of ``like``.

    Raises:
        BadInput: fewer than 2 numbers, or low not below high.
    """
    if m < 2 or not low < high:
        raise BadInput(f"a support needs m >= 2 and low < high, got m={m}, low={low}, high={high}")
    xp = namespace(like)
    return xp.linspace(low, high, m, dtype=like.dtype, device=device_of(like))


def quantile_midpoints(n: int, like: Array) -> Array:
    """(2 i + 1) / (2 n) for i = 0 .. n-1, the levels that quantiles are fitted at. [n].

    Source: Dabney et al. (2018), arXiv:1710.10044, lemma 2.
    """
    if n < 1:
        raise BadInput(f"the number of quantiles is {n}, must be at least 1")
    xp = namespace(like)
    return (xp.arange(n, dtype=like.dtype, device=device_of(like)) + 0.5) / n


def two_hot(y: Array, support: Array) -> Array:
    """Weights on the two neighbours of y that have y as their mean; y is clipped to the support.

    Args:
        y: [...].
        support: increasing, [m].

    Returns:
        Probabilities, [..., m].

    Source: Schrittwieser et al. (2020), MuZero, appendix F; Imani and White (2018).
    """
    xp = check("two_hot", y=(y, "..."), support=(support, "m"))
    return _hats(xp, y, support)


def hl_gauss(y: Array, edges: Array, sigma: Array | float) -> Array:
    """Probability of each bin under a normal law around y, truncated to the outermost edges.

    p_i = (Phi((e_{i+1} - y)/sigma) - Phi((e_i - y)/sigma)) / the same from e_0 to e_m. Near the
    ends truncation pulls the mean inwards: let the support reach beyond the values (2.5 bins at
    sigma = 0.75 bins make the error invisible). y is clipped to the edges.

    Args:
        y: [...].
        edges: increasing, [m+1].
        sigma: > 0, in units of y; 0.75 bin widths in the paper.

    Returns:
        Probabilities, [..., m]; sigma -> 0 is the one-hot vector of y's bin.

    Source: Imani and White (2018); Farebrother et al. (2024), arXiv:2403.03950, section 3.1.
    """
    xp = check("hl_gauss", y=(y, "..."), edges=(edges, "m"))
    inside = xp.clip(y, min=edges[0], max=edges[-1])
    z = (edges - xp.expand_dims(inside, axis=-1)) / (sigma * 2.0**0.5)
    cdf = erf(z)
    return (cdf[..., 1:] - cdf[..., :-1]) / (cdf[..., -1:] - cdf[..., :1])


def categorical(p: Array, z: Array, support: Array) -> Array:
    """The law sum_j p_j delta_{z_j} moved onto the support, each atom split between neighbours.

    Closest in Cramer distance; keeps the total and, inside the support, the mean.

    Args:
        p: probabilities, [..., n].
        z: their places, [..., n]; clipped to the support.
        support: increasing, [m].

    Returns:
        Probabilities, [..., m]. Time and memory grow with n m.

    Source: Bellemare et al. (2017), arXiv:1707.06887, eq. 7; Rowland et al. (2018).
    """
    xp = check("categorical", p=(p, "... n"), z=(z, "... n"), support=(support, "m"))
    # As a product of matrices: faster than sums of products, in every library.
    return xp.squeeze(xp.expand_dims(p, axis=-2) @ _hats(xp, z, support), axis=-2)


def _hats(xp: Namespace, y: Array, support: Array) -> Array:
    """The hat function of every support point at every y, [..., m]; they sum to 1."""
    at = xp.expand_dims(xp.clip(y, min=support[0], max=support[-1]), axis=-1)
    inverse = 1.0 / (support[1:] - support[:-1])
    # Beyond the ends the slopes are 0: the outer hats stay at 1.
    flat = xp.zeros_like(inverse[:1])
    rise, fall = xp.concat([flat, inverse]), xp.concat([inverse, flat])
    gap = at - support
    return xp.clip(xp.minimum(1.0 - gap * fall, 1.0 + gap * rise), min=0.0)
