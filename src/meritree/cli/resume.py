"""`meritree resume DIR`: continue an interrupted run where it stood."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meritree.cli.options import Json, Quiet
from meritree.cli.running import run_and_show

if TYPE_CHECKING:
    from meritree.swe.result import FixResult, Listener


def resume(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder of the run (--out).")],
    json: Json = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the verified patch into the repository.")
    ] = False,
    quiet: Quiet = None,
) -> int:
    """Continue the run in DIR: it ends with the same tree as a run that was never stopped.

    What was asked of `fix` (budgets, seed, ...) stays as it was. Exit codes as for `fix`.
    """
    context.obj.json = bool(json)
    path = Path(folder).expanduser().absolute()
    context.obj.folder = str(path) if path.is_dir() else ""

    def run(listener: Listener) -> FixResult:
        from meritree.swe.fix import resume as resume_fix

        return resume_fix(path, listener, apply=apply)

    return run_and_show(context.obj, run, quiet=bool(quiet))
