"""`meritree systems`: the 119 systems and how far each has come."""

from __future__ import annotations

import json as jsonlib
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from meritree.studies.registry import System


def systems(
    json: Annotated[bool, typer.Option("--json", help="A JSON list of objects.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="A Markdown table.")] = False,
) -> int:
    """List all 119 systems with their state and the verdict of their study."""
    from meritree.studies.registry import systems as all_systems

    rows = all_systems()
    if json:
        print(jsonlib.dumps([row.to_json() for row in rows], indent=2))
    elif markdown:
        print("\n".join(_markdown(rows)))
    else:
        _table(rows)
    return 0


def _markdown(rows: tuple[System, ...]) -> list[str]:
    head = ["| number | name | what | room | state | verdict |", "|---|---|---|---|---|---|"]
    return head + [
        f"| {row.id} | {row.name} | {_cell(row.title)} | {row.room} | {row.state_in_words} "
        f"| {row.verdict or '-'} |"
        for row in rows
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(rows: tuple[System, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("number", "name", "room", "state", "verdict"):
        table.add_column(column, no_wrap=True)
    table.add_column("what", overflow="fold")
    styles = {"works": "green", "part": "yellow", "planned": "dim"}
    for row in rows:
        table.add_row(
            row.id, row.name, row.room, row.state_in_words, row.verdict or "-", row.title,
            style=styles[row.state],
        )  # fmt: skip
    console = Console(highlight=False)
    console.print(table)
    tally = Counter(row.state for row in rows)
    print(", ".join(f"{n} {state}" for state, n in tally.most_common()), f"of {len(rows)}")
