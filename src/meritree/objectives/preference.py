"""Learning from pairs: objective = Score o Link + extras, over one batch of stacked pairs.

A score says what a response is worth, a link (`links`) how two worths make a preference. Which
network gave the log-probabilities is unknown here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meritree.objectives._namespace import Array, check, namespace
from meritree.objectives.divergences import F, _check_f, derivative
from meritree.objectives.links import Link
from meritree.objectives.rows import Batch, Part, halves, mean_tokens, read


@dataclass(frozen=True)
class LogRatio:
    """f'(pi / pi_ref) of the response, up to a constant: the implicit reward of (f-)DPO over beta.

    With h = sum_t mask (logp - ref_logp): h, -e^-h, log 2 + log sigma(h) or (1 - e^(-a h)) / a.
    Rafailov et al. 2023; Wang et al. 2024 (arXiv 2309.16240), table 1. Exponents are cut where the
    dtype ends. TRL calls 1 - a what is ``alpha`` here.

    Attributes:
        f: divergence that holds the policy near its reference.
        alpha: order of ``f="alpha"``, in (0, 1).
        mean: divide by the number of tokens, as TRL does for IPO; it changes what tau means.
    """

    f: F = "reverse_kl"
    alpha: float = 0.5
    mean: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"logp", "ref_logp", "mask"})

    def __post_init__(self) -> None:
        _check_f("LogRatio", self.f, self.alpha, invertible=True)

    def __call__(self, b: Batch, /) -> Array:
        xp, logp, ref_logp, mask = read("LogRatio", b, "logp", "ref_logp", "mask")
        score = derivative(xp.sum((logp - ref_logp) * mask, axis=-1), self.f, self.alpha)
        return score / xp.clip(xp.sum(mask, axis=-1), min=1.0) if self.mean else score


@dataclass(frozen=True)
class StepLogRatio:
    """Sum of log pi / pi_ref over the tokens of one step: step-level DPO between siblings.

    Only tokens with ``step == step_at`` of the row count, those of the step that differs.
    SVPO, Chen et al. 2024 (arXiv 2406.10858). With one step a row it is `LogRatio`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logp", "ref_logp", "mask", "step", "step_at"})

    def __call__(self, b: Batch, /) -> Array:
        xp, logp, ref_logp, mask, step, at = read(
            "StepLogRatio", b, "logp", "ref_logp", "mask", "step", "step_at"
        )
        here = xp.astype(step == at[:, None], logp.dtype)
        return xp.sum((logp - ref_logp) * mask * here, axis=-1)


@dataclass(frozen=True)
class AvgLogp:
    """Mean log-probability of the response's tokens, without a reference: SimPO's reward over beta.

    Meng et al. 2024 (arXiv 2405.14734), equation 4.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logp", "mask"})

    def __call__(self, b: Batch, /) -> Array:
        xp, logp, mask = read("AvgLogp", b, "logp", "mask")
        return mean_tokens(xp, logp, mask)


@dataclass(frozen=True)
class RewardHead:
    """The key ``score``, [B], as some network gave it: a reward model, or a head over features.

    The head is the trainer's; with `links.Logistic` (beta = 1) this is the Bradley-Terry loss of
    InstructGPT (Ouyang et al. 2022, equation 1) and of S041's feature model.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"score"})

    def __call__(self, b: Batch, /) -> Array:
        return read("RewardHead", b, "score")[1]


@dataclass(frozen=True)
class PairObjective:
    """Loss of each pair, link(score(preferred) - score(rejected)) + sum of coef * extra.

    An extra with as many rows as there are pairs is added row by row, any other through its mean
    over rows: the mean over pairs is the same.

    Attributes:
        score: rows [B] of worths.
        link: from differences [P] and labels to losses.
        extras: (coefficient, term) pairs, see `extras`.
        label: key of soft labels [P], the probability that the first half's row is preferred;
            None where it always is.
    """

    score: Part
    link: Link
    extras: tuple[tuple[float, Part], ...] = ()
    label: str | None = None

    @property
    def needs(self) -> frozenset[str]:
        """Keys that score, link and extras read."""
        keys = self.score.needs.union(*(extra.needs for _, extra in self.extras))
        return keys | {self.label} if self.label else keys

    def __call__(self, b: Batch, /) -> tuple[Array, dict[str, Array]]:
        """Losses [P]; means of both scores, of their difference and of extras, accuracy."""
        plus, minus = halves("PairObjective", self.score(b))
        d = plus - minus
        y = read("PairObjective", b, self.label)[1] if self.label else 1.0
        xp = check("PairObjective", d=(d, "P"), y=(y, "P or number"))
        loss = self.link(d, y)
        metrics = {
            "chosen": xp.mean(plus),
            "rejected": xp.mean(minus),
            "margin": xp.mean(d),
            "accuracy": xp.mean(xp.astype((d > 0.0) == (y > 0.5), d.dtype))
            if self.label
            else xp.mean(xp.astype(d > 0.0, d.dtype)),
        }
        return _add(loss, self.extras, b, metrics), metrics


@dataclass(frozen=True)
class RowObjective:
    """Loss of each row, sum of coef * term: for unpaired data (PMPO, A*-PO, OREO, regressions).

    Attributes:
        terms: (coefficient, term) pairs, at least one.
    """

    terms: tuple[tuple[float, Part], ...]

    @property
    def needs(self) -> frozenset[str]:
        """Keys that the terms read."""
        return frozenset().union(*(term.needs for _, term in self.terms))

    def __call__(self, b: Batch, /) -> tuple[Array, dict[str, Array]]:
        """Losses, as many as the first term has rows, and the mean of each term as a metric."""
        (coef, first), *rest = self.terms
        metrics: dict[str, Array] = {}
        loss = first(b)
        metrics[type(first).__name__] = namespace(loss).mean(loss)
        return _add(coef * loss, rest, b, metrics), metrics


def _add(
    loss: Array,
    extras: tuple[tuple[float, Part], ...] | list[tuple[float, Part]],
    b: Batch,
    metrics: dict[str, Array],
) -> Array:
    for coef, extra in extras:
        term = extra(b)
        mean = namespace(term).mean(term)
        name = type(extra).__name__
        metrics[name if name not in metrics else f"{name} {len(metrics)}"] = mean
        loss = loss + coef * (term if term.shape == loss.shape else mean)
    return loss
