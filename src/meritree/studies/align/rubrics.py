"""S116: is a judge with a rubric of weighted criteria better than one that gives a number?

The judging half of the claim: SQL answers, real worth by running them, judges of known quality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Any

from meritree.respond.rubric import Criterion, Rubric, grade_explicit, grade_implicit
from meritree.stats import Interval, bootstrap_mean
from meritree.studies.align.graders import Judge, Quality
from meritree.studies.align.queries import (
    GENERIC,
    PARTS,
    STATED,
    Answer,
    Question,
    drawn_answers,
    drawn_question,
)
from meritree.studies.checks import FEWEST, Better, Outcome, Own, show
from meritree.studies.rows import Rows
from meritree.studies.study import Check, Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPLICIT, IMPLICIT = "rubric, explicit", "rubric, implicit"
ONCE, AGAIN = "one number", "one number, mean of ten"
NOISIER = {times: f"one number, {times} times the noise" for times in (2, 4)}
GENERAL = "rubric of general criteria"
EQUAL, TURNED = "explicit, equal weights", "explicit, weights turned round"
FEW = {count: f"explicit, first {count}" for count in (1, 2, 4, 7)}
ORDERED, CHOSEN, TOKENS = "pairs in order, %", "worth of the best judged", "tokens an answer"
WHOLE = Rubric((Criterion("good", "answers the question fully and gives nothing else"),))
MIDDLE = Quality(0.75)

Scores = Mapping[str, float]
Told = tuple[Outcome, str, Interval | None]


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """Every way of judging, with judges of every quality, on the same answers."""
    rng = Random(f"rubrics {seed}")
    asked = [drawn_question(rng) for _ in range(settings["questions"])]
    tasks = [
        (one, drawn_answers(one, settings["answers"], settings["databases"], rng)) for one in asked
    ]
    for right, shared in settings["judges"]:
        quality = Quality(right, shared)
        yield from _judged(tasks, quality, seed)


def _judged(
    tasks: Sequence[tuple[Question, Sequence[Answer]]], quality: Quality, seed: int
) -> Iterator[Row]:
    ordered: dict[str, list[float]] = {}
    chosen: dict[str, list[float]] = {}
    tokens: dict[str, list[float]] = {}
    for number, (question, answers) in enumerate(tasks):
        scores = []
        for place, answer in enumerate(answers):
            dice = Random(f"{seed}:{number}:{place}:{quality}")
            found, spent = graded(question, answer, Judge(answer, quality, dice))
            scores.append(found)
            for system, count in spent.items():
                tokens.setdefault(system, []).append(count)
        gold = [answer.gold for answer in answers]
        for system in scores[0]:
            given = [one[system] for one in scores]
            ordered.setdefault(system, []).extend(in_order(given, gold))
            chosen.setdefault(system, []).append(worth_of_best(given, gold))
    for system in ordered:
        yield Row(system, quality.words, ORDERED, 100.0 * fmean(ordered[system]))
        yield Row(system, quality.words, CHOSEN, fmean(chosen[system]))
        if system in tokens:
            yield Row(system, quality.words, TOKENS, fmean(tokens[system]))


def graded(question: Question, answer: Answer, judge: Judge) -> tuple[Scores, Mapping[str, int]]:
    """What each way of judging makes of an answer, and its tokens where it asks anybody."""
    rubric = question.rubric()
    by_criteria = grade_explicit(rubric, question.text, answer.sql, judge.by_criteria())
    told = by_criteria.estimate.channels
    implicit = grade_implicit(rubric, question.text, answer.sql, judge.by_rubric(rubric))
    glance = judge.at_a_glance()
    looks = [grade_implicit(WHOLE, question.text, answer.sql, glance) for _ in PARTS]
    general = question.rubric(GENERIC)
    generic = grade_explicit(general, question.text, answer.sql, judge.by_criteria())
    scores = {
        EXPLICIT: by_criteria.estimate.mean,
        IMPLICIT: implicit.estimate.mean,
        ONCE: looks[0].estimate.mean,
        AGAIN: fmean(look.estimate.mean for look in looks),
        GENERAL: generic.estimate.mean,
        EQUAL: reweighed(rubric, lambda _: 1.0).weighted(told),
        TURNED: reweighed(rubric, lambda weight: 1.3 - weight).weighted(told),
    }
    for times, system in NOISIER.items():
        noisy = judge.at_a_glance(times)
        scores[system] = grade_implicit(WHOLE, question.text, answer.sql, noisy).estimate.mean
    for count, system in FEW.items():
        scores[system] = question.rubric(STATED[:count]).weighted(told)
    spent = {
        EXPLICIT: by_criteria.estimate.cost.tokens,
        IMPLICIT: implicit.estimate.cost.tokens,
        ONCE: looks[0].estimate.cost.tokens,
        AGAIN: sum(look.estimate.cost.tokens for look in looks),
        GENERAL: generic.estimate.cost.tokens,
    }
    return scores, spent


def reweighed(rubric: Rubric, weight: Callable[[float], float]) -> Rubric:
    """The same criteria with other weights."""
    return Rubric(
        tuple(Criterion(one.name, one.text, weight(one.weight)) for one in rubric.criteria)
    )


def in_order(given: Sequence[float], gold: Sequence[float]) -> Iterator[float]:
    """For each pair of answers of unlike worth: 1 in the right order, 1/2 tied, 0 in the wrong."""
    for i, j in combinations(range(len(gold)), 2):
        if gold[i] != gold[j]:
            gap = (given[i] - given[j]) * (gold[i] - gold[j])
            yield 0.5 if gap == 0.0 else float(gap > 0.0)


def worth_of_best(given: Sequence[float], gold: Sequence[float]) -> float:
    """Worth of the answer that is judged best, the mean of all that tie."""
    best = max(given)
    return fmean(value for score, value in zip(given, gold, strict=True) if score == best)


# ---- checks --------------------------------------------------------------------------------


def _gap(rows: Rows, right: float) -> Mapping[int, float]:
    data = Quality(right).words
    first, second = (
        {row.seed: row.value for row in rows.where(system=one, dataset=data, metric=ORDERED)}
        for one in (EXPLICIT, ONCE)
    )
    return {seed: first[seed] - second[seed] for seed in first}


def weak_judges_gain_most(low: float, high: float) -> Callable[[Rows], Told]:
    """The rubric's lead over one number is larger with the weaker judge (paired by seed)."""

    def check(rows: Rows) -> Told:
        weak, strong = _gap(rows, low), _gap(rows, high)
        interval = bootstrap_mean([weak[seed] - strong[seed] for seed in weak])
        text = (
            f"lead over one number: {fmean(weak.values()):.3g} points with a judge right "
            f"{100 * low:g} %, {fmean(strong.values()):.3g} with {100 * high:g} %; "
            f"difference {show(interval)}"
        )
        if interval.n < FEWEST:
            return "inconclusive", text, interval
        if interval.low > 0.0:
            return "holds", text, interval
        return "does not hold" if interval.high <= 0.0 else "inconclusive", text, interval

    return check


