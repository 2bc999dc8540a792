"""Read a run's folder: the result document and the search tree, ended or still under way.

The journal's events are data of whoever wrote them: unknown kinds and keys are passed over, and
a journal without a result is a run that has not ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meritree.errors import BadInput
from meritree.view.tree import SearchTreeView, TreeNode, build_tree
from meritree.view.words import Document

Step = tuple[str, Mapping[str, Any]]  # kind and payload of an event

ROOT_LABEL = "the code as it is"


@dataclass(frozen=True, slots=True)
class RunView:
    """What a run's folder shows.

    Attributes:
        document: the result document; None while the run has not ended.
        tree: the search tree, empty before the search began.
    """

    document: Document | None
    tree: SearchTreeView


def load_run(folder: Path) -> RunView:
    """Read ``result.json`` and ``run.db`` of a run's folder.

    Raises:
        BadInput: neither is there, or the result is not a result document.
        JournalError: the journal is damaged or of a newer version.
    """
    document = _read_document(folder / "result.json")
    journal = folder / "run.db"
    if document is None and not journal.is_file():
        raise BadInput(f"{folder} holds no run (no run.db); give the --out folder of a run")
    steps = list(_read_steps(journal)) if journal.is_file() else []
    try:
        return RunView(document, tree_of(steps, document))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{folder} holds a run that cannot be shown: {error!r}; it was written by another "
            "version of meritree, or is damaged"
        ) from error


def _read_document(path: Path) -> Document | None:
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}; `meritree resume` writes it anew") from error
    if not isinstance(document, dict) or not isinstance(document.get("schema"), int):
        raise BadInput(f"{path} is not a result of `meritree fix`")
    return document


def _read_steps(path: Path) -> Iterable[Step]:
    from meritree.run.journal import Journal

    with Journal.open(path, read_only=True) as journal:
        for event in journal.events():
            yield event.kind, event.payload


def tree_of(steps: Iterable[Step], document: Document | None = None) -> SearchTreeView:
    """The search tree that a journal's events tell of.

    Nodes are numbered in the order in which their outcomes were recorded, as the engine does;
    a state that was reached a second time makes no second node.
    """
    asked: dict[int, Mapping[str, Any]] = {}
    nodes: dict[str, TreeNode] = {}
    root_value = 0.0
    for kind, payload in steps:
        if kind == "root":
            root_value = _mean(payload)
        elif kind == "step":
            asked[payload["ticket"]] = payload
        elif kind == "outcome" and payload["ticket"] in asked:
            step = asked.pop(payload["ticket"])
            key = str(step["key"])
            if key not in nodes:
                nodes[key] = _node(len(nodes) + 1, step, payload)
    if not nodes and not asked:
        return build_tree(())
    root = TreeNode(0, None, ROOT_LABEL, root_value, kind="root")
    return _mark_verified([root, *nodes.values()], document)


def _node(number: int, step: Mapping[str, Any], outcome: Mapping[str, Any]) -> TreeNode:
    estimate = outcome.get("estimate", {})
    return TreeNode(
        id=number,
        parent=int(step["node"]),
        label=_label(step),
        value=_mean(outcome),
        kind="passed" if outcome.get("passed_all") else "edit",
        channels=estimate.get("channels", {}),
        reasons=estimate.get("reasons", {}),
    )


def _label(step: Mapping[str, Any]) -> str:
    """An agent's action in words, or a repair edit with its place."""
    if "label" in step:
        return str(step["label"])
    edit = step.get("edit", {})
    place = f"{edit.get('path', '?')}:{edit.get('line', '?')}"
    return f"{edit.get('rationale') or 'an edit'} ({place})"


def _mean(payload: Mapping[str, Any]) -> float:
    return float(payload.get("estimate", {}).get("mean", 0.0))


def _mark_verified(nodes: list[TreeNode], document: Document | None) -> SearchTreeView:
    candidates = document["candidates"] if document else []
    verified = {one["node"] for one in candidates if one["verified"]}
    marked = [replace(n, kind="verified") if n.id in verified else n for n in nodes]
    return build_tree(marked, best=candidates[0]["node"] if candidates else None)
