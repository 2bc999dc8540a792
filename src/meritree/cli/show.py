"""`meritree show DIR`: a run, ended or interrupted, in the terminal or as a document."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meritree.cli.session import write_json
from meritree.errors import BadInput

FORMATS = ("text", "json", "md")


def show(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder of a run (--out).")],
    node: Annotated[
        int | None,
        typer.Option(metavar="N", help="One node: action, observation, change, value, score."),
    ] = None,
    depth: Annotated[int, typer.Option(metavar="N", min=0, help="Levels of the tree.")] = 4,
    width: Annotated[
        int, typer.Option(metavar="N", min=1, help="Children shown below one node.")
    ] = 8,
    format: Annotated[
        str, typer.Option(metavar="text|json|md", help="For a terminal, a program or a page.")
    ] = "text",
) -> int:
    """Show the tree, the patch, the evidence, the ledger and the timeline of the run in DIR."""
    from meritree.view.show import show_node, show_run
    from meritree.view.store import folder_instead, load_run
    from meritree.view.summary import node_markdown, node_summary, run_markdown, run_summary

    path = Path(folder).expanduser()
    if format not in FORMATS:
        raise BadInput(f"--format {format}: choose one of {', '.join(FORMATS)}")
    if path.is_file():
        raise BadInput(f"{path} is a file; give {folder_instead(path)}")
    if not path.is_dir():
        raise BadInput(f"no such folder: {path}; give the folder that `fix` named (--out)")
    run = load_run(path)
    if format == "text":
        if node is None:
            show_run(run, path, depth=depth, width=width)
        else:
            show_node(run, node)
    elif format == "json":
        write_json(run_summary(run, path) if node is None else node_summary(run, node))
    elif node is None:
        print(run_markdown(run_summary(run, path)), end="")
    else:
        print(node_markdown(node_summary(run, node)), end="")
    return 0
