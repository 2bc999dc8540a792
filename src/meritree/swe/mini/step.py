"""One step of mini-swe-agent as one expansion: asked, run, its files hashed back, tested, judged.

Runs in a worker's thread and changes nothing in the tree. The step itself is the agent's own
`step`, on the conversation of the node that is expanded.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from meritree.errors import BudgetExceeded, HarnessError, MeritreeError
from meritree.respond.errors import PromptTooLong
from meritree.run.ledger import Ledger
from meritree.search import Ticket
from meritree.search.features import SweFeatures
from meritree.swe.agent.guards import judges, shadows
from meritree.swe.agent.situation import Changes, Files, Situation
from meritree.swe.agent.trials import Desk, Trials
from meritree.swe.agent.value_agent import AgentWeights, combined
from meritree.swe.edits import Edit
from meritree.swe.mini.conversation import Messages, commands_of, label_of
from meritree.swe.mini.environment import SandboxEnvironment, exit_message
from meritree.swe.mini.package import module
from meritree.swe.mini.shell import Left, is_patch, listed, patched
from meritree.swe.outcome_codec import decode_outcome, encode_outcome
from meritree.swe.repository import is_test_path
from meritree.swe.testing.types import Outcome
from meritree.swe.value import Facts, ValueWeights, judge
from meritree.value.estimate import Cost, Estimate

MakeAgent = Callable[[Any, SandboxEnvironment], Any]
"""Makes an agent with mini's interface: `messages`, `n_calls`, `cost`, `step()`."""
Record = Callable[[str, dict[str, Any]], None]
_MOST_WRONG = 3  # replies without a command in a row that end a branch


@dataclass(slots=True)
class MiniState:
    """One node.

    Attributes:
        messages: what this step added to the conversation.
        status: how the agent ended here, empty while it goes on.
        wrong: replies without a command in a row.
        calls, cost: of the model on the way here.
        idle: expansions in a row that led nowhere new.
    """

    key: str
    parent: int | None
    situation: Situation
    estimate: Estimate
    words: str = ""
    messages: Messages = field(default_factory=list)
    execution: Estimate | None = None
    outcome: Outcome | None = None
    status: str = ""
    wrong: int = 0
    calls: int = 0
    cost: float = 0.0
    idle: int = 0
    found_at: int = 0
    probability: float = 1.0
    edit: Edit | None = None
    features: SweFeatures | None = None  # mini's commands tell none

    @property
    def same_files(self) -> str:
        """Equal where a node with these files need not be made again."""
        return self.situation.tree


@dataclass(slots=True)
class MiniTask:
    """One expansion: the node, its whole conversation, and what a journal knows of it."""

    ticket: Ticket
    state: MiniState
    messages: Messages
    step: Mapping[str, Any] | None = None
    tests: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Made:
    """What came of an expansion; ``stopped`` says why it was not carried out."""

    ticket: Ticket
    state: MiniState | None = None
    evaluations: int = 0
    passed: bool = False
    terminal: bool = False
    alias: bool = False
    stopped: str = ""

    @property
    def key(self) -> str:
        """Of the state it led to; ``""`` where it was stopped."""
        return "" if self.state is None else self.state.key

    @property
    def acted(self) -> bool:
        """Whether the reply held a command."""
        return self.state is not None and not self.state.wrong


@dataclass(slots=True)
class Place:
    """What a worker owns: an environment to run commands in, and processes to run tests in."""

    environment: SandboxEnvironment
    desk: Desk


