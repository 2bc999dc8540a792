"""The repair policy as the search sees it: proposals per tree state, lessons from outcomes.

Translates test outcomes into what the policy learns from; holds no search logic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meritree.swe.code_search import Files, Proposed
from meritree.swe.edits import Edit
from meritree.swe.repair.policy import EditOutcome, RepairPolicy
from meritree.swe.testing.types import Frame, Outcome, TestResult
from meritree.value.sums import in_order

Results = Mapping[str, TestResult]


@dataclass(slots=True)
class TreePolicy:
    """Adapts `RepairPolicy` to the code search.

    Attributes:
        policy: proposes the edits.
        root: key of the root state.
        targets: the target tests' results on the unchanged repository.
        guards: number of passing tests that a candidate is checked against.
    """

    policy: RepairPolicy
    root: str
    targets: Results
    guards: int = 1
    _results: dict[str, Results] = field(default_factory=dict)
    _files: dict[str, Files] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._results[self.root] = self.targets

    def propose(self, key: str, files: Files) -> Proposed | None:
        """The state's most probable untried edit."""
        self._files[key] = files
        proposal = self.policy.propose(files, key)
        return Proposed(proposal.edit, proposal.probability) if proposal else None

    def peek(self, key: str) -> float:
        """Probability of the proposal that would come next for a state."""
        return self.policy.peek(self._files.get(key, {}), key)

    def allows(self, key: str) -> bool:
        """Whether a state may be edited further."""
        return self.policy.allows(key)

    def tell(self, key: str, edit: Edit, child_key: str, outcome: Outcome) -> None:
        """Let the policy learn what an edit did."""
        before = self._results.get(key, self.targets)
        after = {**before, **outcome.results}
        self.policy.tell(key, edit, edit_outcome(child_key, before, outcome, self.guards))
        if child_key not in self._results:
            self._results[child_key] = after


def edit_outcome(child: str, before: Results, outcome: Outcome, guards: int) -> EditOutcome:
    """What an edit changed, relative to the state it was made in.

    Only target tests that were run count; a target that passed before and fails now counts
    as broken, like a regression of any other test.
    """
    run = {i: r for i, r in outcome.results.items() if i in before}
    open_before = [i for i in run if not before[i].ok]
    changed = [i for i in open_before if run[i].ok or run[i].signature != before[i].signature]
    gain = _mean([run[i].graded - before[i].graded for i in run])
    broken = sum(1 for i in run if before[i].ok and not run[i].ok) + len(outcome.regressions)
    died_of = {before[i].exception for i in open_before}
    crash = next((run[i].exception for i in changed if _crashed(run[i], died_of)), "")
    failing = [run[i] for i in run if not run[i].ok]
    frames: tuple[Frame, ...] = failing[0].frames if failing else ()
    still = {i for i, r in {**before, **outcome.results}.items() if not r.ok}
    return EditOutcome(
        child=child,
        changed=len(changed) / len(open_before) if open_before else 0.0,
        gain=gain,
        crash=crash,
        broke=min(1.0, broken / max(1, guards)) if broken else 0.0,
        invalid=bool(outcome.invalid),
        frames=frames,
        failing=frozenset(still),
    )


def _crashed(result: TestResult, died_of: set[str]) -> bool:
    return result.status in ("error", "crashed") and result.exception not in died_of


def _mean(values: Sequence[float]) -> float:
    return in_order(values) / len(values) if values else 0.0
