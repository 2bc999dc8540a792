"""`meritree judge DIR right|wrong`: say what became of a patch; later runs learn its risk."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from meritree.errors import BadInput

VERDICTS = {"right": True, "wrong": False}


def judge(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder of a run (--out).")],
    verdict: Annotated[str, typer.Argument(metavar="right|wrong", help="Was the patch right?")],
    candidate: Annotated[int, typer.Option(metavar="N", min=1, help="Rank of the patch.")] = 1,
    calibration: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The journal.", show_default="the user's own"),
    ] = None,
) -> int:
    """Note whether a verified patch was right.

    From nine verdicts on, `meritree fix` states a bound on the risk of accepting a wrong patch.
    """
    from meritree.swe.calibration import FEWEST, Judged, append, default_path, read

    if verdict not in VERDICTS:
        raise BadInput(f"verdict {verdict!r}: say right or wrong")
    run = Path(folder).expanduser().resolve()
    chosen = _candidate(run, candidate)
    path = Path(calibration).expanduser() if calibration else default_path()
    if path.exists():
        read(path)  # a damaged journal is found before anything is added
    append(path, Judged(chosen["score"], VERDICTS[verdict], "a person", f"{run}#{candidate}"))
    known = len(read(path))
    needed = "" if known >= FEWEST else f"; from {FEWEST} on, `meritree fix` states a risk"
    print(f"noted: patch {candidate} of {run} was {verdict}; {path} holds {known} verdicts{needed}")
    return 0


def _candidate(run: Path, rank: int) -> dict[str, Any]:
    file = run / "result.json"
    try:
        document = jsonlib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise BadInput(
            f"{run} holds no ended run (no result.json); give a folder that `fix` named"
        ) from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} cannot be read: {error}") from None
    verified = [one for one in document.get("candidates", []) if one["verified"]]
    for one in verified:
        if one["rank"] == rank:
            return dict(one)
    raise BadInput(f"--candidate {rank}: the run has {len(verified)} verified patches")
