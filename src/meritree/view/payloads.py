"""What the payload of a journal's event says: numbers, costs, and the node that a step made.

Knows keys of single events (docs/view.md), not their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meritree.view.observed import observation_of
from meritree.view.tree import TreeNode

_COSTS = ("seconds", "tokens", "usd", "evaluations")


def node_of(
    number: int,
    step: Mapping[str, Any],
    outcome: Mapping[str, Any],
    at: int,
    seconds: float,
    cost: Mapping[str, float],
) -> TreeNode:
    """The node that a step and its outcome make: its ``number``, evaluations and time so far."""
    edit = mapping(step.get("edit"))
    estimate = mapping(outcome.get("estimate"))
    place = f"{edit.get('path', '?')}:{edit.get('line', '?')}" if edit else ""
    words = step.get("label") or edit.get("rationale") or ("an edit" if edit else "a step")
    prior = step.get("probability")
    return TreeNode(
        id=number,
        parent=int(step["node"]),
        label=f"{words} ({place})" if place else str(words),
        value=mean_of(outcome),
        kind="passed" if outcome.get("passed_all") else str(step.get("kind") or "edit"),
        channels={str(k): float(v) for k, v in mapping(estimate.get("channels")).items()},
        reasons={str(k): str(v) for k, v in mapping(estimate.get("reasons")).items()},
        action=_action(step, edit),
        place=place,
        observation=observation_of({"observation": step.get("observation"), **outcome}),
        diff=str(step.get("diff") or outcome.get("diff") or ""),
        prior=float(prior) if isinstance(prior, int | float) else None,
        at=at,
        time=round(seconds, 3),
        cost=cost,
    )


def _action(step: Mapping[str, Any], edit: Mapping[str, Any]) -> str:
    """The action's short name; an agent's action is data, and its kind the tool's name."""
    action = step.get("action")
    return str(action if isinstance(action, str) else step.get("kind") or edit.get("template", ""))


def mapping(value: object) -> Mapping[str, Any]:
    """A mapping as it is, nothing in place of anything else."""
    return value if isinstance(value, Mapping) else {}


def mean_of(payload: Mapping[str, Any]) -> float:
    """The value that an event tells, 0 where it tells none."""
    return float(mapping(payload.get("estimate")).get("mean", 0.0))


def costs_of(payload: Mapping[str, Any]) -> dict[str, float]:
    """What a step or an outcome says it cost, under ``cost`` or as plain ``seconds``."""
    said = {
        **{k: payload[k] for k in ("seconds",) if k in payload},
        **mapping(payload.get("cost")),
    }
    return {k: float(v) for k, v in said.items() if k in _COSTS and isinstance(v, int | float)}
