"""A search tree as compact columns of JSON for the picture, from the first node or a later one.

Texts are stored once and named by number. `embed` makes the JSON safe inside a script element.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from meritree.search.terms import Terms
from meritree.view import words
from meritree.view.differences import Differences
from meritree.view.tree import SearchTreeView, TreeNode

MAX_TEXT = 4000  # characters of one observation or difference
_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


class Texts:
    """Numbers for texts; 0 is the empty one."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {"": 0}

    def number(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))


def columns(
    tree: SearchTreeView,
    *,
    since: int = 0,
    until: int | None = None,
    differences: Differences | None = None,
    terms: Sequence[Terms] | None = None,
) -> dict[str, Any]:
    """The nodes with ids from ``since`` on (and below ``until``), as columns.

    Args:
        differences: the change of each node against its parent, where known.
        terms: by node id; left out where nobody asks for them all at once.
    """
    end = float("inf") if until is None else until
    nodes = [tree.nodes[key] for key in sorted(tree.nodes) if since <= key < end]
    texts = Texts()
    channels = list(dict.fromkeys(name for node in nodes for name in node.channels))
    data: dict[str, Any] = {
        "id": [node.id for node in nodes],
        "parent": [-1 if node.parent is None else node.parent for node in nodes],
        "value": [round(node.value, 4) for node in nodes],
        "repeats": _repeats(tree, nodes),
        "at": [node.at for node in nodes],
        "time": [round(node.time, 2) for node in nodes],
        "prior": [None if node.prior is None else float(f"{node.prior:.3g}") for node in nodes],
        "kind": [texts.number(_one(node.kind)) for node in nodes],
        "action": [texts.number(_one(node.action)) for node in nodes],
        "label": [texts.number(_one(node.label)) for node in nodes],
        "seen": [texts.number(_cut(node.observation)) for node in nodes],
        "diff": [texts.number(_cut(_diff(node, differences))) for node in nodes],
        "cost": [texts.number(_cost(node.cost)) for node in nodes],
        "channels": [texts.number(_one(name)) for name in channels],
        "levels": [_levels(name, nodes) for name in channels],
        "reasons": [
            [texts.number(_cut(node.reasons.get(name, ""))) for node in nodes] for name in channels
        ],
        "best": list(tree.best),
    }
    if terms is not None:
        data["terms"] = [term_rows(terms, node.id, texts) for node in nodes]
    data["texts"] = list(texts.numbers)
    return data


def term_rows(terms: Sequence[Terms], node: int, texts: Texts) -> list[Any]:
    """Flat: name, formula, value, name, formula, value, ..."""
    row: list[Any] = []
    for term in terms[node] if node < len(terms) else ():
        value = round(term.value, 4) if abs(term.value) < 1e9 else None
        row += [texts.number(term.name), texts.number(term.formula), value]
    return row


def embed(data: Mapping[str, Any]) -> str:
    """JSON that cannot end or open an element of the page around it."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for letter, escape in _ESCAPES.items():
        text = text.replace(letter, escape)
    return text


def _repeats(tree: SearchTreeView, nodes: Sequence[TreeNode]) -> list[int]:
    """Visits that no node below accounts for: expansions that led to known states."""
    below = {key: sum(tree.nodes[c].visits for c in ids) for key, ids in tree.children.items()}
    return [node.visits - 1 - below.get(node.id, 0) for node in nodes]


def _levels(channel: str, nodes: Sequence[TreeNode]) -> list[float | None]:
    return [
        None if (level := node.channels.get(channel)) is None else round(level, 3) for node in nodes
    ]


def _diff(node: TreeNode, differences: Differences | None) -> str:
    return node.diff or (
        differences.between(node.parent, node.id) if differences is not None else ""
    )


def _cost(cost: Mapping[str, float]) -> str:
    units = {"seconds": "s", "usd": "US$"}
    return ", ".join(f"{value:.4g} {units.get(name, name)}" for name, value in cost.items())


def _one(text: str) -> str:
    return words.one_line(text, 400)


def _cut(text: str) -> str:
    text = words.clean(text)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "\n… (cut)"
