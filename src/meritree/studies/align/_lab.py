"""What the studies in the laboratory share: a base, answers with their worth, measures of a policy.

Imports PyTorch when called, not before. Knows no paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from math import exp
from random import Random
from typing import TYPE_CHECKING, Any

from meritree.align.lab import grammar
from meritree.studies.checks import FEWEST, Own, decide, show
from meritree.studies.rows import Rows
from meritree.studies.study import Settings

if TYPE_CHECKING:
    from meritree.stats import Interval
    from meritree.studies.checks import Outcome

Worth = Callable[[Sequence[str], Sequence[str]], float]
SMOKE_BASE: Mapping[str, Any] = {"base_steps": 60, "base_rows": 3000}
FULL_BASE: Mapping[str, Any] = {"base_steps": 800, "base_rows": 20_000}
DATA = (
    "the package's preference grammar (meritree.align.lab.grammar): remarks on six topics with a "
    "known worth; answers drawn from a Llama of 97 088 parameters trained on the grammar"
)


@dataclass(frozen=True)
class Lab:
    """The grammar's base and its words.

    Attributes:
        ref: the base; never trained itself.
        words: ids and words.
    """

    ref: Any
    words: Any

    def policy(self) -> Any:
        """A copy to train."""
        return deepcopy(self.ref)


@dataclass(frozen=True)
class Drawn:
    """An answer that a policy gave.

    Attributes:
        prompt, answer: words.
        ids: tokens of prompt and answer.
    """

    prompt: tuple[str, ...]
    answer: tuple[str, ...]
    ids: tuple[tuple[int, ...], tuple[int, ...]]


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: sums in one order, and no threads that wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def open_lab(settings: Settings) -> Lab:
    """The base that the settings ask for, trained at its first use."""
    from meritree.align.lab.base import Recipe, base
    from meritree.align.lab.model import Vocabulary

    made = base(Recipe("grammar", steps=settings["base_steps"], rows=settings["base_rows"]))
    return Lab(made.model.requires_grad_(False), Vocabulary(made.task))


def copy_to_train(lab: Lab) -> Any:
    """A trainable copy of the base."""
    return lab.policy().requires_grad_(True)


def topics(n: int, rng: Random) -> list[list[str]]:
    """Prompts without constraints, topics in turn and then shuffled."""
    names = [list(grammar.TOPICS)[i % len(grammar.TOPICS)] for i in range(n)]
    rng.shuffle(names)
    return [grammar.prompt_of(name) for name in names]


def draw(
    lab: Lab, policy: Any, prompts: Sequence[Sequence[str]], n: int, seed: int
) -> list[list[Drawn]]:
    """``n`` answers of the policy to each prompt."""
    from meritree.align.sample import sample

    asked = [lab.words.prompt(prompt) for prompt in prompts]
    found = sample(
        policy, asked, n=n, longest=grammar.TASK.longest + 1, end=lab.words.end, seed=seed
    )
    return [
        [
            Drawn(tuple(p), tuple(lab.words.read(a)), (tuple(ids), tuple(a)))
            for a in given
        ]
        for p, ids, given in zip(prompts, asked, found, strict=True)
    ]  # fmt: skip


def judged(
    both: Sequence[Drawn], worth: Worth, rng: Random, sharpness: float | None = None
) -> tuple[Drawn, Drawn]:
    """The two answers, the preferred one first.

    By worth alone (equal ones by lot), or with probability sigma(sharpness x difference).
    """
    first, second = both[0], both[1]
    gap = worth(first.prompt, first.answer) - worth(second.prompt, second.answer)
    if sharpness is None:
        better = rng.random() < 0.5 if gap == 0.0 else gap > 0.0
    else:
        better = rng.random() < 1.0 / (1.0 + exp(-sharpness * gap))
    return (first, second) if better else (second, first)


def as_pairs(judgements: Sequence[tuple[Drawn, Drawn]]) -> Any:
    """The data set of pairs; equal answers fall out and are counted."""
    from meritree.align.data import Pair, pairs

    return pairs([Pair(plus.ids[0], plus.ids[1], minus.ids[1]) for plus, minus in judgements])


def fit(policy: Any, objective: Any, data: Any, settings: Settings, **options: Any) -> Any:
    """`fit_preferences` with Adam at the settings' rate, batch and steps."""
    import torch

    from meritree.align.prefer import fit_preferences

    chosen = {"batch": settings["batch"], "log_every": 0} | options
    chosen.setdefault("steps", settings.get("steps"))
    return fit_preferences(
        policy,
        objective,
        data,
        optimizer=lambda p: torch.optim.Adam(p, lr=settings["rate"]),
        max_norm=1.0,
        **chosen,
    )


