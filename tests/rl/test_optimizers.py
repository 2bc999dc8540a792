"""An optimiser on one array of all parameters does what it does on each."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

from meritree.rl.optimizers import flattened

ADAM = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-2))


def test_small_networks_move_as_they_would_array_by_array() -> None:
    params = {"kernel": jnp.ones((4, 3)), "bias": jnp.zeros(3)}
    one, other = params, params
    joined = flattened(ADAM)
    state, each = joined.init(params), ADAM.init(params)
    for step in range(5):
        gradient = {name: jnp.cos(3.0 * p + step) for name, p in params.items()}
        change, state = joined.update(gradient, state, one)
        one = optax.apply_updates(one, change)
        change, each = ADAM.update(gradient, each, other)
        other = optax.apply_updates(other, change)
    for name in params:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-6)
    assert {leaf.shape for leaf in jax.tree.leaves(state)} == {(), (15,)}


def test_large_networks_keep_their_arrays() -> None:
    params = {"kernel": jnp.ones((200, 101))}
    assert {leaf.shape for leaf in jax.tree.leaves(flattened(ADAM).init(params))} == {
        (), (200, 101)
    }  # fmt: skip
