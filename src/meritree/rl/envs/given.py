"""Refuses what is no environment of ours where one is asked for, and says how to make one of it.

Knows names and kinds of environments; makes none.
"""

from __future__ import annotations

from typing import Any

from meritree.errors import BadInput
from meritree.rl.envs.env import EnvSpec


def check_env(env: Any, n: int) -> None:
    """Raises BadInput, with the call that makes it, where ``env`` is none of our environments."""
    if not isinstance(env, type) and isinstance(getattr(env, "spec", None), EnvSpec):
        return
    raise BadInput(f"env={_short(env)}: {_way_out(env, n)}")


def _way_out(env: Any, n: int) -> str:
    if isinstance(env, str):
        return _of_name(env, n)
    if isinstance(env, type):
        return f"that is a class, give one that is made, {env.__name__}(...)"
    if _is_from(env, "gymnasium"):
        name = getattr(getattr(env, "spec", None), "id", None)
        if name is not None:
            return f"that is an object of Gymnasium, give make_env({'gymnasium:' + name!r}, n={n})"
        return (
            "that is an object of Gymnasium without a name, give HostVector(SyncVectorEnv([...], "
            "autoreset_mode=AutoresetMode.SAME_STEP))"
        )
    return "give an environment, such as make_env('CartPole-v1'); list_envs() has the names"


def _of_name(name: str, n: int) -> str:
    from meritree.rl.envs.make import hint, list_envs  # it imports the environments, they us

    known = [full for full in list_envs() if name in (full, full.rpartition(":")[2])]
    if not known:
        return f"that is a name, and no environment is called so; {hint(name)}"
    calls = [
        f"make_env({full!r}, n={n})" if full.startswith("gymnasium:") else f"make_env({full!r})"
        for full in known
    ]
    return f"that is a name, give the environment: {' or '.join(calls)}"


def _is_from(env: Any, package: str) -> bool:
    return any(kind.__module__.partition(".")[0] == package for kind in type(env).__mro__)


def _short(env: Any) -> str:
    text = env.__name__ if isinstance(env, type) else repr(env)
    return text if len(text) <= 60 else f"{text[:57]}..."
