"""What the studies of guided decoding share: judged answers, guides made of them, frontiers.

Imports PyTorch when called, not before. Knows no paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from statistics import fmean
from typing import Any

from meritree.align.lab import grammar
from meritree.studies.align import _lab
from meritree.studies.study import Settings

TOPK = 20
GOLD, SAFETY = grammar.gold, lambda prompt, answer: -grammar.cost(prompt, answer)


@dataclass(frozen=True)
class Point:
    """A policy on the plane of worth and distance.

    Attributes:
        gold, cost: means over its answers.
        kl: KL(policy || base), nats an answer.
        positions: tokens that models read, an answer.
    """

    gold: float
    cost: float
    kl: float
    positions: float


def asked(lab: _lab.Lab, n: int) -> list[list[int]]:
    """The prompts of all topics, as many times as makes ``n`` in all."""
    ids = [lab.words.prompt(grammar.prompt_of(topic)) for topic in grammar.TOPICS]
    return [one for one in ids for _ in range(n // len(ids))]


def judge(lab: _lab.Lab, worth: _lab.Worth = GOLD) -> Any:
    """Worth of token ids."""
    return lambda prompt, answer: worth(lab.words.read(list(prompt)), lab.words.read(list(answer)))


def drawn(guided: Any, lab: _lab.Lab, n: int, seed: int) -> tuple[Any, ...]:
    """Answers with their log-probabilities and their gold as reward."""
    from meritree.align.data import Answer

    told = guided.draw(
        asked(lab, n), longest=grammar.TASK.longest + 1, end=lab.words.end, seed=seed
    )
    gold = judge(lab)
    return tuple(
        Answer(r.prompt, r.response, {**r.columns, "reward": gold(r.prompt, r.response)})
        for r in told.rows
    )


def reworded(rows: Iterable[Any], worth: Any) -> list[Any]:
    """The same answers with another reward and no log-probabilities."""
    from meritree.align.data import Answer

    return [
        Answer(r.prompt, r.response, {"reward": worth(r.prompt, r.response)}) for r in rows
    ]  # fmt: skip


def guide(
    lab: _lab.Lab, rows: Sequence[Any], target: Any, settings: Settings, seed: int, **valued: Any
) -> Any:
    """A critic over a copy of the base's trunk, fitted to the rows, as a guide."""
    from meritree.align.critic import critic_of
    from meritree.align.guides import Valued
    from meritree.align.value import fit_value

    critic = critic_of(lab.ref)
    fit_value(critic, rows, target, seed=seed, **fitting(settings))
    return Valued(critic.eval(), **valued)


def fitting(settings: Settings) -> dict[str, Any]:
    """Adam at a rate that falls to nothing, for critics."""
    import torch

    steps = settings["value_steps"]
    return {
        "optimizer": lambda p: torch.optim.Adam(p, lr=2e-3),
        "schedule": lambda o: torch.optim.lr_scheduler.LambdaLR(
            o, lambda step: max(0.02, 1.0 - step / steps)
        ),
        "steps": steps,
        "batch": settings["batch"],
        "max_norm": 1.0,
        "log_every": 0,
    }


