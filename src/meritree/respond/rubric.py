"""Judging by rubrics (S116, arXiv 2507.17746): criteria with weights, joined by us or by the judge.

``explicit``: a score for each criterion, ``r = sum_j w_j c_j / sum_j w_j``. ``implicit``: the judge
sees all criteria and gives one number. Criteria may be functions instead: these ask nobody.
Everything is stated so that more is better: a pitfall reads "does not ...".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from meritree.errors import BadInput
from meritree.respond.data import Message, Reply, Request, system, user
from meritree.respond.errors import ModelError
from meritree.respond.model import Model
from meritree.respond.prompt_files import fenced, filled, mark_for
from meritree.value.estimate import Cost, Estimate

_PACKAGE = "meritree.respond"
# The categories of the paper and what they weigh.
CATEGORIES: Mapping[str, float] = {
    "essential": 1.0,
    "important": 0.7,
    "optional": 0.3,
    "pitfall": 0.9,
}
EXPLICIT_TOP = 1  # yes or no, as in the paper
IMPLICIT_TOP = 10
_LONGEST = 50_000  # characters of a reply that are read
_LINE_LONGEST = 500  # characters of a line: what matters stands at its beginning
_REASON = 300

Check = Callable[[str], float]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that a good answer does.

    Attributes:
        name: of its channel: letters, digits, ``_`` and ``-``.
        text: what is asked of the answer, positively ("does not change the public interface").
        weight: above 0; only ratios count.
        check: returns in [0, 1] how far an answer meets it; None: the judge says.
    """

    name: str
    text: str
    weight: float = 1.0
    check: Check | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][\w-]*", self.name) or not self.text.strip():
            raise BadInput(
                f"criterion {self.name!r}: give a name of letters, digits, _ and -, and a text"
            )
        if not 0.0 < self.weight < math.inf:
            raise BadInput(f"criterion {self.name!r} weighs {self.weight}; give more than 0")


@dataclass(frozen=True, slots=True)
class Grading:
    """What a judge made of an answer.

    Attributes:
        estimate: ``mean`` in [0, 1], a channel for each criterion that was scored (and ``overall``
            of an implicit judgement), reasons in words, the cost. ``n`` is 1, or 0 where nothing
            could be scored: ``mean`` is then the prior.
        unscored: criteria without a score, left out of the mean.
        replies: what the judge said, in order.
    """

    estimate: Estimate
    unscored: tuple[str, ...] = ()
    replies: tuple[Reply, ...] = ()


@dataclass(frozen=True, slots=True)
class Rubric:
    """Criteria for one task or one kind of task.

    Raises:
        BadInput: no criterion, or a name twice.
    """

    criteria: tuple[Criterion, ...]

    def __post_init__(self) -> None:
        names = [one.name.lower() for one in self.criteria]
        if not names:
            raise BadInput("a rubric needs a criterion; give at least one")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise BadInput(f"the rubric has two criteria named {twice!r}; rename one")

    @classmethod
    def of_categories(cls, stated: Sequence[tuple[str, str, str]]) -> Rubric:
        """From (name, category, text), with the paper's weights of `CATEGORIES`.

        Raises:
            BadInput: an unknown category.
        """
        unknown = next((kind for _, kind, _ in stated if kind.lower() not in CATEGORIES), None)
        if unknown is not None:
            raise BadInput(f"no category {unknown!r}; there are {', '.join(CATEGORIES)}")
        return cls(tuple(Criterion(n, text, CATEGORIES[kind.lower()]) for n, kind, text in stated))

    def weighted(self, scores: Mapping[str, float]) -> float:
        """``sum_j w_j c_j / sum_j w_j`` over the criteria that have a score.

        Raises:
            BadInput: no criterion has one, or one lies outside [0, 1].
        """
        scored = [(one.weight, scores[one.name]) for one in self.criteria if one.name in scores]
        bad = next((value for _, value in scored if not 0.0 <= value <= 1.0), None)
        if not scored or bad is not None:
            raise BadInput(f"rubric: {bad if scored else 'no score'}; give numbers in [0, 1]")
        # Weights over the largest, so that no sum overflows.
        top = max(weight for weight, _ in scored)
        total = math.fsum(w / top for w, _ in scored)
        return min(1.0, math.fsum(w / top * c for w, c in scored) / total)


