"""`meritree export DIR --to preds|mini`: a run in the formats of others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from meritree.errors import BadInput

FORMATS = ("preds", "mini")


def export(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder of a run (--out).")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="|".join(FORMATS),
            help="preds: SWE-bench's preds.json; mini: mini-swe-agent's trajectory.",
        ),
    ],
    instance: Annotated[
        str,
        typer.Option(metavar="ID", help="Id of the instance.", show_default="the folder's name"),
    ] = "",
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="model_name_or_path.", show_default="made of the model's name"
        ),
    ] = "",
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Where to write.", show_default="standard output"),
    ] = None,
) -> int:
    """Write the best patch of a run, or what led to it, in a format that other tools read."""
    from meritree.swe.export import mini_trajectory, run_prediction

    path = Path(folder).expanduser()
    if to not in FORMATS:
        raise BadInput(f"--to {to}: unknown; choose {' or '.join(FORMATS)}")
    if not path.is_dir():
        raise BadInput(f"no such folder: {path}; give the folder that `fix` named (--out)")
    if (path / "preds.json").is_file() and not (path / "run.db").is_file():
        raise BadInput(
            f"{path} is a folder of `meritree bench swebench`: its predictions are in preds.json, "
            "its trajectories in ID/ID.traj.json; give one of the folders ID/run"
        )
    if to == "preds":
        document: object = run_prediction(path, instance, name)
    else:
        document = mini_trajectory(path, instance)
    text = json.dumps(document, indent=2) + "\n"
    if out is None:
        sys.stdout.write(text)
        return 0
    try:
        Path(out).expanduser().write_text(text, "utf-8")
    except OSError as error:
        raise BadInput(f"--out {out} cannot be written: {error.strerror}") from None
    return 0
