"""Weights by inverse variance: what the second network regresses on, and what comes of it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.objectives.td import munchausen_target
from meritree.rl.nets import MLP
from meritree.rl.value_based.bootstrap import Next, munchausen
from meritree.rl.value_based.parts import Out
from meritree.rl.value_based.weights import InverseVariance
from meritree.value.heads import Channels, Scalar
from meritree.value.transforms import Step

RNG = np.random.default_rng(84)
B, A, S = 64, 3, 2
TABLES = [jnp.asarray(RNG.normal(size=(S, A)), jnp.float32) for _ in range(2)]
STATE = jnp.asarray(RNG.integers(S, size=B))
ACTION = jnp.asarray(RNG.integers(A, size=B))
FOLLOWING = jnp.asarray(RNG.integers(S, size=B))
SIGMA = jnp.asarray([0.2, 2.0])  # of the rewards in each state


def batch(key: Any) -> Step:
    noise = SIGMA[STATE] * jax.random.normal(key, (B,))
    return Step(
        noise[:, None], jnp.full(B, 0.9), jnp.zeros(B, bool), jnp.eye(S)[STATE], ACTION,
        jnp.eye(S)[FOLLOWING],
    )  # fmt: skip


def table(number: int, scale: float = 1.0) -> Any:
    return lambda obs, ctx: scale * obs @ TABLES[number]


BEFORE = table(0)


def out(head: Any = None, previous: Any = BEFORE, scale: float = 1.0) -> Out:
    """Networks are tables: one before, another (times ``scale``) as target."""
    now = table(1, scale)

    def target(obs: Any, ctx: Any) -> Any:
        return obs, now(obs, ctx)

    zero = jnp.zeros(B)
    return Out(
        None, None, None, None, None, zero, head or Scalar(), Next(), previous, target, target
    )  # fmt: skip


def test_the_spread_is_that_of_the_previous_target_around_the_target_networks_value() -> None:
    part, seen = InverseVariance(A, munchausen(0.3, 0.1)), batch(jax.random.key(0))
    found = part.spread(seen, out(), jax.random.key(1))
    before = np.asarray(TABLES[0])
    y = munchausen_target(
        seen.reward[:, 0], seen.boot, jnp.asarray(before[STATE]), ACTION,
        jnp.asarray(before[FOLLOWING]), 0.4, 0.75, -1.0,
    )  # fmt: skip
    q = np.asarray(TABLES[1])[STATE, ACTION]
    np.testing.assert_allclose(found, (np.asarray(y) - q) ** 2, rtol=1e-4)


@pytest.fixture(scope="module")
def learned() -> tuple[InverseVariance, Any, Any]:
    """After 1500 updates, and the weights of a last batch."""
    part = InverseVariance(A, net=MLP((16,)), step=0.01, scale_step=0.01, floor=0.01, least=0.05)
    state = part.init(jax.random.key(2), batch(jax.random.key(3)))

    def one(state: Any, number: Any) -> tuple[Any, Any]:
        key = jax.random.fold_in(jax.random.key(4), number)
        # Targets are the rewards alone and values 0: the spread is the rewards' variance.
        seen = batch(key)._replace(boot=jnp.zeros(B))
        return part.weight(state, seen, out(scale=0.0), key, number % 50 == 0)

    state, weights = jax.jit(lambda s: jax.lax.scan(one, s, jnp.arange(1500)))(state)
    return part, state, np.asarray(weights)


def test_rows_count_by_how_certain_their_state_is(learned: Any) -> None:
    weights = learned[2][-500:].mean(axis=0)
    calm, wild = weights[np.asarray(STATE) == 0], weights[np.asarray(STATE) == 1]
    assert calm.min() > 2.0 * wild.max()


def test_weights_are_one_on_average_and_never_below_the_least(learned: Any) -> None:
    weights = learned[2]
    assert weights[-500:].mean() == pytest.approx(1.0, abs=0.15)
    assert weights.min() >= 0.05 - 1e-6


def test_the_copy_changes_only_when_targets_are_renewed() -> None:
    part = InverseVariance(A, net=MLP((4,)))
    first = part.init(jax.random.key(2), batch(jax.random.key(3)))
    step = jax.jit(lambda s, r: part.weight(s, batch(jax.random.key(5)), out(), STATE[0], r)[0])
    second = step(first, jnp.asarray(False))
    jax.tree.map(np.testing.assert_array_equal, second.frozen, first.frozen)
    moved = jax.tree.leaves(
        jax.tree.map(lambda a, b: bool((a != b).any()), second.params, first.params)
    )
    assert any(moved)
    third = step(second, jnp.asarray(True))
    jax.tree.map(np.testing.assert_array_equal, third.frozen, second.params)


def test_what_it_needs_is_named() -> None:
    part, seen = InverseVariance(A), batch(jax.random.key(0))
    with pytest.raises(BadInput, match="keep_previous"):
        part.spread(seen, out(previous=None), jax.random.key(1))
    with pytest.raises(BadInput, match="Channels"):
        part.spread(seen, out(Channels((1.0,))), jax.random.key(1))
    with pytest.raises(BadInput, match="floor"):
        InverseVariance(A, floor=0.0)
