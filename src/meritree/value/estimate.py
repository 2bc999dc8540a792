"""What a judge says: a value with its spread, its named channels and its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

_EMPTY: Mapping[str, float] = MappingProxyType({})
_NO_REASONS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Cost:
    """What asking a judge (or a policy) cost.

    Attributes:
        seconds: wall-clock seconds.
        evaluations: candidate evaluations (one candidate judged by its tests is one).
        tokens: language-model tokens, prompt and completion together.
        usd: money in US dollars.
    """

    seconds: float = 0.0
    evaluations: int = 0
    tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.seconds + other.seconds,
            self.evaluations + other.evaluations,
            self.tokens + other.tokens,
            self.usd + other.usd,
        )


class Estimate(NamedTuple):
    """A judgement of one state. (A tuple, because searches make one for every node.)

    Attributes:
        mean: the value; inside the search engine always in [0, 1], higher is better.
        std: its standard deviation, None when the judge does not know it.
        n: effective number of observations behind it (0 for a pure prior).
        channels: named parts of the judgement, each in [0, 1].
        reasons: for each channel, in words, why it has its value.
        cost: what asking cost.
    """

    mean: float
    std: float | None = None
    n: float = 0.0
    channels: Mapping[str, float] = _EMPTY
    reasons: Mapping[str, str] = _NO_REASONS
    cost: Cost = Cost()
