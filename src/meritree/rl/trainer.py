"""What every trainer is: a start and a window of training, both pure, and how they are run.

A whole run is ``run(key) -> (state, log)``; `fit` does the same in pieces, with progress,
checkpoints and resuming. Knows no algorithm.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from meritree.errors import BadInput
from meritree.rl.checkpoint import Checkpoint, digest
from meritree.rl.envs.env import Env, EnvSpec, VectorEnv, vectorise, where_rows
from meritree.rl.envs.host import Ticket
from meritree.value.contexts import Context

Array: TypeAlias = Any
State: TypeAlias = Any
Log: TypeAlias = dict[str, Any]
Act: TypeAlias = Callable[[Any, Any, Any, Any], Any]
Progress: TypeAlias = Callable[[int, int, Log], None]


class Episodes(NamedTuple):
    """Running sums of episodes, and of those that ended since they were last read."""

    gain: Array  # [n] reward so far in the running episode, weighted over channels
    length: Array  # [n]
    ended: Array  # number of episodes that ended
    gains: Array  # sum of their returns
    lengths: Array  # sum of their lengths

    @staticmethod
    def new(n: int) -> Episodes:
        zero = jnp.zeros(())
        return Episodes(jnp.zeros(n), jnp.zeros(n), zero, zero, zero)

    def add(self, reward: Array, last: Array, weights: Sequence[float]) -> Episodes:
        """After one step: reward [n, C] of the environment itself, last [n]."""
        gain = self.gain + reward @ jnp.asarray(weights, reward.dtype)
        length = self.length + 1.0
        return Episodes(
            jnp.where(last, 0.0, gain),
            jnp.where(last, 0.0, length),
            self.ended + jnp.sum(last),
            self.gains + jnp.sum(jnp.where(last, gain, 0.0)),
            self.lengths + jnp.sum(jnp.where(last, length, 0.0)),
        )

    def read(self) -> tuple[Episodes, Log]:
        """Emptied sums; return and length are NaN where no episode ended."""
        log = {
            "return": self.gains / self.ended,
            "length": self.lengths / self.ended,
            "episodes": self.ended,
        }
        zero = jnp.zeros(())
        return self._replace(ended=zero, gains=zero, lengths=zero), log


@dataclass(frozen=True)
class Trainer:
    """A run cut into windows of equal length.

    Attributes:
        spec: of the environment.
        init: random key to the first state, warm-up included.
        window: one window of training: state to (state, log of numbers).
        windows: how many a run has.
        window_steps: environment steps of one window.
        act: (state, key, obs ``[B, ...]``, ctx ``[B, D]`` or None) to actions ``[B, ...]``: what
            was learned, without exploration.
        context: the `Context` that the policy carries along, None where it has none.
    """

    spec: EnvSpec
    init: Callable[[Any], State]
    window: Callable[[State], tuple[State, Log]]
    windows: int
    window_steps: int
    act: Act
    context: Context | None = None

    def run(self, key: Any) -> tuple[State, Log]:
        """A whole run; can be jitted and mapped over keys. Log arrays are ``[windows]``."""
        # The jitted pieces, so that what `trace` traced is not traced again.
        state, log = jax.lax.scan(
            lambda state, _: self._advance(state), self._start(key), length=self.windows
        )
        return state, log | {"steps": self.window_steps * (1 + jnp.arange(self.windows))}

    def trace(self) -> State:
        """Shapes of the state; raises what impossible parts raise. Done once: a run reuses it."""
        state = self._start.eval_shape(jax.random.key(0))  # type: ignore[attr-defined]
        self._advance.eval_shape(state)  # type: ignore[attr-defined]
        return state

    def recipe(self) -> str:
        """A digest of the traced programs and their constants: what a checkpoint belongs to."""
        state = self.trace()
        traced = (
            self._start.trace(jax.random.key(0)),  # type: ignore[attr-defined]
            self._advance.trace(state),  # type: ignore[attr-defined]
        )
        return digest([each.jaxpr for each in traced])

    @cached_property
    def _start(self) -> Callable[[Any], State]:
        return jax.jit(self.init)

    @cached_property
    def _advance(self) -> Callable[[State], tuple[State, Log]]:
        # The old state is given away: a replay buffer is changed in place, not copied.
        return jax.jit(self.window, donate_argnums=0)


def seeds(
    trainer: Trainer, count: int, *, first: int = 0, how: Literal["map", "vmap"] = "map"
) -> tuple[State, Log]:
    """``count`` runs from seeds first, first + 1, ...; every leaf gets a leading axis.

    ``map`` runs them one after the other in one program, ``vmap`` side by side: faster on
    accelerators, not on processors, where conditions then cost both branches.
    """
    if count < 1:
        raise BadInput(f"count={count}: must be at least 1")
    keys = jax.vmap(jax.random.key)(jnp.arange(first, first + count))
    if how == "vmap":
        return jax.jit(jax.vmap(trainer.run))(keys)
    return jax.jit(partial(jax.lax.map, trainer.run))(keys)


def fit(
    trainer: Trainer,
    seed: int,
    *,
    out: str | os.PathLike[str] | None = None,
    save_every: int = 10,
    progress: Progress = lambda done, total, log: None,
) -> tuple[State, Log]:
    """A whole run window by window; the same numbers as ``trainer.run(jax.random.key(seed))``.

    Args:
        trainer: what to run.
        seed: of the run.
        out: folder for checkpoints; given again, the run goes on where it stood. One run a folder.
            Where the environment lives outside of JAX (Gymnasium's) an unfinished run cannot go
            on; a warning says so at the start.
        save_every: windows between checkpoints; the last one is always written.
        progress: called with (windows done, windows in all, log of the last one).

    Returns:
        The last state and the log, arrays ``[windows]``; ``return`` and ``length`` are NaN where
        no episode ended within the window.

    Raises:
        BadInput: the folder holds a checkpoint of another trainer or seed: anything that changes
            the program, a step size as much as a head; or an unfinished run on worlds outside of
            JAX.
    """
    if save_every < 1:
        raise BadInput(f"save_every={save_every}: must be at least 1")
    key = jax.random.key(seed)
    kept = None if out is None else Checkpoint(Path(out), seed, trainer.recipe())
    found = None if kept is None else kept.read(trainer.trace())
    state, rows = (trainer._start(key), []) if found is None else found
    if len(rows) > trainer.windows:
        raise BadInput(
            f"{out}: holds {len(rows)} windows, this run has {trainer.windows}; name another folder"
        )
    if out is not None and len(rows) < trainer.windows and _has_ticket(trainer.trace()):
        _no_way_back(trainer, out, len(rows))
    while len(rows) < trainer.windows:
        state, log = trainer._advance(state)
        rows.append({name: float(value) for name, value in log.items()})
        if kept is not None and (len(rows) % save_every == 0 or len(rows) == trainer.windows):
            kept.write(state, rows)
        progress(len(rows), trainer.windows, rows[-1])
    log = {name: np.asarray([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    return state, log | {"steps": trainer.window_steps * (1 + np.arange(len(rows)))}


def _has_ticket(state: State) -> bool:
    """Whether worlds outside of JAX belong to a state."""

    def ticket(part: Any) -> bool:
        return isinstance(part, Ticket)

    return any(map(ticket, jax.tree.leaves(state, is_leaf=ticket)))


def _no_way_back(trainer: Trainer, out: str | os.PathLike[str], done: int) -> None:
    """Warns before the first window of a run that cannot be resumed, refuses to resume one."""
    if done:
        raise BadInput(
            f"{out}: holds {done} of {trainer.windows} windows, but the worlds of "
            f"{trainer.spec.name} live outside of JAX and cannot be wound back; begin anew in "
            "another folder"
        )
    warnings.warn(
        f"{trainer.spec.name} lives outside of JAX: if this run is interrupted it cannot go on "
        f"from the checkpoints in {out}; only a finished one is read back",
        stacklevel=3,
    )


def fresh_contexts(context: Context | None, key: Any, count: int) -> Array | None:
    """First contexts ``[count, D]`` of as many episodes; None where there is no context."""
    if context is None:
        return None
    return jax.vmap(context.reset)(jax.random.split(key, count))


def evaluate(
    trainer: Trainer,
    state: State,
    env: Env | VectorEnv,
    key: Any,
    *,
    n_env: int = 8,
    episodes: int = 1,
    limit: int = 1000,
) -> Array:
    """Returns of what was learned, acting without exploration.

    Args:
        trainer: whose policy.
        state: of the trainer.
        env: one world, of which n_env copies are played, or a vector of n; each contributes the
            same number of episodes.
        key: random key.
        n_env: copies of one world.
        episodes: counted in each world, one after the other.
        limit: steps in all; episodes that have not ended then count with what they have.

    Returns:
        ``[n, episodes]``.
    """
    env = vectorise(env, getattr(env, "n", n_env))
    weights = jnp.asarray(env.spec.weights)
    first, rest = jax.random.split(key)
    start, obs = env.reset(first)
    rows = jnp.arange(env.n)
    context = trainer.context

    def step(carry: Any, key: Any) -> tuple[Any, None]:
        world, obs, ctx, gains, at = carry
        choosing, going, anew = jax.random.split(key, 3)
        action = trainer.act(state, choosing, obs, ctx)
        world, out = env.step(going, world, action)
        counted = at < episodes
        slot = jnp.minimum(at, episodes - 1)
        gains = gains.at[rows, slot].add(jnp.where(counted, out.reward @ weights, 0.0))
        last = out.terminated | out.truncated
        if context is not None:
            fresh = fresh_contexts(context, anew, env.n)
            ctx = where_rows(last, fresh, context.step(ctx, out.reward))
        return (world, out.obs, ctx, gains, at + last), None

    carry = (
        start,
        obs,
        fresh_contexts(context, rest, env.n),
        jnp.zeros((env.n, episodes)),
        jnp.zeros(env.n, jnp.int32),
    )
    (_, _, _, gains, _), _ = jax.lax.scan(step, carry, jax.random.split(rest, limit))
    return gains
