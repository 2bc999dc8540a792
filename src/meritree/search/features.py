"""Facts about a state that the SWE-Search scores read, and how alike two states are.

Told with `Child.features`; a world that knows none leaves them out. Nothing here knows how the
facts are found.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Set
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a state has looked at and changed in one file.

    Attributes:
        spans: names of the functions and classes in view.
        patch: the change of this file as text, empty if unchanged.
    """

    spans: frozenset[str] = frozenset()
    patch: str = ""


@dataclass(frozen=True, slots=True)
class SweFeatures:
    """Facts of the code world about one node.

    Attributes:
        action_kind: type of the action that led here ("StringReplace", ...).
        finished: the agent declared success here; None: the node is terminal.
        patched: the state differs from the start; None: every node but the root does.
        expects_correction: the observation asks for a correction (failed edit or test).
        files: what is known of each file, by path.
    """

    action_kind: str = ""
    finished: bool | None = None
    patched: bool | None = None
    expects_correction: bool = False
    files: Mapping[str, FileFacts] = field(default_factory=dict)


def similarity(a: Mapping[str, FileFacts], b: Mapping[str, FileFacts]) -> float:
    """0.4 Jaccard(files) + 0.2 mean Jaccard(spans) + 0.4 mean ratio(patches), in [0, 1].

    The means run over the files in both; without a common file they are 1, as in
    moatless-tree-search (so states without a common file still have similarity 0.6). The ratio
    is `difflib.SequenceMatcher.ratio`.
    """
    common = sorted(a.keys() & b.keys())
    spans = [_jaccard(a[path].spans, b[path].spans) for path in common]
    patches = [_ratio(a[path].patch, b[path].patch) for path in common]
    return 0.4 * _jaccard(a.keys(), b.keys()) + 0.2 * _mean(spans) + 0.4 * _mean(patches)


def _jaccard(a: Set[str], b: Set[str]) -> float:
    union = len(a | b)
    return len(a & b) / union if union else 1.0


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio() if a != b else 1.0


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 1.0
