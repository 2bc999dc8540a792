"""Environments for the trainers: our own small ones and adaptors to libraries of them."""

from meritree.rl.envs.env import (
    Box,
    Discrete,
    Env,
    EnvSpec,
    Outcome,
    VectorEnv,
    VectorOutcome,
    vectorise,
)
from meritree.rl.envs.gymnax import Gymnax

__all__ = [
    "Box",
    "Discrete",
    "Env",
    "EnvSpec",
    "Gymnax",
    "Outcome",
    "VectorEnv",
    "VectorOutcome",
    "vectorise",
]
