"""The search whose policy is mini-swe-agent: tree, journal, workers.

One loop on the engine's ask/tell seam, as in `agent/search`. Steps and outcomes are in the journal
before they are acted on, whole conversations included, so a killed run is replayed to the same
tree without asking anybody or running a command again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meritree.search import Child, SearchTree, Ticket
from meritree.swe.agent import steps
from meritree.swe.agent.codec import decode_estimate, encode_estimate
from meritree.swe.agent.recorded import other_version
from meritree.swe.agent.search import AgentLimits
from meritree.swe.agent.situation import Situation
from meritree.swe.code_search import Events
from meritree.swe.driving import drive
from meritree.swe.edits import Edit
from meritree.swe.mini.conversation import Messages, fitted
from meritree.swe.mini.step import Made, MiniExpander, MiniState, MiniTask, Place
from meritree.value.estimate import Estimate

_TRIED = "From this point these commands were tried already; do something else:\n"
_WHY = 200


@dataclass(slots=True)
class MiniSearch:
    """A running search; `run` returns when it ended, state stays for inspection."""

    tree: SearchTree
    expander: MiniExpander
    places: Sequence[Place]
    limits: AgentLimits
    root_messages: Messages
    events: Events | None = None
    on_step: Callable[[MiniSearch, int], None] | None = None
    states: dict[int, MiniState] = field(default_factory=dict)
    found: list[int] = field(default_factory=list)
    set_aside: set[int] = field(default_factory=set)
    evaluations: int = 0
    transpositions: int = 0
    steps: int = 0
    first_found_at: int | None = None
    stopped_because: str = ""
    _best: int = 0
    _by_files: dict[str, int] = field(default_factory=dict)
    _tried: dict[int, list[str]] = field(default_factory=dict)

    def start(self, situation: Situation, estimate: Estimate, judged: bool) -> None:
        """Make the root: the repository as it is; ``judged``: tests say its value."""
        root = self.tree.start(situation.key, estimate)
        execution = estimate if judged else None
        self.states[root.id] = MiniState(
            situation.key, None, situation, estimate, execution=execution
        )
        self._by_files[situation.tree] = root.id

    # ---- what a node is ---------------------------------------------------------------------

    def files(self, node: int) -> Mapping[str, str | None]:
        """Changed files of a node: path -> new text, None where deleted."""
        return self.states[node].situation.changes

    def chain(self, node: int) -> list[MiniState]:
        """States from the root (left out) to a node."""
        return steps.chain(self.states, node)

    def path(self, node: int) -> tuple[Edit, ...]:
        """The steps that changed files on the way to a node."""
        return steps.path(self.states, node)

    def labels(self, node: int) -> tuple[str, ...]:
        """What was done from the root to a node, in words."""
        return steps.labels(self.states, node)

    def messages(self, node: int) -> Messages:
        """The whole conversation of a node."""
        return [*self.root_messages, *(m for state in self.chain(node) for m in state.messages)]

    def best(self) -> int:
        """The node with the highest own value (first made wins ties)."""
        return self._best

    def known(self, before: MiniState, situation: Situation) -> str | None:
        """The key of the node that has this situation, or, where they changed, its files."""
        node = self.tree.node_of(situation.key)
        if node is None and situation.tree != before.situation.tree:
            node = self._by_files.get(situation.tree)
        return None if node is None else self.states[node].key

    # ---- the loop -----------------------------------------------------------------------------

    def run(self) -> None:
        """Search until a budget, a limit or the model's ideas end.

        Raises:
            ModelError: the model cannot be asked; what was done is in the journal.
            KeyboardInterrupt: stopped by the user; likewise.
        """
        drive(
            self.places,
            self._start_one,
            self.expander.expand,
            lambda _, made: self._finish(made),
            lambda task: task.ticket.id,
        )

    def _start_one(self) -> MiniTask | None:
        ticket = steps.next_ticket(self)
        return None if ticket is None else self._task(ticket)

    def _task(self, ticket: Ticket) -> MiniTask:
        messages = self.messages(ticket.node)
        tried = self._tried.get(ticket.node, [])
        if tried and self.limits.hindsight:
            told = _TRIED + "\n".join(tried)[-4 * self.limits.lesson_tokens :]
            messages.append(self.expander.model.format_message(role="user", content=told))
        messages = fitted(messages, self.limits.context_tokens)
        return MiniTask(ticket, self.states[ticket.node], messages)

    def _finish(self, made: Made) -> None:
        if made.stopped:
            self.stopped_because = made.stopped
            self.record("cancelled", {"ticket": made.ticket.id})
            self.tree.cancel(made.ticket)
            return
        assert made.state is not None
        if not made.alias:
            self.record(
                "outcome",
                {
                    "ticket": made.ticket.id,
                    "estimate": encode_estimate(made.state.estimate),
                    "execution": encode_estimate(made.state.execution),
                    "passed_all": made.passed,
                    "terminal": made.terminal,
                },
            )
        self._absorb(made)

    def _absorb(self, made: Made) -> None:
        """Everything that an expansion changes, live and in a replay."""
        state, number = made.state, made.ticket.node
        assert state is not None
        self.steps += 1
        self.evaluations += made.evaluations
        prior = steps.SIBLING_PRIOR ** self.tree.tree[number].expansions
        if made.alias:
            node = self.tree.tree.find(state.key)
            assert node is not None
            state.estimate = self.states[node.id].estimate
        child = Child(
            state.key,
            state.words,
            state.estimate,
            prior,
            made.terminal,
            prior * steps.SIBLING_PRIOR,
        )
        told = self.tree.tell(made.ticket, child)
        new = told.id not in self.states
        parent = self.states[number]
        parent.idle = 0 if new and not state.wrong else parent.idle + 1
        why = state.estimate.reasons.get("rules", "") if new else "leads to what is known already"
        self._tried.setdefault(number, []).append(
            f"- {state.words} -> {state.estimate.mean:.2f}: {why[:_WHY]}"
        )
        if not new:
            self.transpositions += 1
        else:
            self._add(told.id, state, made)
        if self.on_step is not None:
            self.on_step(self, told.id)

    def _add(self, node: int, state: MiniState, made: Made) -> None:
        state.found_at = self.evaluations
        self.states[node] = state
        self._by_files.setdefault(state.situation.tree, node)
        if state.estimate.mean > self.states[self._best].estimate.mean:
            self._best = node
        if made.passed:
            steps.note_found(self, node)

    def recount(self) -> None:
        """Count the found patches anew, without those that are set aside."""
        steps.recount(self)

    # ---- journal ------------------------------------------------------------------------------

    def record(self, kind: str, payload: dict[str, Any]) -> None:
        """Write an event down, if there is a journal."""
        if self.events is not None:
            self.events.append(kind, payload)

    def replay(self, events: Iterator[tuple[str, dict[str, Any]]]) -> list[MiniTask]:
        """Rebuild the tree from a journal; return the expansions that were under way.

        Raises:
            JournalError: the journal was written by a version that decides otherwise.
        """
        tasks: dict[int, MiniTask] = {}
        with steps.unheard(self):
            for kind, payload in events:
                self._replay_one(kind, payload, tasks)
        return list(tasks.values())

    def _replay_one(
        self, kind: str, payload: Mapping[str, Any], tasks: dict[int, MiniTask]
    ) -> None:
        number = payload["ticket"]
        if kind in ("ask", "exhausted"):
            ticket = steps.asked_again(self, kind, payload)
            if ticket is not None:
                tasks[number] = self._task(ticket)
            return
        task = tasks[number]
        if kind == "step":
            task.step = payload
        elif kind == "tests":
            task.tests = payload
        elif kind == "cancelled":
            self.tree.cancel(tasks.pop(number).ticket)
        elif kind == "alias":
            del tasks[number]
            nothing = Estimate(0.0)
            state = MiniState(
                payload["key"], task.ticket.node, task.state.situation, nothing, payload["label"]
            )
            self._absorb(Made(task.ticket, state, alias=True))
        elif kind == "outcome":
            self._absorb(self._recorded(tasks.pop(number), payload))

    def _recorded(self, task: MiniTask, payload: Mapping[str, Any]) -> Made:
        if task.step is None:
            raise other_version()
        state = self.expander.state_of(task, task.step)
        if state.situation.tree != task.step["tree"]:
            raise other_version()
        outcome, evaluations = self.expander.outcome_of(task, state)
        state.outcome = outcome
        state.estimate = decode_estimate(payload["estimate"]) or Estimate(0.0)
        state.execution = decode_estimate(payload["execution"])
        passed, terminal = bool(payload["passed_all"]), bool(payload["terminal"])
        return Made(task.ticket, state, evaluations, passed, terminal)

    def finish_waiting(self, waiting: Sequence[MiniTask]) -> None:
        """Go on with the expansions that a killed run had begun."""
        for task in waiting:
            self._finish(self.expander.expand(task, self.places[0]))
