"""How many pairs does a comparison need, and what could the pairs at hand have shown?

Paired differences, two-sided tests of a mean of 0, at a chosen level.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, fsum, inf, isfinite, sqrt
from random import Random
from statistics import NormalDist

from meritree.errors import BadInput
from meritree.stats.summaries import check_level

_NORMAL = NormalDist()


def achieved_power(effect: float, deviation: float, pairs: int, alpha: float = 0.05) -> float:
    """Chance that ``pairs`` differences of this mean and deviation reject a mean of 0.

    Normal approximation, both tails: Phi(d - z) + Phi(-d - z), d = |effect| sqrt(n) / deviation.
    ``alpha`` itself where the effect is 0. A t-test has less: by up to 0.02 at 40 pairs, and more
    with fewer.

    Raises:
        BadInput: ``deviation`` not above 0, ``pairs < 1``, alpha outside (0, 1).
    """
    _check(deviation, alpha)
    if pairs < 1:
        raise BadInput(f"{pairs} pairs show nothing; give 1 or more")
    z = _NORMAL.inv_cdf(1.0 - alpha / 2.0)
    shift = abs(effect) * sqrt(pairs) / deviation
    return _NORMAL.cdf(shift - z) + _NORMAL.cdf(-shift - z)


def needed_pairs(effect: float, deviation: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Smallest number of pairs whose `achieved_power` is at least ``power``.

    About ((z_{1 - alpha/2} + z_power) deviation / effect)^2.

    Raises:
        BadInput: as `achieved_power`; ``effect`` 0, or ``power`` not in (alpha, 1).
    """
    _check(deviation, alpha)
    if effect == 0.0 or not isfinite(effect):
        raise BadInput(f"an effect of {effect} needs endless pairs; name the least that matters")
    if not alpha < power < 1.0:
        raise BadInput(f"power {power} must lie between alpha = {alpha} and 1; 0.8 is usual")
    z = _NORMAL.inv_cdf(1.0 - alpha / 2.0) + _NORMAL.inv_cdf(power)
    pairs = max(1, ceil((z * deviation / effect) ** 2))
    # The other tail may save a pair where both are tiny.
    while pairs > 1 and achieved_power(effect, deviation, pairs - 1, alpha) >= power:
        pairs -= 1
    return pairs


def simulated_power(
    pilot: Sequence[float],
    pairs: int,
    *,
    effect: float | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    trials: int = 2000,
) -> float:
    """Share of simulated comparisons that reject, each of ``pairs`` differences drawn from a pilot.

    Draws with replacement, so that skewness and ties of the pilot count; the test is the normal
    one of the mean over its standard error. With ``effect`` the pilot is shifted to that mean: 0
    gives the size of the test.

    Raises:
        BadInput: fewer than 2 pilot differences or pairs, ``trials < 1``, alpha outside (0, 1).
    """
    check_level(1.0 - alpha)
    if len(pilot) < 2 or pairs < 2 or trials < 1:
        raise BadInput(
            f"{len(pilot)} pilot differences, {pairs} pairs, {trials} trials: "
            "give at least 2, 2 and 1"
        )
    mean = fsum(pilot) / len(pilot)
    values = [x - mean + effect for x in pilot] if effect is not None else list(pilot)
    z = _NORMAL.inv_cdf(1.0 - alpha / 2.0)
    rng = Random(seed)
    rejected = 0
    for _ in range(trials):
        drawn = rng.choices(values, k=pairs)
        total, squares = fsum(drawn), fsum(x * x for x in drawn)
        variance = (squares - total * total / pairs) / (pairs - 1)
        error = sqrt(max(variance, 0.0) * pairs)
        rejected += abs(total) > z * error if error else total != 0.0
    return rejected / trials


def _check(deviation: float, alpha: float) -> None:
    if not 0.0 < deviation < inf:
        raise BadInput(f"a deviation of {deviation}; it must be a finite number above 0")
    check_level(1.0 - alpha)
