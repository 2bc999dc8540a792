"""Risk-aware preference scores: how bad may the next token be, given the reference's choices?

The risk functionals are of a discrete distribution given by log-probabilities on the last axis;
costs are better when lower.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from meritree.objectives._namespace import Array, check
from meritree.objectives.rows import Batch, halves, positive, read, within
from meritree.objectives.special import logsumexp


class Risk(Protocol):
    """Risk [...] of costs x [..., V] that come with log-probabilities logq [..., V]."""

    def __call__(self, x: Array, logq: Array, /) -> Array: ...


@dataclass(frozen=True)
class Mean:
    """E[x]: no aversion; `RiskRatio` becomes TDPO (Zeng et al. 2024, arXiv 2404.11999)."""

    def __call__(self, x: Array, logq: Array, /) -> Array:
        xp = check("Mean", x=(x, "... V"), logq=(logq, "... V"))
        return xp.sum(xp.exp(logq) * x, axis=-1)


@dataclass(frozen=True)
class CVaR:
    """Mean of the largest ``level`` of probability mass (Rockafellar and Uryasev 2000).

    Exact for discrete distributions: the outcome at the boundary counts with the mass that still
    fits.

    Attributes:
        level: in (0, 1]; 1 is the mean.
    """

    level: float = 0.1

    def __post_init__(self) -> None:
        positive("CVaR", level=self.level)
        within("CVaR", 0.0, 1.0, level=self.level)

    def __call__(self, x: Array, logq: Array, /) -> Array:
        xp = check("CVaR", x=(x, "... V"), logq=(logq, "... V"))
        order = xp.argsort(x, axis=-1, descending=True)
        mass = xp.exp(xp.take_along_axis(logq, order, axis=-1))
        before = xp.cumulative_sum(mass, axis=-1) - mass
        # Rounding may leave the last outcomes with a little too much or too little mass.
        used = xp.clip(self.level - before, min=0.0)
        used = xp.where(used < mass, used, mass)
        return xp.sum(used * xp.take_along_axis(x, order, axis=-1), axis=-1) / self.level


@dataclass(frozen=True)
class Entropic:
    """log E e^(c x) / c: the mean for c -> 0, the maximum for c -> infinity (Föllmer 2002).

    Attributes:
        coef: c > 0.
    """

    coef: float = 1.0

    def __post_init__(self) -> None:
        positive("Entropic", coef=self.coef)

    def __call__(self, x: Array, logq: Array, /) -> Array:
        check("Entropic", x=(x, "... V"), logq=(logq, "... V"))
        return logsumexp(logq + self.coef * x) / self.coef


@dataclass(frozen=True)
class ReleasedCVaR:
    """What Ra-DPO's released code computes instead of `CVaR`, for comparison with its figures.

    sum of q x over the tokens above the ``1 - level`` quantile of x *over the vocabulary*, each
    token counted once whatever its probability, and not divided by ``level``; with ``split`` the
    vocabulary (not the batch) is cut in halves with a quantile each.

    Attributes:
        level: in (0, 1].
        split: as `is_split_risk_ratio` there.
    """

    level: float = 0.1
    split: bool = True

    def __post_init__(self) -> None:
        positive("ReleasedCVaR", level=self.level)
        within("ReleasedCVaR", 0.0, 1.0, level=self.level)

    def __call__(self, x: Array, logq: Array, /) -> Array:
        check("ReleasedCVaR", x=(x, "... V"), logq=(logq, "... V"))
        if not self.split:
            return self._above(x, logq)
        cut = x.shape[-1] // 2
        parts = ((x[..., :cut], logq[..., :cut]), (x[..., cut:], logq[..., cut:]))
        return self._above(*parts[0]) + self._above(*parts[1])

    def _above(self, x: Array, logq: Array) -> Array:
        xp = check("ReleasedCVaR", x=(x, "... V"), logq=(logq, "... V"))
        ordered = xp.sort(x, axis=-1)
        position = (1.0 - self.level) * (x.shape[-1] - 1)
        low = math.floor(position)
        high = min(low + 1, x.shape[-1] - 1)
        share = position - low
        quantile = (1.0 - share) * ordered[..., low] + share * ordered[..., high]
        above = xp.astype(x > quantile[..., None], x.dtype)
        return xp.sum(xp.exp(logq) * x * above, axis=-1)


@dataclass(frozen=True)
class RiskRatio:
    """h + coef rho, with rho = sum_t R_t[log pi_ref - log pi] of the next token under pi_ref.

    Ra-DPO (Zhang et al. 2025): with coef = 1 and without ``detach_plus`` this is Ra-DPO1 (TDPO1
    for the mean); with coef = 0.5 and ``detach_plus`` Ra-DPO2 (TDPO2), where the preferred rows'
    rho is read from ``dist_sg``. Loss: `links.Logistic`. Signs as in the released code.

    Attributes:
        risk: the functional R; `Mean`, `CVaR`, `Entropic`.
        coef: weight of rho, >= 0; 0 is DPO.
        detach_plus: no gradient through the preferred rows' rho.
    """

    risk: Risk
    coef: float = 1.0
    detach_plus: bool = False

    def __post_init__(self) -> None:
        within("RiskRatio", 0.0, math.inf, coef=self.coef)

    @property
    def needs(self) -> frozenset[str]:
        """``dist_sg`` only where the preferred rows are detached."""
        keys = {"logp", "ref_logp", "mask", "dist", "ref_dist"}
        return frozenset(keys | {"dist_sg"} if self.detach_plus else keys)

    def __call__(self, b: Batch, /) -> Array:
        xp, logp, ref_logp, mask, dist, ref_dist = read(
            "RiskRatio", b, "logp", "ref_logp", "mask", "dist", "ref_dist"
        )
        if self.detach_plus:
            fixed = halves("RiskRatio", read("RiskRatio", b, "dist_sg", "dist")[1])[0]
            dist = xp.concat([fixed, halves("RiskRatio", dist)[1]], axis=0)
        rho = self.risk(ref_dist - dist, ref_dist)
        return xp.sum((logp - ref_logp + self.coef * rho) * mask, axis=-1)
