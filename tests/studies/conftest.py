"""A small study of known figures."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

import pytest

from meritree.studies.checks import Better, Bound
from meritree.studies.rows import Rows
from meritree.studies.study import Data, Paper, Row, Scale, Settings, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def measure(seed: int, settings: Settings) -> Iterator[Row]:
    """B is A plus 1, on the same draws."""
    draw = Random(seed).gauss(0.0, settings["spread"])
    for data, level in (("low", 0.0), ("high", 10.0)):
        yield Row("A", data, "score", level + draw)
        yield Row("B", data, "score", level + draw + 1.0)


def picture(rows: Rows, figure: Figure) -> str:
    axes = figure.subplots()
    axes.plot(rows.values("score"))
    return f"{len(rows)} rows"


@pytest.fixture
def tiny() -> Study:
    return Study(
        id="S033",
        name="dr-es",
        paper=Paper("A title", "Somebody et al.", 2020),
        claim="B is better than A by 1.",
        parts=("meritree.stats",),
        data=(Data("low", "a generator", "1 number a seed"),),
        baselines=("A",),
        measure=measure,
        checks=(
            Better("B beats A", "score", "B", "A", by=0.5),
            Bound("A is near 5 on the mean", "score", "A", at_least=0.0, at_most=10.0),
        ),
        scales={"smoke": Scale(4, {"spread": 1.0}), "full": Scale(8, {"spread": 1.0})},
        draw=picture,
    )
