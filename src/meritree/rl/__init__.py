"""Reinforcement learning in JAX: environments, networks and trainers made of parts.

Needs the extra ``rl``. What stands here is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meritree.rl.curves import draw_curves
    from meritree.rl.envs.make import list_envs, make_env
    from meritree.rl.on_policy.trainer import on_policy_trainer
    from meritree.rl.sinks import Bar, Lines, TensorBoard, WandB, all_of
    from meritree.rl.trainer import Trainer, evaluate, fit, seeds
    from meritree.rl.value_based.trainer import value_trainer

_HOMES = {
    "Bar": "sinks",
    "Lines": "sinks",
    "TensorBoard": "sinks",
    "Trainer": "trainer",
    "WandB": "sinks",
    "all_of": "sinks",
    "draw_curves": "curves",
    "evaluate": "trainer",
    "fit": "trainer",
    "list_envs": "envs.make",
    "make_env": "envs.make",
    "on_policy_trainer": "on_policy.trainer",
    "seeds": "trainer",
    "value_trainer": "value_based.trainer",
}

__all__ = [
    "Bar",
    "Lines",
    "TensorBoard",
    "Trainer",
    "WandB",
    "all_of",
    "draw_curves",
    "evaluate",
    "fit",
    "list_envs",
    "make_env",
    "on_policy_trainer",
    "seeds",
    "value_trainer",
]

_missing = [name for name in ("jax", "flax", "optax", "gymnax") if find_spec(name) is None]
if _missing:
    raise ImportError(
        f"meritree.rl needs {', '.join(_missing)}; install the extra: pip install 'meritree[rl]'"
    )


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return list(__all__)
