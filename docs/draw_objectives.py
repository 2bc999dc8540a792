"""Write the tables of docs/objectives.md from the docstrings of `meritree.objectives`.

Usage: python docs/draw_objectives.py
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parent / "objectives.md"
MARK = "<!-- tables: python docs/draw_objectives.py -->"
# The parts for language models have a page of their own, objectives-language-models.md.
MODULES = (
    "td",
    "advantages",
    "projections",
    "distributional",
    "regression",
    "policy",
    "offline",
    "saddle",
    "weights",
    "dynamics",
)


def names(module: object) -> Iterator[tuple[str, object]]:
    """Public functions and classes that a module defines, in the order of its file."""
    found = [
        (name, thing)
        for name, thing in vars(module).items()
        if (inspect.isfunction(thing) or inspect.isclass(thing))
        and thing.__module__ == module.__name__  # type: ignore[attr-defined]
        and thing.__qualname__ == name
        and not name.startswith("_")
    ]
    return iter(found)


def source(text: str) -> str:
    """The source that a docstring names: what follows ``Source:``, or its arXiv number."""
    named = re.search(r"Source: (.+?)(?:\n\s*\n|\Z)", text, re.S)
    if named:
        return " ".join(named[1].split()).rstrip(".")
    arxiv = re.search(r"arXiv[: ](\d{4}\.\d{4,5})", text)
    return f"arXiv:{arxiv[1]}" if arxiv else ""


def row(name: str, thing: object) -> str:
    """One line of a table."""
    text = inspect.getdoc(thing) or ""
    says = " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")
    return f"| `{name}` | {says} | {source(text).replace('|', chr(92) + '|')} |"


def tables() -> str:
    """A heading and a table per file of the room."""
    parts = []
    for file in MODULES:
        module = importlib.import_module(f"meritree.objectives.{file}")
        head = " ".join((inspect.getdoc(module) or "").split("\n\n")[0].split())
        rows = [row(name, thing) for name, thing in names(module)]
        table = ["| name | what it is | source |", "|---|---|---|", *rows]
        parts.append("\n".join([f"### {file}", "", head, "", *table]))
    return "\n\n".join(parts)


def page(before: str) -> str:
    """The page with its tables made anew."""
    return before.split(MARK)[0] + MARK + "\n\n" + tables() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
