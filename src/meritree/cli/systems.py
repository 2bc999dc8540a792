"""`meritree systems`: the 119 systems and how far each has come."""

from __future__ import annotations

import json as jsonlib
import shutil
import sys
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
    """One line a system: cut to a terminal's width, whole where it is read by a program."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        verdict, note = row.verdict or "-", f" ({row.state}: {row.note})" if row.note else ""
        line = f"{row.id}  {row.name:21} {row.room:9} {row.state:8} {verdict:14} "
        print((line + row.title + note)[:width])
    tally = Counter(row.state for row in rows)
    counts = ", ".join(f"{tally[state]} {state}" for state in ("works", "part", "planned"))
    print(f"{len(rows)} systems: {counts}")
