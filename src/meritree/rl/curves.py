"""Learning curves as a figure: means over seeds with bootstrap bands.

Knows logs of runs only, not how they were made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from meritree.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def band(values: Any, draws: int = 500, seed: int = 0) -> tuple[Any, Any, Any]:
    """Mean over runs and its 95 % percentile-bootstrap band, each ``[windows]``.

    Args:
        values: ``[runs, windows]``; NaN (no episode ended) takes the last number before it.
        draws: bootstrap draws over runs.
        seed: of the draws.
    """
    filled = carried(np.atleast_2d(np.asarray(values, float)))
    runs = filled.shape[0]
    picked = np.random.default_rng(seed).integers(0, runs, (draws, runs))
    means = filled[picked].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return filled.mean(axis=0), low, high


def carried(values: Any) -> Any:
    """NaN replaced by the last number before it in the row, by the first one at the beginning."""
    known = ~np.isnan(values)
    if not known.any(axis=1).all():
        raise BadInput("a run has no finite number at all: nothing can be drawn of it")
    places = np.where(known, np.arange(values.shape[1]), -1)
    last = np.maximum.accumulate(places, axis=1)
    first = known.argmax(axis=1)[:, None]
    return np.take_along_axis(values, np.where(last < 0, first, last), axis=1)


def draw_curves(axes: Axes, logs: Mapping[str, Mapping[str, Any]], metric: str = "return") -> str:
    """One curve a name, with its band where there are several runs; returns a caption.

    Args:
        axes: of Matplotlib.
        logs: name to the log of `fit` (``[windows]``) or `seeds` (``[runs, windows]``).
        metric: which number of the logs.

    Raises:
        BadInput: a log without that number.
    """
    counts = []
    for name, log in logs.items():
        if metric not in log:
            raise BadInput(f"log of {name}: no {metric!r}; it has {', '.join(sorted(log))}")
        values = np.atleast_2d(np.asarray(log[metric], float))
        steps = np.atleast_2d(np.asarray(log["steps"]))[0]
        mean, low, high = band(values)
        (line,) = axes.plot(steps, mean, label=name, linewidth=1.6)
        if len(values) > 1:
            axes.fill_between(steps, low, high, alpha=0.2, color=line.get_color(), linewidth=0)
        counts.append(len(values))
    axes.set_xlabel("environment steps")
    axes.set_ylabel(metric)
    axes.grid(alpha=0.3)
    axes.legend()
    runs = f"{counts[0]}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    return f"{metric} while learning: mean over {runs} runs, bands: 95 % bootstrap over runs."
