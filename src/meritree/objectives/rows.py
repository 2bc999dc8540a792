"""Rows of a language-model batch: which keys there are, their shapes, how tokens become a loss.

One dictionary of arrays that every trainer makes and every objective reads. Knows no loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Protocol, TypeAlias

from meritree.errors import BadInput
from meritree.objectives._namespace import Array, check, namespace

Batch: TypeAlias = Mapping[str, Array]
"""Arrays by name, see `KEYS`. Padding is on the right and must hold finite numbers."""

KEYS: Mapping[str, str] = {
    # Tokens of the response. mask: 1 (or True) where the token counts, any dtype. advantage may
    # have one column, [B, 1]: one number for all tokens of a row.
    "logp": "B T", "logp_sg": "B T", "old_logp": "B T", "ref_logp": "B T", "ema_logp": "B T",
    "mask": "B T", "values": "B T", "values_sg": "B T", "old_values": "B T",
    "value_target_sg": "B T", "token_reward": "B T", "advantage": "B T",
    # Step number of each token, -1 for none; step_at: the step where a row leaves its sibling.
    "step": "int B T", "step_at": "int B",
    # Log-probabilities of the whole vocabulary.
    "dist": "B T V", "dist_sg": "B T V", "ref_dist": "B T V",
    # One number a row. label: +1/0/-1 or 0/1; source: 0 own, 1 external, 2 rehearsal.
    "reward": "B", "score": "B", "weight": "B", "vstar": "B", "prompt_value": "B",
    "row_value": "B", "label": "int B", "source": "int B", "mode": "int B",
    # Rewards of M answers of the reference to the same prompt; K aspects of one answer.
    "ref_reward": "B M", "aspects": "B K",
    # Calibration responses, apart from the pairs.
    "cal_logp": "C T", "cal_ref_logp": "C T", "cal_mask": "C T",
    # One number a pair: probability that the first of the two is preferred.
    "preference": "P",
}  # fmt: skip
"""Axes of every key, in the notation of `meritree.objectives._namespace.check`.

