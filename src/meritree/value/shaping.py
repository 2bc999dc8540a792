"""Shaping rewards by a potential of states: hints that change no best policy.

F = gamma Phi(s') - Phi(s) (Ng, Harada and Russell 1999), with Phi = 0 at true ends, telescopes
along every path. Knows no learner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meritree.errors import BadInput
from meritree.value._arrays import Array, namespace
from meritree.value.transforms import RewardTransform, Step, stateless


def shaping_reward(phi: Array, next_phi: Array, boot: Array) -> Array:
    """boot * Phi(s') - Phi(s), ``[...]``; boot is gamma^n, and 0 at true ends.

    With n-step transitions it is the discounted sum of the n terms.

    Raises:
        BadInput: shapes that differ.
    """
    shapes = {tuple(each.shape) for each in (phi, next_phi, boot)}
    if len(shapes) > 1:
        raise BadInput(f"phi, next_phi and boot have shapes {sorted(shapes)}: must be equal")
    return boot * next_phi - phi


def potential(phi: Callable[[Any], Array]) -> RewardTransform:
    """r' = r + boot * Phi(s') - Phi(s) on every channel.

    Values become V - Phi and action values Q - Phi: differences between actions, and so the best
    policies, stay (`unshaped_value`).

    Args:
        phi: observations to ``[...]``.
    """

    def shaped(step: Step) -> Array:
        xp = namespace(step.reward)
        extra = shaping_reward(phi(step.obs), phi(step.next_obs), step.boot)
        return step.reward + xp.expand_dims(extra, axis=-1)

    return stateless(shaped, lambda count: count)


def unshaped_value(value: Array, phi: Array) -> Array:
    """V or Q of the rewards themselves: the learned one plus Phi(s).

    Args:
        value: ``[...]`` or, for action values, ``[..., A]``.
        phi: ``[...]``.
    """
    if value.ndim == phi.ndim + 1:
        return value + namespace(value, phi).expand_dims(phi, axis=-1)
    if value.ndim != phi.ndim:
        raise BadInput(
            f"value has shape {tuple(value.shape)}, phi {tuple(phi.shape)}: value may have one "
            "axis (of actions) more than phi"
        )
    return value + phi
