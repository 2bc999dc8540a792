"""Choosing among patches: tests first, then the majority of equal ones, then a debate.

Each stage passes on what it could not tell apart; the last resort is the order given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from meritree.errors import BadInput
from meritree.stats import wilson_interval
from meritree.swe.discriminator.data import STAGES, Candidate, Choice
from meritree.swe.discriminator.debate import Debate, debated
from meritree.swe.discriminator.normal import normal_form

MOST_DEBATED = 5  # patches in a debate, from the largest groups


def choose(
    candidates: Sequence[Candidate],
    *,
    task: str = "",
    debate: Debate | None = None,
    share: float = 0.5,
) -> Choice:
    """Choose one candidate.

    1. Tests: only those with the best verdict go on; one that was not tested does so only where
       none that was tested solves the task.
    2. Majority: equal patches (`normal_form`, or equal ``behaviour`` where all have one) are one
       group; a group with more than ``share`` of all that are left is chosen.
    3. Debate over one patch of each group, the largest `MOST_DEBATED` groups; see `Debate`.
    4. Else the largest group; of equally large ones the one given first.

    Of a group, the patch with the fewest changed lines is chosen.

    Args:
        candidates: in the order of preference so far.
        task: the issue text, for the debate.
        debate: None leaves step 3 out.
        share: in [0, 1); at 1/2 a true majority.

    Raises:
        BadInput: no candidate, an id twice, a share outside its range.
    """
    _check(candidates, share)
    if len(candidates) == 1:
        only = candidates[0].id
        return Choice(only, "only", ("there is one candidate",), same=(only,))
    picks: dict[str, str] = {}
    left, said = _best_tested(candidates)
    reasons = [said]
    if len(left) == 1 and left[0].verdict is not None:
        picks["tests"] = left[0].id
        return Choice(left[0].id, "tests", (said,), picks, (left[0].id,))
    groups = _groups(left)
    named = {group[0].id: tuple(one.id for one in group) for group in groups}
    largest = groups[0]
    alone = len(groups) == 1 or len(largest) > len(groups[1])
    if alone and len(largest) > 1:
        picks["majority"] = largest[0].id
        reasons.append(f"{len(largest)} of {len(left)} patches are the same")
        if len(largest) > share * len(left):
            chosen = largest[0].id
            return Choice(chosen, "majority", tuple(reasons), picks, named[chosen])
    else:
        reasons.append(f"{len(left)} patches are {len(groups)} different ones, none more frequent")
    if debate is None:
        reasons.append("there is no debate: the most frequent, then the order given")
        return Choice(largest[0].id, "order", tuple(reasons), picks, named[largest[0].id])
    outcome = debated(debate, [group[0] for group in groups[:MOST_DEBATED]], task)
    picks.update(outcome.picks)
    reasons.append(outcome.reason)
    chosen = outcome.candidate or largest[0].id
    if outcome.candidate is None:
        reasons.append("the most frequent, then the order given")
    return Choice(
        chosen,
        outcome.stage if outcome.candidate else "order",
        tuple(reasons),
        picks,
        named[chosen],
        outcome.transcript,
        outcome.spending,
        outcome.bias,
    )


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often a stage was right.

    Attributes:
        decided, right: choices that it decided, and rightly.
        interval: of right / decided (Wilson, 95 %); None where it decided none.
        opinions, opinions_right: choices where it had an opinion (also where an earlier stage had
            decided or a later one overruled it), and a right one.
        opinions_interval: of these.
    """

    decided: int
    right: int
    interval: tuple[float, float] | None
    opinions: int
    opinions_right: int
    opinions_interval: tuple[float, float] | None


def stage_accuracy(
    choices: Sequence[Choice], truth: Sequence[Collection[str]]
) -> Mapping[str, Accuracy]:
    """Accuracy of each stage, and of ``all`` together.

    Choices among candidates none of which is right are left out: no stage could have been right.

    Args:
        choices: of any number of tasks.
        truth: for each choice, the ids of the right candidates.

    Raises:
        BadInput: not as many truths as choices.
    """
    if len(choices) != len(truth):
        raise BadInput(f"stage_accuracy: {len(choices)} choices and {len(truth)} truths")
    possible = [(one, set(right)) for one, right in zip(choices, truth, strict=True) if right]
    found = {}
    for stage in (*STAGES[:3], "first votes", *STAGES[3:]):
        decided = [one.candidate in right for one, right in possible if one.stage == stage]
        opinions = [one.picks[stage] in right for one, right in possible if stage in one.picks]
        if decided or opinions:
            found[stage] = _accuracy(decided, opinions)
    every = [one.candidate in right for one, right in possible]
    return {**found, "all": _accuracy(every, every)}


def _accuracy(decided: Sequence[bool], opinions: Sequence[bool]) -> Accuracy:
    def interval(outcomes: Sequence[bool]) -> tuple[float, float] | None:
        return wilson_interval(sum(outcomes), len(outcomes)) if outcomes else None

    return Accuracy(
        len(decided), sum(decided), interval(decided), len(opinions), sum(opinions),
        interval(opinions),
    )  # fmt: skip


def _best_tested(candidates: Sequence[Candidate]) -> tuple[list[Candidate], str]:
    """Candidates that tests cannot tell apart, and what tests say."""
    known = {one.id: one.verdict for one in candidates if one.verdict is not None}
    if not known:
        return list(candidates), "no tests were run"

    def worth(candidate: Candidate) -> tuple[bool, float, int]:
        verdict = candidate.verdict
        assert verdict is not None
        total = verdict.passed + verdict.failed
        return verdict.solves, verdict.passed / total if total else 0.0, -verdict.regressions

    best = max(worth(one) for one in candidates if one.verdict is not None)
    kept = [
        one for one in candidates if (not best[0] if one.verdict is None else worth(one) == best)
    ]
    if best[0]:
        return kept, f"{len(kept)} of {len(candidates)} pass their tests and break none"
    return kept, f"none passes all its tests; {len(kept)} of {len(candidates)} are not worse"


def _groups(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Equal patches together, the largest group first, in a group the smallest patch first."""
    told = all(one.behaviour for one in candidates)
    known = all(one.files for one in candidates)
    found: dict[str, list[Candidate]] = {}
    for one in candidates:
        key = one.behaviour if told else normal_form(one.patch, one.files if known else None)
        found.setdefault(key, []).append(one)
    groups = [sorted(group, key=_changed_lines) for group in found.values()]
    return sorted(groups, key=lambda group: -len(group))


def _changed_lines(candidate: Candidate) -> int:
    return sum(
        line.startswith(("+", "-")) and not line.startswith(("+++ ", "--- "))
        for line in candidate.patch.splitlines()
    )


def _check(candidates: Sequence[Candidate], share: float) -> None:
    if not candidates:
        raise BadInput("choose: no candidate; give at least one patch")
    ids = [one.id for one in candidates]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise BadInput(f"choose: the id {twice!r} stands for two candidates; make ids unique")
    if not 0.0 <= share < 1.0:
        raise BadInput(f"choose: share={share}; give 0 or more and less than 1")
