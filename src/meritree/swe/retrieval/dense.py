"""The dense channel: nearness of embeddings, from whoever can embed.

A vector is asked for once for each text, however many trees hold it. Plain Python; knows no wire.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from operator import mul
from typing import Protocol

from meritree.errors import BudgetExceeded
from meritree.respond.embedding import EmbeddingError
from meritree.respond.errors import ModelError
from meritree.swe.retrieval.data import Found, Place
from meritree.swe.retrieval.pieces import Piece
from meritree.value.sums import in_order

BATCH = 64
_MOST_CHARACTERS = 6000  # of a text: models cut longer ones, or refuse them


class Embedder(Protocol):
    """Something that turns texts into vectors of one length."""

    def __call__(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector for each text, in order.

        Raises:
            ModelError: there are none.
            BudgetExceeded: they cannot be paid.
        """
        ...


class Dense:
    """See the module. Safe to share between indexes and threads.

    Attributes:
        complaints: why the channel said nothing, the last time it did; empty when all is well.

    Args:
        embed: an `Embedder`, such as `meritree.respond.embedding.Embeddings`, or any function.
        before_query: what the model wants to see before a question.
        before_code: what it wants to see before code.
    """

    def __init__(
        self,
        embed: Embedder | Callable[[Sequence[str]], Sequence[Sequence[float]]],
        *,
        before_query: str = "",
        before_code: str = "",
    ) -> None:
        self.complaints: tuple[str, ...] = ()
        self._embed = embed
        self._before_query = before_query
        self._before_code = before_code
        self._known: dict[str, tuple[float, ...]] = {}
        self._mutex = threading.Lock()

    def find(self, query: str, pieces: Sequence[Piece], most: int) -> dict[Place, Found]:
        """The ``most`` nearest places by cosine.

        A model that fails (or cannot be paid) leaves this channel empty and a complaint: the
        others still answer.
        """
        texts = [f"{self._before_code}{_shown(piece)}" for piece in pieces]
        question = f"{self._before_query}{query}"[:_MOST_CHARACTERS]
        try:
            vectors = self._vectors([question, *texts])
        except (ModelError, BudgetExceeded) as error:
            self.complaints = (f"dense search is left out: {error}",)
            return {}
        self.complaints = ()
        asked, held = vectors[0], vectors[1:]
        scored = [
            (in_order(map(mul, asked, own)), piece.place)
            for own, piece in zip(held, pieces, strict=True)
        ]
        best = heapq.nsmallest(most, scored, key=lambda one: (-one[0], one[1]))
        return {place: Found(cos, f"is near in meaning (cosine {cos:.2f})") for cos, place in best}

    def _vectors(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        names = [
            hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts
        ]
        with self._mutex:
            new: Mapping[str, str] = {
                name: text
                for name, text in zip(names, texts, strict=True)
                if name not in self._known
            }
            wanted = list(new)
            for start in range(0, len(wanted), BATCH):
                own = wanted[start : start + BATCH]
                found = self._embed([new[name] for name in own])
                self._known.update(zip(own, _unit(found, len(own)), strict=True))
            vectors = [self._known[name] for name in names]
        if len({len(vector) for vector in vectors}) > 1:
            raise EmbeddingError("the embedding model gave vectors of different lengths")
        return vectors


def _shown(piece: Piece) -> str:
    return f"{piece.place.path} {piece.place.symbol}\n{piece.text}"[:_MOST_CHARACTERS]


def _unit(vectors: Sequence[Sequence[float]], count: int) -> list[tuple[float, ...]]:
    """Vectors of length 1 (zeros stay).

    Raises:
        EmbeddingError: not as many as texts, or numbers that are not finite.
    """
    if len(vectors) != count:
        raise EmbeddingError(f"the embedding model gave {len(vectors)} vectors for {count} texts")
    found = []
    for vector in vectors:
        length = math.hypot(*vector)
        if not math.isfinite(length):
            raise EmbeddingError(
                "the embedding model gave a vector with numbers that are not finite"
            )
        found.append(tuple(v / length for v in vector) if length else tuple(map(float, vector)))
    return found