def _middle(claim: str, system: str, than: str, **more: Any) -> Better:
    return Better(claim, ORDERED, system, than, dataset=MIDDLE.words, **more)


CHECKS: tuple[Check, ...] = (
    _middle(
        "a judge with a rubric (explicit) orders answers better than by one number, where a look "
        "at the whole is as noisy as one at a criterion",
        EXPLICIT,
        ONCE,
    ),
    *(
        _middle(f"where it is {times} times as noisy", EXPLICIT, system)
        for times, system in NOISIER.items()
    ),
    _middle("and with the rubric weighed by itself (implicit)", IMPLICIT, ONCE),
    Own("the weaker the judge, the more a rubric gains", weak_judges_gain_most(0.6, 0.9)),
    _middle("weights stated and added up beat the judge's own weighing", EXPLICIT, IMPLICIT),
    _middle("criteria of the question beat general ones", EXPLICIT, GENERAL),
    _middle("all ten criteria beat the first four", EXPLICIT, FEW[4]),
    _middle("four criteria beat one", FEW[4], FEW[1]),
    _middle("the paper's weights beat equal ones", EXPLICIT, EQUAL),
    _middle("and weights that turn them round", EXPLICIT, TURNED),
    _middle(
        "at as many looks: the rubric beats ten numbers of the same judge, averaged",
        EXPLICIT,
        AGAIN,
    ),
    Better(
        "the same where half of the error is shared by all looks at an answer",
        ORDERED,
        EXPLICIT,
        AGAIN,
        dataset=Quality(0.75, 0.5).words,
    ),
    Better(
        "the answer that the rubric judges best is worth more than the one by one number",
        CHOSEN,
        EXPLICIT,
        ONCE,
        dataset=MIDDLE.words,
    ),
)


