"""What drawn answers are worth, as the trainer asks for it: verifiers, judges, a memory.

A reward may fail: what goes wrong is counted by reason and scored by a stated rule, never averaged
in. Knows no model and no advantage.
"""

from __future__ import annotations

import math
import pickle
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from meritree.align._worker import Call, Worker, outcome
from meritree.align.lab.tasks import Task
from meritree.errors import BadInput
from meritree.respond.model import Model
from meritree.respond.rubric import Rubric, grade_explicit

Read: TypeAlias = Callable[[list[int]], Any]
"""Token ids to whatever the verifier wants: words, a text."""

OnError: TypeAlias = Literal["zero", "refuse"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One drawn answer.

    Attributes:
        prompt, response: token ids; the response with its end token, if it has one.
        index: of the prompt in the data.
        columns: what the data say about the prompt (the right answer, a category).
        ended: whether the response ends with the end token, rather than where it was cut.
    """

    prompt: Sequence[int]
    response: Sequence[int]
    index: int
    columns: Mapping[str, Any] = field(default_factory=dict)
    ended: bool = True


@dataclass(frozen=True)
class Rewards:
    """What answers are worth, in their order.

    Attributes:
        score: one finite number an answer.
        aspects: parts of the judgement, as many for each answer, or None.
        counts: what went wrong or was saved, by reason.

    Raises:
        BadInput: a number that is not finite, or rows of different lengths.
    """

    score: list[float]
    aspects: list[list[float]] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _finite("the score", [[number] for number in self.score])
        if self.aspects is None:
            return
        _finite("an aspect", self.aspects)
        if len(self.aspects) != len(self.score) or len({len(row) for row in self.aspects}) > 1:
            widths = sorted({len(row) for row in self.aspects})
            raise BadInput(
                f"rewards: {len(self.score)} scores and {len(self.aspects)} rows of aspects of "
                f"lengths {widths}; give as many of each for every answer"
            )


Reward: TypeAlias = Callable[[Sequence[Sample]], Rewards]


def rewards_of(reward: Reward, samples: Sequence[Sample]) -> Rewards:
    """What the reward says, one score a sample.

    Raises:
        BadInput: it returned another number of scores, or no `Rewards`.
    """
    found = reward(samples)
    if not isinstance(found, Rewards):
        raise BadInput(f"a reward returned {type(found).__name__}; return meritree's Rewards")
    if len(found.score) != len(samples):
        raise BadInput(
            f"a reward returned {len(found.score)} scores for {len(samples)} answers; return one "
            "for each"
        )
    return found


def verifier(
    function: Callable[..., Any],
    *,
    read: Read,
    columns: Sequence[str] = (),
    aspects: int = 0,
    seconds: float | None = None,
    on_error: OnError = "zero",
) -> Reward:
    """A reward from a function that judges one answer.

    Args:
        function: called as ``function(prompt, answer, **columns)``, returns a number; with
            ``aspects``, a pair (number, sequence of numbers).
        read: what makes prompt and answer of token ids: `Vocabulary.read`, a tokenizer's decode.
        columns: names of the sample's columns that the function wants.
        aspects: how many the function returns beside its number.
        seconds: that one call may take by the clock. The function then runs in a process of its
            own, which is killed when it takes longer; it must lie at the top of a module. None:
            it is called here, and trusted to return.
        on_error: what an answer gets if the function raises, takes too long or dies: ``zero``
            (score and aspects 0, counted by reason) or ``refuse`` (an error that names the row).

    Returns:
        The reward. Its `Rewards` raises `BadInput` for a number that is not finite.

    Raises:
        BadInput: a bad option, or a function that cannot be sent to a process; when called: a
            missing column, see ``on_error``.
    """
    if on_error not in ("zero", "refuse"):
        raise BadInput(f"verifier: on_error is {on_error!r}; use 'zero' or 'refuse'")
    if seconds is not None and not 0.0 < seconds < math.inf:
        raise BadInput(f"verifier: seconds is {seconds}; give a finite number above 0, or None")
    if aspects < 0:
        raise BadInput(f"verifier: aspects is {aspects}; give 0 or how many there are")
    plain = _Plain(function, aspects)
    call = _here(plain) if seconds is None else Worker(plain, seconds)

    def judged_by_function(samples: Sequence[Sample]) -> Rewards:
        made = _Made(aspects, on_error)
        for row, sample in enumerate(samples):
            absent = [name for name in columns if name not in sample.columns]
            if absent:
                raise BadInput(
                    f"verifier: row {row} (prompt {sample.index}) has no column {absent[0]!r}; it "
                    f"has {', '.join(sorted(sample.columns)) or 'none'}"
                )
            named = {name: sample.columns[name] for name in columns}
            made.add(
                row, sample, call(read(list(sample.prompt)), read(list(sample.response)), **named)
            )
        return made.rewards()

    name = getattr(function, "__name__", type(function).__name__)
    return _named(judged_by_function, name, function)


@runtime_checkable
class HasAspects(Protocol):
    """A task that can say which parts of an answer are right.

    Attributes:
        criteria: their names, in the order of the aspects.
    """

    @property
    def criteria(self) -> tuple[str, ...]: ...

    def judged(self, prompt: Sequence[str], answer: Sequence[str]) -> tuple[float, list[float]]:
        """The reward, and how far each criterion is met, in [0, 1]."""


def task_reward(task: Task, *, seconds: float | None = None) -> Reward:
    """The reward of a task of the laboratory, with its criteria as aspects if it has any.

    An answer that was cut before its end token is judged as it stands.
    """
    from meritree.align.lab.model import Vocabulary  # imports PyTorch

    read = Vocabulary(task).read
    if isinstance(task, HasAspects):
        made = verifier(task.judged, read=read, aspects=len(task.criteria), seconds=seconds,
                        on_error="refuse")  # fmt: skip
    else:
        made = verifier(task.reward, read=read, seconds=seconds, on_error="refuse")
    return _named(made, task.name)


def judged(
    judge: Model | None, rubric: Rubric, *, read: Callable[[list[int]], str],
    on_error: OnError = "zero",
) -> Reward:  # fmt: skip
    """A judge with a rubric as a reward: the criteria are the aspects, in the rubric's order.

    An answer of which the judge left a criterion unscored is a failed one, see `verifier`.

    Args:
        judge: a model, `ledgered`; None where every criterion has a ``check``.
        rubric: criteria and weights, see `meritree.respond.rubric.grade_explicit`.
        read: token ids to text.
        on_error: as in `verifier`.

    Raises:
        BadInput: when called: no judge for a criterion that needs one; see ``on_error``.
        BudgetExceeded: when called: the judge cannot be paid.
    """

    def judged_by_rubric(samples: Sequence[Sample]) -> Rewards:
        made = _Made(len(rubric.criteria), on_error)
        for row, sample in enumerate(samples):
            question, answer = read(list(sample.prompt)), read(list(sample.response))
            grading = grade_explicit(rubric, question, answer, judge)
            if grading.unscored:
                why = grading.estimate.reasons["unscored"]
                made.add(row, sample, Call(None, f"unscored: {', '.join(grading.unscored)}", why))
                continue
            parts = tuple(grading.estimate.channels[one.name] for one in rubric.criteria)
            made.add(row, sample, Call((grading.estimate.mean, parts)))
        return made.rewards()

    return _named(judged_by_rubric, "rubric")


def remembered(reward: Reward, *, most: int = 100_000) -> Reward:
    """The same reward, which judges equal answers once: same prompt, response and columns.

    The inner reward's counts come once, with the first of the equal answers; the others are
    counted as ``remembered``.

    Args:
        reward: the dear one.
        most: answers that are kept; the oldest go first.

    Raises:
        BadInput: ``most`` below 1; when called: as `rewards_of`.
    """
    if most < 1:
        raise BadInput(f"remembered: most is {most}; keep at least 1 answer")
    memory: dict[bytes, tuple[float, list[float]]] = {}

    def asked_once(samples: Sequence[Sample]) -> Rewards:
        keys = [_content(sample) for sample in samples]
        here = {key: memory[key] for key in keys if key in memory}
        new = {key: sample for key, sample in zip(keys, samples, strict=True) if key not in here}
        found = rewards_of(reward, list(new.values())) if new else Rewards([])
        rows = found.aspects or [[] for _ in new]
        here.update(zip(new, zip(found.score, rows, strict=True), strict=True))
        memory.update((key, here[key]) for key in new)
        for key in list(memory)[: max(0, len(memory) - most)]:
            del memory[key]
        aspects = [list(here[key][1]) for key in keys]
        counts = Counter(found.counts)
        counts["remembered"] += len(keys) - len(new)
        return Rewards(
            [here[key][0] for key in keys],
            aspects if any(aspects) else None,
            {reason: n for reason, n in counts.items() if n},
        )

    return _named(asked_once, getattr(reward, "__name__", type(reward).__name__), reward)


def _named(reward: Reward, name: str, inner: Callable[..., Any] | None = None) -> Reward:
    """Curves, logs and checkpoints tell rewards by their names, and by the body of ``inner``."""
    reward.__name__ = name
    if inner is not None:
        reward.__wrapped__ = inner  # type: ignore[attr-defined]
    return reward


@dataclass(frozen=True)
class _Plain:
    """A function's verdict as plain numbers, so that it can be sent."""

    function: Callable[..., Any]
    aspects: int

    def __call__(self, *args: Any, **named: Any) -> tuple[float, tuple[float, ...]]:
        said = self.function(*args, **named)
        if not self.aspects:
            return float(said), ()
        score, parts = said
        plain = tuple(float(part) for part in parts)
        if len(plain) != self.aspects:
            raise ValueError(f"{len(plain)} aspects, expected {self.aspects}")
        return float(score), plain


def _here(function: Callable[..., Any]) -> Callable[..., Call]:
    return lambda *args, **named: Call(*outcome(function, *args, **named))


class _Made:
    """Scores as they come in, and what went wrong."""

    def __init__(self, aspects: int, on_error: OnError) -> None:
        self._width = aspects
        self._on_error = on_error
        self._rows: list[tuple[float, tuple[float, ...]]] = []
        self._counts: Counter[str] = Counter()

    def add(self, row: int, sample: Sample, call: Call) -> None:
        if call.problem and self._on_error == "refuse":
            raise BadInput(
                f"the reward of row {row} (prompt {sample.index}) {call.problem}: {call.detail}; "
                "mend it, or let on_error='zero' count it"
            )
        if call.problem:
            self._counts[call.problem] += 1
            self._rows.append((0.0, (0.0,) * self._width))
        else:
            self._rows.append(call.value)

    def rewards(self) -> Rewards:
        aspects = [list(parts) for _, parts in self._rows] if self._width else None
        return Rewards([score for score, _ in self._rows], aspects, dict(self._counts))


def _content(sample: Sample) -> bytes:
    columns = sorted(sample.columns.items())
    ids = [int(token) for token in (*sample.prompt, -1, *sample.response)]
    return pickle.dumps((ids, sample.ended, columns))


def _finite(what: str, rows: Sequence[Sequence[float]]) -> None:
    for number, row in enumerate(rows):
        for value in row:
            if not math.isfinite(value):
                raise BadInput(
                    f"rewards: {what} of row {number} is {value}; a reward must be finite, mend it"
                )
