"""Draws a study's figure to a file; Matplotlib is imported only when something is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from meritree.errors import BadInput
from meritree.studies.rows import Rows
from meritree.studies.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT, DPI = 8.0, 4.2, 120


def draw(study: Study, rows: Rows, path: Path) -> str:
    """Write the figure (the suffix decides the format) and return its caption.

    Raises:
        BadInput: the file cannot be written.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    try:
        caption = study.draw(rows, figure)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a date and a version in it, the same rows give the same file.
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    finally:
        plt.close(figure)
    return caption


def bars(axes: Axes, rows: Rows, metric: str, *, dataset: str | None = None) -> None:
    """A bar a system with its 95 % interval: the plain picture of one metric."""
    chosen = rows.where(metric=metric, dataset=dataset)
    intervals = [chosen.interval(metric, system) for system in chosen.systems]
    means = [interval.mean for interval in intervals]
    below = [max(0.0, i.mean - i.low) for i in intervals]
    above = [max(0.0, i.high - i.mean) for i in intervals]
    places = range(len(means))
    axes.barh(list(places), means, xerr=[below, above], capsize=3, color="#4c78a8", height=0.6)
    axes.set_yticks(list(places), chosen.systems)
    axes.invert_yaxis()
    axes.set_xlabel(metric)
    axes.grid(axis="x", alpha=0.3)
