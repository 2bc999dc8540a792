"""Read a run's folder: the result document and the search tree, ended or still under way.

A journal without a result is a run that has not ended. What its events mean is `run_log`'s
business.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meritree.errors import BadInput
from meritree.view.run_log import RunLog
from meritree.view.tree import SearchTreeView, build_tree
from meritree.view.words import Document

Step = tuple[str, Mapping[str, Any]]  # kind and payload of an event


@dataclass(frozen=True, slots=True)
class RunView:
    """What a run's folder shows.

    Attributes:
        document: the result document; None while the run has not ended.
        tree: the search tree, empty before the search began.
        log: what was read from the journal; None where there is no journal.
    """

    document: Document | None
    tree: SearchTreeView
    log: RunLog | None = None


def load_run(folder: Path) -> RunView:
    """Read ``result.json`` and ``run.db`` of a run's folder.

    Raises:
        BadInput: neither is there, or the result is not a result document.
        JournalError: the journal is damaged or of a newer version.
    """
    document = read_document(folder / "result.json")
    journal = folder / "run.db"
    if document is None and not journal.is_file():
        raise BadInput(f"{folder} holds no run (no run.db); give the --out folder of a run")
    log = RunLog(folder=folder)
    if journal.is_file():
        read_journal(journal, log)
    try:
        return RunView(document, view_of(log, document), log)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{folder} holds a run that cannot be shown: {error!r}; it was written by another "
            "version of meritree, or is damaged"
        ) from error


def folder_instead(file: Path) -> str:
    """What to give in place of a file, in words: its folder where that holds a run."""
    if any((file.parent / name).is_file() for name in ("run.db", "result.json")):
        return f"its folder: {file.absolute().parent if file.parent == Path() else file.parent}"
    return "the folder that `fix` named (--out)"


def read_document(path: Path) -> Document | None:
    """The result document, None where there is none.

    Raises:
        BadInput: the file is no result of `meritree fix`.
    """
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}; `meritree resume` writes it anew") from error
    if not isinstance(document, dict) or not isinstance(document.get("schema"), int):
        raise BadInput(f"{path} is not a result of `meritree fix`")
    return document


def read_journal(path: Path, log: RunLog) -> bool:
    """Read the events since ``log.seq``; whether there were any.

    Raises:
        JournalError: the journal is damaged or of a newer version.
    """
    from meritree.run.journal import Journal

    before = log.seq
    with Journal.open(path, read_only=True) as journal:
        log.meta = journal.meta
        for event in journal.events(since=log.seq):
            log.take(event.kind, event.payload, event.time)
            log.seq = event.seq
    return log.seq > before


def tree_of(steps: Iterable[Step], document: Document | None = None) -> SearchTreeView:
    """The search tree that a journal's events tell of.

    Nodes are numbered in the order in which their outcomes were recorded, as the engine does;
    a state that was reached a second time makes no second node.
    """
    log = RunLog()
    for kind, payload in steps:
        log.take(kind, payload)
    return view_of(log, document)


def view_of(log: RunLog, document: Document | None = None) -> SearchTreeView:
    """The tree of a log, with the best node of the result where there is one."""
    candidates = (document.get("candidates") or []) if document else []
    verified = log.verified | {one["node"] for one in candidates if one["verified"]}
    nodes = [
        replace(node, kind="verified") if node.id in verified and node.kind != "root" else node
        for node in log.nodes
    ]
    best = candidates[0]["node"] if candidates else None
    return build_tree(nodes, best=best, repeats=log.aliases)
