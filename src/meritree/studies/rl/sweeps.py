"""Sweeps of step sizes: how many of them do well, with bootstrap intervals over seeds.

Reads rows whose unit is the step size and whose metric is ``AUC``; knows no study.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meritree.stats import Interval
from meritree.studies.rows import Rows

NEAR = 0.9  # of the best step size's score


def table(rows: Rows, task: str, system: str, sizes: Sequence[float]) -> Any:
    """AUC, [seeds, step sizes]."""
    import numpy as np

    chosen = rows.where(metric="AUC", system=system, dataset=task)
    found = {(row.seed, row.unit): row.value for row in chosen}
    return np.asarray([[found[seed, f"{size:g}"] for size in sizes] for seed in rows.seeds])


def width(auc: Any) -> float:
    """Share of step sizes whose mean over seeds is at least 0.9 times that of the best one."""
    mean = auc.mean(axis=0)
    return float((mean >= NEAR * mean.max()).mean())


def wider(first: Any, second: Any) -> Interval:
    """Difference of two systems' widths; seeds are drawn anew, the same ones for both."""
    import numpy as np

    drawn = np.random.default_rng(0).integers(len(first), size=(2000, len(first)))
    gaps = [width(first[seeds]) - width(second[seeds]) for seeds in drawn]
    low, high = np.quantile(gaps, [0.025, 0.975])
    return Interval(width(first) - width(second), float(low), float(high), 0.95, len(first))
