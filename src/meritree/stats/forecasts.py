"""Is one forecaster better than another? The Diebold-Mariano test with its small-sample correction.

Losses come in the order of time; how they were made of forecasts is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, isfinite, sqrt
from typing import Literal

from meritree.errors import BadInput

_MISSING = "the t distribution needs SciPy: pip install 'meritree[values]'"


@dataclass(frozen=True, slots=True)
class DieboldMariano:
    """Outcome of the test.

    Attributes:
        mean: mean loss difference, first minus second; below 0 the first is better.
        statistic: corrected statistic, compared with a t distribution of n - 1 degrees.
        p_value: two-sided, of equal expected losses.
        n: number of forecasts.
    """

    mean: float
    statistic: float
    p_value: float
    n: int


def diebold_mariano(
    losses: Sequence[float],
    other: Sequence[float],
    horizon: int = 1,
    variance: Literal["bartlett", "rectangular"] = "bartlett",
) -> DieboldMariano:
    """Test that two forecasters have the same expected loss, losses autocorrelated or not.

    Diebold and Mariano 1995 with the correction and the t distribution of Harvey, Leybourne and
    Newbold 1997: statistic times sqrt((n + 1 - 2h + h (h - 1) / n) / n). Forecasts h steps ahead
    have differences correlated up to lag h - 1. ``rectangular`` sums those autocovariances as in
    both papers; ``bartlett`` weighs them by 1 - k / h (Newey and West 1987) and is never negative.
    With h = 1 this is the paired t-test.

    Args:
        losses, other: loss of each forecast, equal lengths n > h, n >= 2.
        horizon: h >= 1.
        variance: see above.

    Raises:
        BadInput: lengths or horizon do not fit, a loss is not finite, the differences do not
            vary, or the rectangular variance is not positive.
    """
    if len(losses) != len(other) or len(losses) < 2:
        raise BadInput(f"{len(losses)} and {len(other)} losses: give as many of both, at least two")
    n = len(losses)
    if not 1 <= horizon < n:
        raise BadInput(f"horizon {horizon} with {n} forecasts; it must be 1 or more and below {n}")
    d = [a - b for a, b in zip(losses, other, strict=True)]
    if not all(isfinite(x) for x in d):
        raise BadInput("a loss difference is not finite: leave that forecast out of both")
    mean = fsum(d) / n
    spread = long_run_variance(d, horizon - 1, variance)
    if spread <= 0.0:
        raise BadInput(
            f"the variance of the mean difference is {spread:.3g}: "
            + ("use variance='bartlett'" if variance == "rectangular" else "all are equal")
        )
    correction = sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n)
    statistic = correction * mean / sqrt(spread / n)
    try:
        from scipy.stats import t
    except ImportError as error:
        raise BadInput(_MISSING) from error
    return DieboldMariano(mean, statistic, float(2.0 * t.sf(abs(statistic), n - 1)), n)


def long_run_variance(
    values: Sequence[float],
    lags: int,
    weights: Literal["bartlett", "rectangular"] = "bartlett",
) -> float:
    """gamma_0 + 2 sum_k w_k gamma_k up to ``lags``: n times the variance of a dependent mean.

    gamma_k = sum_t (x_t - m) (x_{t-k} - m) / n; w_k is 1, or 1 - k / (lags + 1).

    Raises:
        BadInput: no values, ``lags`` negative or not below their number, unknown weights.
    """
    n = len(values)
    if not 0 <= lags < n:
        raise BadInput(f"{lags} lags of {n} values; lags must be at least 0 and below {n}")
    if weights not in ("bartlett", "rectangular"):
        raise BadInput(f"weights {weights!r} are unknown; use 'bartlett' or 'rectangular'")
    mean = fsum(values) / n
    x = [value - mean for value in values]
    total = fsum(v * v for v in x)
    for k in range(1, lags + 1):
        share = 1.0 if weights == "rectangular" else 1.0 - k / (lags + 1)
        total += 2.0 * share * fsum(a * b for a, b in zip(x[k:], x, strict=False))
    return total / n
