"""The value trainer: what a finished answer was worth, taught to every beginning of it.

Targets are made here; the loop, its checkpoints and its curve are `prefer`'s. What decodes with a
value is `guided`'s business.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from meritree.align._torch import Module, torch
from meritree.align.critic import response_values
from meritree.align.data import Answer, Dataset, Ids, answers
from meritree.align.forward import rows_of
from meritree.align.guides import at_rest
from meritree.align.prefer import Trained, fit_preferences
from meritree.errors import BadInput
from meritree.objectives.extras import ValueBce, ValueMse, ValueTd, soft_value
from meritree.objectives.preference import RowObjective
from meritree.objectives.rows import positive, within

if TYPE_CHECKING:
    from meritree.align.guided import Guided

Kind = Literal["td_lambda", "mc", "soft", "bce"]
KINDS: tuple[Kind, ...] = ("td_lambda", "mc", "soft", "bce")
Judge = Callable[[Ids, Ids], float]
"""What an answer is worth: prompt and response, token ids."""


@dataclass(frozen=True)
class Target:
    """What a beginning of an answer is taught to be worth.

    ``td_lambda``: TD(lambda) returns that follow the values (VAS). ``mc``: the answer's reward.
    ``soft``: beta log mean e^(G / beta) over the answers that begin alike, G the reward less beta
    times what the rest of the answer was more probable under its sampler than under the base; with
    samples of the base this is the soft value of their rewards, with samples of any policy that
    can say all the base can it has the same limit. ``bce``: a classifier's cross-entropy against
    the reward, which is a label in [0, 1] (FUDGE); its values are logits.

    Attributes:
        kind: see above.
        lam: of ``td_lambda``.
        gamma: discount a token of ``td_lambda`` and ``mc``.
        beta: temperature of ``soft``, in units of the reward.
        final: value the finished answer as well, so that the candidate that ends an answer has a
            value. VAS's released code does not: it trains the states before each token.
    """

    kind: Kind = "td_lambda"
    lam: float = 0.95
    gamma: float = 1.0
    beta: float = 1.0
    final: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"Target: kind is {self.kind!r}; use one of {', '.join(KINDS)}")
        within("Target", 0.0, 1.0, lam=self.lam, gamma=self.gamma)
        positive("Target", beta=self.beta)
        if self.kind == "soft" and self.gamma != 1.0:
            raise BadInput(f"Target: gamma is {self.gamma} but soft values are not discounted: 1")

    @property
    def objective(self) -> RowObjective:
        """The loss of a row."""
        if self.kind == "td_lambda":
            return RowObjective(((1.0, ValueTd(self.lam, self.gamma)),))
        return RowObjective(((1.0, ValueBce() if self.kind == "bce" else ValueMse()),))


def value_data(rows: Iterable[Answer], target: Target, context: int | None = None) -> Dataset:
    """Rows for the objective of a target.

    Args:
        rows: answers with the column ``reward``; ``soft`` reads ``old_logp`` and ``ref_logp`` of
            each token too, if they are there: under the sampler and under the base.
        target: what is taught.
        context: most tokens that the critic reads; longer rows are skipped and counted.

    Raises:
        BadInput: no rows, a row without reward, or with one that does not fit.
    """
    listed = list(rows)
    for number, row in enumerate(listed):
        if "reward" not in row.columns:
            raise BadInput(f"fit_value: row {number} has no reward: Answer(.., {{'reward': r}})")
        if target.kind == "bce" and not 0.0 <= row.columns["reward"] <= 1.0:
            raise BadInput(
                f"fit_value: row {number} has the reward {row.columns['reward']}; kind='bce' "
                "needs labels in [0, 1]"
            )
    soft = _soft(listed, target) if target.kind == "soft" else None
    made = []
    for number, row in enumerate(listed):
        # The value before a token that nobody reads is that of the finished answer.
        response = [*row.response, 0] if target.final else list(row.response)
        size, reward = len(response), float(row.columns["reward"])
        column: dict[str, list[float]]
        if target.kind == "td_lambda":
            column = {"token_reward": [0.0] * (size - 1) + [reward]}
        elif soft is not None:
            column = {"value_target_sg": soft[number][:size]}
        else:
            left = range(size - 1, -1, -1)
            column = {"value_target_sg": [reward * target.gamma**t for t in left]}
        made.append(Answer(row.prompt, response, column))
    more = 1 if target.final else 0
    return answers(made, context=None if context is None else context + more)


def fit_value(
    critic: Module,
    rows: Iterable[Answer],
    target: Target = Target(),
    *,
    context: int | None = None,
    **options: Any,
) -> Trained:
    """Train a critic in place on answers of a policy that does not change.

    Args:
        critic: see `meritree.align.critic.Critic`.
        rows, target, context: see `value_data`.
        options: of `meritree.align.prefer.fit_preferences`: ``optimizer``, ``steps``, ``batch``,
            ``seed``, ``evaluate``, ``folder`` and so on.

    Raises:
        BadInput: see `value_data` and `fit_preferences`.
        Diverged: a loss or gradient is not finite; the critic is as before that step.
    """
    return fit_preferences(critic, target.objective, value_data(rows, target, context), **options)


@dataclass(frozen=True)
class Round:
    """One round of `iterate_value`.

    Attributes:
        number: from 0; round 0 draws from the base.
        reward: mean over the round's answers, which were drawn before the round's fit.
        kl: KL(sampler || base), nats an answer, over the same answers.
        error: root mean square of value - reward over their beginnings, before the fit.
        tokens: positions that base and guides read for them.
        trained: how the fit went; None where ``max_kl`` ended the rounds before it.
    """

    number: int
    reward: float
    kl: float
    error: float
    tokens: int
    trained: Trained | None


def iterate_value(
    critic: Module,
    guided: Guided,
    prompts: Sequence[Ids],
    judge: Judge,
    target: Target,
    *,
    iterations: int,
    n: int,
    longest: int,
    end: int,
    keep: Literal["all", "last"] = "all",
    max_kl: float | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    **options: Any,
) -> tuple[Round, ...]:
    """Iterative value optimisation: draw with the guided policy, refit the value, draw again.

    Always the base is tilted, never the last guided policy. Mean targets overshoot the optimum
    when they are iterated; ``soft`` ones do not. Liu et al. 2025 (arXiv 2503.02368) after notes:
    losses and schedules there are not checked.

    Args:
        critic: trained in place; one of ``guided``'s guides asks it.
        guided: the decoder with its full strength; round 0 draws from its base.
        prompts: n answers are drawn to each in every round.
        judge: what an answer is worth.
        target: see `Target`.
        iterations: rounds of drawing and fitting, at least 1.
        n, longest, end: see `meritree.align.sample.sample`.
        keep: fit to the answers of all rounds so far, or of the last.
        max_kl: a round whose answers lie further from the base, nats an answer, is not fitted and
            is the last.
        seed: of draws and fits; those of later rounds follow from it.
        folder: each round's checkpoint and curve lie in ``folder/round-0`` and so on. A killed run
            draws again and goes on where it stood.
        options: of `fit_preferences`.

    Raises:
        BadInput: see `fit_value`; a sampler that drops tokens with ``soft`` targets.
    """
    if iterations < 1:
        raise BadInput(f"iterate_value: iterations is {iterations}; it must be at least 1")
    if keep not in ("all", "last"):
        raise BadInput(f"iterate_value: keep is {keep!r}; use 'all' or 'last'")
    if target.kind == "soft" and guided.rest == "drop":
        raise BadInput("iterate_value: soft targets need every token: Guided(rest='keep')")
    rounds: list[Round] = []
    kept: list[Answer] = []
    for number in range(iterations):
        sampler = guided if number else replace(guided, guides=())
        drawn = sampler.draw(prompts, n=n, longest=longest, end=end, seed=seed + number)
        fresh = [
            Answer(
                row.prompt, row.response, {**row.columns, "reward": judge(row.prompt, row.response)}
            )
            for row in drawn.rows
        ]
        rewards = [row.columns["reward"] for row in fresh]
        told = Round(
            number,
            sum(rewards) / len(rewards),
            drawn.kl,
            value_error(critic, fresh, target),
            drawn.tokens,
            None,
        )
        if max_kl is not None and told.kl > max_kl:
            rounds.append(told)
            break
        kept = fresh if keep == "last" else kept + fresh
        home = None if folder is None else Path(folder) / f"round-{number}"
        trained = fit_value(critic, kept, target, seed=seed + number, folder=home, **options)
        rounds.append(replace(told, trained=trained))
    return tuple(rounds)


def value_error(critic: Module, rows: Sequence[Answer], target: Target) -> float:
    """Root mean square of value - target over all beginnings of the answers.

    The target is the reward (or ``soft``'s): even the true value is off by its spread.
    """
    plain = target if target.kind == "soft" else replace(target, kind="mc")
    data = value_data(rows, plain)
    device = next(critic.parameters()).device
    total, count = 0.0, 0
    with at_rest(critic):
        for units in torch.arange(data.size).split(512):
            part = rows_of(data, units, device)
            values = response_values(critic, part)
            if target.kind == "bce":
                values = values.sigmoid()
            wanted = data.columns["value_target_sg"][units, : values.shape[1]].to(values)
            total += float(((values - wanted) ** 2 * part.mask).sum())
            count += int(part.mask.sum())
    return math.sqrt(total / count)


def _soft(rows: Sequence[Answer], target: Target) -> list[list[float]]:
    """Soft value of every beginning of every row, the finished answer included."""
    shared: dict[tuple[int, ...], list[float]] = defaultdict(list)
    paths = []
    for row in rows:
        prefix = tuple(row.prompt)
        to_go = _to_go(row, target.beta)
        path = [prefix]
        for token in row.response:
            prefix = (*prefix, token)
            path.append(prefix)
        for place, worth in zip(path, to_go, strict=True):
            shared[place].append(worth)
        paths.append(path)
    value = {
        place: float(soft_value(torch.tensor([worths], dtype=torch.float64), target.beta)[0])
        for place, worths in shared.items()
    }
    return [[value[place] for place in path] for path in paths]


def _to_go(row: Answer, beta: float) -> list[float]:
    """Reward less beta times the log-ratio still to come, for each state: T + 1 numbers."""
    reward = float(row.columns["reward"])
    own, base = row.columns.get("old_logp"), row.columns.get("ref_logp")
    found = [reward]
    if own is None or base is None:
        return found * (len(row.response) + 1)
    for mine, theirs in zip(reversed(own), reversed(base), strict=True):
        found.append(found[-1] - beta * (mine - theirs))
    return found[::-1]
