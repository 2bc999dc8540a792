"""Proposes edits in order of probability, lazily, and learns from what became of them.

The order is P(edit) ~ L(line) x relevance(line) x w m(template) x share(edit). It knows
suspicion, priors and a source of edits; it knows nothing about tests or the search tree.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from meritree.swe.edits import Edit
from meritree.swe.repair.descend import Attraction, child_lines
from meritree.swe.repair.learning import Learner, LearningOptions
from meritree.swe.repair.priors import FailureSigns, PriorTable
from meritree.swe.repair.queue import Schedule, StateQueue
from meritree.swe.repair.suspicion import LineSuspicion, Suspicion
from meritree.swe.traceback_text import Frame


class EditSource(Protocol):
    """Where edits come from: all edits of one template on one line, lazily."""

    @property
    def templates(self) -> Mapping[str, float]:
        """Hand-set weight of every template."""

    def edits(self, path: str, text: str, line: int, template: str) -> Iterator[Edit]:
        """Edits anchored on a line of a file; may be empty, must be deterministic."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An edit and its probability among all edits of its state (an estimate, in (0, 1])."""

    edit: Edit
    probability: float


@dataclass(frozen=True, slots=True)
class EditOutcome:
    """What became of an edit, as far as the policy learns from it.

    Attributes:
        child: key of the state that the edit led to.
        changed: share of the parent's failing tests whose failure looks different now.
        gain: graded credit of the targets minus the parent's, in [-1, 1].
        crash: the exception type if the targets now die of one that they did not die of.
        broke: share of the passing tests run that now fail.
        invalid: the edited code does not compile or cannot be loaded.
        frames: project frames of the new failure, outermost first.
        failing: targets that still fail; None when unknown.
    """

    child: str
    changed: float = 0.0
    gain: float = 0.0
    crash: str = ""
    broke: float = 0.0
    invalid: bool = False
    frames: tuple[Frame, ...] = ()
    failing: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """What decides the order apart from suspicion and priors.

    Attributes:
        schedule: how templates and lines share the early places.
        learning: how outcomes move the order; None switches learning off.
        max_edits: edits on the path to a state that may be edited further, plus one.
        min_gain: a state is edited further only if its edit changed a failure or gained this.
        attraction: how suspicion concentrates after an edit.
    """

    schedule: Schedule = field(default_factory=Schedule)
    learning: LearningOptions | None = field(default_factory=LearningOptions)
    max_edits: int = 3
    min_gain: float = 0.01
    attraction: Attraction = field(default_factory=Attraction)


@dataclass(slots=True)
class _State:
    """What the policy remembers of one state of the code."""

    edits: tuple[Edit, ...] = ()  # path from the root
    outcome: EditOutcome | None = None
    queue: StateQueue | None = None


class RepairPolicy:
    """Next untried edit of every state, most probable first.

    Deterministic: the same constructor arguments and the same sequence of `propose`,
    `peek` and `tell` give the same proposals.
    """

    def __init__(
        self,
        source: EditSource,
        files: Mapping[str, str],
        suspicion: Suspicion,
        priors: PriorTable,
        *,
        signs: FailureSigns | None = None,
        root: str = "",
        seed: int = 0,
        options: PolicyOptions | None = None,
        bias: Callable[[Edit, str], float] | None = None,
        relocalize: Callable[[frozenset[str]], Suspicion] | None = None,
    ) -> None:
        """
        Args:
            source: makes the edits.
            files: original text of every file that may be edited, by path.
            suspicion: of the lines of the root state.
            priors: template weights and factors.
            signs: how the targets fail (decides the factors).
            root: key of the root state.
            seed: breaks exact ties between templates.
            options: see `PolicyOptions`.
            bias: factor > 0 on an edit's prior, given the text it changes (naturalness).
            relocalize: suspicion for the targets that still fail in a child state.
        """
        self._source = source
        self._files = dict(files)
        self._suspicion = suspicion
        self._options = options or PolicyOptions()
        self._bias = bias
        self._relocalize = relocalize
        self._weights = _ordered(priors.weigh(source.templates, signs or FailureSigns()), seed)
        self._learner = Learner(self._options.learning) if self._options.learning else None
        self._states: dict[str, _State] = {root: _State()}
        self._regions: dict[frozenset[str], Suspicion] = {}

    @property
    def weights(self) -> Mapping[str, float]:
        """w x m of every template in this run."""
        return dict(self._weights)

    def propose(self, files: Mapping[str, str], state: str) -> Proposal | None:
        """The state's most probable untried edit; None when there is none (or none allowed).

        Args:
            files: text of every file that the state changes, by path.
            state: the state's key; the root's, or a ``child`` that `tell` was told.
        """
        queue = self._queue(files, state)
        found = queue.pop() if queue else None
        return Proposal(*found) if found else None

    def peek(self, files: Mapping[str, str], state: str) -> float:
        """Probability of the edit that `propose` would return now; 0 when none is left."""
        queue = self._queue(files, state)
        found = queue.peek() if queue else None
        return found[1] if found else 0.0

    def tell(self, state: str, edit: Edit, outcome: EditOutcome) -> None:
        """Learn what an edit of ``state`` did; makes ``outcome.child`` a known state."""
        parent = self._states.setdefault(state, _State())
        if outcome.child not in self._states:
            self._states[outcome.child] = _State((*parent.edits, edit), outcome)
        if self._learner and parent.queue:
            site = parent.queue.site(edit)
            self._learner.learn(site, edit.template, outcome)
            parent.queue.refresh(site)

    def allows(self, state: str) -> bool:
        """Whether the state may be edited (further)."""
        known = self._states.get(state)
        if known is None:
            return False
        if known.outcome is None:
            return True
        return len(known.edits) < self._options.max_edits and self._promising(known.outcome)

    def _promising(self, outcome: EditOutcome) -> bool:
        if outcome.invalid or outcome.broke > 0:
            return False
        return outcome.changed > 0 or outcome.gain >= self._options.min_gain

    def _queue(self, files: Mapping[str, str], state: str) -> StateQueue | None:
        if not self.allows(state):
            return None
        known = self._states[state]
        if known.queue is None:
            files = {**self._files, **files}
            lines = (
                self._suspicion.lines if known.outcome is None else self._child_lines(known, files)
            )
            known.queue = StateQueue(
                files,
                lines,
                self._weights,
                self._source.edits,
                self._options.schedule,
                self._learner,
                self._bias,
            )
        return known.queue

    def _child_lines(self, state: _State, files: Mapping[str, str]) -> tuple[LineSuspicion, ...]:
        assert state.outcome is not None
        return child_lines(
            self._region(state.outcome.failing),
            self._files,
            files,
            state.edits[-1],
            state.outcome.frames,
            self._options.attraction,
        )

    def _region(self, failing: frozenset[str] | None) -> Suspicion:
        if failing is None or self._relocalize is None:
            return self._suspicion
        if failing not in self._regions:
            self._regions[failing] = self._relocalize(failing)
        return self._regions[failing]


def _ordered(weights: Mapping[str, float], seed: int) -> tuple[tuple[str, float], ...]:
    """Templates by falling weight; exact ties in an order that the seed decides."""

    def order(item: tuple[str, float]) -> tuple[float, int, str]:
        return -item[1], zlib.crc32(f"{seed}:{item[0]}".encode()), item[0]

    return tuple(sorted(weights.items(), key=order))
