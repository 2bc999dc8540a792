"""The plot of a comparison: solved share against evaluations spent, with interval bands.

Needs the extra `bench` (matplotlib, numpy); both are imported only when a plot is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from meritree.bench.compare import Trial

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BAND_RESAMPLES = 1000
LINE_STYLES = ("-", "--", "-.", ":")


def draw_curves(trials: Sequence[Trial], path: Path, *, caption: str) -> None:
    """Write the plot to ``path`` (suffix decides the format).

    One line per setting: the share of task-seed pairs whose correct patch was the first
    plausible one and was found within x evaluations. Band: 95 % of bootstrap means over
    tasks (inside packages). ``caption`` says what was measured, on what, how often.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    labels = list(dict.fromkeys(trial.setting for trial in trials))
    budget = max(trial.budget for trial in trials)
    grid = np.unique(np.geomspace(1, budget, 120).astype(int))
    figure, axes = plt.subplots(figsize=(8.0, 5.2), layout="constrained")
    for number, label in enumerate(labels):
        own = [trial for trial in trials if trial.setting == label]
        mean, low, high = _band(own, grid)
        style = LINE_STYLES[number // 10 % len(LINE_STYLES)]
        (line,) = axes.plot(grid, 100 * mean, style, label=label, linewidth=1.6)
        axes.fill_between(grid, 100 * low, 100 * high, color=line.get_color(), alpha=0.10)
    axes.set_xscale("log")
    axes.set_xlabel("candidate evaluations")
    axes.set_ylabel("solved correctly, % of task-seed pairs")
    axes.set_xlim(1, budget)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="upper left")
    figure.text(0.01, -0.01, caption, fontsize=7, va="top", wrap=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)


def solved_curves(trials: Sequence[Trial], grid: Sequence[int]) -> dict[str, list[float]]:
    """Per task: share of its seeds solved correctly within each number of evaluations."""
    by_task: dict[str, list[Trial]] = {}
    for trial in trials:
        by_task.setdefault(trial.task, []).append(trial)
    return {
        task: [
            sum(t.correct and (t.found_at or 0) <= limit for t in own) / len(own) for limit in grid
        ]
        for task, own in by_task.items()
    }


def _band(
    trials: Sequence[Trial], grid: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    curves = solved_curves(trials, [int(x) for x in grid])
    package = {trial.task: trial.package for trial in trials}
    table = np.array([curves[task] for task in curves])  # [tasks, grid]
    names = np.array([package[task] for task in curves])
    rng = np.random.default_rng(0)
    counts = np.zeros((BAND_RESAMPLES, len(table)))  # how often each task is drawn
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        counts[:, rows] = rng.multinomial(
            len(rows), np.full(len(rows), 1 / len(rows)), size=BAND_RESAMPLES
        )
    means = counts @ table / len(table)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return table.mean(axis=0), low, high
