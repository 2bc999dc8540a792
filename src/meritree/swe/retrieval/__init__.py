"""Hybrid code search: lexical, structural and dense channels, fused. Docs: docs/code-search.md."""

from meritree.swe.retrieval.data import Hit, Place, Retriever
from meritree.swe.retrieval.dense import Dense, Embedder
from meritree.swe.retrieval.index import (
    CHANNELS,
    EVEN,
    TUNED,
    CodeIndex,
    Fusion,
    build_index,
    files_of,
)
from meritree.swe.retrieval.trees import SourceView, TreeRetriever

__all__ = [
    "CHANNELS",
    "EVEN",
    "TUNED",
    "CodeIndex",
    "Dense",
    "Embedder",
    "Fusion",
    "Hit",
    "Place",
    "Retriever",
    "SourceView",
    "TreeRetriever",
    "build_index",
    "files_of",
]
