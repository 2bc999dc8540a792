"""`meritree show DIR`: a run, ended or interrupted, in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meritree.errors import BadInput


def show(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder of a run (--out).")],
    depth: Annotated[int, typer.Option(metavar="N", min=0, help="Levels of the tree.")] = 4,
    width: Annotated[
        int, typer.Option(metavar="N", min=1, help="Children shown below one node.")
    ] = 8,
) -> int:
    """Show the tree, the patch and the evidence of the run in DIR."""
    from meritree.view.store import load_run
    from meritree.view.terminal import show_result, show_tree

    path = Path(folder).expanduser()
    if not path.is_dir():
        raise BadInput(f"no such folder: {path}; give the folder that `fix` named (--out)")
    run = load_run(path)
    show_tree(run.tree, depth=depth, width=width)
    if run.document is None:
        print(f"\nThis run has not ended; `meritree resume {path}` continues it.")
    else:
        show_result(run.document, quiet=False)
    return 0