def grade_explicit(
    rubric: Rubric,
    question: str,
    answer: str,
    judge: Model | None,
    *,
    top: int = EXPLICIT_TOP,
    prior: float = 0.5,
    temperature: float | None = 0.0,
) -> Grading:
    """Score every criterion, then join the scores by their weights.

    The judge is asked once for all criteria without a ``check``, once more where lines are missing
    or cannot be read; what is still missing is left out of the mean and named. A model that fails
    leaves its criteria unscored.

    Args:
        rubric, question, answer: what is judged by what.
        judge: None where every criterion has a ``check``; `ledgered`, so that it is paid.
        top: the judge's scale is 0 to this; 1 is yes or no.
        prior: the mean where nothing is scored.
        temperature: of the judge.

    Raises:
        BadInput: no judge for criteria that need one, a bad scale or prior, a ``check`` outside
            [0, 1].
        BudgetExceeded: the judge cannot be paid.
    """
    _check(top, prior)
    scores, reasons = _own(rubric, answer)
    asked = [one for one in rubric.criteria if one.check is None]
    talk = _Talk(judge, question, answer, temperature)
    if asked:
        lines = "\n".join(f"{one.name}: SCORE - why" for one in asked)
        criteria = "\n".join(f"- {one.name}: {one.text}" for one in asked)
        names = [one.name for one in asked]
        found = talk.grades("rubric_explicit", criteria, lines, names, top)
        for name, (score, why) in found.items():
            scores[name] = score / top
            reasons[name] = why or f"{score:g} of {top}"
    unscored = tuple(one.name for one in rubric.criteria if one.name not in scores)
    mean = rubric.weighted(scores) if scores else prior
    if unscored:
        reasons["unscored"] = f"{', '.join(unscored)}: {talk.problem or 'no score'}"
    estimate = Estimate(mean, None, float(bool(scores)), scores, reasons, talk.cost)
    return Grading(estimate, unscored, tuple(talk.replies))


def grade_implicit(
    rubric: Rubric,
    question: str,
    answer: str,
    judge: Model,
    *,
    top: int = IMPLICIT_TOP,
    prior: float = 0.5,
    temperature: float | None = 0.0,
) -> Grading:
    """Let the judge weigh all criteria and give one number from 1 to ``top``.

    Criteria with a ``check`` are shown with what it says, and are channels; the mean is the judge's
    number alone, ``(number - 1) / (top - 1)``.

    Raises:
        BadInput: as `grade_explicit`.
        BudgetExceeded: the judge cannot be paid.
    """
    _check(top - 1, prior)
    scores, reasons = _own(rubric, answer)
    talk = _Talk(judge, question, answer, temperature)
    criteria = "\n".join(
        f"- {one.name} (weight {one.weight:g}): {one.text}"
        + (f" [measured: {scores[one.name]:g} of 1]" if one.name in scores else "")
        for one in rubric.criteria
    )
    found = talk.grades("rubric_implicit", criteria, "overall: SCORE - why", ["overall"], top, 1)
    if "overall" not in found:
        reasons["unscored"] = talk.problem
        return Grading(
            Estimate(prior, None, 0.0, scores, reasons, talk.cost),
            ("overall",),
            tuple(talk.replies),
        )
    number, why = found["overall"]
    mean = (number - 1) / (top - 1)
    scores["overall"] = mean
    said = talk.replies[-1].text[:_LONGEST].strip()[:_REASON]
    reasons["overall"] = why or said or f"{number:g} of {top}"
    return Grading(Estimate(mean, None, 1.0, scores, reasons, talk.cost), (), tuple(talk.replies))


