"""Linear recursions backwards in time, the one loop that returns and advantages need."""

from __future__ import annotations

from collections.abc import Callable

from array_api_compat import is_jax_namespace

from meritree.objectives._namespace import Array, Namespace

Terms = Callable[..., tuple[Array, Array]]
"""(x, decay) from the inputs, elementwise, so that it may be applied to one time or to all."""


def reverse_linear(xp: Namespace, x: Array, decay: Array, last: Array) -> Array:
    """y_t = x_t + decay_t y_{t+1} for t = T-1 .. 0, y_T = last. x, decay [T, ...], last [...]."""
    return reverse_terms(xp, _same, (x, decay), last)


def reverse_terms(
    xp: Namespace, terms: Terms, inputs: tuple[Array | float, ...], last: Array
) -> Array:
    """`reverse_linear` of (x, decay) = terms(*inputs), made on the way.

    On JAX a ``lax.scan`` with the terms inside (constant graph size, one pass over the inputs).
    Elsewhere recursive doubling: pairs (x, decay) are composed over 1, 2, 4, ... steps, so that T
    steps take log2 T vector operations instead of T calls from Python; only products and sums, so
    it is as stable as the loop.

    Args:
        xp: the array namespace.
        terms: makes x and decay.
        inputs: [T, ...] each, T >= 1, or numbers.
        last: [...].

    Returns:
        y, [T, ...].
    """
    if is_jax_namespace(xp):
        return _scanned(xp, terms, inputs, last)
    x, decay = terms(*inputs)
    d = decay + xp.zeros_like(x)
    # y_T enters as the term of the last step, whose decay then leads nowhere.
    y = xp.concat([x[:-1, ...], (x[-1, ...] + d[-1, ...] * last)[None, ...]], axis=0)
    width = 1
    while width < x.shape[0]:
        reach = d[:-width, ...]
        y = xp.concat([y[:-width, ...] + reach * y[width:, ...], y[-width:, ...]], axis=0)
        if 2 * width < x.shape[0]:
            d = xp.concat([reach * d[width:, ...], d[-width:, ...]], axis=0)
        width *= 2
    return y


def _same(x: Array, decay: Array) -> tuple[Array, Array]:
    return x, decay


def _scanned(xp: Namespace, terms: Terms, inputs: tuple[Array | float, ...], last: Array) -> Array:
    from jax import lax

    moving = {i: x for i, x in enumerate(inputs) if getattr(x, "shape", ())}

    def step(later: Array, now: dict[int, Array]) -> tuple[Array, Array]:
        x, decay = terms(*(now.get(i, fixed) for i, fixed in enumerate(inputs)))
        y = x + decay * later
        return y, y

    start = xp.astype(last, xp.result_type(last, *moving.values()))
    # Not unrolled: XLA turns so small a loop into one piece of code for processors, which an
    # unrolled one is too large for (128 steps of 4 worlds: 7 microseconds against 92).
    return lax.scan(step, start, moving, reverse=True)[1]
