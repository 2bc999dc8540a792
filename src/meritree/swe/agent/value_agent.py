"""The value of one step of an agent: rules first, then the tests' channels, a model last.

Everything is a channel in [0, 1] with a reason; without a model the rest decides alone. Knows
neither how tests are run nor how the search uses the value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from meritree.errors import BadInput
from meritree.respond.codec import loads
from meritree.respond.data import Message, Reply, Request, Tool, system, user
from meritree.swe.agent import actions as act
from meritree.swe.agent.actions import Action, label
from meritree.swe.agent.looking import Observation
from meritree.swe.agent.policy import UNUSABLE, Ask
from meritree.swe.agent.prompts import filled, template
from meritree.swe.testing.types import Outcome
from meritree.value.combine import weighted_mean
from meritree.value.estimate import Estimate

JUDGE = Tool(
    "judge",
    "Say how good the latest step is.",
    {
        "type": "object",
        "properties": {
            "explanation": {"type": "string", "description": "what speaks for and against it"},
            "value": {"type": "integer", "description": "-100 to 100"},
        },
        "required": ["explanation", "value"],
    },
)
_VALUE = re.compile(r"value[^\w-]{0,5}(-?\d{1,4})(?![\d.]*\d)", re.IGNORECASE)
_MOST_WORDS = 600
_UNSOLVED = 0.99


@dataclass(frozen=True, slots=True)
class AgentWeights:
    """How the parts make one value: their weighted mean, over those that are there.

    Attributes:
        execution: what the tests say (`meritree.swe.value`).
        rules: what is plain from the action and its result.
        model: the value model's number.
    """

    execution: float = 0.6
    rules: float = 0.2
    model: float = 0.4

    def __post_init__(self) -> None:
        values = (self.execution, self.rules, self.model)
        if min(values) < 0 or sum(values) <= 0:
            raise BadInput(f"agent weights {values}: give numbers of 0 or more, not all 0")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a value model said: a number in [0, 1] (None: it gave none) and why."""

    value: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged.

    Attributes:
        task: the task as the agent sees it.
        steps: labels of the earlier steps.
        action: the latest; None where the model gave none.
        observation: what it showed.
        diff: the patch after it.
        execution: what the tests say of the files as they are; None where nothing can be run.
        before: the same of the files before the step.
        outcome: the tests' outcome, if they were run for this step.
        suspected: it shows or changes lines that the failing tests lead to.
        corrections: how many steps in a row, this one included, asked for a correction.
        own_test: ``"fails"``, ``"passes"`` or ``""``: the agent's test on the starting code.
    """

    task: str
    steps: Sequence[str]
    action: Action | None
    observation: Observation
    diff: str = ""
    execution: Estimate | None = None
    before: Estimate | None = None
    outcome: Outcome | None = None
    suspected: bool = False
    corrections: int = 0
    own_test: str = ""


def from_reward(reward: float) -> float:
    """[-100, 100] to [0, 1], cut at the ends."""
    return min(1.0, max(0.0, (reward + 100.0) / 200.0))


def by_rules(case: Case) -> tuple[float, str]:
    """The reward in [-100, 100] that is plain without asking anybody, and why."""
    action, observation = case.action, case.observation
    if action is None:
        return -100.0, "the model gave no action"
    if observation.expects_correction:
        reward = max(-100.0, -25.0 - 25.0 * case.corrections)
        return reward, f"cannot be done: {_line(observation.text)}"
    match action:
        case act.Reject():
            return -100.0, "given up"
        case act.Finish():
            return _finished(case)
        case act.Replace() | act.Insert() | act.Create() | act.Delete():
            return _edited(case)
        case act.WriteTest():
            return {
                "fails": (60.0, "the written test fails on the starting code"),
                "passes": (-30.0, "the written test passes on the starting code"),
            }.get(case.own_test, (-50.0, "the written test cannot be run"))
        case act.RunTests():
            return 10.0, "the tests were run"
        case act.Plan():
            planned = sum(step.startswith("plan:") for step in case.steps)
            return 10.0 - 30.0 * planned, "a plan" if not planned else f"plan number {planned + 1}"
        case act.View():
            if case.suspected:
                return 60.0, "shows lines that the failing tests lead to"
            return 20.0, f"shows {observation.found} lines"
        case _:
            if not observation.found:
                return -30.0, "found nothing"
            return (20.0, f"found {observation.found}") if observation.found <= 20 else (
                0.0, f"found {observation.found}, too many to tell")  # fmt: skip


def _finished(case: Case) -> tuple[float, str]:
    if not case.diff:
        return -100.0, "finished without a patch"
    if case.outcome is None:
        return 0.0, "finished, and no test can judge it"
    if case.outcome.passed_all:
        return 100.0, "finished, and the tests pass"
    return -100.0, "finished while tests fail"


def _edited(case: Case) -> tuple[float, str]:
    outcome = case.outcome
    if outcome is None or case.execution is None:
        return (40.0 if case.suspected else 10.0), "an edit that no test judges yet"
    if outcome.invalid:
        return -100.0, "the code cannot be loaded"
    if outcome.passed_all:
        return 100.0, "every test passes"
    if outcome.regressions:
        return -60.0, f"breaks {outcome.regressions[0]}"
    gain = case.execution.mean - (case.before.mean if case.before else 0.0)
    if gain > 0.02:
        return min(90.0, 40.0 + 100.0 * gain), "the tests come nearer"
    if gain < -0.02:
        return -60.0, "the tests are further away"
    return -40.0, "the tests fail as before"


def combined(
    rules: tuple[float, str],
    execution: Estimate | None,
    outcome: Outcome | None,
    verdict: Verdict | None,
    weights: AgentWeights,
) -> Estimate:
    """One value of all parts, each visible as a channel.

    1 exactly where every test passed, 0 where the code cannot be loaded: no opinion overrules
    what was run.
    """
    channels = dict(execution.channels) if execution else {}
    reasons = dict(execution.reasons) if execution else {}
    parts: list[tuple[float, float]] = []
    if execution is not None:
        parts.append((execution.mean, weights.execution))
    channels["rules"], reasons["rules"] = from_reward(rules[0]), rules[1]
    parts.append((channels["rules"], weights.rules))
    if verdict is not None:
        reasons["model"] = verdict.why
        if verdict.value is not None:
            channels["model"] = verdict.value
            parts.append((verdict.value, weights.model))
    parts = [(value, weight) for value, weight in parts if weight > 0] or [(0.0, 1.0)]
    mean = min(_UNSOLVED, weighted_mean([v for v, _ in parts], [w for _, w in parts]))
    if outcome is not None and outcome.passed_all:
        mean = 1.0
    elif outcome is not None and outcome.invalid:
        mean = 0.0
    return Estimate(mean, n=execution.n if execution else 0.0, channels=channels, reasons=reasons)


@dataclass(frozen=True, slots=True)
class ValueAgent:
    """Asks a model what a step is worth.

    Attributes:
        temperature: None leaves it to the endpoint.
        repairs: how often a reply without a number is complained about.
        tokens: about the longest prompt.
    """

    temperature: float | None = None
    repairs: int = 1
    tokens: int = 24_000
    max_tokens: int | None = None
    _left_out: str = field(default="... (cut)", init=False)

    def request(self, case: Case, seed: int | None = None) -> Request:
        """The question about one step; criteria fit the kind of its action."""
        category = case.action.category if case.action is not None else "plan"
        criteria = template(f"value_{category}")
        room = 4 * self.tokens
        question = filled(
            "value_question",
            task=self._cut(case.task, room // 4),
            steps=self._cut("\n".join(f"{n}. {s}" for n, s in enumerate(case.steps, 1)), room // 8)
            or "none",
            action=self._cut(_told(case.action), room // 8),
            observation=self._cut(case.observation.text, room // 4),
            tests=_tests(case),
            diff=self._cut(case.diff, room // 4) or "no change",
        )
        messages = (system(filled("value_system", criteria=criteria)), user(question))
        return Request(
            messages, (JUDGE,), "auto", self.temperature, max_tokens=self.max_tokens, seed=seed
        )

    def judge(self, ask: Ask, request: Request) -> Verdict:
        """The model's number and explanation; a verdict without a number where it gives none.

        Raises:
            ModelError, BudgetExceeded: it cannot be asked.
        """
        complaint = ""
        for _ in range(self.repairs + 1):
            try:
                reply = ask(request)
            except UNUSABLE as error:
                complaint = f"the value model's reply could not be used ({error})"
                continue
            verdict = read_verdict(reply)
            if isinstance(verdict, Verdict):
                return verdict
            complaint = verdict
            told = (Message("assistant", reply.text[:2000]),) if reply.text.strip() else ()
            again = user(filled("repair", complaint=complaint))
            request = Request(
                (*request.messages, *told, again), request.tools, "auto", request.temperature,
                max_tokens=request.max_tokens, seed=request.seed,
            )  # fmt: skip
        return Verdict(None, f"no value: {complaint}")

    def _cut(self, text: str, most: int) -> str:
        return text if len(text) <= most else f"{text[:most]}\n{self._left_out}"


def read_verdict(reply: Reply) -> Verdict | str:
    """The number and the explanation in a reply, or what is wrong with it."""
    given: object = None
    why = reply.text
    if reply.tool_calls and not reply.tool_calls[0].error:
        given = reply.tool_calls[0].arguments.get("value")
        said = reply.tool_calls[0].arguments.get("explanation")
        why = said if isinstance(said, str) and said.strip() else why
    else:
        document = _object(reply.text)
        if document is not None:
            given = document.get("value")
            said = document.get("explanation")
            why = said if isinstance(said, str) else why
        elif found := _VALUE.findall(reply.text):
            given = int(found[-1])
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        return "call the tool judge with an explanation and a value, a whole number"
    if not -100 <= given <= 100:
        return f"the value {given} lies outside -100 to 100"
    return Verdict(from_reward(float(given)), " ".join(why.split())[:_MOST_WORDS] or "no words")


def _object(text: str) -> dict[str, object] | None:
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return None
    try:
        document = loads(text[start : end + 1])
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _told(action: Action | None) -> str:
    if action is None:
        return "none: the reply held no action"
    return f"{label(action)}\n{json.dumps(act.encode(action), ensure_ascii=False)}"


def _tests(case: Case) -> str:
    if case.execution is None:
        return "no test judges the code yet"
    return "\n".join(f"{name}: {why}" for name, why in case.execution.reasons.items()) or "nothing"


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:159] + "…"
