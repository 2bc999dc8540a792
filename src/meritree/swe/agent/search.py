"""The search in which a language model proposes each action: what `steps` asks of a part.

What a proposal is asked with, what is kept of one, what later ones are told of it, and how each
is read back from a journal. Knows neither the tree nor who is asked when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from meritree.respond.data import Request
from meritree.search import Ticket
from meritree.swe.agent.actions import decode, tools
from meritree.swe.agent.conversation import Turn, conversation
from meritree.swe.agent.expand import Expander
from meritree.swe.agent.facts import features_of
from meritree.swe.agent.hindsight import Lesson, told
from meritree.swe.agent.recorded import recorded_step
from meritree.swe.agent.situation import Situation
from meritree.swe.agent.state import AgentState, Expanded, Task
from meritree.swe.agent.steps import AgentLimits, StepSearch
from meritree.swe.agent.trials import Desk, Trials
from meritree.swe.testing.types import Outcome


def files_and_tests(situation: Situation) -> str:
    """What an outcome of tests depends on."""
    return f"{situation.tree} {sorted(situation.tests.items())}"


@dataclass(slots=True)
class AgentSteps:
    """An agent's actions as the steps of a search.

    Attributes:
        separate: each expansion of the root begins an attempt with nodes of its own (chains);
            else equal situations are one node.
        independent: attempts are not told of each other.
        outcomes: of files (and own tests) that were judged.
    """

    expander: Expander
    limits: AgentLimits
    seed: int = 0
    separate: bool = False
    independent: bool = False
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    _lessons: dict[int, list[Lesson]] = field(default_factory=dict)
    _edits: dict[str, list[Lesson]] = field(default_factory=dict)  # by the files they changed

    @property
    def trials(self) -> Trials:
        """What judges patches."""
        return self.expander.trials

    @property
    def opening(self) -> list[dict[str, Any]]:
        """None: prompts are made anew from the states."""
        return []

    def task(self, ticket: Ticket, state: AgentState, chain: Sequence[AgentState]) -> Task:
        """The question, with what was tried here and beside it."""
        turns = [Turn(s.said, s.action, s.observation.text) for s in chain]
        lessons = ""
        if self.limits.hindsight and not self.independent:
            lessons = told(self._tried(ticket.node, state), 4 * self.limits.lesson_tokens)
        seed = (self.seed * 1_000_003 + ticket.id) % (1 << 31)

        def request(halved: int) -> Request:
            messages = conversation(
                self.expander.task, turns, lessons[: 4 * self.limits.context_tokens >> halved],
                tokens=self.limits.context_tokens >> halved, tools=tools(),
            )  # fmt: skip
            return self.expander.policy.request(messages, seed)

        return Task(ticket, state, request, seed, self._chain(ticket, state))

    def _chain(self, ticket: Ticket, state: AgentState) -> str:
        """The attempt that an expansion belongs to."""
        if not self.separate:
            return ""
        return f"@{ticket.id}" if ticket.node == 0 else state.chain

    def _tried(self, node: int, state: AgentState) -> list[Lesson]:
        """What was tried here, and which edits parallel branches made to the same files."""
        own = self._lessons.get(node, [])
        known = {lesson.action for lesson in own}
        files = state.situation.tree
        others = [one for one in self._edits.get(files, ()) if one.action not in known]
        return [*others, *own]

    def expand(self, task: Task, desk: Desk) -> Expanded:
        """Ask, act and judge; see `Expander.expand`."""
        return self.expander.expand(task, desk)

    def state(self, made: Expanded, parent: AgentState, known: AgentState | None) -> AgentState:
        """What is remembered of a step."""
        situation = made.situation or parent.situation
        same = situation.tree == parent.situation.tree and situation.tests == parent.situation.tests
        state = AgentState(
            made.key, made.ticket.node, made.action, made.observation, situation,
            made.estimate if known is None else known.estimate,
            made.execution,
            made.outcome or (parent.outcome if same else None),
            made.said,
            corrections=made.corrections,
            chain=self._chain(made.ticket, parent),
        )  # fmt: skip
        facts = features_of(
            parent, made.action, made.observation, situation, self.expander.workspace
        )
        state.features = replace(facts, finished=made.passed)
        return state

    def learn(self, made: Expanded, state: AgentState, parent: AgentState, new: bool) -> None:
        """Keep the outcome, and a lesson for the next proposals at the node and beside it."""
        if new and made.outcome is not None:
            self.outcomes[files_and_tests(state.situation)] = made.outcome
        if made.alias or not new:
            why = "leads to a situation that is known already; nothing was run"
        else:
            reasons = state.estimate.reasons
            parts = [reasons.get(name, "") for name in ("rules", "near", "model")]
            why = "; ".join(part for part in parts if part)
        why = why if self.limits.explanations else "not said"
        lesson = Lesson(made.action, state.estimate.mean, why)
        self._lessons.setdefault(made.ticket.node, []).append(lesson)
        before = parent.situation.tree
        if new and made.situation is not None and made.situation.tree != before:
            self._edits.setdefault(before, []).append(lesson)

    def note(self, made: Expanded) -> Mapping[str, Any]:
        """How often in a row a correction was asked for."""
        return {"corrections": made.corrections}

    def recorded(self, task: Task, kind: str, payload: Mapping[str, Any]) -> Expanded | None:
        """What a recorded event makes of a task; see `Part.recorded`."""
        if kind == "reply":
            task.recorded.replies[str(payload["role"])].append(payload)
        elif kind == "step":
            task.recorded.step = payload
        elif kind == "tests":
            task.recorded.tests = payload
        elif kind == "alias":
            return Expanded(task.ticket, payload["key"], decode(payload["action"]), alias=True)
        elif kind == "outcome":
            return recorded_step(task, payload, self.expander.workspace)
        return None


AgentSearch: TypeAlias = StepSearch[AgentState, Task, Expanded, Desk]
