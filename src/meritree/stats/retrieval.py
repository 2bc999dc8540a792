"""How good a ranking is, given the right answers: recall, reciprocal rank, precision, nDCG.

Functions of ids in their order and the set of right ones; relevance is yes or no.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from collections.abc import Set as AbstractSet
from math import fsum, log2
from typing import Literal, TypeVar

from meritree.errors import BadInput

Id = TypeVar("Id", bound=Hashable)


def recall_at(k: int, ranked: Sequence[Id], right: AbstractSet[Id]) -> float:
    """Share of the right answers among the first ``k``."""
    _check(k, right)
    return sum(one in right for one in ranked[:k]) / len(right)


def reciprocal_rank_at(k: int, ranked: Sequence[Id], right: AbstractSet[Id]) -> float:
    """1 / rank of the first right answer, 0 if none is among the first ``k``."""
    _check(k, right)
    return next((1.0 / (i + 1) for i, one in enumerate(ranked[:k]) if one in right), 0.0)


def average_precision_at(k: int, ranked: Sequence[Id], right: AbstractSet[Id]) -> float:
    """Sum over right answers among the first ``k`` of the precision there, over all right ones."""
    _check(k, right)
    found, total = 0, 0.0
    for position, one in enumerate(ranked[:k], start=1):
        if one in right:
            found += 1
            total += found / position
    return total / len(right)


def r_precision(ranked: Sequence[Id], right: AbstractSet[Id]) -> float:
    """Share of right answers among the first R, R being how many there are."""
    return recall_at(len(right), ranked, right)


def ndcg_at(
    k: int,
    ranked: Sequence[Id],
    right: AbstractSet[Id],
    variant: Literal["standard", "released"] = "standard",
) -> float:
    """Discounted gain of the first ``k`` over that of the best possible order.

    ``standard``: gain 1 / log2(1 + rank), the ideal cut at ``k`` too (Jarvelin and Kekalainen 2002
    as usually computed). ``released``: as in the code of Louis et al. 2025 (arXiv 2409.01357): rank
    2 is not discounted (1 / log2(rank) from there on) and the ideal is not cut at ``k``.
    """
    _check(k, right)
    if variant == "standard":
        gain = [1.0 / log2(1 + rank) for rank in range(1, k + 1)]
        ideal = fsum(gain[: len(right)])
    else:
        places = range(1, max(k, len(right)) + 1)
        gain = [1.0 if rank == 1 else 1.0 / log2(rank) for rank in places]
        ideal = fsum(gain[: len(right)])
    return fsum(g for one, g in zip(ranked[:k], gain, strict=False) if one in right) / ideal


def _check(k: int, right: AbstractSet[Id]) -> None:
    if k < 1 or not right:
        raise BadInput(
            f"retrieval: k={k} and {len(right)} right answers; both must be at least 1 "
            "(leave queries without an answer out)"
        )
