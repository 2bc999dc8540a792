"""Environments that live outside of JAX: any vector of Gymnasium worlds, one step of all at a time.

The worlds stand still in host memory; the traced program calls out to them in order. So they
cannot be mapped, copied or wound back: the state that is carried along is a ticket, and a step
with any but the newest one is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback

from meritree.errors import BadInput
from meritree.rl.envs.env import Array, Box, Discrete, EnvSpec, Key, VectorOutcome


class Ticket(NamedTuple):
    """How often the worlds were called; only the newest ticket is good for a step."""

    calls: Array


class HostVector:
    """n Gymnasium worlds as a `VectorEnv`, also within a jitted trainer.

    Raises:
        BadInput: the worlds do not begin anew within a step, or have spaces that are neither
            boxes of numbers nor (for actions) numbered.
    """

    def __init__(self, worlds: Any, name: str = "gymnasium") -> None:
        """Takes the worlds over: a ``gymnasium.vector.VectorEnv`` with autoreset ``SAME_STEP``."""
        from gymnasium.vector import AutoresetMode

        if worlds.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise BadInput(
                f"{name}: its autoreset mode is {worlds.metadata.get('autoreset_mode')}; make the "
                "vector with autoreset_mode=AutoresetMode.SAME_STEP, which keeps last "
                "observations apart from first ones"
            )
        self.worlds = worlds
        self.n = int(worlds.num_envs)
        self._calls = 0
        actions, self._to_host = _actions(name, worlds.single_action_space)
        shape, self._obs_dtype = _observations(name, worlds.single_observation_space)
        self.spec = EnvSpec(name, shape, actions, obs_dtype=jnp.dtype(self._obs_dtype))

    def reset(self, key: Key) -> tuple[Ticket, Array]:
        seed = jax.random.randint(key, (), 0, 2**31 - 1 - self.n)
        calls, obs = io_callback(self._reset, (_INT, self._obs_shape()), seed, ordered=True)
        return Ticket(calls), obs

    def step(self, key: Key, state: Ticket, action: Array) -> tuple[Ticket, VectorOutcome]:
        seen, flag = self._obs_shape(), jax.ShapeDtypeStruct((self.n,), jnp.bool_)
        paid = jax.ShapeDtypeStruct((self.n, 1), jnp.float32)
        calls, *out = io_callback(
            self._step, (_INT, seen, seen, paid, flag, flag), state.calls, action, ordered=True
        )
        return Ticket(calls), VectorOutcome(*out)

    def close(self) -> None:
        """Ends the worlds, and their processes where they have some."""
        self.worlds.close()

    def _obs_shape(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self.n, *self.spec.obs_shape), self._obs_dtype)

    def _reset(self, seed: Any) -> tuple[Any, ...]:
        obs, _ = self.worlds.reset(seed=int(seed))
        self._calls += 1
        return np.int32(self._calls), np.asarray(obs, self._obs_dtype)

    def _step(self, calls: Any, action: Any) -> tuple[Any, ...]:
        if int(calls) != self._calls:
            raise BadInput(
                f"{self.spec.name}: this state is {self._calls - int(calls)} calls old, and worlds "
                "outside of JAX cannot be wound back; give each trainer and each evaluation a "
                "HostVector of its own, and begin a run anew instead of resuming it"
            )
        obs, reward, terminated, truncated, info = self.worlds.step(
            self._to_host(np.asarray(action))
        )
        obs = np.asarray(obs, self._obs_dtype)
        reached, ended = obs.copy(), np.asarray(terminated) | np.asarray(truncated)
        for i in np.flatnonzero(ended):
            reached[i] = info["final_obs"][i]
        self._calls += 1
        return (
            np.int32(self._calls), obs, reached, np.asarray(reward, np.float32)[:, None],
            np.asarray(terminated, bool), np.asarray(truncated, bool) & ~np.asarray(terminated),
        )  # fmt: skip


_INT = jax.ShapeDtypeStruct((), jnp.int32)


def host_vector(
    name: str,
    n: int,
    *,
    how: Literal["sync", "async", "own"] = "sync",
    wrappers: Sequence[Callable[[Any], Any]] = (),
    **options: Any,
) -> HostVector:
    """n worlds of a name that Gymnasium knows; other observations than boxes are flattened.

    Args:
        name: such as ``CartPole-v1``, ``ALE/Breakout-v5``, ``HalfCheetah-v5``.
        n: worlds side by side.
        how: ``async`` gives each a process of its own; ``own`` takes the vector that comes with
            the environment (Atari: 84 x 84 frames, four in a row, rewards clipped), no wrappers.
        wrappers: of Gymnasium, applied to each world in order.
        options: for ``gymnasium.make``, or of the environment's own vector.

    Raises:
        BadInput: Gymnasium or a package of the environment is not installed, it has no such
            environment, or that does not know an option.
    """
    gymnasium = _gymnasium()
    if n < 1:
        raise BadInput(f"n={n}: must be at least 1")
    if how not in ("sync", "async", "own") or (how == "own" and wrappers):
        raise BadInput(f"how={how!r}: sync, async, or own without wrappers")
    if name.startswith("ALE/"):
        _register_ale(gymnasium)

    def make() -> Any:
        world = gymnasium.make(name, **options)
        for wrapper in wrappers:
            world = wrapper(world)
        if not isinstance(world.observation_space, gymnasium.spaces.Box):
            world = gymnasium.wrappers.FlattenObservation(world)
        return world

    vector, mode = gymnasium.vector, gymnasium.vector.AutoresetMode.SAME_STEP
    try:
        if how == "own":
            options |= {"vectorization_mode": "vector_entry_point", "autoreset_mode": mode}
            return HostVector(gymnasium.make_vec(name, n, **options), f"gymnasium:{name}")
        make().close()  # errors read better here than from a vector or another process
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise BadInput(f"gymnasium {name}: {error}") from None
    kind = vector.SyncVectorEnv if how == "sync" else vector.AsyncVectorEnv
    return HostVector(kind([make] * n, autoreset_mode=mode), f"gymnasium:{name}")


def known_to_gymnasium() -> list[str]:
    """The newest version of each of Gymnasium's environments; Atari where it is installed.

    Left out are the older names of Atari games and the wrappers of older interfaces.
    """
    gymnasium = _gymnasium()
    if find_spec("ale_py"):
        _register_ale(gymnasium)
    newest: dict[tuple[str | None, str], Any] = {}
    for spec in gymnasium.registry.values():
        old = spec.namespace is None and str(spec.entry_point).startswith("ale_py")
        if old or str(spec.entry_point).startswith("shimmy") or spec.name.startswith("GymV"):
            continue
        name = (spec.namespace, spec.name)
        if name not in newest or (spec.version or 0) > (newest[name].version or 0):
            newest[name] = spec
    return sorted(spec.id for spec in newest.values())


def _gymnasium() -> Any:
    try:
        import gymnasium
    except ImportError:
        raise BadInput("gymnasium is not installed; pip install 'meritree[gym]'") from None
    return gymnasium


def _register_ale(gymnasium: Any) -> None:
    try:
        import ale_py
    except ImportError:
        raise BadInput(
            "Atari games need ale-py, which is not installed; pip install 'meritree[gym]'"
        ) from None
    gymnasium.register_envs(ale_py)


def _actions(name: str, space: Any) -> tuple[Discrete | Box, Callable[[Any], Any]]:
    """The set of actions, and what carries them over to the host."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return Discrete(int(space.n)), lambda action: action.astype(np.int64) + start
    if not isinstance(space, spaces.Box):
        raise BadInput(
            f"{name}: actions {space}; they must be Discrete or Box, wrap the environment so"
        )
    low, high = np.asarray(space.low, np.float32), np.asarray(space.high, np.float32)

    def as_they_are(action: Any) -> Any:
        return np.clip(action.astype(np.float32), low, high)

    def scaled(action: Any) -> Any:
        return np.clip(low + (action.astype(np.float32) + 1.0) / 2.0 * (high - low), low, high)

    least, most = float(low.min()), float(high.max())
    if (low == least).all() and (high == most).all():
        return Box(tuple(space.shape), least, most), as_they_are
    if not math.isfinite(least) or not math.isfinite(most):
        raise BadInput(f"{name}: actions {space}; only some of them are bounded, rescale them")
    return Box(tuple(space.shape), -1.0, 1.0), scaled  # unequal bounds: each is -1 .. 1 here


def _observations(name: str, space: Any) -> tuple[tuple[int, ...], Any]:
    """Shape and dtype: bytes and truth values as they come, all else as float32."""
    from gymnasium import spaces

    if not isinstance(space, spaces.Box):
        raise BadInput(
            f"{name}: observations {space}; they must be a Box, apply FlattenObservation"
        )
    keep = space.dtype in (np.dtype(np.uint8), np.dtype(bool))
    return tuple(space.shape), np.dtype(space.dtype if keep else np.float32)
