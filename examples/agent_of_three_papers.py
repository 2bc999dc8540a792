"""An agent that no paper describes, composed of parts of three; each fills one slot of one trainer.

Values learned by classification (HL-Gauss, Farebrother et al. 2024), rewards shifted so that what
is unknown looks good (Sun et al. 2022), several Bellman steps at once in a chain of target networks
(i-QN, Vincent et al. 2025). The slots left out are DQN's.
"""

import jax
import optax

from meritree.rl.envs import ComboLock
from meritree.rl.trainer import evaluate, fit
from meritree.rl.value_based.chain import TargetChain
from meritree.rl.value_based.trainer import value_trainer
from meritree.value.heads import HLGauss
from meritree.value.transforms import shift, unshifted_value

GAMMA = 0.95
world = ComboLock((0, 2, 1, 1, 2, 0))  # a wrong digit ends it, the last right one pays 1

learner = value_trainer(
    world,
    head=HLGauss(-1.0, 1.0, m=31),
    reward=shift(-1.0 * (1 - GAMMA), GAMMA),  # values lie in [-1, 0] and begin at 0
    chain=TargetChain(K=3, shift=60, sync=10),
    optimizer=optax.adam(1e-3),
    gamma=GAMMA,
    steps=6_000,
    warmup=200,
    windows=5,
)
state, log = fit(learner, seed=0)
for steps, opened, value in zip(log["steps"], log["return"], log["value"], strict=True):
    value = unshifted_value(value, -1.0 * (1 - GAMMA), GAMMA)
    print(f"{steps:5} steps: opened {opened:4.0%} of the time; mean value thought {value:5.2f}")
opened = evaluate(learner, state, world, jax.random.key(1), n_env=8, limit=20)
print(f"without exploration: opened {float(opened.mean()):.0%} of the time")
