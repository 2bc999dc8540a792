"""Policy losses of tokens, given advantages: clipped ratios, REINFORCE, external data, sequences.

Each reads a batch and returns [B, T]; `rows.agg` makes one loss of it. Advantages are data here,
one a token [B, T] or one a row [B, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, Namespace
from meritree.objectives.rows import Batch, mean_tokens, read, within

_RATIO = frozenset({"logp", "old_logp", "advantage"})


@dataclass(frozen=True)
class Clip:
    """-min(w A, clip(w, 1 - lo, 1 + hi) A), w = pi / pi_old: PPO, with clip-higher as in DAPO.

    Schulman et al. 2017 (arXiv 1707.06347), equation 7; Yu et al. 2025 (arXiv 2503.14476). With
    ``dual`` = c the loss of a negative advantage ends at c |A| (Ye et al. 2020, arXiv 1912.09729,
    equation 5).

    Attributes:
        lo, hi: >= 0, lo <= 1; ``math.inf`` for no upper end.
        dual: > 1, or None.
    """

    lo: float = 0.2
    hi: float = 0.2
    dual: float | None = None
    needs: ClassVar[frozenset[str]] = _RATIO

    def __post_init__(self) -> None:
        _check_range("Clip", self.lo, self.hi)
        if self.dual is not None and not self.dual > 1.0:
            raise BadInput(f"Clip: dual is {self.dual}; it must be above 1, or None")

    def __call__(self, b: Batch, /) -> Array:
        xp, logp, old_logp, advantage = read("Clip", b, "logp", "old_logp", "advantage")
        loss = _clipped(xp, xp.exp(logp - old_logp), advantage, self.lo, self.hi)
        if self.dual is None:
            return loss
        return xp.where(advantage < 0.0, xp.minimum(loss, -self.dual * advantage), loss)


@dataclass(frozen=True)
class Reinforce:
    """-A log pi: the plain policy gradient (Williams 1992), on samples of the current policy."""

    needs: ClassVar[frozenset[str]] = frozenset({"logp", "advantage"})

    def __call__(self, b: Batch, /) -> Array:
        _, logp, advantage = read("Reinforce", b, "logp", "advantage")
        return -advantage * logp


@dataclass(frozen=True)
class SeqRatio:
    """`Clip` with one ratio a response, exp of the mean log-ratio of its tokens: GSPO.

    Zheng et al. 2025 (arXiv 2507.18071), equations 5 and 7. Their ends are narrow: 3e-4 and 4e-4.

    Attributes:
        lo, hi: >= 0, lo <= 1.
    """

    lo: float = 3e-4
    hi: float = 4e-4
    needs: ClassVar[frozenset[str]] = _RATIO | {"mask"}

    def __post_init__(self) -> None:
        _check_range("SeqRatio", self.lo, self.hi)

    def __call__(self, b: Batch, /) -> Array:
        xp, logp, old_logp, advantage, mask = read(
            "SeqRatio", b, "logp", "old_logp", "advantage", "mask"
        )
        ratio = xp.exp(mean_tokens(xp, logp - old_logp, mask, keepdims=True))
        # `_clipped` with both ends taken once a row rather than once a token.
        low, high = xp.clip(ratio, max=1.0 + self.hi), xp.clip(ratio, min=1.0 - self.lo)
        # Negating data rather than the loss: that has no gradient to pass on.
        loss = xp.where(advantage > 0.0, low, high) * -advantage
        # From one advantage a row, all but the ratio's sum has been work on rows.
        return loss if loss.shape == logp.shape else xp.broadcast_to(loss, logp.shape)


@dataclass(frozen=True)
class Cispo:
    """-min(w, high) A log pi with the weight w detached: every token keeps a gradient.

    MiniMax 2025 (arXiv 2506.13585), equation 4, without a lower end as there and in TRL.

    Attributes:
        high: largest weight, > 0 (`epsilon_high` in TRL).
    """

    high: float = 5.0
    needs: ClassVar[frozenset[str]] = _RATIO | {"logp_sg"}

    def __post_init__(self) -> None:
        if not self.high > 0.0:
            raise BadInput(f"Cispo: high is {self.high}; it must be above 0")

    def __call__(self, b: Batch, /) -> Array:
        xp, logp, logp_sg, old_logp, advantage = read(
            "Cispo", b, "logp", "logp_sg", "old_logp", "advantage"
        )
        return -xp.clip(xp.exp(logp_sg - old_logp), max=self.high) * advantage * logp


@dataclass(frozen=True)
class ExternalMis:
    """RL-PLUS: own rows (source 0) -w A; external rows -w_m A (1 - pi_sg)^gamma; nothing clipped.

    w_m = 2 pi / (pi_old + (pi_old + U) / 2), a multiple importance weight with a guessed density
    for whoever wrote the external answer; the power favours tokens the policy finds unlikely.
    Dong et al. 2025 (arXiv 2508.00222). ``old_logp`` of external rows is the old policy's.

    Attributes:
        gamma: >= 0, 0 for no exploration factor (released: 0.5).
        uniform: U in (0, 1]; the released code has 1, the paper 1 / vocabulary, which allows
            weights near 4 / U instead of 4.
        density: what divides pi: ``mixture``, or ``one``, the other strategy of the released code
            (the ablation without multiple importance sampling; LUFFY's without its shaping).
    """

    gamma: float = 0.5
    uniform: float = 1.0
    density: Literal["mixture", "one"] = "mixture"
    needs: ClassVar[frozenset[str]] = _RATIO | {"logp_sg", "source"}

    def __post_init__(self) -> None:
        within("ExternalMis", 0.0, math.inf, gamma=self.gamma)
        within("ExternalMis", 0.0, 1.0, uniform=self.uniform)
        if self.uniform == 0.0:
            raise BadInput("ExternalMis: uniform is 0; give a density, 1 or 1 / vocabulary")
        if self.density not in ("mixture", "one"):
            raise BadInput(f"ExternalMis: density is {self.density!r}; use 'mixture' or 'one'")

    def __call__(self, b: Batch, /) -> Array:
        xp, logp, logp_sg, old_logp, advantage, source = read(
            "ExternalMis", b, "logp", "logp_sg", "old_logp", "advantage", "source"
        )
        weight = xp.exp(logp)
        if self.density == "mixture":
            weight = weight / (0.75 * xp.exp(old_logp) + 0.25 * self.uniform)
        if self.gamma:
            weight = weight * xp.clip(1.0 - xp.exp(logp_sg), min=0.0) ** self.gamma
        external = (source == 1)[:, None]
        # Not computed for external rows: an infinite ratio there would spoil the gradient.
        own = xp.exp(xp.where(external, xp.zeros_like(logp), logp - old_logp))
        return -xp.where(external, weight, own) * advantage


def _clipped(xp: Namespace, ratio: Array, advantage: Array, lo: float, hi: float) -> Array:
    inside = xp.clip(ratio, min=1.0 - lo, max=1.0 + hi)
    return -xp.minimum(ratio * advantage, inside * advantage)


def _check_range(where: str, lo: float, hi: float) -> None:
    within(where, 0.0, 1.0, lo=lo)
    within(where, 0.0, math.inf, hi=hi)
