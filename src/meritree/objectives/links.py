"""From the difference of two scores to a loss: how likely was the preference that was stated?

A link is called with d = score(first) - score(second) and y, the probability that the first is
preferred (1, 0, 1/2 for a tie, or soft). Swapping the two, d -> -d and y -> 1 - y, changes nothing.
Links know neither tokens nor policies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, check
from meritree.objectives.rows import halves, positive, within
from meritree.objectives.special import log_sigmoid, sigmoid, softplus


class Link(Protocol):
    """Loss [P] from differences d [P] and labels y [P] (or one number for all)."""

    def __call__(self, d: Array, y: Array = 1.0, /) -> Array: ...


@dataclass(frozen=True)
class Logistic:
    """-log sigma(beta d - margin), Bradley-Terry: DPO, f-DPO, reward models; SimPO with a margin.

    With smoothing e a label y counts as y (1 - 2e) + e (cDPO, Mitchell 2023). The margin is asked
    of whichever of the two is preferred. DPO: Rafailov et al. 2023 (arXiv 2305.18290), equation 7;
    SimPO: Meng et al. 2024 (arXiv 2405.14734), equation 6 (margin = gamma).

    Attributes:
        beta: scale of the difference, > 0 (1 for a reward model).
        smoothing: e in [0, 1/2).
        margin: in units of beta d, >= 0.
    """

    beta: float = 0.1
    smoothing: float = 0.0
    margin: float = 0.0

    def __post_init__(self) -> None:
        positive("Logistic", beta=self.beta)
        _below_half("Logistic", self.smoothing)
        within("Logistic", 0.0, math.inf, margin=self.margin)

    def __call__(self, d: Array, y: Array = 1.0, /) -> Array:
        check("Logistic", d=(d, "P"), y=(y, "P or number"))
        z = self.beta * d
        if _certain(y) and not self.smoothing:
            return -log_sigmoid(z - self.margin if self.margin else z)
        p = y * (1.0 - 2.0 * self.smoothing) + self.smoothing
        return p * softplus(self.margin - z) + (1.0 - p) * softplus(self.margin + z)


@dataclass(frozen=True)
class Square:
    """(d - 1/(2 tau))^2 for the preferred first: IPO, which stops at a finite difference.

    Azar et al. 2024 (arXiv 2310.12036), equation 17; with soft labels the expectation over them,
    smallest at d = (y - 1/2) / tau.

    Attributes:
        tau: strength of the regularisation, > 0 (beta in TRL).
    """

    tau: float = 0.1

    def __post_init__(self) -> None:
        positive("Square", tau=self.tau)

    def __call__(self, d: Array, y: Array = 1.0, /) -> Array:
        check("Square", d=(d, "P"), y=(y, "P or number"))
        c = 1.0 / (2.0 * self.tau)
        if _certain(y):
            return (d - c) ** 2
        return y * (d - c) ** 2 + (1.0 - y) * (d + c) ** 2


@dataclass(frozen=True)
class Hinge:
    """max(0, margin - beta d) for the preferred first (SLiC: Zhao et al. 2023, arXiv 2305.10425).

    Attributes:
        beta: scale of the difference, > 0.
        margin: > 0, in units of beta d.
    """

    beta: float = 0.1
    margin: float = 1.0

    def __post_init__(self) -> None:
        positive("Hinge", beta=self.beta, margin=self.margin)

    def __call__(self, d: Array, y: Array = 1.0, /) -> Array:
        xp = check("Hinge", d=(d, "P"), y=(y, "P or number"))
        z = self.beta * d
        won = xp.clip(self.margin - z, min=0.0)
        if _certain(y):
            return won
        return y * won + (1.0 - y) * xp.clip(self.margin + z, min=0.0)


@dataclass(frozen=True)
class Robust:
    """Unbiased for labels flipped with probability e: ((1-e) L(d) - e L(-d)) / (1 - 2e).

    L = -log sigma(beta d). rDPO, Chowdhury et al. 2024 (arXiv 2403.00409); `robust` in TRL.
    Can be negative.

    Attributes:
        beta: > 0.
        flipped: e in [0, 1/2).
    """

    beta: float = 0.1
    flipped: float = 0.1

    def __post_init__(self) -> None:
        positive("Robust", beta=self.beta)
        _below_half("Robust", self.flipped)

    def __call__(self, d: Array, y: Array = 1.0, /) -> Array:
        check("Robust", d=(d, "P"), y=(y, "P or number"))
        p = (y - self.flipped) / (1.0 - 2.0 * self.flipped)
        return -p * log_sigmoid(self.beta * d) - (1.0 - p) * log_sigmoid(-self.beta * d)


@dataclass(frozen=True)
class NoisyLabel:
    """-log P(y) where a Bradley-Terry judge answers at random with probability 2e.

    P(first) = e + (1 - 2e) sigma(beta d): bounded by -log e, so that one wrong label cannot
    dominate. Christiano et al. 2017 (arXiv 1706.03741), section 2.2.3, e = 0.05.

    Attributes:
        beta: > 0.
        error: e in [0, 1/2).
    """

    beta: float = 1.0
    error: float = 0.05

    def __post_init__(self) -> None:
        positive("NoisyLabel", beta=self.beta)
        _below_half("NoisyLabel", self.error)

    def __call__(self, d: Array, y: Array = 1.0, /) -> Array:
        xp = check("NoisyLabel", d=(d, "P"), y=(y, "P or number"))
        if self.error == 0.0:
            return Logistic(self.beta)(d, y)
        kept = 1.0 - 2.0 * self.error
        first = xp.log(self.error + kept * sigmoid(self.beta * d))
        second = xp.log(self.error + kept * sigmoid(-self.beta * d))
        return -y * first - (1.0 - y) * second


@dataclass(frozen=True)
class Ties:
    """-log P(y) where a judge may call a tie: Rao and Kupper 1967.

    P(first) = sigma(beta d - eta), P(second) = sigma(-beta d - eta), the rest is a tie. Labels must
    be 1, 0 or 1/2; any y strictly between 0 and 1 is read as a tie.

    Attributes:
        beta: > 0.
        eta: width of indifference in units of beta d, > 0.
    """

    beta: float = 1.0
    eta: float = 0.5

    def __post_init__(self) -> None:
        positive("Ties", beta=self.beta, eta=self.eta)

    def __call__(self, d: Array, y: Array = 1.0, /) -> Array:
        xp = check("Ties", d=(d, "P"), y=(y, "P or number"))
        z, y = self.beta * d, y + xp.zeros_like(d)
        # log P(tie) = log(e^(2 eta) - 1) + log P(first) + log P(second).
        first, second = xp.astype(y > 0.0, d.dtype), xp.astype(y < 1.0, d.dtype)
        tie = math.log(math.expm1(2.0 * self.eta)) * (first * second)
        return first * softplus(self.eta - z) + second * softplus(self.eta + z) - tie


@dataclass(frozen=True)
class MarginOfMargins:
    """-log sigma(beta (d_wide - d_narrow)): one pair should be further apart than another.

    The first half of the differences belongs to pairs whose gap is known to be wider than that
    of the pair at the same place in the second half. For MAPL (S111) inter-sample preferences
    after the abstract; the paper's own form is not checked.

    Attributes:
        beta: > 0.
    """

    beta: float = 0.1

    def __post_init__(self) -> None:
        positive("MarginOfMargins", beta=self.beta)

    def __call__(self, d: Array, y: Array = 1.0, /) -> Array:
        """Loss [P/2] from differences [P]; y, [P/2] or a number, that the wide one is wider."""
        wide, narrow = halves("MarginOfMargins", d)
        return Logistic(self.beta)(wide - narrow, y)


def majority(y: Array) -> Array:
    """Shares of voters as a majority's labels: 1 above one half, 0 below, 1/2 at a draw.

    Ge et al. 2024 (arXiv 2405.14758): training on it keeps pairwise majorities. y: [...] in [0, 1].
    """
    xp = check("majority", y=(y, "..."))
    return 0.5 * (1.0 + xp.sign(y - 0.5))


def merged_preference(reward_gap: Array, safety_gap: Array, lam: float) -> Array:
    """P(first preferred) = sigma(dr + lambda dg), the labels of one-shot safe alignment (MoCAN).

    Huang et al. 2024 (arXiv 2405.19544), as in their released code; use as soft labels y or draw
    hard ones. ``lam`` from `meritree.objectives.dual.solve`.

    Args:
        reward_gap, safety_gap: first minus second, [P].
        lam: multiplier, >= 0.

    Returns:
        [P], in (0, 1).
    """
    check("merged_preference", reward_gap=(reward_gap, "P"), safety_gap=(safety_gap, "P"))
    within("merged_preference", 0.0, math.inf, lam=lam)
    return sigmoid(reward_gap + lam * safety_gap)


def _certain(y: Array) -> bool:
    """Whether the first of every pair is preferred: the usual case, and half the work."""
    return isinstance(y, (int, float)) and y == 1


def _below_half(where: str, value: float) -> None:
    if not 0.0 <= value < 0.5:
        raise BadInput(f"{where}: a share of wrong labels of {value}; it must lie in [0, 0.5)")