def measured(
    lab: Lab, policy: Any, settings: Settings, seed: int, prompts: Sequence[Any] | None = None
) -> dict[str, float]:
    """Means over fresh answers of the policy, and how far it is from the base, in nats an answer.

    ``KL`` is KL(policy || base) and ``entropy`` the policy's, both summed over the vocabulary at
    each token of the policy's own answers, so that only the prefixes are random.
    """
    from statistics import fmean

    asked = prompts or [grammar.prompt_of(topic) for topic in grammar.TOPICS]
    drawn = draw(lab, policy, asked, settings["eval"] // len(asked), seed)
    flat = [one for group in drawn for one in group]
    texts = [" ".join(one.answer) for one in flat]
    kl, entropy = _per_answer(policy, lab.ref, flat)
    return {
        "gold": fmean(grammar.gold(one.prompt, one.answer) for one in flat),
        "proxy": fmean(grammar.proxy(one.prompt, one.answer) for one in flat),
        "cost": fmean(grammar.cost(one.prompt, one.answer) for one in flat),
        "satisfied": fmean(grammar.satisfied(one.prompt, one.answer) for one in flat),
        "KL": kl,
        "entropy": entropy,
        "length": fmean(len(one.answer) for one in flat),
        "distinct": len(set(texts)) / len(texts),
    }


def near(claim: str, metric: str, system: str, dataset: str, at_most: float) -> Own:
    """As `checks.Bound`, but undecided on fewer seeds than `checks.FEWEST`.

    One seed's figure may lie on either side on another processor.
    """

    return _bounded(claim, metric, system, dataset, None, at_most)


def reaches(claim: str, metric: str, system: str, dataset: str, at_least: float) -> Own:
    """As `near`, the other way round."""
    return _bounded(claim, metric, system, dataset, at_least, None)


def _bounded(
    claim: str, metric: str, system: str, dataset: str, low: float | None, high: float | None
) -> Own:
    def decided(rows: Rows) -> tuple[Outcome, str, Interval | None]:
        interval = rows.interval(metric, system, dataset)
        asked = f"<= {high:g}" if low is None else f">= {low:g}"
        text = f"{metric} {show(interval)}, asked {asked}"
        few = len(rows.seeds) < FEWEST
        return ("inconclusive" if few else decide(interval, low, high)), text, interval

    return Own(claim, decided)


def _per_answer(policy: Any, ref: Any, drawn: Sequence[Drawn]) -> tuple[float, float]:
    import torch

    from meritree.align.data import Answer, answers
    from meritree.align.forward import policy_keys, rows_of
    from meritree.objectives.divergences import full_kl

    data = answers([Answer(*one.ids) for one in drawn])
    sums = [0.0, 0.0]
    policy.eval()
    with torch.no_grad():
        for units in torch.arange(data.size).split(256):
            rows = rows_of(data, units, next(policy.parameters()).device)
            own, base = (
                policy_keys(model, rows, frozenset({"dist"}))["dist"] for model in (policy, ref)
            )
            sums[0] += float((full_kl(own, base) * rows.mask).sum())
            sums[1] += float((-(own.exp() * own).sum(-1) * rows.mask).sum())
    return sums[0] / data.size, sums[1] / data.size


def between(path: Sequence[tuple[float, float]], x: float) -> float:
    """The height at ``x`` of straight lines between points (x rising); outside, of the end."""
    for (x0, y0), (x1, y1) in pairwise(path):
        if x0 <= x <= x1:
            return y0 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return path[-1][1] if x > path[-1][0] else path[0][1]
