"""One run of Stable-Baselines3 on CartPole for `rl.py`; prints one line of JSON.

    python benchmarks/rl_peer.py {ppo,dqn} STEPS SEED

Needs stable-baselines3, torch and gymnasium; nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env


class Episodes(BaseCallback):
    """(step, return) of every episode that ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self.ended.append((self.num_timesteps, float(info["episode"]["r"])))
        return True


def made(kind: str, steps: int, seed: int) -> Any:
    """The learner with the numbers of `rl.py`."""
    if kind == "ppo":
        return PPO(
            "MlpPolicy", make_vec_env("CartPole-v1", 4, seed=seed), seed=seed, device="cpu",
            learning_rate=lambda left: 2.5e-4 * left, n_steps=128, batch_size=128, n_epochs=4,
            gamma=0.99, gae_lambda=0.95, clip_range=0.2, ent_coef=0.01, vf_coef=0.5,
            max_grad_norm=0.5,
        )  # fmt: skip
    return DQN(
        "MlpPolicy", make_vec_env("CartPole-v1", 8, seed=seed), seed=seed, device="cpu",
        learning_rate=5e-4, buffer_size=50_000, learning_starts=1000, batch_size=32, gamma=0.99,
        train_freq=1, gradient_steps=1, target_update_interval=1600, exploration_fraction=0.5,
        exploration_initial_eps=1.0, exploration_final_eps=0.05, max_grad_norm=10.0,
    )  # fmt: skip


def main(kind: str, steps: int, seed: int) -> None:
    """Learn, and print what it cost."""
    torch.set_num_threads(1)
    learner, episodes = made(kind, steps, seed), Episodes()
    before = time.process_time()
    learner.learn(steps, callback=episodes)
    spent = time.process_time() - before
    done = int(learner.num_timesteps)
    late = [gain for step, gain in episodes.ended if step > 0.9 * done]
    print(
        json.dumps(
            {
                "steps": done, "cpu_s": spent, "compile_cpu_s": 0.0,
                "return": float(np.mean(late)) if late else None,
                "versions": {
                    "stable-baselines3": stable_baselines3.__version__,
                    "torch": torch.__version__, "gymnasium": gymnasium.__version__,
                },
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
