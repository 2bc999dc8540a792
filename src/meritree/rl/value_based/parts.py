"""What sample weights and extra losses see of an update, and their contracts (slots 7 and 8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax.numpy as jnp

from meritree.value.heads import ValueHead
from meritree.value.transforms import Step

Array: TypeAlias = Any
Key: TypeAlias = Any
Params: TypeAlias = Any


class Out(NamedTuple):
    """One update of one member. Only what says so is differentiable.

    Attributes:
        features: ``[B, ...]`` of this state, differentiable.
        raw: ``[B, O]`` of this state, differentiable.
        raw_next: ``[B, O]`` of the next state by the network that learns, differentiable.
        raw_next_target: the same by the target network, detached.
        target: what the head's loss compares with, detached.
        error: ``[B]`` target minus prediction, detached.
        head: reads all of these.
        choice: what was bootstrapped from, see `bootstrap.Next`.
        previous: ``previous(obs, ctx)`` are raw outputs of the targets before the last shift,
            None unless the chain keeps them.
        net: ``net(obs, ctx)`` are features and raw outputs by the network that learns.
        target_net: the same by the target network.
    """

    features: Array
    raw: Array
    raw_next: Array
    raw_next_target: Array
    target: Any
    error: Array
    head: ValueHead
    choice: Any
    previous: Callable[[Array, Array | None], Array] | None
    net: Callable[[Array, Array | None], tuple[Array, Array]]
    target_net: Callable[[Array, Array | None], tuple[Array, Array]]


class SampleWeight(Protocol):
    """How much each row counts; may learn something of its own."""

    needs_previous: bool

    def init(self, key: Key, example: Step) -> Any:
        """State, from an example step with leaves ``[n_env, ...]``."""
        ...

    def weight(
        self, state: Any, batch: Step, out: Out, key: Key, renewed: Array
    ) -> tuple[Any, Array]:
        """(state, weights ``[B]``, mean about 1).

        ``renewed``: bool, the targets were renewed after the update before this one.
        """
        ...


class Extra(Protocol):
    """A loss beside the head's, or in its place, with parameters of its own.

    ``replaces_main``: the head's loss is not added.
    """

    @property
    def replaces_main(self) -> bool: ...

    def init(self, key: Key, features: Array, actions: int) -> Params:
        """Parameters, from one row of features; trained with the network's by one optimiser."""
        ...

    def loss(self, params: Params, batch: Step, out: Out, key: Key) -> tuple[Array, dict[str, Any]]:
        """(one loss per row ``[B]``, numbers for the log)."""
        ...


class Unweighted:
    """Every row counts the same."""

    needs_previous = False

    def init(self, key: Key, example: Step) -> Any:
        return ()

    def weight(
        self, state: Any, batch: Step, out: Out, key: Key, renewed: Array
    ) -> tuple[Any, Array]:
        return state, jnp.ones_like(out.error)
