"""Second-order tools of the trust regions: conjugate gradients, curvature products, line search.

Directions are pytrees like the parameters; everything can be traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg

Array: TypeAlias = Any
Params: TypeAlias = Any
Product: TypeAlias = Callable[[Params], Params]


def inner(a: Params, b: Params) -> Array:
    """The inner product of two pytrees."""
    parts = jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)
    return jax.tree.reduce(jnp.add, parts)


def moved(params: Params, direction: Params, size: Array | float) -> Params:
    """params + size * direction."""
    return jax.tree.map(lambda p, d: p + size * d, params, direction)


def gauss_newton(
    outputs: Callable[[Params], Array], curve: Callable[[Array], Array], params: Params
) -> Product:
    """v -> J' H J v: J of the outputs ``[N, O]``, H the Hessian of mean(curve(outputs)).

    With curve(x) = KL(x_0 || x) of laws at x_0 it is the Fisher matrix of a policy; with curve a
    convex loss, the generalised Gauss-Newton matrix of a critic (J'J / N for half squares).
    """
    raw, pull = jax.vjp(outputs, params)
    slope = jax.grad(lambda x: jnp.mean(curve(x)))

    def product(v: Params) -> Params:
        _, along = jax.jvp(outputs, (params,), (v,))
        _, bent = jax.jvp(slope, (raw,), (along,))
        return pull(bent)[0]

    return product


def solve(product: Product, b: Params, iterations: int, damping: float) -> Params:
    """x with (H + damping) x = b, by conjugate gradients."""

    def damped(v: Params) -> Params:
        return moved(product(v), v, damping)

    # The library's own stop is relative to |b|; the number of iterations is the real limit.
    return cg(damped, b, maxiter=iterations, tol=1e-8)[0]


class Found(NamedTuple):
    """Where a line search ended."""

    size: Array  # share of the full step, 0 where none was accepted
    tries: Array  # halvings made


def backtrack(accepted: Callable[[Array], Array], halvings: int) -> Found:
    """The first of 1, 1/2, 1/4, ... that is accepted; 0 if none is within the halvings."""

    def going(carry: tuple[Array, Array]) -> Array:
        size, tries = carry
        return (tries <= halvings) & ~accepted(size)

    size, tries = jax.lax.while_loop(
        going, lambda carry: (0.5 * carry[0], carry[1] + 1), (jnp.ones(()), jnp.zeros((), int))
    )
    return Found(jnp.where(tries > halvings, 0.0, size), jnp.minimum(tries, halvings))


def largest(constraint: Callable[[Array], Array], limit: float, halvings: int = 30) -> Array:
    """The largest share in [0, 1] of a step whose constraint, growing along it, keeps the limit."""

    def halve(bounds: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        low, high = bounds
        middle = 0.5 * (low + high)
        inside = constraint(middle) <= limit
        return (jnp.where(inside, middle, low), jnp.where(inside, high, middle)), None

    whole = constraint(jnp.ones(())) <= limit
    (low, _), _ = jax.lax.scan(halve, (jnp.zeros(()), jnp.ones(())), length=halvings)
    return jnp.where(whole, 1.0, low)
