"""What the agent's search remembers of one node, and what it hands from step to step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from meritree.respond.codec import decode_reply
from meritree.respond.data import Reply, Request
from meritree.search import Ticket
from meritree.search.features import SweFeatures
from meritree.swe.agent.actions import EDITS, Action, label, name_of
from meritree.swe.agent.looking import Observation
from meritree.swe.agent.policy import UNUSABLE
from meritree.swe.agent.situation import Situation
from meritree.swe.edits import Edit
from meritree.swe.testing.types import Outcome
from meritree.value.estimate import Estimate


@dataclass(slots=True)
class AgentState:
    """One node.

    Attributes:
        key: identity of the situation, and of how it ended.
        action: what led here; None for the root and for a reply without an action.
        observation: what it showed, what the tests said of it included.
        estimate: the hybrid value.
        execution: its part that the tests say; of a step that changes no file, the parent's.
        outcome: of the tests, where they were run for this step.
        said: the model's words beside the call.
        found_at: evaluations spent when it was judged.
        corrections: steps in a row that asked for a correction.
        idle: expansions in a row that led nowhere new.
        chain: which independent attempt it belongs to; empty where equal situations are one.
    """

    key: str
    parent: int | None
    action: Action | None
    observation: Observation
    situation: Situation
    estimate: Estimate
    execution: Estimate | None = None
    outcome: Outcome | None = None
    said: str = ""
    probability: float = 1.0
    found_at: int = 0
    corrections: int = 0
    idle: int = 0
    chain: str = ""
    features: SweFeatures = field(default_factory=SweFeatures)

    @property
    def words(self) -> str:
        """What was done, on one line."""
        if self.action is not None:
            return label(self.action)
        return "" if self.parent is None else "no action"

    @property
    def same_files(self) -> str:
        """Equal where a node with these files need not be made again."""
        return self.situation.tree + self.chain

    @property
    def edit(self) -> Edit | None:
        """The action as an edit of one file, for views and rankings; None for others."""
        if self.action is None or name_of(self.action) not in EDITS:
            return None
        if self.observation.expects_correction:
            return None
        path = str(getattr(self.action, "path", ""))
        first, last = self.observation.lines.get(path, (0, 0))
        names = self.observation.spans.get(path, frozenset())
        function = min(names, key=len) if names else ""
        size = float(min(6, 1 + last - first))
        return Edit(path, (), "model", 1.0, first, function, size, label(self.action))


@dataclass(slots=True)
class Recorded:
    """What a journal already holds of one expansion."""

    replies: Mapping[str, deque[Mapping[str, Any]]] = field(
        default_factory=lambda: {"agent": deque(), "value": deque()}
    )
    step: Mapping[str, Any] | None = None
    tests: Mapping[str, Any] | None = None

    def next(self, role: str) -> Reply | None:
        """The next recorded reply of a role; None where there is none.

        Raises:
            ModelError: the recording is of a failure.
        """
        if not self.replies[role]:
            return None
        payload = self.replies[role].popleft()
        if "error" in payload:
            kinds = {kind.__name__: kind for kind in UNUSABLE}
            raise kinds.get(str(payload["error"]), UNUSABLE[0])(str(payload.get("words", "")))
        return decode_reply(payload["reply"])


@dataclass(slots=True)
class Task:
    """One expansion to carry out: all that a worker needs.

    Attributes:
        request: the question, its prompt halved so often.
        chain: see `AgentState`.
        recorded: what a journal holds of it already.
    """

    ticket: Ticket
    state: AgentState
    request: Callable[[int], Request]
    seed: int
    chain: str = ""
    recorded: Recorded = field(default_factory=Recorded)


@dataclass(slots=True)
class Expanded:
    """What came of an expansion.

    Attributes:
        key: the situation it led to; ``""`` where it was stopped.
        alias: it led to a situation (or files) already in the tree.
        terminal: the branch ends here.
        passed: it is a candidate for the patch.
        stopped: why it was not carried out: a budget.
    """

    ticket: Ticket
    key: str = ""
    action: Action | None = None
    said: str = ""
    situation: Situation | None = None
    observation: Observation = field(default_factory=lambda: Observation(""))
    estimate: Estimate = field(default_factory=lambda: Estimate(0.0))
    execution: Estimate | None = None
    outcome: Outcome | None = None
    evaluations: int = 0
    alias: bool = False
    terminal: bool = False
    passed: bool = False
    corrections: int = 0
    stopped: str = ""

    @property
    def acted(self) -> bool:
        """Whether the reply held an action."""
        return self.action is not None


@dataclass(frozen=True, slots=True)
class Tested:
    """What running tests for a step gave."""

    observation: Observation
    outcome: Outcome | None = None
    execution: Estimate | None = None
    own_test: str = ""
    evaluations: int = 0
