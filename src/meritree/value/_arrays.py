"""Where `value/` meets array libraries: checks of laws on entry, conversions, loops.

Written to the Python Array API; imports no framework. Checks that need the numbers themselves
are skipped while a function is traced, because there are no numbers then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from array_api_compat import device, is_jax_array

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, Namespace, namespace
from meritree.objectives.checks import is_concrete

__all__ = [
    "Array", "Namespace", "as_floats", "broadcast", "check_floats", "check_probabilities",
    "eps_of", "is_concrete", "namespace", "readable", "repeat",
]  # fmt: skip


def readable(array: Array) -> Array | None:
    """The array with numbers that can be looked at now, None while it is traced.

    Under `jit` whatever is computed even of known JAX arrays is traced, so those are looked at as
    NumPy arrays.
    """
    if not is_concrete(array):
        return None
    if is_jax_array(array):
        import numpy as np

        return np.asarray(array)
    return array


def repeat(times: int, body: Callable[[Any], Any], state: Any, array: Array) -> Any:
    """``body`` applied ``times`` times to ``state``; one compiled loop where ``array`` is JAX's.

    An unrolled Python loop would be right there too, but takes XLA seconds to compile.
    """
    if is_jax_array(array):
        from jax import lax

        return lax.fori_loop(0, times, lambda _, each: body(each), state)
    for _ in range(times):
        state = body(state)
    return state


def eps_of(xp: Namespace, array: Array) -> float:
    """Relative spacing of the array's floating type."""
    return float(xp.finfo(array.dtype).eps)


def check_floats(xp: Namespace, array: Array, name: str) -> None:
    """A non-empty real floating array without NaN or infinity, at least one axis.

    Raises:
        BadInput: it is not; the message names the argument, its shape and the fix.
    """
    if not xp.isdtype(array.dtype, "real floating"):
        raise BadInput(
            f"{name} has dtype {array.dtype}, shape {tuple(array.shape)}: "
            "must be real floating; convert it with astype"
        )
    if array.ndim < 1 or 0 in array.shape:
        raise BadInput(
            f"{name} has shape {tuple(array.shape)}: must have at least one axis and no empty one"
        )
    seen = readable(array)
    if seen is None:
        return
    xp = namespace(seen)
    bad = int(xp.count_nonzero(~xp.isfinite(seen)))
    if bad:
        raise BadInput(
            f"{name} of shape {tuple(array.shape)} has {bad} entries that are NaN or infinite: "
            "mask them out (weight 0 and a finite value) or drop them"
        )


def check_probabilities(xp: Namespace, array: Array, name: str) -> None:
    """Entries >= 0 that sum to one along the last axis, up to rounding.

    Raises:
        BadInput: they do not; the message names the argument, its shape and the fix.
    """
    check_floats(xp, array, name)
    seen = readable(array)
    if seen is None:
        return
    # A float32 softmax over hundreds of atoms is off by some 1e-6.
    tolerance = max(1e-6, 16.0 * array.shape[-1] * eps_of(xp, array))
    xp = namespace(seen)
    if bool(xp.any(seen < 0.0)):
        raise BadInput(
            f"{name} of shape {tuple(array.shape)} goes down to {float(xp.min(seen)):.6g}: "
            "weights must be >= 0; clip them and divide by their sum"
        )
    worst = float(xp.max(xp.abs(xp.sum(seen, axis=-1) - 1.0)))
    if worst > tolerance:
        raise BadInput(
            f"{name} of shape {tuple(array.shape)} sums to 1 only within {worst:.6g} along the "
            "last axis: divide by the sum along axis -1"
        )


def broadcast(xp: Namespace, named: dict[str, Array]) -> list[Array]:
    """The arrays broadcast against each other.

    Raises:
        BadInput: their shapes do not fit; the message names them all.
    """
    try:
        return list(xp.broadcast_arrays(*named.values()))
    except (ValueError, RuntimeError, TypeError) as error:
        shapes = ", ".join(f"{name} {tuple(each.shape)}" for name, each in named.items())
        raise BadInput(f"shapes do not broadcast: {shapes}; align their last axes") from error


def as_floats(xp: Namespace, value: Any, like: Array) -> Array:
    """A number or array as an array of ``like``'s type and device."""
    if hasattr(value, "dtype"):
        return xp.astype(value, like.dtype)
    return xp.asarray(value, dtype=like.dtype, device=device(like))
