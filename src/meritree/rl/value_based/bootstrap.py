"""Which action, or which mixture of actions, a value is bootstrapped from (slot 5).

A bootstrap is a function of `Judged` values, the batch and a random key. It reads values only
through the head's score.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.value.heads import Channels, ValueHead
from meritree.value.transforms import Step

Array: TypeAlias = Any
Key: TypeAlias = Any


class Judged(NamedTuple):
    """Scores of all actions, ``[B, A]``; larger is better, detached."""

    online: Array  # of the next state, by the network that learns
    target: Array  # of the next state, by the target network
    current: Array  # of this state, by the target network


class Next(NamedTuple):
    """What to bootstrap from: an action, or a mixture of all, or what each channel likes best."""

    action: Array | None = None  # int [B]
    pi: Array | None = None  # [B, A]; where neither is given, `Channels.take_best`
    bonus: Array | None = None  # [B], added to the reward


Bootstrap: TypeAlias = Callable[[Judged, Step, Key], Next]


def greedy(judged: Judged, batch: Step, key: Key) -> Next:
    """The action that looks best to the target network (DQN)."""
    return Next(action=jnp.argmax(judged.target, axis=-1))


def double(judged: Judged, batch: Step, key: Key) -> Next:
    """The action that looks best to the network that learns (van Hasselt et al. 2016)."""
    return Next(action=jnp.argmax(judged.online, axis=-1))


def uniform(judged: Judged, batch: Step, key: Key) -> Next:
    """All actions alike: the value of the uniformly random policy (HRA, proto-values)."""
    return Next(pi=jnp.full_like(judged.target, 1.0 / judged.target.shape[-1]))


def any_action(judged: Judged, batch: Step, key: Key) -> Next:
    """One action drawn uniformly: `uniform` by sampling, for heads whose mixtures are large."""
    rows, actions = judged.target.shape
    return Next(action=jax.random.randint(key, (rows,), 0, actions))


def own_best(judged: Judged, batch: Step, key: Key) -> Next:
    """The best action of each channel for itself: HRA with a maximum. Needs `Channels`."""
    return Next()


def expected(epsilon: float) -> Bootstrap:
    """The epsilon-greedy policy of the target network (expected Sarsa)."""
    if not 0.0 <= epsilon <= 1.0:
        raise BadInput(f"expected: epsilon={epsilon} must lie in [0, 1]")

    def bootstrap(judged: Judged, batch: Step, key: Key) -> Next:
        actions = judged.target.shape[-1]
        best = jax.nn.one_hot(jnp.argmax(judged.target, axis=-1), actions)
        return Next(pi=(1.0 - epsilon) * best + epsilon / actions)

    return bootstrap


def munchausen(kl: float = 0.027, entropy: float = 0.003, low: float = -1.0) -> Bootstrap:
    """Mirror descent with entropy: soft values plus a part of the policy's own log-probability.

    With tau = kl + entropy, alpha = kl / tau and pi = softmax(q / tau) of the target network, the
    target is r + alpha max(tau log pi(a|s), low) + boot sum_a' pi(a'|s') (q' - tau log pi(a'|s')).

    Source: Vieillard et al. (2020), arXiv:2007.14430.
    """
    if not (kl >= 0.0 and entropy >= 0.0 and kl + entropy > 0.0 and low <= 0.0):
        raise BadInput(
            f"munchausen: kl={kl}, entropy={entropy} must be >= 0 and not both 0, low={low} <= 0"
        )
    tau = kl + entropy

    def bootstrap(judged: Judged, batch: Step, key: Key) -> Next:
        log_pi = jax.nn.log_softmax(judged.target / tau)
        pi = jnp.exp(log_pi)
        now = jax.nn.log_softmax(judged.current / tau)
        taken = jnp.take_along_axis(now, batch.action[:, None], axis=-1)[:, 0]
        soft = -tau * jnp.sum(pi * log_pi, axis=-1)
        bonus = kl / tau * jnp.clip(tau * taken, low, 0.0) + batch.boot * soft
        return Next(pi=pi, bonus=bonus)

    return bootstrap


def value_of(head: ValueHead, v: Any, choice: Next) -> Any:
    """V1 of the choice.

    Raises:
        BadInput: each channel should choose for itself, but the head has no channels.
    """
    if choice.action is not None:
        return head.take(v, choice.action)
    if choice.pi is not None:
        return head.mix(v, choice.pi)
    if not isinstance(head, Channels):
        raise BadInput(
            f"own_best needs the head Channels, whose channels can choose; got "
            f"{type(head).__name__}"
        )
    return head.take_best(v)
