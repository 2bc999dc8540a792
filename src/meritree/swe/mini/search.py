"""The search whose policy is mini-swe-agent: what `agent/steps` asks of a part.

What the agent is told, what is kept of its step, and how one is read back from a journal, whole
conversations included. Knows neither the tree nor who is asked when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from meritree.search import Ticket
from meritree.swe.agent.codec import decode_estimate
from meritree.swe.agent.steps import AgentLimits, StepSearch
from meritree.swe.agent.trials import Trials
from meritree.swe.mini.conversation import Messages, fitted
from meritree.swe.mini.step import Made, MiniExpander, MiniState, MiniTask, Place
from meritree.swe.replaying import other_version
from meritree.value.estimate import Estimate

_TRIED = "From this point these commands were tried already; do something else:\n"
_WHY = 200


@dataclass(slots=True)
class MiniSteps:
    """mini-swe-agent's commands as the steps of a search.

    Attributes:
        opening: what every conversation begins with.
    """

    expander: MiniExpander
    limits: AgentLimits
    opening: Messages
    _tried: dict[int, list[str]] = field(default_factory=dict)

    @property
    def trials(self) -> Trials:
        """What judges patches."""
        return self.expander.trials

    def messages(self, chain: Sequence[MiniState]) -> Messages:
        """The whole conversation of the last state of a chain."""
        return [*self.opening, *(m for state in chain for m in state.messages)]

    def task(self, ticket: Ticket, state: MiniState, chain: Sequence[MiniState]) -> MiniTask:
        """The conversation so far, with what was tried from here."""
        messages = self.messages(chain)
        tried = self._tried.get(ticket.node, [])
        if tried and self.limits.hindsight:
            told = _TRIED + "\n".join(tried)[-4 * self.limits.lesson_tokens :]
            messages.append(self.expander.model.format_message(role="user", content=told))
        return MiniTask(ticket, state, fitted(messages, self.limits.context_tokens))

    def expand(self, task: MiniTask, place: Place) -> Made:
        """Ask, run and judge; see `MiniExpander.expand`."""
        return self.expander.expand(task, place)

    def state(self, made: Made, parent: MiniState, known: MiniState | None) -> MiniState:
        """What is remembered of a step."""
        assert made.state is not None
        if known is not None:
            made.state.estimate = known.estimate
        return made.state

    def learn(self, made: Made, state: MiniState, parent: MiniState, new: bool) -> None:
        """Keep the commands and what they were worth for the next proposals at the node."""
        why = state.estimate.reasons.get("rules", "") if new else "leads to what is known already"
        self._tried.setdefault(made.ticket.node, []).append(
            f"- {state.words} -> {state.estimate.mean:.2f}: {why[:_WHY]}"
        )

    def note(self, made: Made) -> Mapping[str, Any]:
        """Nothing: the step's event says all."""
        return {}

    def recorded(self, task: MiniTask, kind: str, payload: Mapping[str, Any]) -> Made | None:
        """What a recorded event makes of a task; see `Part.recorded`."""
        if kind == "step":
            task.step = payload
        elif kind == "tests":
            task.tests = payload
        elif kind == "alias":
            situation, nothing = task.state.situation, Estimate(0.0)
            state = MiniState(
                payload["key"], task.ticket.node, situation, nothing, payload["label"]
            )
            return Made(task.ticket, state, alias=True)
        elif kind == "outcome":
            return self._recorded_outcome(task, payload)
        return None

    def _recorded_outcome(self, task: MiniTask, payload: Mapping[str, Any]) -> Made:
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


MiniSearch: TypeAlias = StepSearch[MiniState, MiniTask, Made, Place]
