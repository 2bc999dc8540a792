"""Observations, test runs and estimates of the agent as JSON data for the journal, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meritree.swe.agent.looking import Observation
from meritree.swe.agent.state import Tested
from meritree.swe.outcome_codec import decode_outcome, encode_outcome
from meritree.value.estimate import Estimate


def encode_observation(seen: Observation) -> dict[str, Any]:
    """As JSON data."""
    return {
        "text": seen.text,
        "expects_correction": seen.expects_correction,
        "found": seen.found,
        "spans": {path: sorted(names) for path, names in seen.spans.items()},
        "lines": {path: list(pair) for path, pair in seen.lines.items()},
    }


def decode_observation(data: Mapping[str, Any]) -> Observation:
    """Inverse of `encode_observation`."""
    return Observation(
        str(data["text"]),
        bool(data["expects_correction"]),
        int(data["found"]),
        {path: frozenset(names) for path, names in data["spans"].items()},
        {path: (int(pair[0]), int(pair[1])) for path, pair in data["lines"].items()},
    )


def encode_tested(tested: Tested) -> dict[str, Any]:
    """As JSON data, without what is judged anew."""
    return {
        "observation": encode_observation(tested.observation),
        "outcome": None if tested.outcome is None else encode_outcome(tested.outcome),
        "own_test": tested.own_test,
        "evaluations": tested.evaluations,
    }


def decode_tested(data: Mapping[str, Any]) -> Tested:
    """Inverse of `encode_tested`."""
    outcome = data["outcome"]
    return Tested(
        decode_observation(data["observation"]),
        None if outcome is None else decode_outcome(outcome),
        own_test=str(data["own_test"]),
        evaluations=int(data["evaluations"]),
    )


def encode_estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    """As JSON data; None stays None."""
    if estimate is None:
        return None
    return {
        "mean": estimate.mean, "n": estimate.n, "channels": dict(estimate.channels),
        "reasons": dict(estimate.reasons),
    }  # fmt: skip


def decode_estimate(data: Mapping[str, Any] | None) -> Estimate | None:
    """Inverse of `encode_estimate`."""
    if data is None:
        return None
    return Estimate(
        float(data["mean"]), n=float(data["n"]), channels=data["channels"],
        reasons=data["reasons"],
    )  # fmt: skip
