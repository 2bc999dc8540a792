"""Values as distributions over fixed bins: C51, two-hot and HL-Gauss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from meritree.errors import BadInput
from meritree.objectives import distributional, projections, td
from meritree.objectives._namespace import Array, namespace, take
from meritree.objectives.special import softmax
from meritree.value.heads.base import (
    Judge,
    mean_judge,
    one_reward,
    per_action,
    pick_action,
    with_stock,
)


@dataclass(frozen=True)
class Categorical:
    """The distribution of returns on m evenly spaced atoms (C51).

    Returns outside [low, high] are counted at the ends; leave room, 20 % or more.

    Source: Bellemare et al. (2017), arXiv:1707.06887.

    Attributes:
        low: smallest atom.
        high: largest atom.
        m: number of atoms, >= 2; the projection costs m^2 a row.
        judge: what is maximised of a distribution; its mean by default.
    """

    low: float
    high: float
    m: int = 51
    judge: Judge = mean_judge

    def __post_init__(self) -> None:
        _check_bins(self, self.low, self.high, self.m)

    def features(self, actions: int) -> int:
        return self.m * actions

    def value(self, raw: Array) -> Array:
        """Probabilities, [..., A, m]."""
        return softmax(per_action(self, raw, (self.m,)))

    def score(self, v: Array, ctx: Array | None = None) -> Array:
        atoms = namespace(v).broadcast_to(self._support(v), v.shape)
        return self.judge(with_stock(atoms, ctx), v)

    def pick(self, raw: Array, a: Array) -> Array:
        """Logits, [..., m]."""
        return pick_action(self, raw, a, (self.m,))

    def take(self, v: Array, a: Array) -> Array:
        """Probabilities, [..., m]."""
        return take(namespace(v), v, a, trailing=1)

    def mix(self, v: Array, pi: Array) -> Array:
        """The mixture of the actions' distributions, [..., m]."""
        return namespace(v).sum(v * pi[..., None], axis=-2)

    def target(self, v1: Array, reward: Array, boot: Array, old: Any = None) -> Array:
        """The law of reward + boot Z projected on the atoms, [..., m]."""
        support = self._support(v1)
        z = one_reward(self, reward)[..., None] + boot[..., None] * support
        return projections.categorical(v1, z, support)

    def loss(self, raw_a: Array, target: Array) -> Array:
        return distributional.cross_entropy(raw_a, target)

    def error(self, raw_a: Array, target: Array) -> Array:
        return mean_judge(self._support(raw_a), target - softmax(raw_a))

    def _support(self, like: Array) -> Array:
        return projections.linear_support(self.low, self.high, self.m, like)


@dataclass(frozen=True)
class _Classified:
    """What heads share that learn a number by classifying it: they differ in support and target."""

    low: float
    high: float
    m: int = 51

    def __post_init__(self) -> None:
        _check_bins(self, self.low, self.high, self.m)

    def features(self, actions: int) -> int:
        return self.m * actions

    def value(self, raw: Array) -> Array:
        """The mean of the predicted distribution, [..., A]."""
        logits = per_action(self, raw, (self.m,))
        return mean_judge(self._places(raw), softmax(logits))

    def score(self, v: Array, ctx: Array | None = None) -> Array:
        return v

    def pick(self, raw: Array, a: Array) -> Array:
        """Logits, [..., m]."""
        return pick_action(self, raw, a, (self.m,))

    def take(self, v: Array, a: Array) -> Array:
        return take(namespace(v), v, a)

    def mix(self, v: Array, pi: Array) -> Array:
        return namespace(v).sum(v * pi, axis=-1)

    def target(self, v1: Array, reward: Array, boot: Array, old: Any = None) -> Array:
        """reward + boot v1 over the bins or atoms, [..., m]."""
        return self._written(td.td_target(one_reward(self, reward), boot, v1))

    def loss(self, raw_a: Array, target: Array) -> Array:
        return distributional.cross_entropy(raw_a, target)

    def error(self, raw_a: Array, target: Array) -> Array:
        return mean_judge(self._places(raw_a), target - softmax(raw_a))

    def _places(self, like: Array) -> Array:
        """[m] the value that each bin or atom stands for."""
        return projections.linear_support(self.low, self.high, self.m, like)

    def _written(self, y: Array) -> Array:
        """[..., m] a number as a distribution."""
        raise NotImplementedError


@dataclass(frozen=True)
class TwoHot(_Classified):
    """A number learned by classification, written on the two atoms next to it.

    Source: Schrittwieser et al. (2020), arXiv:1911.08265, appendix F.

    Attributes:
        low: smallest atom; lower targets are clipped to it.
        high: largest atom.
        m: number of atoms, >= 2.
    """

    def _written(self, y: Array) -> Array:
        return projections.two_hot(y, self._places(y))


@dataclass(frozen=True)
class HLGauss(_Classified):
    """A number learned by classification, smeared over bins by a normal law.

    ``padding`` bins are laid beyond low and high on each side, where the truncated normal would
    otherwise pull values inwards: without them a value at the very edge comes back 0.7 bins off.

    Source: Imani and White (2018); Farebrother et al. (2024), arXiv:2403.03950; system S014.

    Attributes:
        low: smallest value to represent; lower targets are clipped to the outermost edge.
        high: largest value to represent.
        m: number of bins in all, > 2 padding.
        ratio: standard deviation in bin widths; 0.75 in the paper.
        padding: bins on each side; 3 suffice for ratio 0.75, 0 is the paper's support.
    """

    ratio: float = 0.75
    padding: int = 3

    def __post_init__(self) -> None:
        _check_bins(self, self.low, self.high, self.m - 2 * self.padding + 1)
        if not (self.ratio > 0.0 and self.padding >= 0):
            raise BadInput(
                f"HLGauss: ratio={self.ratio} must be > 0 and padding={self.padding} >= 0"
            )

    @property
    def width(self) -> float:
        """Width of a bin, in units of value."""
        return (self.high - self.low) / (self.m - 2 * self.padding)

    def _places(self, like: Array) -> Array:
        edges = self._edges(like)
        return 0.5 * (edges[1:] + edges[:-1])

    def _written(self, y: Array) -> Array:
        return projections.hl_gauss(y, self._edges(y), self.ratio * self.width)

    def _edges(self, like: Array) -> Array:
        beyond = self.padding * self.width
        return projections.linear_support(self.low - beyond, self.high + beyond, self.m + 1, like)


def _check_bins(head: object, low: float, high: float, m: int) -> None:
    if m < 2 or not low < high:
        raise BadInput(
            f"{type(head).__name__}: needs low < high and at least 2 atoms (padding apart), "
            f"got low={low}, high={high} and {m} of them"
        )
