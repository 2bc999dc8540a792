"""How much better an action was than expected, and what the critic learns from (a slot).

An `Advantage` reads a `Path`: rewards, values and ends of T steps of E worlds. A critic's target
is either a number, the lambda-return, or the head's own Bellman image over a window of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.objectives import advantages, td

Array: TypeAlias = Any


class Path(NamedTuple):
    """A rollout as numbers."""

    reward: Array  # [T, E] weighted sum of the channels
    discount: Array  # [T, E] gamma (1 - terminated)
    last: Array  # [T, E] bool: terminated or truncated
    v_tm1: Array  # [T, E] of the states acted in
    v_t: Array  # [T, E] of the states reached, before any reset


class Window(NamedTuple):
    """The state that a value is bootstrapped from, and what was gained before it."""

    reward: Array  # [T, E, C]
    boot: Array  # [T, E]
    at: Array  # int [T, E]: the state reached at this step


class Advantage(NamedTuple):
    """Slot of the trainer.

    Attributes:
        estimate: path to advantages ``[T, E]``.
        returns: path to lambda-returns ``[T, E]``, the critic's target as a number; None: the
            target is the head's Bellman image over windows of ``n`` steps.
        n: length of those windows; None: to the end of the episode or of the rollout.
    """

    estimate: Callable[[Path], Array]
    returns: Callable[[Path], Array] | None = None
    n: int | None = None


def gae(lambda_: float = 0.95, target: int | None = None) -> Advantage:
    """Generalised advantages; 0 is the TD error, 1 Monte Carlo minus the value.

    Args:
        lambda_: in [0, 1].
        target: the critic learns from windows of so many steps (a law of returns stays one);
            None: from the lambda-return, advantage plus value.

    Source: Schulman et al. (2016), arXiv:1506.02438.
    """
    if isinstance(lambda_, int | float) and not 0.0 <= lambda_ <= 1.0:
        raise BadInput(f"gae: lambda_={lambda_} must lie in [0, 1]")
    if target is not None and target < 1:
        raise BadInput(f"gae: target={target} steps must be at least 1")

    def estimate(path: Path) -> Array:
        return advantages.gae(path.reward, path.discount, path.v_tm1, path.v_t, path.last, lambda_)

    if target is not None:
        return Advantage(estimate, None, target)
    return Advantage(estimate, lambda path: estimate(path) + path.v_tm1)


def n_step(n: int) -> Advantage:
    """The return of n steps, bootstrapped, minus the value; the critic learns from the same."""
    if n < 1:
        raise BadInput(f"n_step: n={n} must be at least 1")

    def estimate(path: Path) -> Array:
        returns = td.n_step_returns(path.reward, path.discount, path.v_t, path.last, n)
        return returns - path.v_tm1

    return Advantage(estimate, None, n)


def monte_carlo(path: Path) -> Array:
    """The return to the end of the episode, or bootstrapped where the rollout ends. [T, E]."""
    return td.lambda_returns(path.reward, path.discount, path.v_t, path.last, 1.0)


MONTE_CARLO = Advantage(lambda path: monte_carlo(path) - path.v_tm1)
"""All rewards of the episode minus the value; the critic learns from the same."""


def window(rewards: Array, discount: Array, last: Array, n: int | None) -> Window:
    """Windows of n steps, shorter where an episode or the rollout ends.

    Args:
        rewards: ``[T, E, C]``.
        discount: gamma (1 - terminated), ``[T, E]``.
        last: bool ``[T, E]``.
        n: steps; None or T: up to the end.
    """
    steps = last.shape[0]
    at = jnp.broadcast_to(jnp.arange(steps)[:, None], last.shape)
    single = Window(rewards, discount, at)
    # Where nothing follows the next window is not read: it may be anything.
    ends = last.at[-1].set(True)
    if n is None or n >= steps:

        def back(later: Window, now: tuple[Window, Array]) -> tuple[Window, Window]:
            joined = _joined(*now, later)
            return joined, joined

        final = jax.tree.map(lambda leaf: leaf[-1], single)
        return jax.lax.scan(back, final, (single, ends), reverse=True)[1]
    found = single
    for _ in range(n - 1):
        later = jax.tree.map(lambda leaf: jnp.roll(leaf, -1, axis=0), found)
        found = _joined(single, ends, later)
    return found


def _joined(now: Window, end: Array, later: Window) -> Window:
    """One step and the window that begins after it."""
    return Window(
        now.reward + jnp.where(end, 0.0, now.boot)[..., None] * later.reward,
        jnp.where(end, now.boot, now.boot * later.boot),
        jnp.where(end, now.at, later.at),
    )
