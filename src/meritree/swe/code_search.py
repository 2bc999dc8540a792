"""The search over code edits: joins tree, policy, test runs, journal and ledger.

One loop on the engine's ask/tell seam. Every step is in the journal before it is acted on,
so a killed run is replayed to the same tree and goes on. This module does not know how
edits are found, how tests are run or how results are shown: those are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from meritree.errors import BudgetExceeded
from meritree.run.ledger import Ledger
from meritree.search import EXHAUSTED, Child, SearchTree, Ticket
from meritree.search.features import SweFeatures
from meritree.swe import lineage
from meritree.swe.driving import drive
from meritree.swe.edits import Edit, apply_splices
from meritree.swe.outcome_codec import decode_outcome, encode_outcome
from meritree.swe.passing import Passing, SearchLimits
from meritree.swe.replaying import Events, other_version, unheard
from meritree.swe.testing.types import Amendment, Outcome
from meritree.value.estimate import Cost, Estimate

Files = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Proposed:
    """The next untried edit of a state, with the policy's probability for it."""

    edit: Edit
    probability: float


class EditPolicy(Protocol):
    """Proposes edits state by state and learns from what they did."""

    def propose(self, key: str, files: Files) -> Proposed | None: ...

    def peek(self, key: str) -> float: ...

    def allows(self, key: str) -> bool: ...

    def tell(self, key: str, edit: Edit, child_key: str, outcome: Outcome) -> None: ...


class Tester(Protocol):
    """Runs the tests of one candidate; used by one worker at a time."""

    def evaluate(self, files: Files) -> Outcome: ...


Judge = Callable[[Outcome, Sequence[Edit], float], Estimate]


@dataclass(slots=True)
class State:
    """What the search remembers of one node: how it was made and how it did."""

    key: str
    parent: int | None
    edit: Edit | None
    estimate: Estimate
    outcome: Outcome | None
    probability: float = 1.0
    found_at: int = 0  # evaluations spent when it was judged

    @property
    def words(self) -> str:
        """What was done, on one line."""
        return self.edit.rationale if self.edit else ""


