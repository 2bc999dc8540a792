"""Statistics of comparisons: means with intervals, paired differences, pass@k, proportions.

Pure Python, no framework: every study and benchmark uses it, it knows none of them. Import by
file: `calibration`, `forecasts` (Diebold-Mariano), `power`, `retrieval`, `runs` (profiles, chance
of improvement, stratified intervals).
"""

from meritree.stats.bootstrap import (
    Interval,
    bootstrap_mean,
    cluster_bootstrap,
    crossed_bootstrap,
    paired_bootstrap,
    stratified_bootstrap,
)
from meritree.stats.summaries import iqm, pass_at_k, quantile, wilson_interval

__all__ = [
    "Interval",
    "bootstrap_mean",
    "cluster_bootstrap",
    "crossed_bootstrap",
    "iqm",
    "paired_bootstrap",
    "pass_at_k",
    "quantile",
    "stratified_bootstrap",
    "wilson_interval",
]
