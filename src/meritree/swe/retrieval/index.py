"""Hybrid code search: an index of one tree, its channels, and their fusion.

An index is never changed: `CodeIndex.changed` returns another that shares all files that stayed, so
that every state of a search tree can have its own. Reads no disk; texts are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from meritree.errors import BadInput
from meritree.swe.retrieval.data import Found, Hit, Place
from meritree.swe.retrieval.dense import Dense
from meritree.swe.retrieval.lexical import NOTHING, Statistics, lexical
from meritree.swe.retrieval.pieces import FileIndex, Piece, index_file
from meritree.swe.retrieval.structural import structural
from meritree.value.fuse import fuse, normalise, ranks

CHANNELS = ("lexical", "structural", "dense")
DEPTH = 200  # places that a channel names


# Tuned on the dev part of benchmarks/retrieval.py; the weight of dense is not measured.
TUNED: Mapping[str, float] = MappingProxyType({"lexical": 0.7, "structural": 0.3, "dense": 0.5})
EVEN: Mapping[str, float] = MappingProxyType(dict.fromkeys(CHANNELS, 1.0))


@dataclass(frozen=True, slots=True)
class Fusion:
    """How channels are joined.

    Attributes:
        how: ``scores`` (weight x score brought to [0, 1]) or ``rrf`` (weight / (60 + rank)).
        weights: by channel, 0 or more; a channel without one is not asked.
    """

    how: Literal["scores", "rrf"] = "scores"
    weights: Mapping[str, float] = field(default_factory=lambda: TUNED)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.weights) - set(CHANNELS))
        if unknown:
            raise BadInput(f"fusion: no channel {unknown[0]!r}; there are {', '.join(CHANNELS)}")
        if self.how not in ("rrf", "scores"):
            raise BadInput(f"fusion: how={self.how!r}; it is rrf or scores")
        if not any(self.weights.values()):
            raise BadInput("fusion: no channel has a weight above 0; give one to lexical")


@dataclass(frozen=True)
class CodeIndex:
    """The places of a tree of files, ready to be searched; a `Retriever`.

    Make one with `build_index`. Safe to share between threads.
    """

    files: Mapping[str, FileIndex]
    statistics: Statistics = NOTHING
    fusion: Fusion = Fusion()
    dense: Dense | None = None

    def changed(self, texts: Mapping[str, str | None]) -> CodeIndex:
        """The index of a tree in which these files have other texts (None: are gone)."""
        gone = [self.files[path] for path in texts if path in self.files]
        come = [index_file(path, text) for path, text in texts.items() if text is not None]
        files = {path: file for path, file in self.files.items() if path not in texts}
        files.update((file.path, file) for file in come)
        return replace(
            self,
            files=dict(sorted(files.items())),
            statistics=self.statistics.changed(gone, come),
        )

    def search(
        self, query: str, k: int = 10, *, within: Callable[[str], bool] | None = None
    ) -> list[Hit]:
        """The ``k`` best places, best first; fewer where nothing else is found at all.

        Args:
            query: a question, an issue text, a traceback, a test report.
            k: 1 or more.
            within: which paths may be in the answer (tests, for example, may not).

        Raises:
            BadInput: ``k`` is below 1.
        """
        if k < 1:
            raise BadInput(f"search: k={k}; ask for 1 place or more")
        found = self.by_channel(query, within=within)
        return self.fused(found)[:k]

    def by_channel(
        self, query: str, *, within: Callable[[str], bool] | None = None
    ) -> dict[str, dict[Place, Found]]:
        """What each channel that has a weight finds, best first."""
        found: dict[str, dict[Place, Found]] = {}
        allowed = self.files
        if within is not None:
            allowed = {path: file for path, file in self.files.items() if within(path)}
        wanted = {name for name, weight in self.fusion.weights.items() if weight > 0.0}
        if "lexical" in wanted:
            found["lexical"] = lexical(query, allowed.values(), self.statistics, DEPTH)
        if "structural" in wanted:
            # Tests are evidence even where they may not be answers.
            every = structural(query, self.files, len(self.pieces))
            kept = [(place, what) for place, what in every.items() if place.path in allowed]
            found["structural"] = dict(kept[:DEPTH])
        if "dense" in wanted and self.dense is not None:
            pieces = [piece for piece in self.pieces if piece.place.path in allowed]
            found["dense"] = self.dense.find(query, pieces, DEPTH)
        return found

    def fused(self, found: Mapping[str, Mapping[Place, Found]]) -> list[Hit]:
        """All places of all channels in one order."""
        lists = {
            name: {place: what.score for place, what in own.items()}
            for name, own in found.items()
            if own
        }
        if not lists:
            return []
        weights = {name: self.fusion.weights[name] for name in lists}
        if self.fusion.how == "rrf":
            order = fuse(lists, "rrf", weights=weights)
        else:
            scaled = {name: to_unit(own, name) for name, own in lists.items()}
            order = fuse(scaled, "weighted", weights=weights)
        places = {name: ranks(own) for name, own in lists.items()}
        return [
            Hit(
                *place,
                score,
                {name: own[place] for name, own in places.items() if place in own},
                {name: found[name][place].reason for name in lists if place in found[name]},
            )
            for place, score in order
        ]

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """All places with their texts."""
        return tuple(piece for file in self.files.values() for piece in file.pieces)


def to_unit(scores: Mapping[Place, float], channel: str = "") -> dict[Place, float]:
    """Scores of one channel in [0, 1].

    Over the best: a place that is found at all keeps more than one that is not. Cosines of
    embeddings lie close together, so that these are stretched from the lowest to the best.
    """
    if channel == "dense" or min(scores.values()) < 0.0:
        return normalise(scores, "minmax")
    best = max(scores.values())
    return {place: score / best if best else 1.0 for place, score in scores.items()}


def build_index(
    texts: Mapping[str, str], *, fusion: Fusion | None = None, dense: Dense | None = None
) -> CodeIndex:
    """Index a tree.

    Args:
        texts: relative path with ``/`` -> text of the file; any language.
        fusion: how channels are joined; default: scores with tuned weights.
        dense: the third channel, where an embedding model is at hand.
    """
    return CodeIndex({}, fusion=fusion or Fusion(), dense=dense).changed(texts)


def files_of(hits: Sequence[Hit]) -> list[str]:
    """The files of some hits, each at its best place."""
    return list(dict.fromkeys(hit.path for hit in hits))
