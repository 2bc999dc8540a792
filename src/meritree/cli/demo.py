"""`meritree demo`: the main job on a bundled sample repository."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meritree.cli.options import Json, Quiet, read_out
from meritree.cli.running import run_and_show
from meritree.errors import BadInput

if TYPE_CHECKING:
    from meritree.swe.result import FixOptions, FixResult, Listener


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
    model: Annotated[
        str,
        typer.Option(
            metavar="local",
            help="local: by the agent, with a model served on this machine over HTTP.",
            show_default="none",
        ),
    ] = "",
    json: Json = None,
    quiet: Quiet = None,
) -> int:
    """Find and fix a bug in a bundled sample repository; needs no key and no network."""
    from meritree.demo import issue_text, unpack
    from meritree.swe.result import FixOptions

    context.obj.json = bool(json)
    if model not in ("", "local"):
        raise BadInput(f"--model {model}: the demo knows local; `meritree fix` takes any model")
    if seed < 0:
        raise BadInput(f"--seed {seed}: must be at least 0")
    folder = read_out(out)
    if folder is not None and (folder.is_file() or (folder.is_dir() and any(folder.iterdir()))):
        raise BadInput(f"--out {folder} is not empty; give a new or empty folder")
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

        return fix(options, listener) if not model else _with_model(options, listener)

    return run_and_show(context.obj, run, quiet=bool(quiet))


def _with_model(options: FixOptions, listener: Listener) -> FixResult:
    """The whole path of a model: a server on loopback, HTTP, tool calls, the agent's search.

    The served model is the repair policy behind the agent's tools; it mends the first of the two
    faults that the complaint holds.
    """
    from meritree.respond.server import ModelServer
    from meritree.swe.agent.repair_model import RepairModel
    from meritree.swe.fix import fix

    with ModelServer(RepairModel()) as server:
        asked = replace(
            options,
            policy="model",
            model="repair",
            base_url=server.base_url,
            failing_tests=("tests/test_tariffs.py",),
        )
        return fix(asked, listener)


def _introduce(repo: Path, issue: str) -> None:
    title = issue.splitlines()[0].lstrip("# ")
    print(f"A web shop's shipping quotes, with a complaint: {title}.")
    print(f"The repository: {repo}\nThe complaint:  {repo / 'issue.md'}\n", flush=True)
