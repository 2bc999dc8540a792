"""A run's folder in the terminal: tree, result, ledger, timeline; or one node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from meritree.view import words
from meritree.view.printing import result_console
from meritree.view.store import RunView
from meritree.view.summary import ledger_of, node_summary
from meritree.view.terminal import show_patch, show_result, show_tree


def show_run(run: RunView, folder: Path, *, depth: int, width: int) -> None:
    """Print the tree, the patch with its evidence, the ledger and the timeline."""
    console = result_console()
    show_tree(run.tree, depth=depth, width=width)
    if run.document is None:
        print(f"\nThis run has not ended; `meritree resume {folder}` continues it.")
    else:
        show_result(run.document, quiet=False)
    console.print(Text("\nledger", "bold"))
    console.print(
        _grid((what, spent, f"of {of}" if of != "-" else "") for what, spent, of in ledger_of(run))
    )
    if run.log is not None and run.log.timeline:
        console.print(Text("\ntimeline", "bold"))
        console.print(_grid((f"{m.seconds:8.1f} s", m.words) for m in run.log.timeline))


def show_node(run: RunView, number: int) -> None:
    """Print one node.

    Raises:
        BadInput: there is no such node.
    """
    told = node_summary(run, number)
    console = result_console()
    console.print(Text(f"node {number}: {told['label']}", "bold"), soft_wrap=True)
    facts = [
        told["kind"], told["action"] and f"action {told['action']}", f"value {told['value']:.3f}",
        f"visits {told['visits']}", told["evaluation"] and f"evaluation {told['evaluation']}",
        f"prior {told['prior']:.3g}" if told["prior"] is not None else "",
        ", ".join(f"{value:.4g} {name}" for name, value in told["cost"].items()),
    ]  # fmt: skip
    console.print(Text("  " + ", ".join(str(fact) for fact in facts if fact)))
    for step in told["way"]:
        console.print(Text(f"  from {step['id']}: {step['label']}", "dim"), soft_wrap=True)
    if told["diff"]:
        console.print()
        show_patch(console, told["diff"])
    if told["observation"]:
        console.print(Text("\nwhat came back", "bold"))
        console.print(Text(told["observation"]), soft_wrap=True)
    _rows(console, "value, channel by channel", told["channels"])
    _rows(console, "the selector's score, term by term", told["score"])
    _rows(console, "children", [
        {"id": one["id"], "value": one["value"], "what": one["label"]}
        for one in sorted(told["children"], key=lambda one: -one["value"])[:12]
    ])  # fmt: skip


def _rows(console: Console, title: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        console.print(Text(f"\n{title}", "bold"))
        console.print(_grid(tuple(map(_cell, one.values())) for one in rows))


def _cell(value: object) -> str:
    return (
        f"{value:.3f}" if isinstance(value, float) else words.clean("-" if value is None else value)
    )


def _grid(rows: Any) -> Table:
    grid = Table.grid(padding=(0, 2))
    for row in rows:
        grid.add_row("", *(Text(words.clean(cell)) for cell in row))
    return grid