@dataclass(slots=True)
class MiniExpander:
    """What expansions share; safe to use from several threads.

    Attributes:
        model: mini's interface; pays for itself.
        known_key: whether a situation is in the tree.
        node_with_files: the key of the first node with these files, if there is one.
        path_facts: of the edits on the way to a node.
    """

    model: Any
    make_agent: MakeAgent
    trials: Trials
    ledger: Ledger
    files: Files
    record: Record
    known_key: Callable[[str], bool]
    node_with_files: Callable[[str], str | None]
    path_facts: Callable[[int], Facts]
    test_files: frozenset[str]
    roots: tuple[str, ...]
    weights: AgentWeights = field(default_factory=AgentWeights)
    execution_weights: ValueWeights = field(default_factory=ValueWeights)

    def expand(self, task: MiniTask, place: Place) -> Made:
        """Carry one expansion out.

        Raises:
            ModelError: the model cannot be asked at all.
        """
        try:
            step = task.step or self._step(task, place)
            state = self.state_of(task, step)
            if task.step is None:
                known = self._known(task.state.situation, state.situation)
                if known is not None and not state.status:
                    self.record(
                        "alias", {"ticket": task.ticket.id, "key": known, "label": state.words}
                    )
                    state.key = known
                    return Made(task.ticket, state, alias=True)
                self.record("step", dict(step))
            outcome, evaluations = self._outcome(task, state, place.desk)
        except BudgetExceeded as stop:
            return Made(task.ticket, stopped=str(stop))
        return self.judged(task, state, outcome, evaluations)

    def _known(self, before: Situation, now: Situation) -> str | None:
        """The key of the node that has this situation, or, where they changed, its files."""
        if self.known_key(now.key):
            return now.key
        return None if now.tree == before.tree else self.node_with_files(now.tree)

    # ---- the step -----------------------------------------------------------------------

    def _step(self, task: MiniTask, place: Place) -> dict[str, Any]:
        """Let the agent take one step; return it as JSON data for the journal."""
        before, environment = task.state, place.environment
        environment.reset()
        environment.shell.begin({**before.situation.changes, **before.situation.tests})
        try:
            agent = self.make_agent(self.model, environment)
            agent.messages = copy.deepcopy(task.messages)
            agent.n_calls, agent.cost = before.calls, before.cost
            status, wrong = self._taken(agent, task)
            left = environment.shell.left()
        finally:
            environment.shell.end()
        new: Messages = json.loads(json.dumps(agent.messages[len(task.messages) :], default=str))
        submission = str(new[-1].get("extra", {}).get("submission", "")) if status else ""
        if status == "Submitted" and is_patch(submission):
            # What is submitted counts, not what lies about.
            found = patched(environment.shell, submission)
            status = status if isinstance(found, Left) else "BrokenPatch"
            left = found if isinstance(found, Left) else left
        situation, dropped = self._situation(before.situation, left)
        if dropped and not status:
            new.append(self.model.format_message(role="user", content=listed(dropped)))
        outputs = "\n".join(environment.outputs)
        commands = commands_of(new)
        situation = situation.having_read(f"{commands}\n{outputs}")
        key = f"{situation.key}:{status}" if status else situation.key
        if wrong:
            key = f"{before.key}:none:{task.ticket.id}"
        return {
            "ticket": task.ticket.id,
            "node": task.ticket.node,
            "key": key,
            "label": label_of(new, status),
            "kind": "mini",
            "action": None,
            "messages": new,
            "status": status,
            "wrong": before.wrong + 1 if wrong else 0,
            "failures": environment.failures,
            "calls": agent.n_calls,
            "cost": agent.cost,
            "tree": situation.tree,
            "files": self._difference(before.situation.changes, situation.changes),
            "tests": dict(situation.tests),
            "seen": sorted(situation.seen),
        }

    def _taken(self, agent: Any, task: MiniTask) -> tuple[str, bool]:
        """One `step` of the agent: how it ended (empty: it goes on), and whether it went wrong."""
        exceptions = module("exceptions")
        self._asking(task, agent.messages)
        spent = agent.cost
        try:
            agent.step()
            return "", False
        except exceptions.FormatError as error:
            agent.cost += error.messages[0].get("extra", {}).get("cost", 0.0)
            agent.messages.extend(error.messages)
            if task.state.wrong + 1 >= _MOST_WRONG:
                agent.messages.append(exit_message("RepeatedFormatError"))
                return "RepeatedFormatError", True
            return "", True
        except PromptTooLong:
            agent.messages.append(exit_message("ContextWindowExceeded"))
            return "ContextWindowExceeded", False
        except exceptions.InterruptAgentFlow as stop:
            agent.messages.extend(stop.messages)
            extra = agent.messages[-1].get("extra", {})
            return str(extra.get("exit_status") or type(stop).__name__), False
        finally:
            now = self.ledger.snapshot().spent
            told = {"tokens": now.tokens, "usd": now.usd}
            reply = {"usd": agent.cost - spent}
            self.record("reply", {"ticket": task.ticket.id, "role": "agent", "reply": reply,
                                  "spent": told})  # fmt: skip

    def _asking(self, task: MiniTask, messages: Messages) -> None:
        bound = Cost()
        if hasattr(self.model, "request"):  # one of ours: the most that it can cost is known
            most = self.model.model.upper_bound(self.model.request(messages))
            bound = Cost(tokens=most.tokens, usd=most.usd if most.usd < float("inf") else 0.0)
        self.record("asking", {"ticket": task.ticket.id, "role": "agent", "tokens": bound.tokens,
                               "usd": bound.usd})  # fmt: skip

    def _situation(self, before: Situation, left: Left) -> tuple[Situation, tuple[str, ...]]:
        """The files of a patch, apart from the agent's own tests and from what cannot be kept."""
        dropped = list(left.dropped)
        changes: dict[str, str | None] = {}
        tests: dict[str, str] = {}
        known = set(self.files.store.paths(self.files.base))
        for path, text in left.changes.items():
            objection = judges(path, self.test_files)
            if objection and text is not None and _is_test(path):
                tests[path] = text
            elif objection:
                dropped.append(f"{path} (it judges the patch, or configures the tests)")
            elif path not in known and (shadowing := shadows(path, self.roots)):
                dropped.append(f"{path} ({shadowing})")
            else:
                changes[path] = text
        for path in list(changes):
            try:  # a text that its file's encoding cannot hold
                self.files.named({path: changes[path]})
            except MeritreeError as error:
                dropped.append(f"{path} ({error})")
                del changes[path]
        tree, real = self.files.named(changes)
        return Situation(tree, real, tests, before.seen), tuple(dropped)

    def _difference(self, before: Changes, after: Changes) -> dict[str, str | None]:
        """What to change in ``before`` to have ``after``; whole files."""
        now = {path: after.get(path, self.files.original(path)) for path in {*before, *after}}
        old = {path: before.get(path, self.files.original(path)) for path in now}
        return {path: text for path, text in sorted(now.items()) if text != old[path]}

    def state_of(self, task: MiniTask, step: Mapping[str, Any]) -> MiniState:
        """The state after a step, live or out of a journal."""
        before = task.state
        changes = {**before.situation.changes, **step["files"]}
        tree, real = self.files.named(changes)
        situation = Situation(tree, real, step["tests"], frozenset(step["seen"]))
        edit = None
        if step["files"]:
            path = next(iter(step["files"]))
            size = float(min(6, len(step["files"])))
            edit = Edit(path, (), "mini", 1.0, 1, "", size, str(step["label"]))
        return MiniState(
            str(step["key"]), task.ticket.node, situation, before.estimate, str(step["label"]),
            list(step["messages"]), before.execution, status=str(step["status"]),
            wrong=int(step["wrong"]), calls=int(step["calls"]), cost=float(step["cost"]), edit=edit,
        )  # fmt: skip

    # ---- tests and value ------------------------------------------------------------------

    def _outcome(self, task: MiniTask, state: MiniState, desk: Desk) -> tuple[Outcome | None, int]:
        """Run the tests where files changed; a recorded outcome is not run again."""
        before, now = task.state.situation, state.situation
        if task.tests is not None or (now.tree == before.tree and now.tests == before.tests):
            return self.outcome_of(task, state)
        bench = self.trials.judging(now)
        if bench is None or not now.changes:
            return None, 0
        self.ledger.reserve(Cost(evaluations=1)).book(Cost(evaluations=1))
        try:
            outcome = desk.outcome(now)
        except HarnessError:
            outcome = None
        told = None if outcome is None else encode_outcome(outcome)
        self.record("tests", {"ticket": task.ticket.id, "outcome": told, "evaluations": 1})
        return outcome, 1

    def outcome_of(self, task: MiniTask, state: MiniState) -> tuple[Outcome | None, int]:
        """What is known of a state's tests without running any: the outcome, evaluations."""
        before, now = task.state.situation, state.situation
        if task.tests is not None:
            known = task.tests["outcome"]
            evaluations = int(task.tests["evaluations"])
            return (None if known is None else decode_outcome(known)), evaluations
        same = now.tree == before.tree and now.tests == before.tests
        return (task.state.outcome if same else None), 0

    def judged(
        self, task: MiniTask, state: MiniState, outcome: Outcome | None, evaluations: int
    ) -> Made:
        """The state with its value, and whether it ends the branch."""
        state.outcome = outcome
        if outcome is not None and outcome is not task.state.outcome:
            bench = self.trials.judging(state.situation)
            if bench is not None and bench.reference is not None:
                facts = self.path_facts(task.ticket.node)
                more = Facts(size=facts.size + 1.0, edits=facts.edits + 1)
                state.execution = judge(bench.reference, outcome, more, self.execution_weights)
        rules = by_rules(task.state, state)
        state.estimate = combined(rules, state.execution, outcome, None, self.weights)
        unjudged = state.status == "Submitted" and outcome is None
        passes = unjudged or (outcome is not None and outcome.passed_all)
        passed = passes and bool(state.situation.changes)
        terminal = bool(state.status) or passed
        return Made(task.ticket, state, evaluations, passed, terminal)