def fudge(lab: _lab.Lab, rows: Sequence[Any], settings: Settings, seed: int) -> Any:
    """FUDGE: the log-probability that the answer will be among the best quarter."""
    import torch

    from meritree.align.value import Target

    gold = judge(lab)
    bound = sorted(r.columns["reward"] for r in rows)[3 * len(rows) // 4]
    labelled = reworded(rows, lambda p, a: float(gold(p, a) >= bound))
    return guide(
        lab, labelled, Target("bce"), settings, seed, transform=torch.nn.functional.logsigmoid
    )


def args(lab: _lab.Lab, rows: Sequence[Any], settings: Settings, seed: int) -> Any:
    """ARGS: a model of whole answers' rewards, asked about their beginnings."""
    from meritree.align.data import Answer
    from meritree.align.value import Target

    whole = [Answer([*r.prompt, *r.response], (), {"reward": r.columns["reward"]}) for r in rows]
    return guide(lab, whole, Target("mc"), settings, seed)


def at(lab: _lab.Lab, guides: Sequence[tuple[float, Any]], n: int, seed: int) -> Point:
    """Where the base goes under these guides."""
    from meritree.align.guided import Guided

    told = Guided(lab.ref, tuple(guides), topk=TOPK).draw(
        asked(lab, n), longest=grammar.TASK.longest + 1, end=lab.words.end, seed=seed
    )
    used = sum(1 for beta, _ in guides if beta)
    return Point(
        fmean(judge(lab)(r.prompt, r.response) for r in told.rows),
        fmean(judge(lab, grammar.cost)(r.prompt, r.response) for r in told.rows),
        told.kl,
        fmean(positions(r, used) for r in told.rows),
    )


def positions(row: Any, guides: int) -> int:
    """Tokens read for one answer: the base's, and per guide the same and the candidates'."""
    read = len(row.prompt) + len(row.response) - 1
    return read + guides * (read + TOPK * len(row.response))


def best_of(lab: _lab.Lab, sizes: Sequence[int], n: int, seed: int) -> dict[int, Point]:
    """Best of several answers of the base by gold, all from the same draws."""
    from meritree.align.sample import sample

    prompts, gold = asked(lab, n), judge(lab)
    most = max(sizes)
    given = sample(
        lab.ref, prompts, n=most, longest=grammar.TASK.longest + 1, end=lab.words.end,
        seed=seed, batch=2048,
    )  # fmt: skip
    worths = [[gold(p, a) for a in many] for p, many in zip(prompts, given, strict=True)]
    risk = judge(lab, grammar.cost)
    found = {}
    for size in sizes:
        picks = [max(range(size), key=w.__getitem__) for w in worths]
        chosen = [(p, many[i]) for p, many, i in zip(prompts, given, picks, strict=True)]
        read = [
            len(p) + sum(len(a) for a in many[:size]) - size
            for p, many in zip(prompts, given, strict=True)
        ]
        found[size] = Point(
            fmean(w[i] for w, i in zip(worths, picks, strict=True)),
            fmean(risk(p, a) for p, a in chosen),
            log(size) - (size - 1) / size,  # an upper bound, Beirami et al. 2024
            fmean(read),
        )
    return found


def dpo(
    lab: _lab.Lab, rows: Sequence[Any], settings: Settings, seed: int, objective: Any = None
) -> dict[int, Point]:
    """DPO on pairs of the same answers, after each number of steps asked for."""
    from meritree.align.data import Pair, pairs
    from meritree.objectives.links import Logistic
    from meritree.objectives.preference import LogRatio, PairObjective

    made = []
    for one, two in zip(rows[::2], rows[1::2], strict=True):
        if one.columns["reward"] != two.columns["reward"] and one.prompt == two.prompt:
            plus, minus = sorted((one, two), key=lambda r: -r.columns["reward"])
            made.append(Pair(plus.prompt, plus.response, minus.response))
    stops, found = settings["dpo_steps"], {}

    def look(policy: Any, step: int) -> dict[str, float]:
        if step in stops:
            told = _lab.measured(lab, policy, settings, seed)
            read = 2.0 + told["length"]
            found[step] = Point(told["gold"], told["cost"], told["KL"], read)
        return {}

    _lab.fit(
        _lab.copy_to_train(lab), objective or PairObjective(LogRatio(), Logistic(0.1)),
        pairs(made), {**settings, "rate": 5e-4}, seed=seed, steps=max(stops),
        batch=min(32, len(made)), evaluate=look, evaluate_every=min(stops),
    )  # fmt: skip
    return found


def height(points: Iterable[Point], base: Point, within: float) -> float:
    """Mean gold along the frontier from no distance to ``within`` nats, straight lines between.

    Beyond the furthest point the frontier stays level.
    """
    line = sorted([(0.0, base.gold), *((p.kl, p.gold) for p in points)])
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise([*line, (max(within, line[-1][0]) + 1e-9, line[-1][1])]):
        right = min(x1, within)
        if right > x0:
            end = y0 + (y1 - y0) * (right - x0) / (x1 - x0)
            area += 0.5 * (y0 + end) * (right - x0)
    return area / within
