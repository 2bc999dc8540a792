"""Terms beside a preference or policy loss: likelihood, calibration, values, regressions, KL.

Each reads a batch and returns one number a row (or pair); its coefficient is the objective's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, Namespace, check
from meritree.objectives.divergences import F, _check_f, full_kl, generator
from meritree.objectives.group_advantages import token_gae
from meritree.objectives.rows import Batch, halves, mean_tokens, positive, read, within
from meritree.objectives.special import log_sigmoid, logsumexp


@dataclass(frozen=True)
class Nll:
    """-sum_t log pi of each row, of the rows with one label only if asked: [B].

    VAPO's positive-example loss (label=1), PMPO's two likelihood terms (Abdolmaleki et al. 2024,
    arXiv 2410.04166, equation 10), SFT. RL^V's verifier: log-probabilities of its answer, and two
    such terms, one a label, both ``balanced``.

    Attributes:
        label: rows with another label count as 0; None for all rows.
        mean: per token rather than per row.
        balanced: scale so that the mean over the *batch* is the mean over the rows that count.
    """

    label: int | None = None
    mean: bool = False
    balanced: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """``label`` only where rows are chosen by it."""
        return frozenset({"logp", "mask"} | (set() if self.label is None else {"label"}))

    def __call__(self, b: Batch, /) -> Array:
        xp, logp, mask = read("Nll", b, "logp", "mask")
        loss = -(mean_tokens(xp, logp, mask) if self.mean else xp.sum(logp * mask, axis=-1))
        if self.label is None:
            return loss
        label = read("Nll", b, "label")[1]
        chosen = xp.astype(label == self.label, logp.dtype)
        if self.balanced:
            chosen = chosen / xp.clip(xp.mean(chosen), min=1.0 / chosen.shape[0])
        return loss * chosen


@dataclass(frozen=True)
class Calibration:
    """log pi - log pi_ref of calibration responses: VPO's optimism (+) or pessimism (-).

    Add with coefficient sign * alpha * beta, sign = +1 online and -1 offline. Cen et al. 2024
    (arXiv 2405.19320); derived from the abstract's definition and equal in form to TRL's former
    XPO loss; the paper's own text is not checked.

    Attributes:
        rows: ``chosen`` reads the preferred half of the pairs, [P]; ``samples`` the keys cal_*,
            [C] responses apart from the pairs.
    """

    rows: Literal["chosen", "samples"] = "chosen"

    def __post_init__(self) -> None:
        if self.rows not in ("chosen", "samples"):
            raise BadInput(f"Calibration: rows is {self.rows!r}; use 'chosen' or 'samples'")

    @property
    def needs(self) -> frozenset[str]:
        """The pairs' keys or the calibration responses'."""
        if self.rows == "chosen":
            return frozenset({"logp", "ref_logp", "mask"})
        return frozenset({"cal_logp", "cal_ref_logp", "cal_mask"})

    def __call__(self, b: Batch, /) -> Array:
        prefix = "" if self.rows == "chosen" else "cal_"
        names = (f"{prefix}logp", f"{prefix}ref_logp", f"{prefix}mask")
        xp, logp, ref_logp, mask = read("Calibration", b, *names)
        h = xp.sum((logp - ref_logp) * mask, axis=-1)
        return halves("Calibration", h)[0] if self.rows == "chosen" else h


@dataclass(frozen=True)
class ValueMse:
    """(V_t - target_t)^2 averaged over the tokens of each row: [B]. SVPO, AlphaMath, critics."""

    needs: ClassVar[frozenset[str]] = frozenset({"values", "value_target_sg", "mask"})

    def __call__(self, b: Batch, /) -> Array:
        xp, values, target, mask = read("ValueMse", b, "values", "value_target_sg", "mask")
        return mean_tokens(xp, (values - target) ** 2, mask)


@dataclass(frozen=True)
class ValueTd:
    """(V_t - G_t)^2 averaged over tokens, G the TD(lambda) returns of the detached values: [B].

    Value-augmented sampling, Han et al. 2024 (arXiv 2405.06639), in the released code with
    lambda = 0.95 and targets made once a batch; here they follow the values. The value after the
    last token is 0.

    Attributes:
        lam, gamma: in [0, 1]; ``lam`` = 1 are Monte-Carlo returns.
    """

    lam: float = 0.95
    gamma: float = 1.0
    needs: ClassVar[frozenset[str]] = frozenset({"values", "values_sg", "token_reward", "mask"})

    def __post_init__(self) -> None:
        within("ValueTd", 0.0, 1.0, lam=self.lam, gamma=self.gamma)

    def __call__(self, b: Batch, /) -> Array:
        xp, values, fixed, reward, mask = read(
            "ValueTd", b, "values", "values_sg", "token_reward", "mask"
        )
        _, returns = token_gae(reward, fixed, mask, self.lam, self.gamma)
        return mean_tokens(xp, (values - returns) ** 2, mask)


@dataclass(frozen=True)
class ValueBce:
    """Cross-entropy of sigma(V_t) against a target in [0, 1], averaged over tokens: [B].

    A classifier of prefixes that says whether the answer will succeed: FUDGE, Yang and Klein 2021
    (arXiv 2104.05218).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"values", "value_target_sg", "mask"})

    def __call__(self, b: Batch, /) -> Array:
        xp, values, target, mask = read("ValueBce", b, "values", "value_target_sg", "mask")
        return mean_tokens(xp, _bce(values, target), mask)


