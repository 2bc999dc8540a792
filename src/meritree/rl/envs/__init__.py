"""Environments for the trainers: our own small ones and adaptors to libraries of them."""

from meritree.rl.envs.collect import FruitCollection, RewardMaze
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
from meritree.rl.envs.grids import FourRooms, KeyDoor, PitfallMaze
from meritree.rl.envs.gymnax import Gymnax
from meritree.rl.envs.money import BachelierHedge, BettingGame, OUArbitrage
from meritree.rl.envs.tables import Finite, Tables, Tabular

__all__ = [
    "BachelierHedge",
    "BettingGame",
    "Box",
    "Discrete",
    "Env",
    "EnvSpec",
    "Finite",
    "FourRooms",
    "FruitCollection",
    "Gymnax",
    "KeyDoor",
    "OUArbitrage",
    "Outcome",
    "PitfallMaze",
    "RewardMaze",
    "Tables",
    "Tabular",
    "VectorEnv",
    "VectorOutcome",
    "vectorise",
]
