"""Summaries of samples in closed form: quantile, interquartile mean, pass@k, Wilson interval.

Plain functions of sequences of numbers; nothing here draws random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isfinite, sqrt
from statistics import NormalDist

from meritree.errors import BadInput


def quantile(values: Sequence[float], q: float) -> float:
    """The ``q``-quantile of a non-empty sample, linear between order statistics.

    Position ``q (n - 1)`` among the sorted values (Hyndman and Fan 1996, type 7).

    Raises:
        BadInput: no values, or ``q`` outside [0, 1].
    """
    if not values:
        raise BadInput("quantile of an empty sample is undefined; give at least one value")
    if not 0.0 <= q <= 1.0:
        raise BadInput(f"quantile {q} is outside [0, 1]")
    return quantile_of_sorted(sorted(values), q)


def quantile_of_sorted(ordered: Sequence[float], q: float) -> float:
    """`quantile` for values that are sorted already and for a ``q`` known to be in [0, 1]."""
    position = q * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def iqm(values: Sequence[float]) -> float:
    """Interquartile mean: the mean after dropping ``floor(n / 4)`` values at either end.

    Less moved by outliers than the mean, less wasteful than the median
    (Agarwal et al. 2021, arXiv 2108.13264).

    Raises:
        BadInput: no values.
    """
    if not values:
        raise BadInput("interquartile mean of an empty sample is undefined")
    cut = len(values) // 4
    kept = sorted(values)[cut : len(values) - cut]
    return fsum(kept) / len(kept)


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Probability that at least one of ``k`` samples is right, from ``correct`` of ``n``.

    The unbiased estimator ``1 - C(n - c, k) / C(n, k)`` (Chen et al. 2021, arXiv
    2107.03374), as a product of ratios so that no large number appears.

    Raises:
        BadInput: unless ``1 <= k <= n`` and ``0 <= correct <= n``.
    """
    if not (1 <= k <= n and 0 <= correct <= n):
        raise BadInput(
            f"pass@k needs 1 <= k <= n and 0 <= correct <= n; got n={n}, correct={correct}, k={k}"
        )
    if n - correct < k:
        return 1.0
    all_wrong = 1.0
    for i in range(n - correct + 1, n + 1):
        all_wrong *= 1.0 - k / i
    return 1.0 - all_wrong


def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927): lower and upper end in [0, 1].

    Raises:
        BadInput: unless ``0 <= successes <= n``, ``n >= 1`` and ``0 < level < 1``.
    """
    if not (n >= 1 and 0 <= successes <= n):
        raise BadInput(f"a proportion needs 0 <= successes <= n, n >= 1; got {successes} of {n}")
    check_level(level)
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    p = successes / n
    scale = 1.0 + z * z / n
    centre = (p + z * z / (2.0 * n)) / scale
    half = z / scale * sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def check_level(level: float) -> None:
    """Raise `BadInput` unless ``level`` is a confidence level strictly between 0 and 1."""
    if not (isfinite(level) and 0.0 < level < 1.0):
        raise BadInput(f"confidence level {level} is outside (0, 1); 0.95 is usual")