def draw(rows: Rows, figure: Figure) -> str:
    """Pairs in order against the judge's quality, and against the number of criteria."""
    left, right = figure.subplots(1, 2, sharey=True)
    found = {one.words: one for one in (Quality(*pair) for pair in FULL["judges"])}
    seen = [found[name] for name in rows.datasets]
    for number, system in enumerate((EXPLICIT, IMPLICIT, GENERAL, AGAIN, ONCE, *NOISIER.values())):
        for shared, style in ((0.0, "o-"), (0.5, "s:")):
            points = [one for one in seen if one.shared == shared]
            means = [rows.mean(ORDERED, system, one.words) for one in points]
            label = system if shared == 0.0 else None
            left.plot([one.right for one in points], means, style, color=f"C{number}", label=label,
                      ms=3, lw=1)  # fmt: skip
    left.set_xlabel("judge right about a criterion (dotted: half of the error is shared)",
                    fontsize=7)  # fmt: skip
    left.set_ylabel(ORDERED)
    left.legend(fontsize=6)
    systems = {**FEW, len(PARTS): EXPLICIT}
    for quality in (one for one in seen if one.shared == 0.0):
        intervals = [rows.interval(ORDERED, one, quality.words) for one in systems.values()]
        right.errorbar(list(systems), [i.mean for i in intervals],
                       [[i.mean - i.low for i in intervals], [i.high - i.mean for i in intervals]],
                       marker="o", ms=3, lw=1, capsize=2, label=quality.words)  # fmt: skip
    right.set_xlabel("criteria (weightiest first)", fontsize=7)
    right.legend(fontsize=6)
    for axes in (left, right):
        axes.axhline(50.0, color="grey", lw=0.6)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    return (
        "Share of pairs of SQL answers that a judge puts in the order of their real worth, against "
        "how often it is right about one criterion (left) and the number of criteria (right); "
        f"{len(rows.seeds)} seeds, 95 % intervals over seeds on the right."
    )


FULL: Settings = {
    "questions": 24,
    "answers": 8,
    "databases": 20,
    "judges": tuple((right, shared) for shared in (0.0, 0.5) for right in (0.6, 0.75, 0.9)),
}

STUDY = Study(
    id="S116",
    name="rubrics",
    paper=Paper(
        "Rubrics as Rewards: Reinforcement Learning Beyond Verifiable Domains",
        "A. Gunjal, A. Wang, E. Lau, V. Nath, Y. He, B. Liu, S. Hendryx",
        2025,
        "2507.17746",
        read="abstracts of both versions; notes with equations",
    ),
    claim=(
        "Rewards by rubrics of weighted criteria train better policies than a judge's one number "
        "(up to 31 % more on HealthBench; 28 % in the first version), and weaker judges gain "
        "most. Here: the judging, without training."
    ),
    parts=(
        "meritree.respond.rubric.Rubric",
        "meritree.respond.rubric.grade_explicit",
        "meritree.respond.rubric.grade_implicit",
        "meritree.stats.bootstrap_mean",
    ),
    data=(
        Data(
            "SQL answers",
            "drawn: a question about one table, a query with up to four slips of ten kinds; worth: "
            "F1 of its rows in SQLite on random databases, halved for a wrong order, halved for "
            "further columns",
            "a seed: 24 questions, 8 answers each, 20 databases",
        ),
    ),
    baselines=(ONCE, AGAIN, GENERAL),
    measure=measure,
    checks=CHECKS,
    scales={
        "smoke": Scale(
            2,
            {
                "questions": 3,
                "answers": 4,
                "databases": 3,
                "judges": ((0.6, 0.0), (0.75, 0.0), (0.9, 0.0), (0.75, 0.5)),
            },
        ),
        "full": Scale(30, FULL),
    },
    draw=draw,
    part="judging; training with such rewards is not here",
    notes=(
        "Judges are programs of known quality that answer the real prompts in text; replies are "
        "read, joined and paid for as a model's. A look at anything (a criterion, 0 or 1; the "
        "whole answer, 0 to 1) has the same Gaussian noise, chosen so that a yes or no about one "
        "criterion is right with the chance given. A glance sees the "
        "real worth but for that noise, which flatters it: so the same glance with two and four "
        "times the noise says how much clearer parts must be to see than the whole for a rubric to "
        "pay. How much clearer a language model sees them was not measured.",
        "The fair rival is therefore the same judge asked for its number ten times. Where half of "
        "the error's variance is shared (a first impression that colours everything), neither "
        "averaging helps against that half.",
        "An implicit judge looks at all criteria too and weighs them by the stated weights times "
        "log-normal noise (0.5), then rounds to 1 to 10.",
        "What a criterion asks is true or false by construction of the answer; the worth comes "
        "from running it and is no sum of criteria: one slip may cost everything or nothing.",
        "Of the paper's baselines two are left out: a number given with a reference at hand (the "
        "judge at a glance sees the real worth, but for its noise) and training on references.",
    ),
)
