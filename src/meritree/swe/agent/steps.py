"""The search by a model's steps: tree, journal, workers, found patches, replay.

One loop on the engine's ask/tell seam, as in `code_search`. What a step is (an agent's action, a
shell command) is told by a part that is passed in; the search knows neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from meritree.search import EXHAUSTED, Child, SearchTree, Ticket
from meritree.search.features import SweFeatures
from meritree.swe import lineage
from meritree.swe.agent.codec import encode_estimate
from meritree.swe.agent.situation import Situation
from meritree.swe.agent.trials import Trials
from meritree.swe.driving import drive
from meritree.swe.edits import Edit
from meritree.swe.replaying import Events, other_version, unheard
from meritree.value.estimate import Estimate

_SIBLING_PRIOR = 0.5  # a node's next proposal, as against the one before it


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


class Stepped(Protocol):
    """A node's state.

    Attributes:
        key: identity of the situation, and of how it ended.
        parent: the node that was expanded; None for the root.
        estimate: the node's value.
        execution: the part of it that tests say, if any were run.
        idle: expansions in a row that led nowhere new.
        found_at: evaluations spent when it was judged.
    """

    key: str
    parent: int | None
    situation: Situation
    estimate: Estimate
    execution: Estimate | None
    idle: int
    found_at: int

    @property
    def words(self) -> str: ...
    @property
    def edit(self) -> Edit | None: ...
    @property
    def features(self) -> SweFeatures | None: ...
    @property
    def same_files(self) -> str: ...  # equal where a node with these files need not be made again


class Begun(Protocol):
    """One expansion to carry out."""

    ticket: Ticket


class Made(Protocol):
    """What came of an expansion; see `meritree.swe.agent.state.Expanded`."""

    ticket: Ticket
    evaluations: int
    passed: bool
    terminal: bool
    alias: bool
    stopped: str

    @property
    def key(self) -> str: ...
    @property
    def acted(self) -> bool: ...  # the model named something to do


S = TypeVar("S", bound=Stepped)
T = TypeVar("T", bound=Begun)
M = TypeVar("M", bound=Made)
W_contra = TypeVar("W_contra", contravariant=True)
W = TypeVar("W")


class Part(Protocol[S, T, M, W_contra]):
    """What a model's step is: how it is asked for, carried out, remembered and read back."""

    @property
    def trials(self) -> Trials:
        """What judges patches; to be closed with the search."""
        ...

    @property
    def opening(self) -> list[dict[str, Any]]:
        """Messages that every conversation begins with, where the journal must hold them."""
        ...

    def task(self, ticket: Ticket, state: S, chain: Sequence[S]) -> T:
        """Everything that a worker needs to expand ``state``, as it stands now."""
        ...

    def expand(self, task: T, worker: W_contra) -> M:
        """Carry one expansion out, in a worker's thread; the tree is not touched.

        Raises:
            ModelError: the model cannot be asked at all.
        """
        ...

    def state(self, made: M, parent: S, known: S | None) -> S:
        """The state of the node that was made; ``known``: it is that one, by another way."""
        ...

    def learn(self, made: M, state: S, parent: S, new: bool) -> None:
        """Keep what later proposals are told of this one."""
        ...

    def note(self, made: M) -> Mapping[str, Any]:
        """What the journal says of an outcome beyond value and end."""
        ...

    def recorded(self, task: T, kind: str, payload: Mapping[str, Any]) -> M | None:
        """What a journal's event makes of a task; None while it is still under way.

        Raises:
            JournalError: the journal was written by a version that decides otherwise.
        """
        ...


