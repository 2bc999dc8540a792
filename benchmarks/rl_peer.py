"""One run of Stable-Baselines3 for `rl.py`; prints one line of JSON.

    python benchmarks/rl_peer.py {ppo,dqn,ppo-breakout,dqn-breakout} STEPS SEED

Needs stable-baselines3, torch and gymnasium, for Breakout also minatar; nothing of ours.
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
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor


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


class Breakout(gymnasium.Env[Any, Any]):
    """MinAtar's own game, as gymnax has it: no sticky actions, no rise in difficulty."""

    def __init__(self) -> None:
        from minatar import Environment

        self._game = Environment("breakout", sticky_action_prob=0.0, difficulty_ramping=False)
        self._actions = self._game.minimal_action_set()
        # Numbers of one byte are what Stable-Baselines3 keeps in its replay buffer.
        self.observation_space = gymnasium.spaces.Box(0, 1, (10, 10, 4), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(self._actions))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._game.seed(seed)
        self._game.reset()
        return self._game.state().astype(np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        gain, ended = self._game.act(self._actions[int(action)])
        return self._game.state().astype(np.uint8), float(gain), bool(ended), False, {}


class Torso(BaseFeaturesExtractor):
    """MinAtar's network: a 3x3 convolution to 16 planes, then 128 units."""

    def __init__(self, space: Any) -> None:
        super().__init__(space, 128)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(4, 16, 3), torch.nn.ReLU(), torch.nn.Flatten(),
            torch.nn.Linear(1024, 128), torch.nn.ReLU(),
        )  # fmt: skip

    def forward(self, seen: Any) -> Any:
        return self.layers(seen.permute(0, 3, 1, 2))


def made(kind: str, steps: int, seed: int) -> Any:
    """The learner with the numbers of `rl.py`."""
    kind, _, game = kind.partition("-")
    env: Any = "CartPole-v1"
    network: dict[str, Any] = {}
    if game:
        env = lambda: gymnasium.wrappers.TimeLimit(Breakout(), 1000)  # noqa: E731
        network = {"features_extractor_class": Torso, "net_arch": []}
    if kind == "ppo":
        if game:
            network["share_features_extractor"] = False
        return PPO(
            "MlpPolicy", make_vec_env(env, 4, seed=seed), seed=seed, device="cpu",
            policy_kwargs=network,
            learning_rate=lambda left: 2.5e-4 * left, n_steps=128, batch_size=128, n_epochs=4,
            gamma=0.99, gae_lambda=0.95, clip_range=0.2, ent_coef=0.01, vf_coef=0.5,
            max_grad_norm=0.5,
        )  # fmt: skip
    return DQN(
        "MlpPolicy", make_vec_env(env, 8, seed=seed), seed=seed, device="cpu",
        policy_kwargs=network,
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
