"""The search in which a language model proposes each step: tree, journal, ledger, workers.

One loop on the engine's ask/tell seam, as in `code_search`. Replies, observations and outcomes
are in the journal before they are acted on, so a killed run is replayed to the same tree without
asking anybody again, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from meritree.respond.data import Request
from meritree.search import Child, SearchTree, Ticket
from meritree.swe.agent import steps
from meritree.swe.agent.actions import decode, tools
from meritree.swe.agent.codec import encode_estimate
from meritree.swe.agent.conversation import Turn, conversation
from meritree.swe.agent.expand import Expander
from meritree.swe.agent.facts import features_of
from meritree.swe.agent.hindsight import Lesson, told
from meritree.swe.agent.looking import Observation
from meritree.swe.agent.recorded import EVENTS, recorded_step, spent_in
from meritree.swe.agent.situation import Situation
from meritree.swe.agent.state import AgentState, Expanded, Task
from meritree.swe.agent.trials import Desk
from meritree.swe.code_search import Events
from meritree.swe.driving import drive
from meritree.swe.edits import Edit
from meritree.swe.testing.types import Outcome
from meritree.value.estimate import Estimate


@dataclass(frozen=True, slots=True)
class AgentLimits:
    """When the search ends before its budget does, and what a prompt may hold.

    Attributes:
        most_found: collect at most this many candidates.
        patience: steps to go on after the first one.
        idle: a node whose proposals led nowhere new so often in a row is not asked again.
        context_tokens: about the longest prompt.
        hindsight: tell the model what tried siblings did.
        explanations: tell it also why their values are what they are.
        lesson_tokens: about the most of a prompt that lessons may take.
    """

    most_found: int = 5
    patience: int = 8
    idle: int = 3
    context_tokens: int = 32_000
    hindsight: bool = True
    explanations: bool = True
    lesson_tokens: int = 4_000


def files_and_tests(situation: Situation) -> str:
    """What an outcome of tests depends on."""
    return f"{situation.tree} {sorted(situation.tests.items())}"


@dataclass(slots=True)
class AgentSearch:
    """A running search; `run` returns when it ended, state stays for inspection.

    Attributes:
        separate: each expansion of the root begins an attempt with nodes of its own (chains);
            else equal situations are one node.
        independent: attempts are not told of each other.
        outcomes: of files (and own tests) that were judged.
    """

    tree: SearchTree
    expander: Expander
    desks: Sequence[Desk]
    limits: AgentLimits
    events: Events | None = None
    on_step: Callable[[AgentSearch, int], None] | None = None
    seed: int = 0
    separate: bool = False
    independent: bool = False
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    states: dict[int, AgentState] = field(default_factory=dict)
    found: list[int] = field(default_factory=list)
    set_aside: set[int] = field(default_factory=set)
    evaluations: int = 0
    transpositions: int = 0
    steps: int = 0
    first_found_at: int | None = None
    stopped_because: str = ""
    _best: int = 0
    _by_files: dict[str, int] = field(default_factory=dict)
    _lessons: dict[int, list[Lesson]] = field(default_factory=dict)
    _edits: dict[str, list[Lesson]] = field(default_factory=dict)  # by the files they changed

    def start(self, situation: Situation, estimate: Estimate, judged: bool) -> None:
        """Make the root: the repository as it is.

        Args:
            estimate: its value.
            judged: tests say so (else nothing can be run yet).
        """
        root = self.tree.start(situation.key, estimate)
        execution = estimate if judged else None
        nothing = Observation("")
        self.states[root.id] = AgentState(
            situation.key, None, None, nothing, situation, estimate, execution
        )
        self._by_files[situation.tree] = root.id

    # ---- what a node is -----------------------------------------------------------------

    def files(self, node: int) -> Mapping[str, str | None]:
        """Changed files of a node: path -> new text, None where deleted."""
        return self.states[node].situation.changes

    def chain(self, node: int) -> list[AgentState]:
        """States from the root (left out) to a node."""
        return steps.chain(self.states, node)

    def path(self, node: int) -> tuple[Edit, ...]:
        """Edits from the root to a node."""
        return steps.path(self.states, node)

    def labels(self, node: int) -> tuple[str, ...]:
        """What was done from the root to a node, in words."""
        return steps.labels(self.states, node)

    def best(self) -> int:
        """The node with the highest own value (first made wins ties)."""
        return self._best

    def knows(self, key: str) -> bool:
        """Whether a situation is in the tree."""
        return self.tree.node_of(key) is not None

    def with_files(self, tree: str) -> str | None:
        """The key of the first node with these files, None where there is none."""
        node = self._by_files.get(tree)
        return None if node is None else self.states[node].key

    # ---- the loop -------------------------------------------------------------------------

    def run(self) -> None:
        """Search until a budget, a limit or the model's ideas end.

        Raises:
            ModelError: the model cannot be asked (wrong key, dead endpoint, ...); what was done
                is in the journal.
            KeyboardInterrupt: stopped by the user; likewise.
        """
        drive(
            self.desks,
            self._start_one,
            self.expander.expand,
            lambda _, made: self._finish(made),
            lambda task: task.ticket.id,
        )

    def _start_one(self) -> Task | None:
        ticket = steps.next_ticket(self)
        return None if ticket is None else self._task(ticket)

    def _task(self, ticket: Ticket) -> Task:
        """Everything that the worker needs, as it stands now."""
        chain = self.chain(ticket.node)
        turns = [Turn(s.said, s.action, s.observation.text) for s in chain]
        lessons = ""
        if self.limits.hindsight and not self.independent:
            lessons = told(self._tried(ticket.node), 4 * self.limits.lesson_tokens)
        seed = (self.seed * 1_000_003 + ticket.id) % (1 << 31)

        def request(halved: int) -> Request:
            messages = conversation(
                self.expander.task, turns, lessons[: 4 * self.limits.context_tokens >> halved],
                tokens=self.limits.context_tokens >> halved, tools=tools(),
            )  # fmt: skip
            return self.expander.policy.request(messages, seed)

        return Task(ticket, self.states[ticket.node], request, seed, self._chain(ticket))

    def _chain(self, ticket: Ticket) -> str:
        """The attempt that an expansion belongs to."""
        if not self.separate:
            return ""
        return f"@{ticket.id}" if ticket.node == 0 else self.states[ticket.node].chain

    def _tried(self, node: int) -> list[Lesson]:
        """What was tried here, and which edits parallel branches made to the same files."""
        own = self._lessons.get(node, [])
        known = {lesson.action for lesson in own}
        files = self.states[node].situation.tree
        others = [one for one in self._edits.get(files, ()) if one.action not in known]
        return [*others, *own]

    def _finish(self, made: Expanded) -> None:
        if made.stopped:
            self.stopped_because = made.stopped
            self.record("cancelled", {"ticket": made.ticket.id})
            self.tree.cancel(made.ticket)
            return
        if not made.alias:
            estimate = made.estimate
            self.record(
                "outcome",
                {
                    "ticket": made.ticket.id,
                    "estimate": {
                        "mean": estimate.mean,
                        "n": estimate.n,
                        "channels": dict(estimate.channels),
                        "reasons": dict(estimate.reasons),
                    },
                    "execution": encode_estimate(made.execution),
                    "passed_all": made.passed,
                    "terminal": made.terminal,
                    "corrections": made.corrections,
                },
            )
        self._absorb(made)

    def _absorb(self, made: Expanded) -> None:
        """Everything that an expansion changes, live and in a replay."""
        parent = self.states[made.ticket.node]
        self.steps += 1
        self.evaluations += made.evaluations
        siblings = self.tree.tree[made.ticket.node].expansions
        prior = steps.SIBLING_PRIOR**siblings
        if made.alias:
            node = self.tree.tree.find(made.key)
            assert node is not None
            made.estimate = self.states[node.id].estimate
        state = self._state(made, parent)
        child = Child(
            made.key, state.words, made.estimate, prior, made.terminal,
            prior * steps.SIBLING_PRIOR, features=state.features,
        )  # fmt: skip
        told_node = self.tree.tell(made.ticket, child)
        new = told_node.id not in self.states
        parent.idle = 0 if new and made.action is not None else parent.idle + 1
        self._learn(made, new)
        if not new:
            self.transpositions += 1
        else:
            self._add(told_node.id, state, made)
        if self.on_step is not None:
            self.on_step(self, told_node.id)

    def _state(self, made: Expanded, parent: AgentState) -> AgentState:
        situation = made.situation or parent.situation
        same = situation.tree == parent.situation.tree and situation.tests == parent.situation.tests
        state = AgentState(
            made.key, made.ticket.node, made.action, made.observation, situation, made.estimate,
            made.execution,
            made.outcome or (parent.outcome if same else None),
            made.said,
            found_at=self.evaluations,
            corrections=made.corrections,
            chain=self._chain(made.ticket),
        )  # fmt: skip
        facts = features_of(
            parent, made.action, made.observation, situation, self.expander.workspace
        )
        state.features = replace(facts, finished=made.passed)
        return state

    def _add(self, node: int, state: AgentState, made: Expanded) -> None:
        self.states[node] = state
        self._by_files.setdefault(state.situation.tree + state.chain, node)
        if made.outcome is not None:
            self.outcomes[files_and_tests(state.situation)] = made.outcome
        if state.estimate.mean > self.states[self._best].estimate.mean:
            self._best = node
        if made.passed:
            steps.note_found(self, node)

    def _learn(self, made: Expanded, new: bool) -> None:
        """What the next proposal at this node is told of this one."""
        if made.alias or not new:
            why = "leads to a situation that is known already; nothing was run"
        else:
            reasons = made.estimate.reasons
            parts = [reasons.get(name, "") for name in ("rules", "near", "model")]
            why = "; ".join(part for part in parts if part)
        why = why if self.limits.explanations else "not said"
        lesson = Lesson(made.action, made.estimate.mean, why)
        self._lessons.setdefault(made.ticket.node, []).append(lesson)
        before = self.states[made.ticket.node].situation.tree
        if new and made.situation is not None and made.situation.tree != before:
            self._edits.setdefault(before, []).append(lesson)

    def recount(self) -> None:
        """Count the found patches anew, without those that are set aside."""
        steps.recount(self)

    # ---- journal --------------------------------------------------------------------------

    def record(self, kind: str, payload: dict[str, Any]) -> None:
        """Write an event down, if there is a journal."""
        if self.events is not None:
            self.events.append(kind, payload)

    def replay(self, events: Iterator[tuple[str, dict[str, Any]]]) -> list[Task]:
        """Rebuild the tree from a journal; return the expansions that were under way.

        Raises:
            JournalError: the journal was written by a version that decides otherwise.
        """
        tasks: dict[int, Task] = {}
        with steps.unheard(self):
            for kind, payload in events:
                self._replay_one(kind, payload, tasks)
        return list(tasks.values())

    def _replay_one(self, kind: str, payload: Mapping[str, Any], tasks: dict[int, Task]) -> None:
        number = payload["ticket"]
        if kind in ("ask", "exhausted"):
            ticket = steps.asked_again(self, kind, payload)
            if ticket is not None:
                tasks[number] = self._task(ticket)
            return
        task = tasks[number]
        if kind == "reply":
            task.recorded.replies[str(payload["role"])].append(payload)
        elif kind == "step":
            task.recorded.step = payload
        elif kind == "tests":
            task.recorded.tests = payload
        elif kind == "cancelled":
            self.tree.cancel(tasks.pop(number).ticket)
        elif kind == "alias":
            action = decode(payload["action"])
            self._absorb(Expanded(tasks.pop(number).ticket, payload["key"], action, alias=True))
        elif kind == "outcome":
            self._absorb(recorded_step(tasks.pop(number), payload, self.expander.workspace))

    def finish_waiting(self, waiting: Sequence[Task]) -> None:
        """Go on with the expansions that a killed run had begun; its replies are used."""
        for task in waiting:
            self._finish(self.expander.expand(task, self.desks[0]))


__all__ = ["EVENTS", "AgentLimits", "AgentSearch", "spent_in"]
