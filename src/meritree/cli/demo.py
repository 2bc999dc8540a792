"""`meritree demo`: the main job on a bundled sample repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meritree.cli.options import Json, Quiet, read_out
from meritree.cli.running import run_and_show

if TYPE_CHECKING:
    from meritree.swe.result import FixResult, Listener


def demo(
    context: typer.Context,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the run; new or empty.",
            show_default="a temporary folder",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of every random choice.")] = 0,
    json: Json = None,
    quiet: Quiet = None,
) -> int:
    """Find and fix a bug in a bundled sample repository; needs no key and no network."""
    from meritree.demo import issue_text, unpack
    from meritree.swe.result import FixOptions

    context.obj.json = bool(json)
    folder = read_out(out)
    repo = unpack()
    options = FixOptions(
        repo=repo,
        issue=issue_text(),
        seed=seed,
        out=folder or repo.with_name("run"),
    )
    context.obj.folder = str(options.out)
    if not (json or quiet):
        _introduce(repo, issue_text())

    def run(listener: Listener) -> FixResult:
        from meritree.swe.fix import fix

        return fix(options, listener)

    return run_and_show(context.obj, run, quiet=bool(quiet))


def _introduce(repo: Path, issue: str) -> None:
    title = issue.splitlines()[0].lstrip("# ")
    print(f"A web shop's shipping quotes, with a complaint: {title}.")
    print(f"The repository: {repo}\nThe complaint:  {repo / 'issue.md'}\n", flush=True)
