"""Random keys that draw JAX's own numbers with less work on processors, and quick shuffles.

JAX compiles its generator for processors as a loop of five rounds, to compile sooner; within a
loop over steps that loop costs more than what is drawn. `quick` keys draw bit for bit the same
numbers from straight code. Knows no learner.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl

Array: TypeAlias = Any
Key: TypeAlias = Any

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_PACKED = 2048  # rows up to which shuffles sort one word a row; beyond, ties would be common


def quick(key: Key) -> Key:
    """The same key, drawing the same numbers, in straight code.

    Other generators than JAX's default are handed back as they are.
    """
    if jax.random.key_impl(key) != jax.random.key_impl(_example()):
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_implementation())


def plain(key: Key) -> Key:
    """The key that `quick` was given: some of JAX's laws (Poisson's) are drawn from it alone."""
    if jax.random.key_impl(key) != _implementation():
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl="threefry2x32")


def permutations(key: Key, count: int, rows: int) -> Array:
    """``count`` independent orders of so many rows, int32 ``[count, rows]``.

    Up to 2048 rows an order is that of random numbers of 21 bits or more, in which the row's own
    number settles ties: for 512 rows one is expected in 64 orders.
    """
    if rows > _PACKED:
        each = jax.vmap(lambda key: jax.random.permutation(key, rows))
        return each(jax.random.split(key, count))
    width = max(1, (rows - 1).bit_length())
    drawn = jax.random.bits(key, (count, rows), jnp.uint32)
    marked = (drawn >> width << width) | jnp.arange(rows, dtype=jnp.uint32)
    # One word a row: XLA sorts plain numbers several times as fast as pairs.
    return (jax.lax.sort(marked, dimension=1) & ((1 << width) - 1)).astype(jnp.int32)


@cache
def _example() -> Key:
    with jax.ensure_compile_time_eval():
        return jax.random.key(0, impl="threefry2x32")


@cache
def _implementation() -> Any:
    return define_prng_impl(
        key_shape=(2,), seed=_seed, split=_split, random_bits=_bits, fold_in=_fold_in,
        name="quick_threefry2x32", tag="qfry",
    )  # fmt: skip


def _threefry(key: Array, high: Array, low: Array) -> tuple[Array, Array]:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011) of counters (high, low) under a key [2]."""
    first, second = key[0], key[1]
    words = (second, first ^ second ^ jnp.uint32(_PARITY), first)
    x, y = high + first, low + second
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            x = x + y
            y = (y << turn | y >> (32 - turn)) ^ x
        x = x + words[group % 3]
        y = y + words[(group + 1) % 3] + jnp.uint32(group + 1)
    return x, y


def _counted(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """0, 1, 2, ... as (high, low) words; JAX's way of drawing so that devices can share it."""
    low = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return jnp.zeros(shape, jnp.uint32), low


def _seed(seed: Array) -> Array:
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return jnp.stack(_threefry(key, *_counted(shape)), axis=-1)


def _bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    x, y = _threefry(key, *_counted(shape))
    if width == 64:
        return x.astype(jnp.uint64) << 32 | y.astype(jnp.uint64)
    return (x ^ y).astype({8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32}[width])


def _fold_in(key: Array, data: Array) -> Array:
    # A seed of 32 bits is the key (0, seed), which is here what is counted.
    return jnp.stack(_threefry(key, jnp.zeros((), jnp.uint32), jnp.asarray(data, jnp.uint32)))
