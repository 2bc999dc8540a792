"""Checks of values: finite numbers, probabilities, increasing supports.

Apart from the objectives, because looking at values breaks tracing and makes an accelerator wait.
Call them where data enters. Each returns its array; a tracer passes unlooked at.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import is_jax_array, is_torch_array

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, namespace


def is_concrete(x: Array) -> bool:
    """Whether values can be read now: False for a JAX tracer and under ``torch.compile``."""
    if is_jax_array(x):
        import jax

        return not isinstance(x, jax.core.Tracer)
    if is_torch_array(x):
        import torch

        return not torch.compiler.is_compiling()
    return True


def finite(name: str, x: Array) -> Array:
    """``x``, having found no NaN and no infinity in it.

    Raises:
        BadInput: names ``name`` and how many entries are not finite.
    """
    if is_concrete(x):
        xp = namespace(x)
        bad = int(xp.sum(xp.astype(~xp.isfinite(x), xp.int64)))
        if bad:
            raise BadInput(f"{name} {tuple(x.shape)} has {bad} entries that are not finite")
    return x


def probabilities(name: str, p: Array, axis: int = -1, tolerance: float = 1e-4) -> Array:
    """``p``, having found its entries >= 0 and its sums along ``axis`` equal to 1.

    Raises:
        BadInput: names ``name`` and the worst entry or sum.
    """
    if is_concrete(p):
        xp = namespace(p)
        lowest = float(xp.min(p))
        off = float(xp.max(xp.abs(xp.sum(p, axis=axis) - 1.0)))
        if not lowest >= -tolerance:
            raise BadInput(f"{name} has the entry {lowest:g}: probabilities must be >= 0")
        if not off <= tolerance:
            raise BadInput(f"{name} sums to 1 only within {off:g}: normalise it")
    return p


def increasing(name: str, x: Array) -> Array:
    """``x``, having found it strictly increasing along its last axis.

    Raises:
        BadInput: names ``name`` and the smallest step.
    """
    if is_concrete(x):
        xp = namespace(x)
        step: Any = float(xp.min(x[..., 1:] - x[..., :-1])) if x.shape[-1] > 1 else 1.0
        if not step > 0.0:
            raise BadInput(
                f"{name} must increase along its last axis, its smallest step is {step:g}: sort it"
            )
    return x
