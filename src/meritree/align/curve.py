"""Learning curves as rows: what was measured at which step; kept as lines of JSON.

Knows neither models nor plots; `meritree.view.curves` draws them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from meritree.errors import BadInput

NAME = "curve.jsonl"


class Point(NamedTuple):
    """One number of a curve.

    Attributes:
        step: steps taken before it was measured, from 1.
        name: ``loss``, ``gradient norm``, ``learning rate``, a metric of the objective, or of an
            evaluation.
        value: the number.
    """

    step: int
    name: str
    value: float


def column(points: Iterable[Point], name: str) -> list[tuple[int, float]]:
    """(step, value) of one name.

    Raises:
        BadInput: no point has that name; says which there are.
    """
    rows = list(points)
    found = [(point.step, point.value) for point in rows if point.name == name]
    if not found:
        names = ", ".join(sorted({point.name for point in rows})) or "none"
        raise BadInput(f"no curve is called {name!r}; there are {names}")
    return found


def write(folder: Path, points: Sequence[Point], *, anew: bool) -> None:
    """Append points to the folder's file, or begin it anew.

    Raises:
        BadInput: the file cannot be written.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("w" if anew else "a", encoding="utf-8") as file:
            file.writelines(json.dumps(point._asdict()) + "\n" for point in points)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


def read(folder: Path) -> list[Point]:
    """The points in a folder's file; half a line at its end is passed over.

    Raises:
        BadInput: there is no such file, or a line is none of ours.
    """
    path = folder / NAME
    try:
        lines = path.read_text("utf-8").split("\n")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    points = []
    for number, line in enumerate(lines[:-1], 1):  # what follows the last line end is half a line
        try:
            entry: Any = json.loads(line)
            point = Point(int(entry["step"]), str(entry["name"]), float(entry["value"]))
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path}: line {number} is no point of a curve") from error
        points.append(point)
    return points
