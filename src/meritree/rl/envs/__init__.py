"""Environments for the trainers: our own small ones and adaptors to libraries of them."""

from meritree.rl.envs.chains import ComboLock, LayeredChain, RiverSwim
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
from meritree.rl.envs.host import HostVector, host_vector
from meritree.rl.envs.make import list_envs, make_env
from meritree.rl.envs.money import BachelierHedge, BettingGame, OUArbitrage
from meritree.rl.envs.pgx import Pgx
from meritree.rl.envs.tables import Finite, Tables, Tabular
from meritree.rl.envs.wrap import (
    ChannelRewards,
    Discretised,
    Flattened,
    NoisyReward,
    Normalised,
    StickyActions,
    TimeLimit,
    summed,
)

__all__ = [
    "BachelierHedge",
    "BettingGame",
    "Box",
    "ChannelRewards",
    "ComboLock",
    "Discrete",
    "Discretised",
    "Env",
    "EnvSpec",
    "Finite",
    "Flattened",
    "FourRooms",
    "FruitCollection",
    "Gymnax",
    "HostVector",
    "KeyDoor",
    "LayeredChain",
    "NoisyReward",
    "Normalised",
    "OUArbitrage",
    "Outcome",
    "Pgx",
    "PitfallMaze",
    "RewardMaze",
    "RiverSwim",
    "StickyActions",
    "Tables",
    "Tabular",
    "TimeLimit",
    "VectorEnv",
    "VectorOutcome",
    "host_vector",
    "list_envs",
    "make_env",
    "summed",
    "vectorise",
]
