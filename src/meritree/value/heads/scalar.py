"""Values that are one number per action, and several such values side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from meritree.errors import BadInput
from meritree.objectives import regression, td
from meritree.objectives._namespace import Array, device_of, namespace, take
from meritree.value.heads.base import ValueHead, one_reward, per_action, pick_action


@dataclass(frozen=True)
class Scalar:
    """One number per action.

    Attributes:
        loss_function: (prediction [...], target [...]) -> [...]; one of `objectives.regression`,
            with parameters bound by functools.partial (Huber for DQN, `itakura_saito` for an
            exponential utility).
    """

    loss_function: Callable[[Array, Array], Array] = regression.squared

    def features(self, actions: int) -> int:
        return actions

    def value(self, raw: Array) -> Array:
        """[..., A]."""
        return per_action(self, raw, ())

    def score(self, v: Array, ctx: Array | None = None) -> Array:
        return v

    def pick(self, raw: Array, a: Array) -> Array:
        return pick_action(self, raw, a, ())

    def take(self, v: Array, a: Array) -> Array:
        return take(namespace(v), v, a)

    def mix(self, v: Array, pi: Array) -> Array:
        return namespace(v).sum(pi * v, axis=-1)

    def target(self, v1: Array, reward: Array, boot: Array, old: Any = None) -> Array:
        """reward + boot v1, [...]."""
        return td.td_target(one_reward(self, reward), boot, v1)

    def loss(self, raw_a: Array, target: Array) -> Array:
        return self.loss_function(raw_a, target)

    def error(self, raw_a: Array, target: Array) -> Array:
        return target - raw_a


@dataclass(frozen=True)
class Channels:
    """One head of the same kind per reward channel; their weighted sum is maximised (HRA).

    All channels share the action bootstrapped from (`take_each`: each has its own). Losses are
    summed over channels, as in the release: with C channels the gradient is about C times as large.

    Source: van Seijen et al. (2017), arXiv:1706.04208, Hybrid Reward Architecture; system S002.

    Attributes:
        lambdas: weight of each channel in the score; channel rewards arrive unweighted.
        inner: head of one channel. With one channel of weight 1 this is ``inner``, bit for bit.
    """

    lambdas: tuple[float, ...]
    inner: ValueHead = Scalar()

    def __post_init__(self) -> None:
        if not self.lambdas:
            raise BadInput("Channels: lambdas is empty; give the weight of at least one channel")

    def features(self, actions: int) -> int:
        return len(self.lambdas) * self.inner.features(actions)

    def value(self, raw: Array) -> Any:
        """The inner V with leading axes [..., C, A]."""
        return self.inner.value(self._split(raw))

    def score(self, v: Any, ctx: Array | None = None) -> Array:
        """ctx, [..., C] or None, is each channel's own stock."""
        each = None if ctx is None else ctx[..., None]
        return self._sum(self.inner.score(v, each), axis=-2)

    def pick(self, raw: Array, a: Array) -> Array:
        """[..., C, *inner]."""
        split = self._split(raw)
        return self.inner.pick(split, self._spread(a, tail=0))

    def take(self, v: Any, a: Array) -> Any:
        return self.inner.take(v, self._spread(a, tail=0))

    def take_each(self, v: Any, a: Array) -> Any:
        """`take` with an action of its own for every channel, integers [..., C]."""
        return self.inner.take(v, a)

    def take_best(self, v: Any) -> Any:
        """`take_each` of the action that each channel scores best."""
        score = self.inner.score(v)
        return self.take_each(v, namespace(score).argmax(score, axis=-1))

    def mix(self, v: Any, pi: Array) -> Any:
        return self.inner.mix(v, self._spread(pi, tail=1))

    def target(self, v1: Any, reward: Array, boot: Array, old: Any = None) -> Any:
        if reward.shape[-1] != len(self.lambdas):
            raise BadInput(
                f"Channels: reward has shape {tuple(reward.shape)}, expected "
                f"{len(self.lambdas)} channels on its last axis"
            )
        return self.inner.target(v1, reward[..., None], self._spread(boot, tail=0), old)

    def loss(self, raw_a: Array, target: Any) -> Array:
        return namespace(raw_a).sum(self.inner.loss(raw_a, target), axis=-1)

    def error(self, raw_a: Array, target: Any) -> Array:
        return self._sum(self.inner.error(raw_a, target), axis=-1)

    def _split(self, raw: Array) -> Array:
        """[..., C * F] -> [..., C, F]."""
        each = per_action(self, raw, (len(self.lambdas),)).shape[-2]
        return namespace(raw).reshape(raw, (*raw.shape[:-1], len(self.lambdas), each))

    def _spread(self, x: Array, tail: int) -> Array:
        """[..., tail axes] -> [..., C, tail axes], every channel the same."""
        xp = namespace(x)
        at = len(x.shape) - tail
        shape = (*x.shape[:at], len(self.lambdas), *x.shape[at:])
        return xp.broadcast_to(xp.expand_dims(x, axis=at), shape)

    def _sum(self, x: Array, axis: int) -> Array:
        xp = namespace(x)
        weights = xp.asarray(self.lambdas, dtype=x.dtype, device=device_of(x))
        if axis == -2:
            weights = weights[:, None]
        return xp.sum(weights * x, axis=axis)
