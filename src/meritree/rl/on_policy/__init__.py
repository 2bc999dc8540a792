"""Learning a policy from rollouts of its own, with a critic as baseline.

`on_policy_trainer` and what its slots can be filled with.
"""

from meritree.rl.on_policy.advantage import MONTE_CARLO, Advantage, gae, n_step
from meritree.rl.on_policy.baseline import (
    Adaptive,
    Identity,
    InitFromPrior,
    Mix,
    decay,
    from_q,
    value_params,
)
from meritree.rl.on_policy.epochs import Epochs
from meritree.rl.on_policy.laws import Categorical, Gaussian
from meritree.rl.on_policy.policy_steps import Mirror, Npg, PpoClip, Reinforce, Trpo
from meritree.rl.on_policy.trainer import on_policy_trainer
from meritree.rl.on_policy.value_steps import AdamEpochs, LeastSquares, TrustRegion

__all__ = [
    "MONTE_CARLO",
    "AdamEpochs",
    "Adaptive",
    "Advantage",
    "Categorical",
    "Epochs",
    "Gaussian",
    "Identity",
    "InitFromPrior",
    "LeastSquares",
    "Mirror",
    "Mix",
    "Npg",
    "PpoClip",
    "Reinforce",
    "Trpo",
    "TrustRegion",
    "decay",
    "from_q",
    "gae",
    "n_step",
    "on_policy_trainer",
    "value_params",
]
