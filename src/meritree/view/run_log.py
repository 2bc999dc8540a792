"""What a journal's events tell of a run, event by event: nodes, sums, a timeline.

The events are data of whoever wrote them: unknown kinds and keys are passed over. Knows neither
files nor result documents; docs/view.md says which keys are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from meritree.view.differences import Differences, change_of, start_of
from meritree.view.payloads import costs_of, mapping, mean_of, node_of
from meritree.view.scores import Told
from meritree.view.tree import TreeNode
from meritree.view.words import one_line

ROOT_LABEL = "the code as it is"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened: seconds since the run began, and what in words."""

    seconds: float
    words: str


@dataclass(slots=True)
class RunLog:
    """Everything that a journal's events tell, event by event.

    Attributes:
        meta: what the run was asked to do.
        nodes: in the order in which their outcomes were recorded, the root first, as the
            engine numbers them.
        told: what the engine was told, for scores.
        timeline: what happened besides steps.
        aliases: node id -> how many of its proposals led to known states.
        spent: sums of what the steps cost, by name.
        phase: ``prepare``, ``search``, ``verify`` or ``ended``.
        status: how it ended, empty while it has not.
        seq: the last event that was read.
    """

    meta: Mapping[str, Any] = field(default_factory=dict)
    nodes: list[TreeNode] = field(default_factory=list)
    told: Told = field(default_factory=Told)
    timeline: list[Moment] = field(default_factory=list)
    aliases: dict[int, int] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    differences: Differences = field(default_factory=lambda: Differences(lambda path: None))
    phase: str = "prepare"
    status: str = ""
    seconds: float = 0.0
    evaluations: int = 0
    seq: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    verified: set[int] = field(default_factory=set)
    folder: Path | None = None
    _asked: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    _places: dict[int, int] = field(default_factory=dict)  # ticket -> node, where it is told
    _costs: dict[int, dict[str, float]] = field(default_factory=dict)  # of a ticket's calls
    _tests: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    _began: float = 0.0
    _root_value: float = 0.0
    _passed: int = 0

    @property
    def strategy(self) -> str:
        """The strategy's name, empty where unknown."""
        options = self.meta.get("options")
        return str(options.get("strategy", "")) if isinstance(options, Mapping) else ""

    @property
    def options(self) -> Mapping[str, Any]:
        """What was asked for, empty where unknown."""
        options = self.meta.get("options")
        return options if isinstance(options, Mapping) else {}

    def take(self, kind: str, payload: Mapping[str, Any], time: float = 0.0) -> None:
        """Read one event; nodes, sums and the timeline follow.

        An event that lacks what its kind needs is passed over and counted in the timeline.
        """
        so_far = payload.get("seconds_so_far")
        if time and isinstance(so_far, int | float):  # a resumed run's pauses do not count
            self._began = time - so_far
            self._not_after(so_far)
        self._began = self._began or time
        self.seconds = max(0.0, time - self._began)
        read = _READERS.get(kind)
        try:
            if read is not None:
                read(self, payload)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            self._say(f"an event {one_line(kind)} could not be read: {one_line(repr(error))}")

    def _not_after(self, seconds: float) -> None:
        """What was read since a pause, and dated as if it had counted, was not later than this."""
        for place, moment in reversed(list(enumerate(self.timeline))):
            if moment.seconds <= seconds:
                break
            self.timeline[place] = replace(moment, seconds=seconds)
        for node in reversed(self.nodes):
            if node.time <= seconds:
                break
            self.nodes[node.id] = replace(node, time=seconds)

    # ---- one method an event --------------------------------------------------------

    def _prepared(self, payload: Mapping[str, Any]) -> None:
        targets = payload.get("targets", ())
        many = len(targets) if isinstance(targets, list) else 0
        self._say(f"prepared: {many} target test{'s' * (many != 1)}")
        self.told.root_key = base = str(payload.get("base", ""))
        if self.folder is not None:
            start_of(self.folder, base, self.differences)

    def _root(self, payload: Mapping[str, Any]) -> None:
        self._root_value = mean_of(payload)
        self._say(f"the search began, the code as it is has value {self._root_value:.2f}")

    def _step(self, payload: Mapping[str, Any]) -> None:
        self.phase = "search"
        self._asked[payload["ticket"]] = payload
        self._ensure_root()

    def _ensure_root(self) -> None:
        if not self.nodes:
            self.nodes.append(TreeNode(0, None, ROOT_LABEL, self._root_value, kind="root"))
            self.keys[self.told.root_key] = 0
            self.told.root = self._root_value

    def _ask(self, payload: Mapping[str, Any]) -> None:
        """A model is asked for an action at a node."""
        self.told.features_known = False
        self._places[payload["ticket"]] = int(payload["node"])

    def _reply(self, payload: Mapping[str, Any]) -> None:
        """What a run has spent in all after a model's reply; the rise is the ticket's cost."""
        cost = self._costs.setdefault(payload["ticket"], {})
        for name, value in costs_of({"cost": payload.get("spent")}).items():
            rise = max(0.0, value - self.spent.get(name, 0.0))
            cost[name] = cost.get(name, 0.0) + rise
            self.spent[name] = self.spent.get(name, 0.0) + rise

    def _tested(self, payload: Mapping[str, Any]) -> None:
        self._tests[payload["ticket"]] = payload

    def _outcome(self, payload: Mapping[str, Any]) -> None:
        step = self._asked.pop(payload["ticket"], None)
        if step is None:
            return
        self.evaluations += 1
        tests = self._tests.pop(payload["ticket"], {})
        payload = {**payload, **{k: v for k, v in tests.items() if k == "observation"}}
        parent, key = int(step["node"]), str(step["key"])
        mean, passed = mean_of(payload), bool(payload.get("passed_all"))
        self.told.child(parent, key, mean, step.get("probability"), step.get("next_prior"), passed)
        cost = {**costs_of(step), **costs_of(payload)}
        for name, value in cost.items():
            self.spent[name] = self.spent.get(name, 0.0) + value
        cost |= self._costs.pop(payload["ticket"], {})
        if key in self.keys:
            self._reached_again(parent)
            return
        number = len(self.nodes)
        self.keys[key] = number
        change = change_of(parent, mapping(step.get("edit")))
        if change is not None:
            self.differences.changes[number] = change
        elif isinstance(step.get("tree"), str):
            self.differences.states[number] = step["tree"]
        node = node_of(number, step, payload, self.evaluations, self.seconds, cost)
        self.nodes.append(node)
        if node.kind == "passed":
            self._passed += 1
            place = f"evaluation {self.evaluations}, node {number}"
            self._say(f"patch {self._passed} passes the tests ({place}): {node.label}")

    def _alias(self, payload: Mapping[str, Any]) -> None:
        key = str(payload["key"])
        parent = payload.get("node", self._places.get(payload["ticket"]))
        if parent is not None:  # earlier versions did not say from where
            self._reached_again(int(parent))
            if key in self.keys:
                self.told.child(int(parent), key, 0.0, payload.get("probability"), None, False)

    def _reached_again(self, parent: int) -> None:
        self.aliases[parent] = self.aliases.get(parent, 0) + 1

    def _budget(self, payload: Mapping[str, Any]) -> None:
        self.phase, self.status = "search", ""
        self._say(f"gone on with another budget: {_given(payload)}")

    def _endpoint(self, payload: Mapping[str, Any]) -> None:
        self._say(f"gone on with another endpoint: {_given(payload)}")

    def _search_ended(self, payload: Mapping[str, Any]) -> None:
        self.phase = "verify"
        self._say(f"the search ended: {one_line(payload.get('because', '?'), 200)}")
        self.told.next_priors.update(
            {int(node): float(p) for node, p in mapping(payload.get("next_priors")).items()}
        )

    def _set_aside(self, payload: Mapping[str, Any]) -> None:
        self.phase = "search"
        self._say(f"no patch holds: searching on without {len(payload.get('keys', ()))} of them")

    def _verdict(self, payload: Mapping[str, Any]) -> None:
        node = self.keys.get(str(payload.get("key")))
        if payload.get("verified"):
            if node is not None:
                self.verified.add(node)
                self.nodes[node] = replace(self.nodes[node], kind="verified")
            self._say(f"verified in fresh processes: node {node}")
        else:
            why = one_line(payload.get("reason", ""), 200)
            self._say(f"refused by the final check: node {node}: {why}")

    def _partial(self, payload: Mapping[str, Any]) -> None:
        self.phase = "verify"
        node, mends = self.keys.get(str(payload["key"])), len(payload["mends"])
        why = "" if payload["held"] else f"; it does not hold: {one_line(payload['reason'], 200)}"
        self._say(f"node {node} mends {mends} target test{'s' * (mends != 1)}, not all{why}")

    def _interrupted(self, payload: Mapping[str, Any]) -> None:
        self.status = "interrupted"
        self._say("interrupted")

    def _finished(self, payload: Mapping[str, Any]) -> None:
        self.phase, self.status = "ended", str(payload.get("status", ""))
        self._say(f"ended: {one_line(self.status)}")

    def _note(self, payload: Mapping[str, Any]) -> None:
        self._say(one_line(payload.get("message", ""), 300))

    def _say(self, words: str) -> None:
        self.timeline.append(Moment(round(self.seconds, 2), words))


def _given(payload: Mapping[str, Any]) -> str:
    """What a resumed run was given, by name."""
    named = (f"{one_line(k)} {v}" for k, v in payload.items() if k != "seconds_so_far")
    return one_line(", ".join(named))


_READERS = {
    "prepared": RunLog._prepared,
    "root": RunLog._root,
    "step": RunLog._step,
    "ask": RunLog._ask,
    "reply": RunLog._reply,
    "tests": RunLog._tested,
    "outcome": RunLog._outcome,
    "alias": RunLog._alias,
    "budget": RunLog._budget,
    "endpoint": RunLog._endpoint,
    "search-ended": RunLog._search_ended,
    "set-aside": RunLog._set_aside,
    "verdict": RunLog._verdict,
    "partial": RunLog._partial,
    "interrupted": RunLog._interrupted,
    "finished": RunLog._finished,
    "note": RunLog._note,
}
