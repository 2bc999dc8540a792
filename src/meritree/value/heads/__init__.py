"""What a network's numbers mean as values: one head per kind of value, on any array library.

A head owns no parameters. It says how many outputs a state needs, reads values from them, and
makes targets and losses of the parts in `meritree.objectives`. Needs the extra ``values``.
"""

from meritree.value.heads.base import Atoms, Judge, ValueHead, mean_judge
from meritree.value.heads.categorical import Categorical, HLGauss, TwoHot
from meritree.value.heads.mapped import Identity, Log, LogLin, Map, Mapped, SignedHyperbolic
from meritree.value.heads.samples import Particles, Quantile, on_sum
from meritree.value.heads.scalar import Channels, Scalar

__all__ = [
    "Atoms",
    "Categorical",
    "Channels",
    "HLGauss",
    "Identity",
    "Judge",
    "Log",
    "LogLin",
    "Map",
    "Mapped",
    "Particles",
    "Quantile",
    "Scalar",
    "SignedHyperbolic",
    "TwoHot",
    "ValueHead",
    "mean_judge",
    "on_sum",
]
