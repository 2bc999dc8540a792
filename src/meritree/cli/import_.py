"""`meritree import TRAJECTORY REPO`: take a trajectory of mini-swe-agent over."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from meritree.cli.options import build
from meritree.cli.session import write_json


def import_(
    context: typer.Context,
    trajectory: Annotated[
        str, typer.Argument(metavar="FILE", help="A trajectory of mini-swe-agent (.traj.json).")
    ],
    repo: Annotated[str, typer.Argument(help="The repository as it was when the agent began.")],
    test: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="How the tests are run.", show_default="detected"),
    ] = None,
    failing: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="A test that must pass.", show_default="every failing one"),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Interpreter of the tests.", show_default="detected"),
    ] = None,
    sandbox: Annotated[str, typer.Option(metavar="KIND", help="Where everything runs.")] = "auto",
    seconds: Annotated[
        float, typer.Option(metavar="S", min=0.1, help="Wall clock of one command.")
    ] = 60.0,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder for patch and verdict; new or empty.",
            show_default="as for fix",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """Run a trajectory's commands again on a copy of REPO, and judge the patch by its tests.

    Exit code 0: verified; 1: refused, not judged or empty; 2: bad input.
    """
    from meritree.swe.mini.imported import EXIT_CODES, import_trajectory
    from meritree.swe.mini.trajectory import read_trajectory

    context.obj.json = json
    given = {"test": test, "failing": failing, "python": python, "sandbox": sandbox, "out": out}
    values = {name: value for name, value in given.items() if value}
    # A text and no failing test is enough: then the patch is not judged, only run.
    options = build(Path(repo), {**values, "policy": "mini", "issue": "a trajectory"})
    found = read_trajectory(Path(trajectory).expanduser())
    done = import_trajectory(found, options, seconds=seconds)
    if json:
        write_json(done.to_json(found))
        return EXIT_CODES[done.status]
    ran, otherwise = len(done.replayed.ran), len(done.replayed.otherwise)
    print(f"{done.status}: {done.reason}", file=sys.stderr)
    print(f"{ran} commands run, {otherwise} ended otherwise than recorded", file=sys.stderr)
    for line in (done.replayed.problem, *done.left_out):
        if line:
            print(f"left out: {line}" if line in done.left_out else line, file=sys.stderr)
    sys.stdout.write(done.patch.encode("utf-8", "backslashreplace").decode("utf-8"))
    return EXIT_CODES[done.status]