@dataclass(frozen=True)
class ValueMargin:
    """max(0, margin - V(preferred) + V(rejected)): [P]; keeps a value's order, as in SVPO.

    Reads ``row_value``, the value after the step that differs. Chen et al. 2024 (arXiv
    2406.10858) after a third party's notes; margin and weight there are not checked.

    Attributes:
        margin: > 0, in units of the value.
    """

    margin: float = 0.1
    needs: ClassVar[frozenset[str]] = frozenset({"row_value"})

    def __post_init__(self) -> None:
        positive("ValueMargin", margin=self.margin)

    def __call__(self, b: Batch, /) -> Array:
        xp, value = read("ValueMargin", b, "row_value")
        plus, minus = halves("ValueMargin", value)
        return xp.clip(self.margin - plus + minus, min=0.0)


@dataclass(frozen=True)
class FullKl:
    """KL between policy and reference over the vocabulary, summed or averaged over tokens: [B].

    ``ref_pi`` is KL(ref || pi), PMPO's; ``pi_ref`` is KL(pi || ref), OREO's.

    Attributes:
        direction: see `divergences.full_kl`.
        mean: per token rather than per row.
    """

    direction: Literal["pi_ref", "ref_pi"] = "ref_pi"
    mean: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"dist", "ref_dist", "mask"})

    def __call__(self, b: Batch, /) -> Array:
        xp, dist, ref_dist, mask = read("FullKl", b, "dist", "ref_dist", "mask")
        kl = full_kl(dist, ref_dist, self.direction)
        return mean_tokens(xp, kl, mask) if self.mean else xp.sum(kl * mask, axis=-1)


@dataclass(frozen=True)
class Rehearse:
    """f(pi / pi_ref) averaged over the tokens of each row, on rows that pi_ref drew: [B].

    Its mean is a divergence that covers what the reference did; it is 0 with no slope at pi_ref.
    DPH-RL (Li et al. 2025, arXiv 2509.07430) on the reference's right answers, `sft_loss_mode` of
    the released code: ``forward`` is ``forward_kl``, ``js_low_var`` is ``js``, ``alpha`` is
    ``alpha``. That code also cuts the forward loss of a token at 10; here nothing is cut.

    Attributes:
        f, alpha: see `divergences.generator`.
    """

    f: F = "forward_kl"
    alpha: float = 0.2
    needs: ClassVar[frozenset[str]] = frozenset({"logp", "ref_logp", "mask"})

    def __post_init__(self) -> None:
        _check_f("Rehearse", self.f, self.alpha)

    def __call__(self, b: Batch, /) -> Array:
        xp, logp, ref_logp, mask = read("Rehearse", b, "logp", "ref_logp", "mask")
        return mean_tokens(xp, generator(logp - ref_logp, self.f, self.alpha), mask)


@dataclass(frozen=True)
class Regress:
    """(beta log pi / pi_ref + V*(x) - r)^2: A*-PO, the regression of DRO and REBEL, [B].

    Brantley et al. 2025 (arXiv 2505.20686) as in the released code; ``vstar`` from `soft_value`.
    Zero at pi = ref e^(r / beta) / Z.

    Attributes:
        beta: > 0 (released: 1e-3).
    """

    beta: float = 1e-3
    needs: ClassVar[frozenset[str]] = frozenset({"logp", "ref_logp", "mask", "reward", "vstar"})

    def __post_init__(self) -> None:
        positive("Regress", beta=self.beta)

    def __call__(self, b: Batch, /) -> Array:
        xp, logp, ref_logp, mask, reward, vstar = read(
            "Regress", b, "logp", "ref_logp", "mask", "reward", "vstar"
        )
        h = xp.sum((logp - ref_logp) * mask, axis=-1)
        return (self.beta * h + vstar - reward) ** 2


@dataclass(frozen=True)
class SoftBellmanValue:
    """OREO's critic: (beta S_t + V_t - R)^2 averaged over tokens, [B].

    S_t sums the detached log-ratios from t to the end; R is the row's reward. Wang et al. 2024
    (arXiv 2412.16145), path consistency of KL-regularised RL, as in the released code.

    Attributes:
        beta: > 0 (released: 0.03).
    """

    beta: float = 0.03
    needs: ClassVar[frozenset[str]] = frozenset({"logp_sg", "ref_logp", "mask", "values", "reward"})

    def __post_init__(self) -> None:
        positive("SoftBellmanValue", beta=self.beta)

    def __call__(self, b: Batch, /) -> Array:
        xp, logp, ref_logp, mask, values, reward = read(
            "SoftBellmanValue", b, "logp_sg", "ref_logp", "mask", "values", "reward"
        )
        suffix = _suffix(xp, (logp - ref_logp) * mask)
        return mean_tokens(xp, (self.beta * suffix + values - reward[:, None]) ** 2, mask)