@dataclass(slots=True)
class CodeSearch:
    """A running search; `run` returns when it ended, state stays for inspection."""

    tree: SearchTree
    policy: EditPolicy
    judge: Judge
    testers: Sequence[Tester]
    base: Files
    key_of: Callable[[Mapping[str, str]], str]
    ledger: Ledger
    limits: SearchLimits = field(default_factory=SearchLimits)
    events: Events | None = None
    on_step: Callable[[CodeSearch, int], None] | None = None
    states: dict[int, State] = field(default_factory=dict)
    found: list[int] = field(default_factory=list)
    set_aside: set[int] = field(default_factory=set)
    evaluations: int = 0
    transpositions: int = 0
    passing: Passing = field(default_factory=Passing)
    stopped_because: str = ""
    _best: int = 0
    _texts: dict[int, Files] = field(default_factory=dict)
    _proposals: dict[int, tuple[Proposed, str]] = field(default_factory=dict)

    def start(self, key: str, estimate: Estimate) -> None:
        """Make the root: the repository as it is."""
        root = self.tree.start(key, estimate)
        self.states[root.id] = State(key, None, None, estimate, None)
        self._texts[root.id] = {}

    # ---- what a node is -------------------------------------------------------------

    def files(self, node: int) -> Files:
        """Changed files of a node: path -> new text (empty for the root)."""
        chain: list[int] = []
        current = node
        while current not in self._texts:
            chain.append(current)
            parent = self.states[current].parent
            assert parent is not None
            current = parent
        changed = dict(self._texts[current])
        for step in reversed(chain):
            edit = self.states[step].edit
            assert edit is not None
            changed[edit.path] = self._edited(changed, edit)
        return changed

    def path(self, node: int) -> tuple[Edit, ...]:
        """Edits from the root to a node."""
        return lineage.path(self.states, node)

    def labels(self, node: int) -> tuple[str, ...]:
        """What was done from the root to a node, in words."""
        return lineage.labels(self.states, node)

    def best(self) -> int:
        """The node with the highest own value (first made wins ties)."""
        return self._best

    def _edited(self, changed: Files, edit: Edit) -> str:
        text = changed.get(edit.path)
        return apply_splices(self.base[edit.path] if text is None else text, edit.splices)

    # ---- the loop -------------------------------------------------------------------

    def run(self) -> None:
        """Search until a budget, a limit or the space ends.

        Raises:
            KeyboardInterrupt: stopped by the user; everything so far is in the journal.
        """
        drive(
            self.testers,
            self._start_one,
            lambda task, tester: tester.evaluate(task[1]),
            lambda task, outcome: self._finish(task[0], outcome),
            lambda task: task[0].id,
        )

    def _start_one(self) -> tuple[Ticket, Files] | None:
        """Choose the next candidate to test; None when there is none now."""
        while not self._ended():
            ticket = self.tree.ask()
            if ticket is None:
                self.stopped_because = self.stopped_because or "every proposal was tried"
                return None
            proposed = self._propose(ticket)
            if proposed is None:
                self._record("exhausted", {"ticket": ticket.id, "node": ticket.node})
                self.tree.tell(ticket, EXHAUSTED)
                continue
            key, files = proposed
            if self.tree.tree.find(key) is not None:
                self._record("alias", self._alias_payload(ticket))
                self._alias(ticket)
                continue
            try:
                self.ledger.reserve(Cost(evaluations=1)).book(Cost(evaluations=1))
            except BudgetExceeded as stop:
                self.stopped_because = str(stop)
                self.tree.cancel(ticket)
                self._proposals.pop(ticket.id)
                return None
            self._record("step", self._step_payload(ticket))
            return ticket, files
        return None

    def _propose(self, ticket: Ticket) -> tuple[str, Files] | None:
        state = self.states[ticket.node]
        files = self.files(ticket.node)
        while True:
            proposed = self.policy.propose(state.key, files)
            if proposed is None:
                return None
            edit = proposed.edit
            changed = {**files, edit.path: self._edited(files, edit)}
            changed = {p: t for p, t in changed.items() if t != self.base[p]}
            key = self.key_of(changed)
            if key == state.key:
                continue  # nothing changed: not a candidate
            self._proposals[ticket.id] = (proposed, key)
            return key, changed

    def _ended(self) -> bool:
        why = self.passing.enough(self.limits, self.evaluations)
        self.stopped_because = why or self.stopped_because
        return bool(why)

    def _alias(self, ticket: Ticket) -> None:
        proposed, key = self._proposals.pop(ticket.id)
        known = self.tree.tree.find(key)
        assert known is not None
        self.transpositions += 1
        self.tree.tell(
            ticket, self._child(ticket, proposed, key, self.states[known.id].estimate, True)
        )

    def _finish(self, ticket: Ticket, outcome: Outcome) -> None:
        # The estimate is for whoever reads the journal; a replay judges the outcome anew.
        estimate = self._judged(ticket, outcome)
        shown = {
            "mean": estimate.mean,
            "channels": dict(estimate.channels),
            "reasons": dict(estimate.reasons),
        }
        self._record("outcome", {"ticket": ticket.id, "estimate": shown, **encode_outcome(outcome)})
        self._absorb(ticket, outcome, estimate)

    def _judged(self, ticket: Ticket, outcome: Outcome) -> Estimate:
        proposed, _ = self._proposals[ticket.id]
        return self.judge(outcome, (*self.path(ticket.node), proposed.edit), proposed.probability)

    def _absorb(self, ticket: Ticket, outcome: Outcome, estimate: Estimate) -> None:
        """Everything that a judged candidate changes, live and in a replay."""
        proposed, key = self._proposals.pop(ticket.id)
        parent = self.states[ticket.node]
        self.evaluations += 1
        self.policy.tell(parent.key, proposed.edit, key, outcome)
        closed = outcome.passed_all or not self.policy.allows(key)
        # To the SWE-Search scores only a pass is a finish; a closed state is a failure.
        facts = SweFeatures(finished=outcome.passed_all)
        child = self._child(ticket, proposed, key, estimate, closed)
        node = self.tree.tell(ticket, child._replace(features=facts))
        if node.id in self.states:  # another worker reached the same tree first
            self.transpositions += 1
        else:
            self.states[node.id] = State(
                key,
                ticket.node,
                proposed.edit,
                estimate,
                outcome,
                proposed.probability,
                self.evaluations,
            )
            if estimate.mean > self.states[self._best].estimate.mean:
                self._best = node.id
            self._note_found(node.id)
        for amendment in outcome.amended:
            self._amend(amendment)
        if self.on_step is not None:
            self.on_step(self, node.id)

    def _note_found(self, node: int) -> None:
        outcome = self.states[node].outcome
        if outcome is not None and outcome.passed_all and node not in self.found:
            self.found.append(node)
            self._count_found(node, self.evaluations)

    def _count_found(self, node: int, evaluations: int) -> None:
        if "honest" in self.states[node].estimate.channels:
            return  # made for the tests: the search goes on for a better one
        edit = self.states[node].edit
        kind = (edit.path, edit.line, edit.template) if edit else ("", 0, "")
        self.passing.add(kind, evaluations)

    def recount(self) -> None:
        """Count the found patches anew, without those that are set aside."""
        self.passing = Passing()
        for node in self.found:
            if node not in self.set_aside:
                self._count_found(node, self.states[node].found_at)

    def _amend(self, amendment: Amendment) -> None:
        """A process was poisoned by an earlier candidate: keep what the clean run said.

        Only what is remembered of the node changes; the tree's backed-up statistics keep the
        first figure, since back-ups are never undone.
        """
        known = self.tree.tree.find(self.key_of(amendment.files))
        if known is None or known.id not in self.states:
            return
        node, state = known.id, self.states[known.id]
        state.outcome = amendment.outcome
        state.estimate = self.judge(amendment.outcome, self.path(node), state.probability)
        self._best = max(self.states, key=lambda n: (self.states[n].estimate.mean, -n))
        self._note_found(node)

    def _child(
        self, ticket: Ticket, proposed: Proposed, key: str, estimate: Estimate, closed: bool
    ) -> Child:
        return Child(
            key=key,
            action=proposed.edit.rationale,
            estimate=estimate,
            prior=proposed.probability,
            terminal=closed,
            next_prior=self.policy.peek(self.states[ticket.node].key),
        )

    # ---- journal --------------------------------------------------------------------

    def _record(self, kind: str, payload: dict[str, Any]) -> None:
        if self.events is not None:
            self.events.append(kind, payload)

    def _alias_payload(self, ticket: Ticket) -> dict[str, Any]:
        proposed, key = self._proposals[ticket.id]
        return {
            "ticket": ticket.id,
            "key": key,
            "node": ticket.node,
            "probability": proposed.probability,
        }

    def _step_payload(self, ticket: Ticket) -> dict[str, Any]:
        proposed, key = self._proposals[ticket.id]
        edit = proposed.edit
        return {
            "ticket": ticket.id,
            "node": ticket.node,
            "key": key,
            "probability": proposed.probability,
            "next_prior": self.tree.tree.raw[ticket.node].next_prior,  # as the selector read it
            "edit": {
                "path": edit.path,
                "line": edit.line,
                "template": edit.template,
                "function": edit.function,
                "rationale": edit.rationale,
                "splices": [[s.start, s.end, s.replacement] for s in edit.splices],
            },
        }

    def replay(self, events: Iterator[tuple[str, dict[str, Any]]]) -> list[tuple[Ticket, Files]]:
        """Rebuild the tree from a journal; return the candidates that were under way.

        Raises:
            JournalError: the journal was written by a version that decides otherwise.
        """
        tickets: dict[int, Ticket] = {}
        waiting: dict[int, Files] = {}
        with unheard(self):
            for kind, payload in events:
                number = payload.get("ticket")
                if kind == "outcome":
                    if not isinstance(number, int) or waiting.pop(number, None) is None:
                        raise other_version()
                    ticket, outcome = tickets.pop(number), decode_outcome(payload)
                    self._absorb(ticket, outcome, self._judged(ticket, outcome))
                    continue
                asked = self.tree.ask()
                if asked is None or asked.id != number:
                    raise other_version()
                ticket = asked
                proposed = self._propose(ticket)
                if kind == "exhausted":
                    self.tree.tell(ticket, EXHAUSTED)
                elif proposed is None or proposed[0] != payload.get("key"):
                    raise other_version()
                elif kind == "alias":
                    self._alias(ticket)
                else:
                    tickets[ticket.id] = ticket
                    waiting[ticket.id] = proposed[1]
        return [(tickets[number], files) for number, files in waiting.items()]

    def finish_waiting(self, waiting: Sequence[tuple[Ticket, Files]]) -> None:
        """Test the candidates that a killed run had started (their steps are recorded)."""
        for ticket, files in waiting:
            self._finish(ticket, self.testers[0].evaluate(files))
