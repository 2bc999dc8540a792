"""A run as one plain document: for `show --format json`, and in Markdown for people.

The same facts as the report; every text is cleaned, and fenced where it is code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from meritree.errors import BadInput
from meritree.search.terms import Terms, score_terms
from meritree.view import words
from meritree.view.store import RunView
from meritree.view.tree import SearchTreeView, TreeNode

SCHEMA = 1


def run_summary(run: RunView, folder: Path) -> dict[str, Any]:
    """Everything about a run but the details of single nodes."""
    document = run.document
    return {
        "schema": SCHEMA,
        "folder": str(folder),
        "status": status_of(run),
        "message": words.clean(document["message"]) if document else "",
        "patch": words.clean(document["patch"]) if document and document["patch"] else None,
        "partial": _partial(document),
        "best": list(run.tree.best),
        "nodes": [_row(node) for node in run.tree.nodes.values()],
        "ledger": [{"what": what, "spent": spent, "of": of} for what, spent, of in ledger_of(run)],
        "timeline": [
            {"second": moment.seconds, "what": words.clean(moment.words)}
            for moment in (run.log.timeline if run.log else ())
        ],
    }


def _partial(document: words.Document | None) -> dict[str, Any] | None:
    part = words.partial(document) if document else None
    if part is None:
        return None
    tests = {name: [words.clean(test) for test in part[name]] for name in ("mends", "fails")}
    return {"patch": words.clean(part["patch"]), **tests}


def status_of(run: RunView) -> str:
    """The result's status, else how far the run has come."""
    if run.document is not None:
        return str(run.document["status"])
    return (run.log.status or f"not ended: {run.log.phase}") if run.log else "not ended"


def ledger_of(run: RunView) -> list[tuple[str, str, str]]:
    """(what, spent, allowed), of a run under way as far as it is."""
    log, document = run.log, run.document
    if document is None:
        document = {
            "evaluations": log.evaluations if log else 0,
            "seconds": log.seconds if log else 0.0,
            "settings": log.options if log else {},
        }
    return words.ledger_rows(document, log.spent if log else {})


def node_summary(run: RunView, number: int) -> dict[str, Any]:
    """One node: what was done, what came back, the change, the value, the score.

    Raises:
        BadInput: there is no such node.
    """
    node = run.tree.nodes.get(number)
    if node is None:
        last = max(run.tree.nodes, default=-1)
        there = f"there are 0 to {last}" if last >= 0 else "the search had not begun"
        raise BadInput(f"--node {number}: no such node; {there}")
    diff = node.diff or (run.log.differences.between(node.parent, number) if run.log else "")
    return {
        "schema": SCHEMA,
        **_row(node),
        "way": [_row(run.tree.nodes[key]) for key in _way(run.tree, number)],
        "observation": words.clean(node.observation),
        "diff": words.clean(diff),
        "prior": node.prior,
        "seconds_into_the_run": node.time,
        "cost": dict(node.cost),
        "channels": [
            {"channel": words.clean(n), "value": v, "reason": words.clean(node.reasons.get(n, ""))}
            for n, v in sorted(node.channels.items(), key=lambda pair: (-pair[1], pair[0]))
        ],
        "score": [
            {"term": term.name, "formula": term.formula, "value": _finite(term.value)}
            for term in terms_of(run, number)
        ],
        "children": [_row(run.tree.nodes[key]) for key in run.tree.children.get(number, ())],
    }


def terms_of(run: RunView, number: int) -> Terms:
    """The selector's score of a node, empty where it is not known."""
    log = run.log
    if log is None:
        return ()
    seed = log.options.get("seed", 0)
    search = log.told.search(log.strategy, seed if isinstance(seed, int) else 0)
    return score_terms(search, number) if search and number < len(search.tree) else ()


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _row(node: TreeNode) -> dict[str, Any]:
    return {
        "id": node.id,
        "parent": node.parent,
        "kind": words.clean(node.kind),
        "action": words.clean(node.action),
        "label": words.one_line(node.label, 400),
        "value": node.value,
        "visits": node.visits,
        "evaluation": node.at,
    }


def _way(tree: SearchTreeView, number: int) -> list[int]:
    way: list[int] = []
    up = tree.nodes[number].parent
    while up is not None:
        way.append(up)
        up = tree.nodes[up].parent
    return way[::-1]


def run_markdown(told: Mapping[str, Any], most: int = 40) -> str:
    """A run's summary as Markdown, with the ``most`` best nodes."""
    lines = [f"# {_md(told['status'])}: `{told['folder']}`", "", _md(told["message"])]
    if told["patch"]:
        lines += ["", "## Patch", "", *_fenced(told["patch"], "diff")]
    if part := told["partial"]:
        said = ", ".join(_md(test) for test in part["fails"])
        lines += ["", "## A patch for some of the failing tests", "", f"With it still fail: {said}"]
        lines += ["", *_fenced(part["patch"], "diff")]
    best = set(told["best"])
    ranked = sorted(told["nodes"], key=lambda one: (one["id"] not in best, -one["value"]))[:most]
    lines += ["", "## Nodes, the best line first", ""]
    lines += _table(("node", "value", "visits", "kind", "what"), [
        (one["id"], f"{one['value']:.2f}", one["visits"], one["kind"], one["label"])
        for one in ranked
    ])  # fmt: skip
    if len(told["nodes"]) > most:
        lines.append(f"\nand {len(told['nodes']) - most} more")
    lines += ["", "## Ledger", ""]
    lines += _table(("what", "spent", "of"), [tuple(one.values()) for one in told["ledger"]])
    lines += ["", "## Timeline", ""]
    lines += _table(("second", "what"), [tuple(one.values()) for one in told["timeline"]])
    return "\n".join(lines) + "\n"


def node_markdown(told: Mapping[str, Any]) -> str:
    """One node as Markdown."""
    lines = [
        f"# Node {told['id']}: {_md(told['label'])}", "",
        f"{told['kind']}, value {told['value']:.3f}, visits {told['visits']}, "
        f"evaluation {told['evaluation']}",
    ]  # fmt: skip
    if told["way"]:
        lines += ["", "Way: " + " > ".join(_md(one["label"]) for one in told["way"])]
    if told["diff"]:
        lines += ["", "## Change against the parent", "", *_fenced(told["diff"], "diff")]
    if told["observation"]:
        lines += ["", "## What came back", "", *_fenced(told["observation"])]
    for title, key in (("Channels", "channels"), ("Score, term by term", "score")):
        if told[key]:
            lines += ["", f"## {title}", ""]
            lines += _table(tuple(told[key][0]), [tuple(one.values()) for one in told[key]])
    return "\n".join(lines) + "\n"


def _md(value: object) -> str:
    """Text on one line that Markdown leaves alone."""
    line = words.one_line(value, 400)
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!" else c for c in line)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _md("-" if value is None else value)


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _fenced(text: str, language: str = "") -> list[str]:
    fence = "```"
    while fence in text:
        fence += "`"
    return [fence + language, text.rstrip("\n"), fence]