@dataclass(frozen=True)
class SoftBellmanPolicy:
    """OREO's actor: (beta (own log-ratio + later ones, detached) + V_t - R)^2, V detached, [B].

    ``token``: own = token t, averaged over tokens. ``step``: own = the tokens of the step that
    begins at t, averaged over beginnings of steps. ``response``: own = the whole row, once.
    Wang et al. 2024 (arXiv 2412.16145), `dro_loss` and `traj_loss` of the released code.

    Attributes:
        beta: > 0.
        level: see above.
    """

    beta: float = 0.03
    level: Literal["token", "step", "response"] = "token"

    def __post_init__(self) -> None:
        positive("SoftBellmanPolicy", beta=self.beta)
        if self.level not in ("token", "step", "response"):
            raise BadInput(
                f"SoftBellmanPolicy: level is {self.level!r}; use 'token', 'step' or 'response'"
            )

    @property
    def needs(self) -> frozenset[str]:
        """``step`` only at that level."""
        keys = {"logp", "logp_sg", "ref_logp", "mask", "values_sg", "reward"}
        return frozenset(keys | {"step"} if self.level == "step" else keys)

    def __call__(self, b: Batch, /) -> Array:
        xp, logp, fixed, ref_logp, mask, values, reward = read(
            "SoftBellmanPolicy", b, "logp", "logp_sg", "ref_logp", "mask", "values_sg", "reward"
        )
        own, own_sg = (logp - ref_logp) * mask, (fixed - ref_logp) * mask
        later = _suffix(xp, own_sg)
        starts = mask
        if self.level == "step":
            step = read("SoftBellmanPolicy", b, "step")[1]
            same = _same_step_onwards(xp, step, logp)
            own, own_sg = (xp.sum(same * x[:, None, :], axis=-1) for x in (own, own_sg))
            starts = mask * _first_of_step(xp, step, mask)
        elif self.level == "response":
            starts = mask * xp.astype(xp.cumulative_sum(mask, axis=-1) < 1.5, mask.dtype)
            own, own_sg = _suffix(xp, own), later
        residual = self.beta * (own + later - own_sg) + values - reward[:, None]
        return mean_tokens(xp, residual**2, starts)


def soft_value(reward: Array, beta: float) -> Array:
    """V*(x) = beta log mean_i e^(r_i / beta) over samples of the reference: [N, n] -> [N].

    The largest reward for beta -> 0, the mean for beta -> infinity (``math.inf`` is allowed).
    A*-PO stage 1 (beta = 0.5 there), VAS and IVO's soft value.

    Raises:
        BadInput: beta not above 0.
    """
    xp = check("soft_value", reward=(reward, "N n"))
    if not beta > 0.0:
        raise BadInput(f"soft_value: beta is {beta}; it must be above 0, math.inf for the mean")
    if math.isinf(beta):
        return xp.mean(reward, axis=-1)
    return beta * (logsumexp(reward / beta) - math.log(reward.shape[-1]))


def two_head_bce(
    correct_logit: Array, potential_logit: Array, correct: Array, potential: Array
) -> Array:
    """Cross-entropies of two heads over steps, summed: is it right so far, can it still succeed?

    DuaShepherd (Wu et al. 2025, arXiv 2506.17533); labels in [0, 1], all [...]. The product of
    the two probabilities is the value of a step.
    """
    check(
        "two_head_bce",
        correct_logit=(correct_logit, "..."),
        potential_logit=(potential_logit, "..."),
        correct=(correct, "..."),
        potential=(potential, "..."),
    )
    return _bce(correct_logit, correct) + _bce(potential_logit, potential)


def _bce(logit: Array, label: Array) -> Array:
    return -label * log_sigmoid(logit) - (1.0 - label) * log_sigmoid(-logit)


def _suffix(xp: Namespace, x: Array) -> Array:
    """Sums from each token to the end, [B, T]."""
    return xp.flip(xp.cumulative_sum(xp.flip(x, axis=-1), axis=-1), axis=-1)


def _first_of_step(xp: Namespace, step: Array, like: Array) -> Array:
    """1 where a token begins a step: its step is not -1 and not that of the token before."""
    changed = xp.astype(step[:, 1:] != step[:, :-1], like.dtype)
    first = xp.concat([xp.ones_like(like[:, :1]), changed], axis=-1)
    return first * xp.astype(step >= 0, like.dtype)


def _same_step_onwards(xp: Namespace, step: Array, like: Array) -> Array:
    """1 where token j is at or after t and of its step: [B, T (t), T (j)]."""
    time = xp.cumulative_sum(xp.ones_like(step), axis=-1)
    onwards = time[:, None, :] >= time[:, :, None]
    same = xp.logical_and(step[:, :, None] == step[:, None, :], onwards)
    return xp.astype(same, like.dtype)
