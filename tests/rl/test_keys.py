"""Quick keys draw JAX's own numbers, and shuffles are permutations that any row may head."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meritree.rl.keys import permutations, plain, quick

KEY = jax.random.key(11)
DRAWS: dict[str, Any] = {
    "bits of 8": lambda key: jax.random.bits(key, (3, 5), jnp.uint8),
    "bits of 16": lambda key: jax.random.bits(key, (3, 5), jnp.uint16),
    "bits of 32": lambda key: jax.random.bits(key, (3, 5)),
    "normal": lambda key: jax.random.normal(key, (7,)),
    "categorical": lambda key: jax.random.categorical(key, jnp.zeros((6, 4))),
    "permutation": lambda key: jax.random.permutation(key, 50),
    "split": lambda key: jax.random.key_data(jax.random.split(key, (2, 3))),
    "fold_in": lambda key: jax.random.key_data(jax.random.fold_in(key, 2**31 + 5)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_quick_keys_draw_jax_s_own_numbers_bit_for_bit(name: str) -> None:
    draw = jax.jit(DRAWS[name])
    np.testing.assert_array_equal(draw(quick(KEY)), draw(KEY))


def test_quick_keys_are_told_from_plain_ones_and_turned_back() -> None:
    assert quick(KEY).dtype != KEY.dtype
    assert plain(quick(KEY)).dtype == KEY.dtype
    assert quick(quick(KEY)).dtype == quick(KEY).dtype
    other = jax.random.key(1, impl="rbg")
    assert quick(other).dtype == other.dtype
    assert plain(other).dtype == other.dtype


def test_poisson_needs_a_plain_key_and_gets_it_in_a_world() -> None:
    with pytest.raises(NotImplementedError):
        jax.random.poisson(quick(KEY), 2.0)
    assert jax.random.poisson(plain(quick(KEY)), 2.0) == jax.random.poisson(KEY, 2.0)


@pytest.mark.parametrize("rows", [1, 2, 3, 512, 2048, 3000])
def test_every_order_holds_every_row_once(rows: int) -> None:
    orders = permutations(quick(KEY), 3, rows)
    assert orders.shape == (3, rows)
    np.testing.assert_array_equal(jnp.sort(orders, axis=1), np.tile(np.arange(rows), (3, 1)))


def test_any_row_may_come_first_and_orders_are_equally_likely() -> None:
    orders = np.asarray(permutations(quick(KEY), 6000, 3))
    found, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(found) == 6
    # 1000 each are expected, give or take 29.
    assert np.all(np.abs(counts - 1000) < 150)
