"""Values as samples of the return: quantiles of one reward, particles of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from meritree.errors import BadInput
from meritree.objectives import distributional, projections
from meritree.objectives._namespace import Array, device_of, namespace, take
from meritree.value.heads.base import (
    Atoms,
    Judge,
    mean_judge,
    one_reward,
    per_action,
    pick_action,
    with_stock,
)


@dataclass(frozen=True)
class Quantile:
    """n quantiles of the distribution of returns (QR-DQN).

    Source: Dabney et al. (2018), arXiv:1710.10044; with a stock as context: system S039.

    Attributes:
        n: number of quantiles, at the midpoints (2 i + 1) / (2 n).
        kappa: threshold of the quantile Huber loss, 0 for the pinball loss.
        judge: what is maximised of the quantiles (and the stock): their mean by default, any
            expected utility or risk measure otherwise.
    """

    n: int = 32
    kappa: float = 1.0
    judge: Judge = mean_judge

    def __post_init__(self) -> None:
        if self.n < 1 or self.kappa < 0.0:
            raise BadInput(f"Quantile: n={self.n} must be >= 1 and kappa={self.kappa} >= 0")

    def features(self, actions: int) -> int:
        return self.n * actions

    def value(self, raw: Array) -> Array:
        """Quantiles, not sorted, [..., A, n]."""
        return per_action(self, raw, (self.n,))

    def score(self, v: Array, ctx: Array | None = None) -> Array:
        return self.judge(with_stock(v, ctx), namespace(v).full_like(v, 1.0 / self.n))

    def pick(self, raw: Array, a: Array) -> Array:
        """[..., n]."""
        return pick_action(self, raw, a, (self.n,))

    def take(self, v: Array, a: Array) -> Atoms:
        values = take(namespace(v), v, a, trailing=1)
        return Atoms(values, namespace(v).full_like(values, 1.0 / self.n))

    def mix(self, v: Array, pi: Array) -> Atoms:
        """The mixture of the actions' distributions: A n atoms."""
        xp = namespace(v)
        flat = (*v.shape[:-2], v.shape[-2] * v.shape[-1])
        weights = xp.broadcast_to(pi[..., None] / self.n, v.shape)
        return Atoms(xp.reshape(v, flat), xp.reshape(weights, flat))

    def target(self, v1: Atoms, reward: Array, boot: Array, old: Any = None) -> Atoms:
        """reward + boot z for every atom z."""
        r = one_reward(self, reward)
        return Atoms(r[..., None] + boot[..., None] * v1.values, v1.weights)

    def loss(self, raw_a: Array, target: Atoms) -> Array:
        tau = projections.quantile_midpoints(self.n, raw_a)
        return distributional.quantile_huber(raw_a, tau, target.values, self.kappa, target.weights)

    def error(self, raw_a: Array, target: Atoms) -> Array:
        return mean_judge(*target) - namespace(raw_a).mean(raw_a, axis=-1)


JointJudge = Callable[[Array, Array], Array]
"""(particles [..., N, C], probabilities [..., N]) -> [...], larger is better."""


def on_sum(judge: Judge = mean_judge, lambdas: tuple[float, ...] | None = None) -> JointJudge:
    """A judge of the weighted sum of all channels, particle by particle.

    Args:
        judge: of one number per particle.
        lambdas: weight of each channel; all 1 when left out.
    """

    def joint(particles: Array, weights: Array) -> Array:
        xp = namespace(particles)
        if lambdas is None:
            return judge(xp.sum(particles, axis=-1), weights)
        scale = xp.asarray(lambdas, dtype=particles.dtype, device=device_of(particles))
        return judge(xp.sum(particles * scale, axis=-1), weights)

    return joint


_SUM = on_sum()


@dataclass(frozen=True)
class Particles:
    """n joint samples of the returns of C reward channels, fitted by MMD (MD3QN).

    One particle keeps its index from next state to target in all channels at once: that is what
    carries their dependence. Never sort particles or average those of tied actions.

    Source: Zhang et al. (2021), arXiv:2110.13578; C = 1 is MMD-DQN (arXiv:2007.12354); S003.

    Attributes:
        n: number of particles; loss memory grows with n^2 C.
        channels: C.
        kernel: of squared distances, averaged over channels; bandwidths presume returns of
            size about 1 to 10.
        judge: of joint particles; the mean of their channels' sum by default. A constraint on
            several channels is the mean of an indicator on the joint particles.
    """

    n: int = 32
    channels: int = 1
    kernel: distributional.Kernel = distributional.MD3QN_KERNEL
    judge: JointJudge = _SUM

    def __post_init__(self) -> None:
        if self.n < 1 or self.channels < 1:
            raise BadInput(f"Particles: n={self.n} and channels={self.channels} must be >= 1")

    def features(self, actions: int) -> int:
        return self.n * self.channels * actions

    def value(self, raw: Array) -> Array:
        """Particles, [..., A, n, C]."""
        return per_action(self, raw, (self.n, self.channels))

    def score(self, v: Array, ctx: Array | None = None) -> Array:
        """ctx, [..., C] or None, is what each channel gained before; added to its particles."""
        if ctx is not None:
            v = v + ctx[..., None, None, :]
        return self.judge(v, namespace(v).full_like(v[..., 0], 1.0 / self.n))

    def pick(self, raw: Array, a: Array) -> Array:
        """[..., n, C]."""
        return pick_action(self, raw, a, (self.n, self.channels))

    def take(self, v: Array, a: Array) -> Atoms:
        values = take(namespace(v), v, a, trailing=2)
        return Atoms(values, namespace(v).full_like(values[..., 0], 1.0 / self.n))

    def mix(self, v: Array, pi: Array) -> Atoms:
        """The mixture of the actions' joint laws: A n particles."""
        xp = namespace(v)
        many = v.shape[-3] * v.shape[-2]
        weights = xp.broadcast_to(pi[..., None] / self.n, v.shape[:-1])
        return Atoms(
            xp.reshape(v, (*v.shape[:-3], many, self.channels)),
            xp.reshape(weights, (*v.shape[:-3], many)),
        )

    def target(self, v1: Atoms, reward: Array, boot: Array, old: Any = None) -> Atoms:
        """reward + boot z for every particle z, all channels together."""
        if reward.shape[-1] != self.channels:
            raise BadInput(
                f"Particles: reward has shape {tuple(reward.shape)}, expected {self.channels} "
                "channels on its last axis"
            )
        values = reward[..., None, :] + boot[..., None, None] * v1.values
        return Atoms(values, v1.weights)

    def loss(self, raw_a: Array, target: Atoms) -> Array:
        return distributional.mmd2(raw_a, target.values, self.kernel, target.weights)

    def error(self, raw_a: Array, target: Atoms) -> Array:
        """Of the judge's number, which is what the policy goes by."""
        weights = namespace(raw_a).full_like(raw_a[..., 0], 1.0 / self.n)
        return self.judge(*target) - self.judge(raw_a, weights)