def by_rules(before: MiniState, state: MiniState) -> tuple[float, str]:
    """The reward in [-100, 100] that is plain without asking anybody, and why."""
    outcome, changed = state.outcome, state.situation.tree != before.situation.tree
    if state.wrong:
        return max(-100.0, -25.0 - 25.0 * state.wrong), "the reply holds no command"
    if state.status and state.status != "Submitted":
        return -100.0, f"ended: {state.status}"
    if state.status and not state.situation.changes:
        return -100.0, "submitted without a change"
    if outcome is not None and outcome.passed_all:
        return 100.0, "every test passes"
    if state.status:
        return (0.0, "submitted, and no test can judge it") if outcome is None else (
            -100.0, "submitted while tests fail")  # fmt: skip
    if not changed:
        return 20.0, "looked around"
    if outcome is None or state.execution is None:
        return 10.0, "an edit that no test judges yet"
    if outcome.invalid:
        return -100.0, "the code cannot be loaded"
    if outcome.regressions:
        return -60.0, f"breaks {outcome.regressions[0]}"
    gain = state.execution.mean - (before.execution.mean if before.execution else 0.0)
    if gain > 0.02:
        return min(90.0, 40.0 + 100.0 * gain), "the tests come nearer"
    return (-60.0, "the tests are further away") if gain < -0.02 else (
        -40.0, "the tests fail as before")  # fmt: skip


def _is_test(path: str) -> bool:
    name = path.rpartition("/")[2]
    return is_test_path(path) and name.startswith("test") and name.endswith(".py")
