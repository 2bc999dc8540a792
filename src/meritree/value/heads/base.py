"""The contract of a value head, and what heads share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, namespace, take

Judge: TypeAlias = Callable[[Array, Array], Array]
"""(values [..., N], probabilities [..., N]) -> [...], larger is better: the number maximised."""


class Atoms(NamedTuple):
    """A finite law: where it sits and with which probabilities."""

    values: Array  # [..., N], or [..., N, C] for joint laws of channels
    weights: Array  # [..., N], sum to 1


class ValueHead(Protocol):
    """What a value is. ``...`` are free leading axes, A actions (1 for a critic), C channels.

    V and V1 (values of all actions and of one) are arrays or NamedTuples that only the head
    reads. Whatever `target` returns must be detached before `loss` sees it.
    """

    def features(self, actions: int) -> int:
        """Raw outputs that the network needs per state."""
        ...

    def value(self, raw: Array) -> Any:
        """V from raw outputs [..., features(A)]."""
        ...

    def score(self, v: Any, ctx: Array | None = None) -> Array:
        """The number that is maximised, [..., A].

        ctx is the context of the state, [..., D] or None. Heads that know distributions add its
        first entry, the stock of what was gained before, to every value; others pass it over.
        """
        ...

    def pick(self, raw: Array, a: Array) -> Array:
        """Raw outputs of the action taken, integers [...]: the first argument of `loss`."""
        ...

    def take(self, v: Any, a: Array) -> Any:
        """V1 of one action per state, integers [...]."""
        ...

    def mix(self, v: Any, pi: Array) -> Any:
        """V1 of an action drawn from probabilities pi, [..., A]."""
        ...

    def target(self, v1: Any, reward: Array, boot: Array, old: Any = None) -> Any:
        """The Bellman image of V1 in the form that `loss` compares with.

        reward is [..., C]; boot is gamma^n (1 - terminated), [...]; old is the current V1 of the
        state and action being updated, for heads that move only part of the way.
        """
        ...

    def loss(self, raw_a: Array, target: Any) -> Array:
        """One loss per row, [...]."""
        ...

    def error(self, raw_a: Array, target: Any) -> Array:
        """Target minus prediction as one signed number per row, [...], for weights and logs."""
        ...


def mean_judge(values: Array, weights: Array) -> Array:
    """sum weights values over the last axis: the risk-neutral judge."""
    return namespace(values).sum(weights * values, axis=-1)


def per_action(head: object, raw: Array, event: tuple[int, ...]) -> Array:
    """Raw outputs [..., A * event] as [..., A, *event].

    Raises:
        BadInput: the number of outputs is no multiple of what one action needs.
    """
    each = math.prod(event)
    outputs = raw.shape[-1] if raw.shape else 0
    if outputs == 0 or outputs % each:
        raise BadInput(
            f"{type(head).__name__}: raw has shape {tuple(raw.shape)}; its last axis must be a "
            f"multiple of the {each} outputs per action (see features)"
        )
    return namespace(raw).reshape(raw, (*raw.shape[:-1], outputs // each, *event))


def pick_action(head: object, raw: Array, a: Array, event: tuple[int, ...]) -> Array:
    """Raw outputs of one action per state, [..., *event]."""
    return take(namespace(raw), per_action(head, raw, event), a, trailing=len(event))


def one_reward(head: object, reward: Array) -> Array:
    """reward [..., 1] as [...].

    Raises:
        BadInput: it has several channels.
    """
    if not reward.shape or reward.shape[-1] != 1:
        raise BadInput(
            f"{type(head).__name__}: reward has shape {tuple(reward.shape)}, expected one channel "
            "[..., 1]; for several use Channels, Mapped or Particles"
        )
    return reward[..., 0]


def with_stock(values: Array, ctx: Array | None) -> Array:
    """Values [..., A, N] plus the stock ctx[..., 0]."""
    return values if ctx is None else values + ctx[..., :1][..., None]
