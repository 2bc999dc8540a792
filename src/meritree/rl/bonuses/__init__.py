"""Rewards that a learner gives itself for what is new, and how several become one.

Each is a `RewardTransform` that makes one channel; `added`, `chain` and the trainers' `reward`
slot do the rest. Bonuses judge the state reached. On-policy trainers take them as they are; for
values that start at 0 subtract an upper bound (`value.transforms.intrinsic`).
"""

from meritree.rl.bonuses.curiosity import icm
from meritree.rl.bonuses.elliptical import e3b
from meritree.rl.bonuses.fuse import STRATEGIES, faded, fuse, hire, scaled
from meritree.rl.bonuses.neighbours import pseudo_counts, re3
from meritree.rl.bonuses.novelty import ngu, rnd

__all__ = [
    "STRATEGIES",
    "e3b",
    "faded",
    "fuse",
    "hire",
    "icm",
    "ngu",
    "pseudo_counts",
    "re3",
    "rnd",
    "scaled",
]
