"""Learning curves of training runs as plots: reads points, imports no trainer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from meritree.errors import BadInput
from meritree.view.plots import Series, plot


class Measured(Protocol):
    """A point of a curve, as `meritree.align.curve.Point` is one."""

    @property
    def step(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def value(self) -> float: ...


def learning_curves(runs: Mapping[str, Iterable[Measured]], name: str) -> str:
    """One measure of several runs over their steps, as an SVG document.

    Args:
        runs: points by the name of the run.
        name: of the measure, such as ``loss``.

    Raises:
        BadInput: no run has such a measure; says which there are.
    """
    kept: Mapping[str, Sequence[Measured]] = {run: list(points) for run, points in runs.items()}
    series = [
        Series(run, [(p.step, p.value) for p in points if p.name == name])
        for run, points in kept.items()
    ]
    series = [one for one in series if one.points]
    if not series:
        there = sorted({point.name for points in kept.values() for point in points})
        raise BadInput(f"no run measured {name!r}; there are {', '.join(there) or 'no points'}")
    return plot(series, title=f"{name} over steps of training", x="step", y=name)
