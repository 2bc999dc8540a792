"""How actions are chosen while learning (slot 9).

An act is a function of the scores of all members, the member that each world follows, the number
of environment steps so far and a random key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

from meritree.errors import BadInput

Array: TypeAlias = Any
Key: TypeAlias = Any
Schedule: TypeAlias = Callable[[Array], Array]
ActRule: TypeAlias = Callable[[Key, Array, Array, Array], Array]
"""(key, score [K, n, A], member [n], steps) -> actions [n]; member is drawn anew each episode."""


def decayed(high: float = 1.0, low: float = 0.05, steps: int = 10_000) -> Schedule:
    """From high to low in a straight line over so many environment steps."""
    if not (0.0 <= low <= high <= 1.0 and steps >= 1):
        raise BadInput(
            f"decayed: high={high}, low={low}, steps={steps}: need 0 <= low <= high <= 1 and a step"
        )
    return optax.linear_schedule(high, low, steps)


def epsilon_greedy(epsilon: float | Schedule, rule: ActRule | None = None) -> ActRule:
    """A uniformly random action with probability epsilon, else what ``rule`` says.

    rule: `greedy` of the first member by default.
    """
    if not callable(epsilon) and not 0.0 <= epsilon <= 1.0:
        raise BadInput(f"epsilon_greedy: epsilon={epsilon} must lie in [0, 1]")
    best = rule or greedy

    def act(key: Key, score: Array, member: Array, steps: Array) -> Array:
        toss, draw, inner = jax.random.split(key, 3)
        rate = epsilon(steps) if callable(epsilon) else epsilon
        worlds, actions = score.shape[-2:]
        random = jax.random.randint(draw, (worlds,), 0, actions)
        return jnp.where(
            jax.random.uniform(toss, (worlds,)) < rate, random, best(inner, score, member, steps)
        )

    return act


def greedy(key: Key, score: Array, member: Array, steps: Array) -> Array:
    """What looks best to the first member."""
    return jnp.argmax(score[0], axis=-1)


def random_member(key: Key, score: Array, member: Array, steps: Array) -> Array:
    """What looks best to a member drawn at every step, for each world (i-QN)."""
    drawn = jax.random.randint(key, member.shape, 0, score.shape[0])
    return _best_to(score, drawn)


def member_of_episode(key: Key, score: Array, member: Array, steps: Array) -> Array:
    """What looks best to the member that the world follows until its episode ends."""
    return _best_to(score, member)


def majority(key: Key, score: Array, member: Array, steps: Array) -> Array:
    """What most members think best; the sum of scores settles ties."""
    best = jnp.argmax(score, axis=-1)
    votes = jnp.sum(jax.nn.one_hot(best, score.shape[-1]), axis=0)
    total = jnp.sum(score, axis=0)
    span = jnp.max(total, axis=-1, keepdims=True) - jnp.min(total, axis=-1, keepdims=True)
    return jnp.argmax(votes + 0.5 * total / (span + 1e-9) / (1.0 + jnp.abs(total)), axis=-1)


def uniformly(key: Key, score: Array, member: Array, steps: Array) -> Array:
    """Any action: what is learned is learned from behaviour that does not depend on it."""
    return jax.random.randint(key, member.shape, 0, score.shape[-1])


def _best_to(score: Array, member: Array) -> Array:
    return jnp.argmax(score[member, jnp.arange(member.shape[0])], axis=-1)
