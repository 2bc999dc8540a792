"""Values stored through a map, one per channel: logarithmic learning and its relatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from meritree.errors import BadInput
from meritree.objectives import regression
from meritree.objectives._namespace import Array, device_of, namespace, take
from meritree.value.heads.base import per_action, pick_action


class Map(Protocol):
    """An increasing map of values and its inverse, elementwise."""

    def forward(self, q: Array) -> Array: ...

    def inverse(self, z: Array) -> Array: ...


@dataclass(frozen=True)
class Identity:
    """f(q) = q."""

    def forward(self, q: Array) -> Array:
        return q

    def inverse(self, z: Array) -> Array:
        return z


@dataclass(frozen=True)
class Log:
    """f(q) = c ln q, for q > 0.

    Attributes:
        c: > 0.
    """

    c: float = 0.5

    def forward(self, q: Array) -> Array:
        return self.c * namespace(q).log(q)

    def inverse(self, z: Array) -> Array:
        return namespace(z).exp(z / self.c)


@dataclass(frozen=True)
class LogLin:
    """f(q) = c ln q up to 1 and c q - c beyond: small values spread out, large ones not squeezed.

    Attributes:
        c: > 0.
    """

    c: float = 0.5

    def forward(self, q: Array) -> Array:
        xp = namespace(q)
        small = q <= 1.0
        return self.c * xp.where(small, xp.log(xp.where(small, q, xp.ones_like(q))), q - 1.0)

    def inverse(self, z: Array) -> Array:
        xp = namespace(z)
        y = z / self.c
        return xp.where(y <= 0.0, xp.exp(xp.clip(y, max=0.0)), y + 1.0)


@dataclass(frozen=True)
class SignedHyperbolic:
    """f(q) = sign(q) (sqrt(|q| + 1) - 1) + epsilon q, for rewards of very different sizes.

    Source: Pohlen et al. (2018), arXiv:1805.11593.

    Attributes:
        epsilon: > 0, the slope far out.
    """

    epsilon: float = 1e-3

    def forward(self, q: Array) -> Array:
        xp = namespace(q)
        return xp.sign(q) * (xp.sqrt(xp.abs(q) + 1.0) - 1.0) + self.epsilon * q

    def inverse(self, z: Array) -> Array:
        xp = namespace(z)
        # The root of epsilon y^2 + y = |z| + 1 + epsilon, written without a difference.
        right = xp.abs(z) + 1.0 + self.epsilon
        root = 2.0 * right / (1.0 + xp.sqrt(1.0 + 4.0 * self.epsilon * right))
        return xp.sign(z) * (root**2 - 1.0)


_HUBER: Callable[[Array, Array], Array] = partial(regression.huber, delta=1.0)


@dataclass(frozen=True)
class Mapped:
    """Channels whose network outputs are f_j(Q_j); Q = sum_j lambda_j f_j^-1(output_j).

    Averaging in mapped space is biased (a log makes it a geometric mean). So the target moves only
    part of the way, in ordinary space: f_j(max(Q_j + beta_reg (U_j - Q_j), floor)) with
    U_j = r_j + boot Q_j(s', a'); the optimiser's step size does the rest. All maps the identity,
    ``beta_reg`` 1 and no bounds: Q-learning per channel on the best action of their sum.

    Source: Fatemi and Tavakoli (2022), arXiv:2203.07171; van Seijen et al. (2019),
    arXiv:1906.00572; system S010.

    Attributes:
        maps: f_j, one per channel.
        lambdas: weight of each channel in the score; channel rewards arrive unweighted.
        beta_reg: in (0, 1], step size in ordinary space.
        floor: lower bound of the target before mapping (0.01687 in the release, with logs).
        ceiling: upper bound of bootstrapped and current values, 1 / (1 - gamma) in the release.
        loss_function: in mapped space.
    """

    maps: tuple[Map, ...]
    lambdas: tuple[float, ...]
    beta_reg: float = 0.1
    floor: float = -math.inf
    ceiling: float = math.inf
    loss_function: Callable[[Array, Array], Array] = _HUBER

    def __post_init__(self) -> None:
        if not self.maps or len(self.maps) != len(self.lambdas):
            raise BadInput(
                f"Mapped: {len(self.maps)} maps and {len(self.lambdas)} lambdas; "
                "give one of each per channel"
            )
        if not 0.0 < self.beta_reg <= 1.0:
            raise BadInput(f"Mapped: beta_reg is {self.beta_reg}, must lie in (0, 1]")

    def features(self, actions: int) -> int:
        return len(self.maps) * actions

    def value(self, raw: Array) -> Array:
        """Q_j in ordinary space, [..., A, C]."""
        mapped = per_action(self, raw, (len(self.maps),))
        return self._each(mapped, [f.inverse for f in self.maps])

    def score(self, v: Array, ctx: Array | None = None) -> Array:
        xp = namespace(v)
        return xp.sum(v * xp.asarray(self.lambdas, dtype=v.dtype, device=device_of(v)), axis=-1)

    def pick(self, raw: Array, a: Array) -> Array:
        return pick_action(self, raw, a, (len(self.maps),))

    def take(self, v: Array, a: Array) -> Array:
        """[..., C]."""
        return take(namespace(v), v, a, trailing=1)

    def mix(self, v: Array, pi: Array) -> Array:
        return namespace(v).sum(v * pi[..., None], axis=-2)

    def target(self, v1: Array, reward: Array, boot: Array, old: Any = None) -> Array:
        """In mapped space, [..., C]; ``old`` is needed unless beta_reg is 1."""
        if old is None and self.beta_reg < 1.0:
            raise BadInput("Mapped: target needs old, the current values of the action taken")
        if reward.shape[-1] != len(self.maps):
            raise BadInput(
                f"Mapped: reward has shape {tuple(reward.shape)}, expected {len(self.maps)} "
                "channels on its last axis"
            )
        xp = namespace(v1)
        u = reward + boot[..., None] * self._below(v1)
        if old is not None:
            current = self._below(old)
            u = current + self.beta_reg * (u - current)
        if self.floor > -math.inf:
            u = xp.clip(u, min=self.floor)
        return self._each(u, [f.forward for f in self.maps])

    def loss(self, raw_a: Array, target: Array) -> Array:
        """Summed over channels."""
        return namespace(raw_a).sum(self.loss_function(raw_a, target), axis=-1)

    def error(self, raw_a: Array, target: Array) -> Array:
        """In ordinary space, of the weighted sum."""
        inverses = [f.inverse for f in self.maps]
        gap = self._each(target, inverses) - self._each(raw_a, inverses)
        return self.score(gap)

    def _below(self, q: Array) -> Array:
        return q if self.ceiling == math.inf else namespace(q).clip(q, max=self.ceiling)

    def _each(self, x: Array, functions: Sequence[Callable[[Array], Array]]) -> Array:
        parts = [f(x[..., j]) for j, f in enumerate(functions)]
        return namespace(x).stack(parts, axis=-1)
