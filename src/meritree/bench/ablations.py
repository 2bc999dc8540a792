"""What the repair benchmark can take out of a search, part by part, and what takes its place.

Every part is passed to the search as an object; nothing here reaches into it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

from meritree.errors import BadInput
from meritree.swe.repair.policy import PolicyOptions
from meritree.swe.repair.priors import PriorTable
from meritree.swe.testing.types import TestLimits
from meritree.swe.value import ValueWeights

CHANNELS = ("targets", "near", "changed", "kept")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a search is made of, as far as an ablation replaces it.

    Attributes:
        weights: of the value's channels.
        priors: template weights and factors; None: those that come with meritree.
        options: of the policy.
        limits: of the test processes.
    """

    weights: ValueWeights = field(default_factory=ValueWeights)
    priors: PriorTable | None = None
    options: PolicyOptions = field(default_factory=PolicyOptions)
    limits: TestLimits = field(default_factory=TestLimits)


def _without_channel(parts: Parts, *, name: str) -> Parts:
    return replace(parts, weights=replace(parts.weights, off=parts.weights.off | {name}))


def _without_prior(parts: Parts) -> Parts:
    """All templates and all edits of a template alike; suspicion and the schedule stay."""
    schedule = replace(parts.options.schedule, power=0.0)
    return replace(
        parts,
        priors=PriorTable({}, rules=(), source="uniform"),
        options=replace(parts.options, schedule=schedule),
    )


def _without_learning(parts: Parts) -> Parts:
    """The order of edits is not changed by what earlier ones did."""
    return replace(parts, options=replace(parts.options, learning=None))


def _without_canary(parts: Parts) -> Parts:
    """The original code is never re-run, so that what candidates leave behind is not noticed."""
    return replace(parts, limits=replace(parts.limits, canary_every=0))


ABLATIONS: Mapping[str, Callable[[Parts], Parts]] = MappingProxyType(
    {
        **{name: partial(_without_channel, name=name) for name in CHANNELS},
        "prior": _without_prior,
        "learning": _without_learning,
        "canary": _without_canary,
    }
)
"""By name: what makes the parts of a search without one of them."""


def parts_without(names: Collection[str]) -> Parts:
    """The usual parts with those named taken out.

    Raises:
        BadInput: no such part.
    """
    parts = Parts()
    for name in sorted(names):
        if name not in ABLATIONS:
            raise BadInput(f"ablation {name!r}: unknown; choose from {', '.join(ABLATIONS)}")
        parts = ABLATIONS[name](parts)
    return parts


__all__ = ["ABLATIONS", "CHANNELS", "Parts", "parts_without"]
