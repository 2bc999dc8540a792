"""What passes between the tree and whoever works for it, and what is refused. Knows no tree."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any, Final, NamedTuple

from meritree.search.tree import Kind, SearchError
from meritree.value.estimate import Estimate


class Ticket(NamedTuple):
    """Leave to expand one node by one child; answered once by `tell` or `cancel`.

    Attributes:
        id: 0, 1, 2, ... in the order of the asks.
        node: id of the node to expand.
    """

    id: int
    node: int


class Child(NamedTuple):
    """What came back from an expansion.

    Attributes:
        key: identity of the new state; a key already in the tree makes an alias edge.
        action: what led there, opaque.
        estimate: the judgement of the new state; its mean must lie in [0, 1].
        prior: the policy's probability of the action, >= 0.
        terminal: the world ends here.
        next_prior: prior of the *parent's* next untried proposal; None: unknown, the child's own
            prior then stands for it (an upper bound where proposals come in order).
        solved: True or False if the new state is known to be solved or hopeless.
        kind: OR or AND.
        features: facts about the state for selectors that read them.
    """

    key: Hashable
    action: Any
    estimate: Estimate
    prior: float = 1.0
    terminal: bool = False
    next_prior: float | None = None
    solved: bool | None = None
    kind: Kind = Kind.OR
    features: Any = None


class Exhausted:
    """The answer "this node has no further proposal"; use the constant `EXHAUSTED`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "EXHAUSTED"


EXHAUSTED: Final = Exhausted()


def never_given(number: int) -> SearchError:
    return SearchError(f"ticket {number} was never given by this engine")


def out_of_range(child: Child) -> SearchError:
    """Which of a child's numbers is refused."""
    if not 0.0 <= child.estimate.mean <= 1.0:
        return SearchError(
            f"value {child.estimate.mean!r} of state {child.key!r} lies outside [0, 1]: map "
            "rewards or costs to [0, 1] before they enter the engine"
        )
    name = "next_prior" if 0.0 <= child.prior < math.inf else "prior"
    return SearchError(
        f"{name} of state {child.key!r} is {getattr(child, name)!r}: priors are finite numbers >= 0"
    )
