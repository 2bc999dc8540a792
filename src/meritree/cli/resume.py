"""`meritree resume DIR`: continue a run where it stood; with more budget also one that ended."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meritree.cli.options import Json, Quiet
from meritree.cli.running import run_and_show, show

if TYPE_CHECKING:
    from meritree.swe.result import FixResult, Listener

AS_IT_WAS = "as it was"


def resume(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder of the run (--out).")],
    budget_tests: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Candidate evaluations of the whole run.", show_default=AS_IT_WAS
        ),
    ] = None,
    budget_seconds: Annotated[
        float | None,
        typer.Option(metavar="S", help="Seconds of the whole run.", show_default=AS_IT_WAS),
    ] = None,
    budget_usd: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Money for model calls of the whole run.", show_default=AS_IT_WAS
        ),
    ] = None,
    budget_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Tokens of model calls of the whole run.", show_default=AS_IT_WAS
        ),
    ] = None,
    base_url: Annotated[
        str,
        typer.Option(
            metavar="URL", help="The models' endpoint, if it moved.", show_default=AS_IT_WAS
        ),
    ] = "",
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Another model, if none has answered yet.",
            show_default=AS_IT_WAS,
        ),
    ] = "",
    json: Json = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the verified patch into the repository.")
    ] = False,
    quiet: Quiet = None,
) -> int:
    """Continue the run in DIR: it ends with the same tree as a run that was never stopped.

    What was asked of `fix` (seed, strategy, ...) stays as it was. With a larger budget a run that
    had used its own up goes on too, to the tree of one run with that budget. Exit codes: see `fix`.
    """
    from meritree.swe.resuming import Budget, Endpoint, ended, refuse_idle
    from meritree.swe.resuming import resume as resume_run

    context.obj.json = bool(json)
    path = Path(folder).expanduser().absolute()
    context.obj.folder = str(path) if path.is_dir() else ""
    budget = Budget(budget_tests, budget_seconds, budget_usd, budget_tokens)
    endpoint = Endpoint(base_url.strip(), model.strip())
    refuse_idle(endpoint, budget.given, path)
    done = ended(path)
    if done is not None and not budget.given:
        if not quiet:
            what = "its patch is applied" if apply else "this is its result"
            print(f"meritree: this run has ended, {what}", file=sys.stderr, flush=True)
        if not apply:
            return show(context.obj, done, quiet=bool(quiet))

    def run(listener: Listener) -> FixResult:
        return resume_run(path, listener, apply=apply, budget=budget, endpoint=endpoint)

    return run_and_show(context.obj, run, quiet=bool(quiet) or (done is not None and apply))