@dataclass(slots=True)
class StepSearch(Generic[S, T, M, W]):
    """A running search; `run` returns when it ended, state stays for inspection.

    Attributes:
        part: what a step is.
        workers: each carries out one expansion at a time.
        found: nodes whose patch passes, each with other files.
        set_aside: those of them that did not hold.
        first_found_at: steps that were taken when the first was found.
    """

    tree: SearchTree
    part: Part[S, T, M, W]
    workers: Sequence[W]
    limits: AgentLimits
    events: Events | None = None
    on_step: Callable[[Any, int], None] | None = None
    states: dict[int, S] = field(default_factory=dict)
    found: list[int] = field(default_factory=list)
    set_aside: set[int] = field(default_factory=set)
    evaluations: int = 0
    transpositions: int = 0
    steps: int = 0
    first_found_at: int | None = None
    stopped_because: str = ""
    _best: int = 0
    _by_files: dict[str, int] = field(default_factory=dict)

    def start(self, state: S) -> None:
        """Make the root: the repository as it is, with its value."""
        root = self.tree.start(state.key, state.estimate)
        self.states[root.id] = state
        self._by_files[state.same_files] = root.id

    # ---- what a node is -----------------------------------------------------------------

    def files(self, node: int) -> Mapping[str, str | None]:
        """Changed files of a node: path -> new text, None where deleted."""
        return self.states[node].situation.changes

    def chain(self, node: int) -> list[S]:
        """States from the root (left out) to a node."""
        return lineage.chain(self.states, node)

    def path(self, node: int) -> tuple[Edit, ...]:
        """The steps that changed files on the way from the root to a node."""
        return lineage.path(self.states, node)

    def labels(self, node: int) -> tuple[str, ...]:
        """What was done from the root to a node, in words."""
        return lineage.labels(self.states, node)

    def best(self) -> int:
        """The node with the highest own value (first made wins ties)."""
        return self._best

    def knows(self, key: str) -> bool:
        """Whether a situation is in the tree."""
        return self.tree.node_of(key) is not None

    def with_files(self, files: str) -> str | None:
        """The key of the first node with these files (`same_files`), None where there is none."""
        node = self._by_files.get(files)
        return None if node is None else self.states[node].key

    # ---- the loop -----------------------------------------------------------------------

    def run(self) -> None:
        """Search until a budget, a limit or the model's ideas end.

        Raises:
            ModelError: the model cannot be asked (wrong key, dead endpoint, ...); what was done
                is in the journal.
            KeyboardInterrupt: stopped by the user; likewise.
        """
        drive(
            self.workers,
            self._begin,
            self.part.expand,
            lambda _, made: self.finish(made),
            lambda task: task.ticket.id,
        )

    def _begin(self) -> T | None:
        """The next expansion, recorded; None where the search ends or waits for others."""
        while not self._has_ended():
            ticket = self.tree.ask()
            if ticket is None:
                if not self.tree.outstanding:
                    self.stopped_because = self.stopped_because or "every branch has ended"
                return None
            if self.states[ticket.node].idle >= self.limits.idle:
                self.record("exhausted", {"ticket": ticket.id})
                self.tree.tell(ticket, EXHAUSTED)
                continue
            self.record("ask", {"ticket": ticket.id, "node": ticket.node})
            return self.task(ticket)
        return None

    def _has_ended(self) -> bool:
        """Whether there is a reason to stop; it is then in ``stopped_because``."""
        found = len(self.found) - len(self.set_aside)
        if not self.stopped_because and found:
            if found >= self.limits.most_found:
                self.stopped_because = f"{found} candidates pass"
            elif self.steps >= (self.first_found_at or 0) + self.limits.patience:
                self.stopped_because = "enough steps were taken after the first candidate"
        return bool(self.stopped_because)

    def task(self, ticket: Ticket) -> T:
        """The expansion that a ticket asks for."""
        return self.part.task(ticket, self.states[ticket.node], self.chain(ticket.node))

    def finish(self, made: M) -> None:
        """Write down what came of an expansion, and take it into the tree."""
        if made.stopped:
            self.stopped_because = made.stopped
            self.record("cancelled", {"ticket": made.ticket.id})
            self.tree.cancel(made.ticket)
            return
        self._absorb(made, live=True)

    def _absorb(self, made: M, live: bool = False) -> None:
        """Everything that an expansion changes, live and in a replay."""
        number = made.ticket.node
        parent = self.states[number]
        state = self.part.state(made, parent, self._leads_to(made))
        if live and not made.alias:
            self.record("outcome", self._outcome(made, state))
        self.steps += 1
        self.evaluations += made.evaluations
        prior = _SIBLING_PRIOR ** self.tree.tree[number].expansions
        child = Child(
            state.key, state.words, state.estimate, prior, made.terminal, prior * _SIBLING_PRIOR,
            features=state.features,
        )  # fmt: skip
        node = self.tree.tell(made.ticket, child).id
        new = node not in self.states
        parent.idle = 0 if new and made.acted else parent.idle + 1
        self.part.learn(made, state, parent, new)
        if not new:
            self.transpositions += 1
        else:
            self._add(node, state, made.passed)
        if self.on_step is not None:
            self.on_step(self, node)

    def _add(self, node: int, state: S, passed: bool) -> None:
        state.found_at = self.evaluations
        self.states[node] = state
        self._by_files.setdefault(state.same_files, node)
        if state.estimate.mean > self.states[self._best].estimate.mean:
            self._best = node
        files = state.situation.tree
        if passed and all(self.states[one].situation.tree != files for one in self.found):
            self.found.append(node)  # equal files are one candidate
            if self.first_found_at is None:
                self.first_found_at = self.steps

    def recount(self) -> None:
        """Patches were set aside: without any left the patience begins with the next one."""
        if len(self.set_aside) == len(self.found):
            self.first_found_at = None

    # ---- journal ------------------------------------------------------------------------

    def record(self, kind: str, payload: dict[str, Any]) -> None:
        """Write an event down, if there is a journal."""
        if self.events is not None:
            self.events.append(kind, payload)

    def _outcome(self, made: M, state: S) -> dict[str, Any]:
        return {
            "ticket": made.ticket.id,
            "estimate": encode_estimate(state.estimate),
            "execution": encode_estimate(state.execution),
            "passed_all": made.passed,
            "terminal": made.terminal,
            **self.part.note(made),
        }

    def _leads_to(self, made: M) -> S | None:
        """The state that an alias leads to."""
        if not made.alias:
            return None
        node = self.tree.tree.find(made.key)
        assert node is not None
        return self.states[node.id]

    def replay(self, events: Iterator[tuple[str, dict[str, Any]]]) -> list[T]:
        """Rebuild the tree from a journal; return the expansions that were under way.

        Raises:
            JournalError: the journal was written by a version that decides otherwise.
        """
        tasks: dict[int, T] = {}
        with unheard(self):
            for kind, payload in events:
                self._replay_one(kind, payload, tasks)
        return list(tasks.values())

    def _replay_one(self, kind: str, payload: Mapping[str, Any], tasks: dict[int, T]) -> None:
        number = payload["ticket"]
        if kind in ("ask", "exhausted"):
            ticket = self._asked_again(kind, payload)
            if ticket is not None:
                tasks[number] = self.task(ticket)
        elif kind == "cancelled":
            self.tree.cancel(tasks.pop(number).ticket)
        else:
            made = self.part.recorded(tasks[number], kind, payload)
            if made is not None:
                del tasks[number]
                self._absorb(made)

    def _asked_again(self, kind: str, payload: Mapping[str, Any]) -> Ticket | None:
        """The ticket of a recorded ``ask``; None after an ``exhausted``."""
        ticket = self.tree.ask()
        if ticket is None or ticket.id != payload["ticket"]:
            raise other_version()
        if kind == "exhausted":
            self.tree.tell(ticket, EXHAUSTED)
            return None
        if ticket.node != payload["node"]:
            raise other_version()
        return ticket

    def finish_waiting(self, waiting: Sequence[T]) -> None:
        """Go on with the expansions that a killed run had begun; recorded replies are used."""
        for task in waiting:
            self.finish(self.part.expand(task, self.workers[0]))
