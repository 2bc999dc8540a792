"""What a run says at its end, in one or two sentences for people.

Knows results and budgets; neither searches nor checks.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from meritree.swe.result import Candidate, FixOptions, Partial
from meritree.swe.wording import counted, passing


@dataclass(frozen=True, slots=True)
class Ending:
    """How a search ended.

    Attributes:
        because: why it stopped, in words.
        evaluations: candidates that were evaluated.
        targets: tests that were to pass.
        time_is_over: the budget of seconds is spent.
        out: the run's folder.
    """

    because: str
    evaluations: int
    targets: int
    time_is_over: bool
    out: str


def verified(candidates: Sequence[Candidate], targets: int, *, apply: bool) -> str:
    """A patch passed the final check; ``apply``: it was asked to be written into the repository."""
    more = sum(c.verified for c in candidates[1:])
    unchecked = sum(not c.checked for c in candidates)
    others = [
        f"{n} {what}" for n, what in ((more, "more verified"), (unchecked, "not checked")) if n
    ]
    told = f"; {', '.join(others)}, see the report" if others else ""
    left = ", so it was not applied" if apply else ""
    flagged = f"It looks made for the tests{left}: see its flags."
    return (
        f"verified: {passing(targets, 'target test')}, nothing that passed before fails, "
        f"twice, in fresh processes{told}. "
        + (flagged if candidates[0].flags else "Passing tests is evidence, not proof.")
    )


def unverified(best: Candidate, partial: Partial | None, end: Ending) -> str:
    """Patches passed in the search, none passed the final check."""
    why = "but not the final check" if end.targets else "but no given test verifies it"
    return _sentences(f"a patch passed in the search {why}: {best.verdict}", some(partial))


def not_found(options: FixOptions, partial: Partial | None, end: Ending) -> str:
    """No patch passed; what was found in part, and how to go on."""
    tried = counted(end.evaluations, "candidate")
    why = f"{tried} judged; {end.because}"
    if end.evaluations >= options.budget_tests:
        why = f"the budget of {counted(options.budget_tests, 'evaluation')} is spent"
    elif end.time_is_over:
        why = f"the budget of {options.budget_seconds:g} seconds is spent, {tried} judged"
    return _sentences(f"no patch found: {why}", some(partial), _advice(options, partial, end))


def some(partial: Partial | None) -> str:
    """What a partial patch does, empty where there is none."""
    if partial is None:
        return ""
    mends, targets = len(partial.mends), len(partial.mends) + len(partial.fails)
    return (
        f"partial.diff mends {mends} of {targets} failing tests and breaks none; "
        "it is not verified as a whole"
    )


def _advice(options: FixOptions, partial: Partial | None, end: Ending) -> str:
    ways = []
    if end.evaluations >= options.budget_tests:
        ways.append(f"`meritree resume {end.out} --budget-tests {2 * options.budget_tests}`")
    elif end.time_is_over:
        more = f"{2 * options.budget_seconds:g}"
        ways.append(f"`meritree resume {end.out} --budget-seconds {more}`")
    if partial is not None:
        repo = shlex.quote(str(options.repo))
        ways.append(f"apply it and run `meritree fix {repo}` for the other tests")
    elif end.targets > 1:
        ways.append("one failing test after the other with --failing")
    ways.append("another --seed or --strategy")
    return f"To go on: {', or '.join(ways)}"


def _sentences(*sentences: str) -> str:
    return ". ".join(one for one in sentences if one)
