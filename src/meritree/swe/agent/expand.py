"""One expansion: ask the model, carry its action out, run the tests, have the step judged.

Runs in a worker's thread; reads the tree through a few questions only and changes nothing in it.
What a journal already holds is taken from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from meritree.errors import BudgetExceeded, HarnessError, MeritreeError
from meritree.respond.codec import encode_reply
from meritree.respond.data import Reply, Request
from meritree.respond.errors import PromptTooLong
from meritree.respond.model import Model
from meritree.run.ledger import Ledger
from meritree.swe.agent import actions as act
from meritree.swe.agent.codec import decode_tested, encode_observation, encode_tested
from meritree.swe.agent.looking import Observation
from meritree.swe.agent.policy import UNUSABLE, AgentPolicy, Ask, Proposal
from meritree.swe.agent.reports import outcome_words, result_words, results_words
from meritree.swe.agent.situation import Situation
from meritree.swe.agent.state import AgentState, Expanded, Task, Tested
from meritree.swe.agent.trials import Bench, Desk, Trials
from meritree.swe.agent.value_agent import (
    AgentWeights,
    Case,
    ValueAgent,
    Verdict,
    by_rules,
    combined,
)
from meritree.swe.agent.workspace import Workspace
from meritree.swe.testing.types import Outcome
from meritree.swe.value import Facts, ValueWeights, judge
from meritree.value.estimate import Cost, Estimate

_MOST_HALVED = 4
Record = Callable[[str, dict[str, Any]], None]


@dataclass(slots=True)
class Expander:
    """Everything that expansions share; safe to use from several threads.

    Attributes:
        known: node of a key, and of a tree of files, if the tree holds one (else None).
        known_outcome: what the tests said of the same files before.
        steps: labels on the way to a node.
        suspected: whether lines of files are among those that the failing tests lead to.
    """

    model: Model
    policy: AgentPolicy
    workspace: Workspace
    trials: Trials
    ledger: Ledger
    record: Record
    task: str
    known_key: Callable[[str], bool]
    node_with_files: Callable[[str], str | None]
    known_outcome: Callable[[Situation], Outcome | None]
    steps: Callable[[int], tuple[str, ...]]
    path_facts: Callable[[int], Facts]
    suspected: Callable[[Mapping[str, tuple[int, int]]], bool]
    value_model: Model | None = None
    value_agent: ValueAgent = field(default_factory=ValueAgent)
    weights: AgentWeights = field(default_factory=AgentWeights)
    execution_weights: ValueWeights = field(default_factory=ValueWeights)
    halved: int = 0  # how often prompts had to be halved to fit the model's context

    def expand(self, task: Task, desk: Desk) -> Expanded:
        """Carry one expansion out.

        Raises:
            ModelError: a model cannot be asked at all (wrong key, dead endpoint, ...).
        """
        try:
            proposal = self._proposed(task)
            if proposal.action is None:
                return self._without_action(task, proposal.complaints, proposal.said)
            done = self._done(task, proposal.action, proposal.said)
            return done if done.alias else self._judged(task, desk, done)
        except BudgetExceeded as stop:
            return Expanded(task.ticket, stopped=str(stop))

    def _proposed(self, task: Task) -> Proposal:
        """The model's proposal; a prompt beyond its context is halved, for later ones too."""
        ask = self._asker(task, "agent", self.model)
        while True:
            halved = self.halved
            try:
                return self.policy.propose(ask, task.request(halved))
            except PromptTooLong:
                if halved >= _MOST_HALVED:
                    raise
                self.halved = max(self.halved, halved + 1)

    # ---- asking -----------------------------------------------------------------------

    def _asker(self, task: Task, role: str, model: Model) -> Ask:
        number = task.ticket.id

        def ask(request: Request) -> Reply:
            recorded = task.recorded.next(role)
            if recorded is not None:
                return recorded
            bound = model.upper_bound(request)
            usd = bound.usd if bound.usd < float("inf") else 0.0
            self.record(
                "asking", {"ticket": number, "role": role, "tokens": bound.tokens, "usd": usd}
            )
            try:
                reply = model.ask(request)
            except UNUSABLE as error:
                failed = {"error": type(error).__name__, "words": str(error)}
                self.record("reply", {"ticket": number, "role": role, **failed, **self._spent()})
                raise
            said = encode_reply(reply)
            self.record("reply", {"ticket": number, "role": role, "reply": said, **self._spent()})
            return reply

        return ask

    def _spent(self) -> dict[str, Any]:
        spent = self.ledger.snapshot().spent
        return {"spent": {"tokens": spent.tokens, "usd": spent.usd}}

    def _without_action(self, task: Task, complaints: tuple[str, ...], said: str) -> Expanded:
        complaint = complaints[-1] if complaints else "no reply"
        observation = Observation(complaint, expects_correction=True)
        state = task.state
        key = f"{state.key}{task.chain}:none:{task.ticket.id}"
        self._note_step(task, key, None, said, observation, state.situation)
        case = self._case(task, None, observation, state.situation, state.execution, None)
        estimate = Estimate(0.0, channels={"rules": 0.0}, reasons={"rules": by_rules(case)[1]})
        return Expanded(
            task.ticket, key, None, said, state.situation, observation, estimate,
            state.execution, terminal=True, corrections=state.corrections + 1,
        )  # fmt: skip

    # ---- acting -----------------------------------------------------------------------

    def _done(self, task: Task, action: act.Action, said: str) -> Expanded:
        """Carry the action out, and find what the tree holds already before it costs anything."""
        state = task.state
        step = self.workspace.perform(state.situation, action)
        situation, observation = step.situation, step.observation
        ends = isinstance(action, act.Finish | act.Reject)
        key = f"{situation.key}{task.chain}"
        key = f"{key}:{act.name_of(action)}" if ends else key
        corrections = state.corrections + 1 if observation.expects_correction else 0
        made = Expanded(
            task.ticket, key, action, said, situation, observation, terminal=ends,
            corrections=corrections,
        )  # fmt: skip
        other = key if self.known_key(key) else None
        if other is None and situation.tree != state.situation.tree:
            other = self.node_with_files(situation.tree + task.chain)
        if other is not None:
            self.record(
                "alias",
                {"ticket": task.ticket.id, "key": other, "action": act.encode(action),
                 "label": act.label(action)},
            )  # fmt: skip
            return replace(made, key=other, alias=True)
        self._note_step(task, key, action, said, observation, situation)
        return made

    def _note_step(
        self, task: Task, key: str, action: act.Action | None, said: str,
        observation: Observation, situation: Situation,
    ) -> None:  # fmt: skip
        if task.recorded.step is not None:
            return
        self.record(
            "step",
            {
                "ticket": task.ticket.id,
                "node": task.ticket.node,
                "key": key,
                "label": act.label(action) if action is not None else "no action",
                "action": act.encode(action) if action is not None else None,
                "kind": act.name_of(action) if action is not None else "none",
                "said": said,
                "observation": encode_observation(observation),
                "tree": situation.tree,
            },
        )

    # ---- judging ----------------------------------------------------------------------

    def _judged(self, task: Task, desk: Desk, made: Expanded) -> Expanded:
        situation, action, state = made.situation, made.action, task.state
        assert situation is not None
        assert action is not None
        tested = self._tested(task, desk, made)
        made = replace(
            made, outcome=tested.outcome, execution=tested.execution or state.execution,
            observation=tested.observation, evaluations=tested.evaluations,
        )  # fmt: skip
        if tested.observation.expects_correction:
            made.corrections = state.corrections + 1
        case = self._case(
            task, made.action, made.observation, situation, made.execution, made.outcome,
            tested.own_test,
        )  # fmt: skip
        verdict = self._asked_for_value(task, case)
        estimate = combined(by_rules(case), made.execution, made.outcome, verdict, self.weights)
        unjudged = isinstance(made.action, act.Finish) and made.outcome is None
        passes = unjudged or (made.outcome is not None and made.outcome.passed_all)
        passed = passes and bool(situation.changes)
        return replace(made, estimate=estimate, passed=passed, terminal=made.terminal or passed)

    def _asked_for_value(self, task: Task, case: Case) -> Verdict | None:
        """Ask the value model only where rules and tests leave something to say."""
        if self.value_model is None or case.action is None:
            return None
        settled = case.outcome is not None and (case.outcome.passed_all or case.outcome.invalid)
        if settled or case.observation.expects_correction or isinstance(case.action, act.Reject):
            return None
        ask = self._asker(task, "value", self.value_model)
        for halved in range(_MOST_HALVED + 1):
            agent = replace(self.value_agent, tokens=self.value_agent.tokens >> halved)
            try:
                return agent.judge(ask, agent.request(case, task.seed))
            except PromptTooLong as error:
                reason = str(error)
        return Verdict(None, f"no value: {reason}")

    def _case(
        self, task: Task, action: act.Action | None, observation: Observation,
        situation: Situation, execution: Estimate | None, outcome: Outcome | None,
        own_test: str = "",
    ) -> Case:  # fmt: skip
        store, base = self.workspace.files.store, self.workspace.files.base
        try:
            diff = store.diff(base, situation.tree) if situation.changes else ""
        except MeritreeError as error:
            diff = f"(cannot be shown: {error})"
        return Case(
            task=self.task,
            steps=self.steps(task.ticket.node),
            action=action,
            observation=observation,
            diff=diff,
            execution=execution,
            before=task.state.execution,
            outcome=outcome,
            suspected=self.suspected(observation.lines),
            corrections=task.state.corrections,
            own_test=own_test,
        )

    # ---- tests ------------------------------------------------------------------------

    def _tested(self, task: Task, desk: Desk, made: Expanded) -> Tested:
        """Run what the action calls for; recorded results are not run again."""
        action, situation = made.action, made.situation
        assert situation is not None
        nothing = Tested(made.observation)
        if made.observation.expects_correction:
            return nothing
        if task.recorded.tests is not None:
            return self._told(task, made, decode_tested(task.recorded.tests))
        match action:
            case act.Finish() | act.RunTests(tests=()) if task.state.outcome is not None:
                return self._told(task, made, self._known(task.state, made))
            case act.WriteTest():
                tested = self._own_tested(situation, desk, made.observation)
            case act.RunTests(tests=tests) if tests:
                tested = self._named(situation, desk, tests)
            case act.RunTests() | act.Replace() | act.Insert() | act.Create() | act.Delete():
                tested = self._targets(situation, desk, made.observation)
            case act.Finish() if situation.changes:
                tested = self._targets(situation, desk, made.observation)
            case _:
                return nothing
        self.record("tests", {"ticket": task.ticket.id, **encode_tested(tested)})
        return self._told(task, made, tested)

    def _told(self, task: Task, made: Expanded, tested: Tested) -> Tested:
        """Add what the tests' outcome is worth."""
        assert made.situation is not None
        if tested.outcome is None or tested.execution is not None:
            return tested
        bench = self.trials.judging(made.situation)
        if bench is None or bench.reference is None:
            return tested
        facts = self.path_facts(task.ticket.node)
        if made.situation.tree != task.state.situation.tree:
            facts = replace(facts, size=facts.size + 1.0, edits=facts.edits + 1)
        value = judge(bench.reference, tested.outcome, facts, self.execution_weights)
        return replace(tested, execution=value)

    def _known(self, state: AgentState, made: Expanded) -> Tested:
        """These very files were judged before."""
        assert state.outcome is not None
        bench = self.trials.judging(state.situation)
        targets = bench.targets if bench else ()
        words = outcome_words(state.outcome, targets, _before(bench) if bench else {})
        return Tested(_with(made.observation, words), state.outcome, state.execution)

    def _reserved(self) -> None:
        self.ledger.reserve(Cost(evaluations=1)).book(Cost(evaluations=1))

    def _targets(self, situation: Situation, desk: Desk, seen: Observation) -> Tested:
        bench = self.trials.judging(situation)
        if bench is None:
            words = "No test judges the code yet; write_test makes one."
            return Tested(_with(seen, words))
        if not situation.changes and bench.reference is not None:
            outcome = Outcome(False, bench.reference.results)
            return Tested(_with(seen, outcome_words(outcome, bench.targets, {})), outcome)
        known = self.known_outcome(situation)
        if known is not None:  # another attempt came to the same files: nothing is run twice
            words = outcome_words(known, bench.targets, _before(bench))
            return Tested(_with(seen, words), known)
        self._reserved()
        try:
            found = desk.outcome(situation)
        except HarnessError as error:
            return Tested(_with(seen, f"The tests could not be run: {error}"), evaluations=1)
        if found is None:
            return Tested(seen, evaluations=1)
        words = outcome_words(found, bench.targets, _before(bench))
        return Tested(_with(seen, words), found, evaluations=1)

    def _named(self, situation: Situation, desk: Desk, tests: tuple[str, ...]) -> Tested:
        self._reserved()
        results = desk.named(situation, tests)
        if isinstance(results, str):
            return Tested(Observation(results, expects_correction=True), evaluations=1)
        return Tested(Observation(results_words(results), found=len(results)), evaluations=1)

    def _own_tested(self, situation: Situation, desk: Desk, seen: Observation) -> Tested:
        """Does the written test fail on the starting code, and what does it say now?"""
        self._reserved()
        bench = self.trials.own(situation.tests)
        if bench.problem and not bench.targets:
            said = f"{seen.text}\nIt cannot judge: {bench.problem}"
            own = "passes" if bench.session is not None else "broken"
            return Tested(
                replace(seen, text=said, expects_correction=True), own_test=own, evaluations=1
            )
        failing = "\n".join(f"- {result_words(bench.baseline.results[t])}" for t in bench.targets)
        seen = _with(seen, f"On the starting code it fails:\n{failing}")
        outcome: Outcome | None = None
        if not self.trials.has_targets:
            told = self._targets(situation, desk, seen)
            seen, outcome = told.observation, told.outcome
            return Tested(seen, outcome, own_test="fails", evaluations=1 + told.evaluations)
        return Tested(seen, own_test="fails", evaluations=1)


def _with(seen: Observation, words: str) -> Observation:
    return replace(seen, text=f"{seen.text}\n\n{words}".strip())


def _before(bench: Bench) -> Mapping[str, Any]:
    return bench.reference.results if bench.reference is not None else {}
