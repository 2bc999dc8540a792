"""Hybrid values: one estimate made of several named ones, channels and reasons kept.

A combiner gets ``{name: Estimate}`` and returns an `Estimate` whose channels are the parts'
means (the parts' own channels stay as ``name.channel``). The arithmetic is `combine`'s; knows
no node.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from meritree.errors import BadInput
from meritree.value import combine
from meritree.value.aggregate import weighted_median
from meritree.value.estimate import Cost, Estimate

Parts = Mapping[str, Estimate]


class Combiner(Protocol):
    """Makes one estimate of several."""

    def __call__(self, parts: Parts) -> Estimate: ...


@dataclass(frozen=True)
class WeightedSum:
    """sum w_i v_i / sum w_i over the channels that are present.

    A channel that no judge filled is left out and the others' weights are scaled up, so a
    missing judge is no bad judgement.

    Attributes:
        weights: >= 0 by channel, not all 0.
    """

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        _check_weights(self.weights)

    def __call__(self, parts: Parts) -> Estimate:
        weights = _present(parts, self.weights)
        return _join(combine.weighted_mean(_means(parts), weights), parts)

    def without(self, channel: str) -> WeightedSum:
        """The same sum with one channel's weight set to 0 (an ablation)."""
        _check([channel], self.weights)
        return replace(self, weights={**self.weights, channel: 0.0})


@dataclass(frozen=True)
class Product:
    """prod v_i over the channels present: every judge must agree.

    Attributes:
        names: the channels that count.
    """

    names: frozenset[str]

    def __call__(self, parts: Parts) -> Estimate:
        counted = {name: part for name, part in parts.items() if name in self.names}
        return _join(combine.product(_means(counted)), parts)

    def without(self, channel: str) -> Product:
        """The same product with one channel left out."""
        _check([channel], self.names)
        return replace(self, names=self.names - {channel})


@dataclass(frozen=True)
class Median:
    """The weighted median of the channels present: one judge gone wild does not move it far.

    Attributes:
        weights: >= 0 by channel, not all 0.
    """

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        _check_weights(self.weights)

    def __call__(self, parts: Parts) -> Estimate:
        weights = _present(parts, self.weights)
        return _join(weighted_median(_means(parts), weights), parts)

    def without(self, channel: str) -> Median:
        """The same median with one channel's weight set to 0."""
        _check([channel], self.weights)
        return replace(self, weights={**self.weights, channel: 0.0})


@dataclass(frozen=True)
class Gate:
    """The inner value if ``channel`` >= ``threshold``, else ``otherwise`` times it.

    Attributes:
        inner: combiner of the channels other than the gate's.
        channel: whose mean opens the gate.
        threshold: in [0, 1].
        otherwise: factor of a closed gate, in [0, 1].
    """

    inner: Combiner
    channel: str
    threshold: float = 1.0
    otherwise: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("threshold", self.threshold), ("otherwise", self.otherwise)):
            if not 0.0 <= value <= 1.0:
                raise BadInput(f"gate {name}={value}: must lie in [0, 1]")

    def __call__(self, parts: Parts) -> Estimate:
        if self.channel not in parts:
            raise BadInput(f"gate: no channel {self.channel!r}; there are {', '.join(parts)}")
        rest = {name: part for name, part in parts.items() if name != self.channel}
        opened = float(parts[self.channel].mean >= self.threshold)
        return _join(combine.gate(self.inner(rest).mean, opened, self.otherwise), parts)


@dataclass(frozen=True)
class Schedule:
    """w prior + (1 - w) evidence with w = n0 / (n0 + n): the prior gives way to evidence.

    n is the evidence's effective number of observations; ``n0`` is how many of them the prior
    is worth (the mean of a beta-binomial model).

    Attributes:
        prior: channel of the prior.
        evidence: channel of the evidence; while it is absent the prior stands alone.
        n0: > 0.
    """

    prior: str
    evidence: str
    n0: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.n0 < math.inf:
            raise BadInput(f"schedule n0={self.n0}: must be finite and above 0")

    def __call__(self, parts: Parts) -> Estimate:
        _check(parts, (self.prior, self.evidence))
        if self.prior not in parts:
            raise BadInput(f"schedule: no channel {self.prior!r}; there are {', '.join(parts)}")
        mean = parts[self.prior].mean
        if self.evidence in parts:
            evidence = parts[self.evidence]
            mean = combine.visit_schedule(mean, evidence.mean, evidence.n, self.n0)
        return _join(mean, parts)


def _means(parts: Parts) -> list[float]:
    for name, part in parts.items():
        if not 0.0 <= part.mean <= 1.0:
            raise BadInput(f"channel {name!r} has value {part.mean}: must lie in [0, 1]")
    return [part.mean for part in parts.values()]


def _check_weights(weights: Mapping[str, float]) -> None:
    for name, weight in weights.items():
        if not 0.0 <= weight < math.inf:
            raise BadInput(f"weight of channel {name!r} is {weight}: must be finite and >= 0")
    if not sum(weights.values()) > 0.0:
        raise BadInput("the weights sum to 0: give at least one channel a weight above 0")


def _present(parts: Parts, weights: Mapping[str, float]) -> list[float]:
    """Weights of the channels that are there, in their order."""
    _check(parts, weights)
    present = [weights[name] for name in parts]
    if not sum(present) > 0.0:
        raise BadInput(
            f"none of the channels present ({', '.join(parts) or 'none'}) has a weight above 0"
        )
    return present


def _check(names: Iterable[str], known: Iterable[str]) -> None:
    allowed = list(known)
    for name in names:
        if name not in allowed:
            raise BadInput(f"unknown channel {name!r}; the channels are {', '.join(allowed)}")


def _join(mean: float, parts: Parts) -> Estimate:
    channels: dict[str, float] = {}
    reasons: dict[str, str] = {}
    cost = Cost()
    for (name, part), mean_of_part in zip(parts.items(), _means(parts), strict=True):
        channels[name] = mean_of_part
        reasons[name] = "; ".join(part.reasons.values()) or f"{name} says {part.mean:.3g}"
        channels.update({f"{name}.{key}": value for key, value in part.channels.items()})
        reasons.update({f"{name}.{key}": text for key, text in part.reasons.items()})
        cost = cost + part.cost
    n = sum(part.n for part in parts.values())
    clipped = min(1.0, max(0.0, mean))  # rounding may leave [0, 1] by one unit
    return Estimate(clipped, n=n, channels=channels, reasons=reasons, cost=cost)