In a batch of pairs the first half of the rows is preferred, the second half rejected.
"""

_MASKS = frozenset({"mask", "cal_mask"})
_COLUMNS = frozenset({"advantage"})  # may be one number a row, [B, 1]

How: TypeAlias = Literal["token", "seq_mean", "seq_sum", "const"]


class Part(Protocol):
    """A score, an extra term or a surrogate: reads its keys, returns an array of rows or tokens."""

    @property
    def needs(self) -> frozenset[str]: ...

    def __call__(self, b: Batch, /) -> Array: ...


class Objective(Protocol):
    """What a trainer minimises: a loss per row (or pair) and metrics without axes."""

    @property
    def needs(self) -> frozenset[str]: ...

    def __call__(self, b: Batch, /) -> tuple[Array, dict[str, Array]]: ...


def read(where: str, b: Batch, *names: str) -> Any:
    """The array namespace and the named arrays, checked; masks come back in the others' dtype.

    Raises:
        BadInput: a key is missing, or a shape or dtype does not fit (see `KEYS`).
    """
    missing = [name for name in names if name not in b]
    if missing:
        raise BadInput(
            f"{where} needs the key {missing[0]!r} [{KEYS[missing[0]]}]; the batch has "
            f"{', '.join(sorted(b)) or 'no keys'}"
        )
    arrays = [b[name] for name in names]
    xp = check(
        where,
        **{name: (x, _spec(name, x)) for name, x in zip(names, arrays, strict=True)},
    )
    for i, name in enumerate(names):
        if name in _MASKS:
            arrays[i] = as_weights(xp, arrays[i], arrays[0])
    return xp, *arrays


def agg(x: Array, mask: Array, how: How = "token", const: int = 0) -> Array:
    """One loss from the losses of tokens.

    ``token``: mean over all tokens of the batch (DAPO, Yu et al. 2025). ``seq_mean``: mean over
    rows of the mean over tokens (GRPO). ``seq_sum``: mean over rows of the sum over tokens.
    ``const``: that sum divided by ``const``, usually the longest length allowed, so that long
    rows are not discounted (Dr. GRPO, Liu et al. 2025).

    Args:
        x: [B, T].
        mask: [B, T], any dtype, non-zero where a token counts.
        how: see above.
        const: positive for ``const``, unused otherwise.

    Returns:
        An array without axes. Rows without tokens count as 0.

    Raises:
        BadInput: shapes differ, ``how`` is unknown, or ``const`` is missing.
    """
    xp, mask = tokens("agg", x, mask)
    if how == "token":
        return xp.sum(x * mask) / xp.clip(xp.sum(mask), min=1.0)
    if how == "seq_mean":
        return xp.mean(mean_tokens(xp, x, mask))
    if how == "seq_sum":
        return xp.mean(xp.sum(x * mask, axis=-1))
    if how == "const":
        if const < 1:
            raise BadInput(f"agg: how='const' divides by const, got {const}; give a length >= 1")
        return xp.mean(xp.sum(x * mask, axis=-1)) / const
    raise BadInput(f"agg: how is {how!r}; use 'token', 'seq_mean', 'seq_sum' or 'const'")


def tokens(where: str, x: Array, mask: Array, /, **others: tuple[Array, str]) -> tuple[Any, Array]:
    """Namespace of [B, T] arrays, and their mask in the dtype of ``x``; for functions of arrays."""
    xp = check(where, x=(x, "B T"), mask=(mask, mask_spec(mask, "B T")), **others)
    return xp, as_weights(xp, mask, x)


def mean_tokens(xp: Any, x: Array, mask: Array, *, keepdims: bool = False) -> Array:
    """Mean over the tokens of each row, 0 for a row without tokens: [B, T] -> [B] or [B, 1]."""
    count = xp.sum(mask, axis=-1, keepdims=keepdims)
    return xp.sum(x * mask, axis=-1, keepdims=keepdims) / xp.clip(count, min=1.0)


def halves(where: str, x: Array) -> tuple[Array, Array]:
    """Preferred and rejected rows: the first and the second half of the leading axis.

    Raises:
        BadInput: the number of rows is odd.
    """
    rows = x.shape[0]
    if rows % 2:
        raise BadInput(f"{where}: {rows} rows are no pairs; stack the preferred on the rejected")
    return x[: rows // 2, ...], x[rows // 2 :, ...]


def grouped(where: str, x: Array, size: int) -> Array:
    """Rows as groups of ``size`` neighbours (the answers to one prompt): [B, ...] -> [N, G, ...].

    Raises:
        BadInput: ``size < 2``, or B is not a multiple of it.
    """
    rows = x.shape[0]
    if size < 2 or rows % size:
        raise BadInput(f"{where}: {rows} rows in groups of {size}; give equal groups, 2 or more")
    return namespace(x).reshape(x, (rows // size, size, *x.shape[1:]))


def positive(where: str, **values: float) -> None:
    """Raise `BadInput` unless every value is a finite number above 0."""
    for name, value in values.items():
        if not 0.0 < value < float("inf"):
            raise BadInput(f"{where}: {name} is {value}; it must be a finite number above 0")


def within(where: str, low: float, high: float, **values: float) -> None:
    """Raise `BadInput` unless every value lies in [low, high]."""
    for name, value in values.items():
        if not low <= value <= high:
            raise BadInput(f"{where}: {name} is {value}; it must lie in [{low:g}, {high:g}]")


def _spec(name: str, x: Array) -> str:
    if name in _MASKS:
        return mask_spec(x, KEYS[name])
    if name in _COLUMNS and getattr(x, "shape", ())[1:] == (1,):
        return "B 1"
    return KEYS[name]


def mask_spec(mask: Array, axes: str) -> str:
    """The spec of ``axes`` in whatever dtype the mask has."""
    library: Any = type(mask)
    return _kind(library, getattr(mask, "dtype", None)) + axes


@cache
def _kind(_: Any, dtype: Any) -> str:
    # The type is part of the key: dtypes of different libraries do not like to be compared.
    name = str(dtype).rpartition(".")[2]
    if name.startswith("bool"):
        return "bool "
    return "int " if name.startswith(("int", "uint")) else ""


def as_weights(xp: Any, mask: Array, like: Array) -> Array:
    """The mask in the dtype of ``like``; a number becomes an array."""
    if isinstance(mask, (bool, int, float)):
        return xp.full_like(like, float(mask))
    return mask if mask.dtype == like.dtype else xp.astype(mask, like.dtype)
