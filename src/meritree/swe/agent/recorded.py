"""What a journal says of an agent's search: steps as they were taken, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meritree.swe.agent import actions as act
from meritree.swe.agent.codec import decode_estimate, decode_observation, decode_tested
from meritree.swe.agent.state import Expanded, Task
from meritree.swe.agent.workspace import Workspace
from meritree.swe.replaying import other_version
from meritree.value.estimate import Cost, Estimate

EVENTS = frozenset(
    ["ask", "asking", "reply", "step", "tests", "outcome", "alias", "exhausted", "cancelled"]
)


def recorded_step(task: Task, payload: Mapping[str, Any], workspace: Workspace) -> Expanded:
    """The expansion that an outcome event ends; what was seen is taken from the journal.

    Raises:
        JournalError: the recorded action leads elsewhere now.
    """
    step = task.recorded.step
    if step is None:
        raise other_version()
    action = act.decode(step["action"]) if step["action"] is not None else None
    observation = decode_observation(step["observation"])
    situation = task.state.situation
    if action is not None:
        done = workspace.perform(situation, action)
        if done.situation.tree == situation.tree and not isinstance(action, act.WriteTest):
            done = workspace.after(situation, action, observation)
        situation = done.situation
    if situation.tree != step["tree"]:
        raise other_version()
    tested = None if task.recorded.tests is None else decode_tested(task.recorded.tests)
    estimate = decode_estimate(payload["estimate"])
    return Expanded(
        task.ticket, str(step["key"]), action, str(step["said"]), situation,
        observation if tested is None else tested.observation,
        estimate or Estimate(0.0),
        decode_estimate(payload["execution"]),
        None if tested is None else tested.outcome,
        0 if tested is None else tested.evaluations,
        terminal=bool(payload["terminal"]),
        passed=bool(payload["passed_all"]),
        corrections=int(payload["corrections"]),
    )  # fmt: skip


def spent_in(events: Iterable[tuple[str, Mapping[str, Any]]]) -> Cost:
    """What a journal's events say was spent: evaluations, tokens, money.

    A call that was begun and has no reply is counted at the most it can have cost.
    """
    tokens, usd, evaluations = 0, 0.0, 0
    open_calls: dict[tuple[int, str], tuple[int, float]] = {}
    for kind, payload in events:
        if kind == "asking":
            call = (payload["ticket"], payload["role"])
            open_calls[call] = (int(payload["tokens"]), float(payload["usd"]))
        elif kind == "reply":
            open_calls.pop((payload["ticket"], payload["role"]), None)
            tokens = max(tokens, int(payload["spent"]["tokens"]))
            usd = max(usd, float(payload["spent"]["usd"]))
        elif kind == "tests":
            evaluations += int(payload["evaluations"])
    tokens += sum(pair[0] for pair in open_calls.values())
    usd += sum(pair[1] for pair in open_calls.values())
    return Cost(evaluations=evaluations, tokens=tokens, usd=usd)
