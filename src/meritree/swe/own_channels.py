"""Channels of a user's own in the value of a repair candidate: what they see, what they must say.

Reads what tests said and texts as data; knows neither the search nor how tests are run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meritree.errors import BadInput
from meritree.swe.edits import Edit
from meritree.swe.testing.types import TestResult
from meritree.swe.value import CHANNELS, Facts, Reference, ValueWeights

_TAKEN = frozenset((*CHANNELS, "verdict", "ranking"))


@dataclass(frozen=True, slots=True)
class Look:
    """What a channel of one's own sees of a candidate. Texts are data: run nothing of them.

    Attributes:
        edits: from the code as it is to the candidate; none for the code as it is.
        targets: the target tests, by id, as they went; what did not run is as it was before.
        before: the target tests, by id, before any edit.
    """

    edits: tuple[Edit, ...]
    targets: Mapping[str, TestResult]
    before: Mapping[str, TestResult]


@dataclass(frozen=True, slots=True)
class Channel:
    """One more judge of candidates beside the tests' own channels.

    Attributes:
        name: letters, digits and ``_``; none of the built-in channels.
        weight: in the weighted mean, > 0; ``targets`` has 0.5, ``near`` 0.35.
        judge: returns a value in [0, 1] and why, or None where it has no opinion. It must say
            the same of the same candidate again: a resumed run judges anew.
    """

    name: str
    weight: float
    judge: Callable[[Look], tuple[float, str] | None]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z]\w*", self.name) or self.name in _TAKEN:
            raise BadInput(
                f"channel {self.name!r}: give a name of letters, digits and _ other than "
                f"{', '.join(sorted(_TAKEN))}"
            )
        if not 0.0 < self.weight < math.inf:
            raise BadInput(f"channel {self.name!r} weighs {self.weight}; give more than 0")


def named(channels: Sequence[Channel]) -> dict[str, Any]:
    """What a journal says of own channels: they are functions and cannot be stored."""
    return {"channels": [[one.name, one.weight] for one in channels]} if channels else {}


def with_channels(weights: ValueWeights, channels: Sequence[Channel]) -> ValueWeights:
    """The weights with those of own channels beside them.

    Raises:
        BadInput: two channels of one name.
    """
    names = [channel.name for channel in channels]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"two channels are named {twice!r}; rename one")
    return replace(weights, own={channel.name: channel.weight for channel in channels})


def with_opinions(
    facts: Facts,
    channels: Sequence[Channel],
    reference: Reference,
    results: Mapping[str, TestResult],
    edits: Sequence[Edit] = (),
) -> Facts:
    """The facts with what the channels say of a candidate.

    Raises:
        BadInput: a channel said a number outside [0, 1].
    """
    if not channels:
        return facts
    before = {name: reference.results[name] for name in reference.targets}
    look = Look(tuple(edits), {**before, **{n: results[n] for n in before if n in results}}, before)
    said = {}
    for channel in channels:
        opinion = channel.judge(look)
        if opinion is None:
            continue
        if not 0.0 <= opinion[0] <= 1.0:
            raise BadInput(f"channel {channel.name!r} said {opinion[0]}: give a value in [0, 1]")
        said[channel.name] = (float(opinion[0]), opinion[1])
    return replace(facts, own=said)
