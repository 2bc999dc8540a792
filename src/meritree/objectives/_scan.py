"""Linear recursions backwards in time, the one loop that returns and advantages need."""

from __future__ import annotations

from array_api_compat import is_jax_namespace

from meritree.objectives._namespace import Array, Namespace


def reverse_linear(xp: Namespace, x: Array, decay: Array, last: Array) -> Array:
    """y_t = x_t + decay_t y_{t+1} for t = T-1 .. 0 with y_T = last.

    On JAX a ``lax.scan`` (constant graph size). Elsewhere recursive doubling: pairs (x, decay) are
    composed over 1, 2, 4, ... steps, so that T steps take log2 T vector operations instead of T
    calls from Python; only products and sums, so it is as stable as the loop.

    Args:
        xp: the array namespace.
        x: [T, ...], T >= 1.
        decay: [T, ...].
        last: [...].

    Returns:
        y, [T, ...].
    """
    if is_jax_namespace(xp):
        from jax import lax

        def step(later: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
            y = now[0] + now[1] * later
            return y, y

        return lax.scan(step, last, (x, decay), reverse=True)[1]
    # y_T enters as the term of the last step, whose decay then leads nowhere.
    y = xp.concat([x[:-1, ...], (x[-1, ...] + decay[-1, ...] * last)[None, ...]], axis=0)
    d = decay
    width = 1
    while width < x.shape[0]:
        reach = d[:-width, ...]
        y = xp.concat([y[:-width, ...] + reach * y[width:, ...], y[-width:, ...]], axis=0)
        if 2 * width < x.shape[0]:
            d = xp.concat([reach * d[width:, ...], d[-width:, ...]], axis=0)
        width *= 2
    return y