class _Talk:
    """One conversation with the judge, repaired at most once."""

    def __init__(
        self, judge: Model | None, question: str, answer: str, temperature: float | None
    ) -> None:
        self.replies: list[Reply] = []
        self.problem = ""
        self._judge = judge
        self._question = question
        self._answer = answer
        self._temperature = temperature

    @property
    def cost(self) -> Cost:
        """Tokens and money of all replies; what was replayed is free."""
        paid = [reply for reply in self.replies if not reply.replayed]
        return Cost(
            tokens=sum(reply.usage.total for reply in paid),
            usd=math.fsum(reply.usd or 0.0 for reply in paid),
        )

    def grades(
        self, prompt: str, criteria: str, lines: str, names: Sequence[str], top: int, low: int = 0
    ) -> dict[str, tuple[float, str]]:
        """Name -> (score from ``low`` to ``top``, why), of the names that could be read."""
        if self._judge is None:
            raise BadInput(f"rubric: no judge for {', '.join(names)}; give one, or a check")
        mark = mark_for([self._question, self._answer])
        text = filled(
            _PACKAGE,
            prompt,
            question=fenced("task", self._question, mark),
            answer=fenced("answer", self._answer, mark),
            criteria=criteria,
            lines=lines,
            top=top,
        )
        talk = [system(filled(_PACKAGE, "rubric_system", mark=mark)), user(text)]
        found: dict[str, tuple[float, str]] = {}
        for _ in range(2):
            try:
                reply = self._judge.ask(Request(tuple(talk), temperature=self._temperature))
            except ModelError as error:
                self.problem = str(error)
                break
            self.replies.append(reply)
            read, self.problem = read_grades(reply.text, names, low, top)
            found = {**read, **found}
            missing = [name for name in names if name not in found]
            if not missing:
                self.problem = ""
                break
            wanted = "\n".join(f"{name}: SCORE - why" for name in missing)
            talk.append(Message("assistant", reply.text))
            talk.append(user(filled(_PACKAGE, "rubric_repair", why=self.problem, lines=wanted)))
        return found


def read_grades(
    reply: str, names: Sequence[str], low: float, top: float
) -> tuple[dict[str, tuple[float, str]], str]:
    """Scores in any text, and what is wrong with the others ("" if nothing is).

    A line counts when it begins with a name (in any case, with Markdown around it), then ``:`` or
    ``=``, then a number from ``low`` to ``top`` (also ``7/10``, ``yes`` or ``no``). A name with two
    different scores has none.
    """
    by_name = {name.lower(): name for name in names}
    found: dict[str, tuple[float, str]] = {}
    odd: dict[str, str] = {}
    for line in reply[:_LONGEST].splitlines():
        match = _LINE.match(line[:_LINE_LONGEST])
        if match is None or match["name"].lower() not in by_name:
            continue
        name = by_name[match["name"].lower()]
        score = _score(match["value"], match["of"], low, top)
        if score is None:
            odd[name] = f"{name} has {match['value'][:20]!r}, not a number from {low:g} to {top:g}"
        elif name in found and found[name][0] != score:
            odd[name] = f"{name} has two different scores"
        else:
            found.setdefault(name, (score, match["why"].strip(" -–—:.*\t")[:_REASON]))
    found = {name: value for name, value in found.items() if name not in odd}
    wrong = list(odd.values())
    wrong += [
        f"there is no line {one}: ..." for one in names if one not in found and one not in odd
    ]
    return found, "; ".join(wrong)


_LINE = re.compile(
    r"^[\s>*_`#•-]*(?:\d+[.)]\s*)?[*_`\"']*(?P<name>[A-Za-z][\w-]*?)[*_`\"']*\s*[:=][\s*_`\"']*"
    r"(?P<value>[-+]?\d{1,9}(?:\.\d{1,9})?(?!\w)|[A-Za-z]+|\S+)(?:\s*/\s*(?P<of>\d{1,9})(?!\d))?"
    r"(?P<why>.*)$"
)


def _score(value: str, of: str | None, low: float, top: float) -> float | None:
    word = value.lower()
    if word in ("yes", "true", "met"):
        return top
    if word in ("no", "false"):
        return low
    try:
        number = float(value)
    except ValueError:
        return None
    if of is not None and float(of) != top:
        return None
    return number if low <= number <= top else None


def _own(rubric: Rubric, answer: str) -> tuple[dict[str, float], dict[str, str]]:
    """Scores of the criteria that are functions."""
    scores: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for one in rubric.criteria:
        if one.check is not None:
            score = float(one.check(answer))
            if not 0.0 <= score <= 1.0:
                raise BadInput(f"criterion {one.name!r}: its check gave {score}, not in [0, 1]")
            scores[one.name], reasons[one.name] = score, f"measured: {one.text}"
    return scores, reasons


def _check(top: int, prior: float) -> None:
    if top < 1 or not 0.0 <= prior <= 1.0:
        raise BadInput(f"rubric: a scale of {top} steps and a prior of {prior}; give 1 or more "
                       "steps and a prior in [0, 1]")  # fmt: skip
