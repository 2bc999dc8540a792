"""Functions that losses need and the Array API standard lacks, each by its library's own kernel.

The only file, with `_scan`, that asks which library it is talking to; frameworks are imported on
first use, never with the room.
"""

from __future__ import annotations

import math
from typing import Any

from array_api_compat import is_jax_namespace, is_torch_namespace

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, Namespace, namespace

_SQRT_HALF = math.sqrt(0.5)


def erf(x: Array) -> Array:
    """The error function 2/sqrt(pi) int_0^x exp(-t^2) dt, elementwise."""
    return _special(namespace(x), "erf", x)


def normal_cdf(x: Array) -> Array:
    """P(Z <= x) for a standard normal Z, elementwise."""
    return 0.5 * (1.0 + erf(x * _SQRT_HALF))


def log_normal_cdf(x: Array) -> Array:
    """log P(Z <= x) for a standard normal Z, accurate far into the left tail."""
    return _special(namespace(x), "log_ndtr", x)


def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x) / sum exp(x) along ``axis``."""
    xp = namespace(x)
    if is_jax_namespace(xp):
        return _jax_nn().softmax(x, axis=axis)
    if is_torch_namespace(xp):
        return x.softmax(dim=axis)
    weights = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return weights / xp.sum(weights, axis=axis, keepdims=True)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """x - log sum exp(x) along ``axis``."""
    xp = namespace(x)
    if is_jax_namespace(xp):
        return _jax_nn().log_softmax(x, axis=axis)
    if is_torch_namespace(xp):
        return x.log_softmax(dim=axis)
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


def logsumexp(x: Array, axis: int = -1) -> Array:
    """log sum exp(x) along ``axis``, which is dropped; -inf entries count as nothing."""
    xp = namespace(x)
    if is_jax_namespace(xp):
        return _jax_nn().logsumexp(x, axis=axis)
    if is_torch_namespace(xp):
        return x.logsumexp(dim=axis)
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    total = xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True)) + top
    return xp.squeeze(total, axis=axis)


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), without overflow."""
    xp = namespace(x)
    return xp.logaddexp(x, xp.zeros_like(x))


def log_sigmoid(x: Array) -> Array:
    """log(1 / (1 + exp(-x))), without overflow."""
    if is_torch_namespace(namespace(x)):
        import torch

        return torch.nn.functional.logsigmoid(x)
    return -softplus(-x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1.0 + namespace(x).tanh(0.5 * x))


def _jax_nn() -> Any:
    import jax

    return jax.nn


def _special(xp: Namespace, name: str, x: Array) -> Array:
    """A function of the library's own ``special`` module."""
    if is_jax_namespace(xp):
        import jax.scipy.special

        return getattr(jax.scipy.special, name)(x)
    if is_torch_namespace(xp):
        import torch

        return getattr(torch.special, name)(x)
    if xp.__name__.rpartition(".")[2] not in ("numpy", "array_api_strict"):
        raise BadInput(
            f"{name}: no kernel known for arrays of {xp.__name__}; use NumPy, PyTorch or JAX"
        )
    import numpy
    import scipy.special

    return xp.asarray(getattr(scipy.special, name)(numpy.asarray(x)))
