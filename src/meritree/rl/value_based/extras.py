"""Losses beside the head's or in its place, with parameters of their own (slot 8).

An optimiser for an extra with a step size of its own is made by `own_step_size`. Formulas live in
`meritree.objectives`; nothing here knows an environment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

from meritree.errors import BadInput
from meritree.objectives import regression, saddle
from meritree.rl.value_based.bootstrap import value_of
from meritree.rl.value_based.parts import Out
from meritree.value.transforms import Step

Array: TypeAlias = Any
Key: TypeAlias = Any
Params: TypeAlias = Any
SaddleLoss: TypeAlias = Callable[[Array, Array, Array, Array, Array], Array]
"""(q, v_next, boot, delta, h_sg), each [B], all but h differentiable -> loss [B]."""


def own_step_size(
    net: optax.GradientTransformation, extra: optax.GradientTransformation
) -> optax.GradientTransformation:
    """One optimiser for the network, another for the extra's parameters.

    Scaling an extra's loss would not do: Adam takes steps of the same size whatever the scale.
    """
    return optax.multi_transform({"net": net, "extra": extra}, {"net": "net", "extra": "extra"})


def _check_tau(tau: float) -> None:
    if not tau > 0.0:
        raise BadInput(f"tau={tau}: must be above 0; for the absolute loss use corrected_absolute")


def corrected(tau: float = math.inf) -> SaddleLoss:
    """TD with gradient correction for the Huber loss of the expected error; inf: QRC."""
    _check_tau(tau)

    def loss(q: Array, v_next: Array, boot: Array, delta: Array, h: Array) -> Array:
        return saddle.corrected(q, v_next, boot, jax.lax.stop_gradient(delta), h, tau)

    return loss


squared: SaddleLoss = corrected()


def direct(tau: float = math.inf) -> SaddleLoss:
    """The saddle point's own gradient, clip(h, -tau, tau) delta; inf: GTD2."""
    _check_tau(tau)
    return lambda q, v_next, boot, delta, h: saddle.saddle(delta, h, tau)


def corrected_absolute(q: Array, v_next: Array, boot: Array, delta: Array, h: Array) -> Array:
    """sign(h) (boot v(s') - v(s)), the absolute expected error: let step sizes decay."""
    return saddle.corrected_absolute(q, v_next, boot, h)


def residual(q: Array, v_next: Array, boot: Array, delta: Array, h: Array) -> Array:
    """delta^2/2 differentiated in both values, h not used: the residual gradient, a baseline.

    Biased where transitions are random: it also minimises the variance of the sampled error.

    Source: Baird (1995).
    """
    return regression.squared(delta, jnp.zeros_like(delta))


@dataclass(frozen=True)
class SaddleCorrection:
    """Losses of the *expected* Bellman error by a second head h(s, a) ~ E[delta | s, a].

    The second head reads the torso's features, detached; the first learns from ``value_loss``.
    The next value is that of the network that learns, differentiable, in the action or mixture
    that the bootstrap chose; target networks have no part in it, so use
    ``TargetChain(polyak=1.0)``, with which the bootstrap too reads the network that learns. Both
    heads of the release start at 0 and h decays towards 0 (`saddle_optimizer`).

    Source: Patterson et al. (2022), arXiv:2205.08464; Ghiassian et al. (2020), arXiv:2007.00611
    and its released code (EQRC) for the squared loss; system S065.

    Attributes:
        value_loss: what the values learn from, one of those above; `squared` is QRC.
    """

    value_loss: SaddleLoss = squared
    replaces_main = True

    def init(self, key: Key, features: Array, actions: int) -> Params:
        """A linear readout of zeros for h."""
        return {"kernel": jnp.zeros((features.size, actions)), "bias": jnp.zeros(actions)}

    def loss(self, params: Params, batch: Step, out: Out, key: Key) -> tuple[Array, dict[str, Any]]:
        """Of both heads, and the size of h for the log.

        Raises:
            BadInput: values are not one number per action, or rewards have several channels.
        """
        v = out.head.value(out.raw)
        if not isinstance(v, jax.Array) or v.shape != out.raw.shape or batch.reward.shape[-1] != 1:
            raise BadInput(
                f"SaddleCorrection needs one number per action and one reward channel; the head is "
                f"{type(out.head).__name__} and the reward has {batch.reward.shape[-1]} channels"
            )
        q = out.head.pick(out.raw, batch.action)
        v_next = value_of(out.head, out.head.value(out.raw_next), out.choice)
        reward = batch.reward[..., 0]
        if out.choice.bonus is not None:
            reward = reward + out.choice.bonus
        delta = reward + batch.boot * v_next - q
        rows = jax.lax.stop_gradient(out.features).reshape(q.shape[0], -1)
        all_h = rows @ params["kernel"] + params["bias"]
        h = jnp.take_along_axis(all_h, batch.action[:, None], axis=-1)[:, 0]
        fixed_h, fixed_delta = jax.lax.stop_gradient((h, delta))
        value = self.value_loss(q, v_next, batch.boot, delta, fixed_h)
        return value + regression.squared(h, fixed_delta), {"h": jnp.mean(jnp.abs(fixed_h))}


def saddle_optimizer(
    step: Array | float, ratio: float = 1.0, beta: float = 1.0
) -> optax.GradientTransformation:
    """Adam for the values; for h Adam with ``ratio`` times the step and decay ``beta``.

    The decay is apart from Adam's moments, as in the release (step * beta * h).

    Args:
        step: step size of the values.
        ratio: > 0.
        beta: >= 0; 0 is no regularisation.
    """
    if not (ratio > 0.0 and beta >= 0.0):
        raise BadInput(f"saddle_optimizer: ratio={ratio} must be > 0 and beta={beta} >= 0")
    return own_step_size(optax.adam(step), optax.adamw(step * ratio, weight_decay=beta))


@dataclass(frozen=True)
class RandomRewardHeads:
    """Values of fixed random rewards, learned by TD on the torso's features: an auxiliary task.

    Reward i of a step is w_i . x(s') with w_i standard normal, fixed by ``seed``, and x the next
    observation scaled to length 1: where observations are one-hot, every state has a normal
    reward of its own. Each value is one linear readout of the features, of the policy that
    behaves; next features come from the target network, next readouts are the current ones,
    detached.

    Source: Tang and Munos (2023), arXiv:2305.18491, system S053: with many such rewards features
    span the leading eigenspace of the transitions.

    Attributes:
        count: m, how many.
        coefficient: of the loss, a mean over the m values.
        replaces_main: nothing else is learned.
        seed: of the rewards.
    """

    count: int
    coefficient: float = 1.0
    replaces_main: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or not self.coefficient > 0.0:
            raise BadInput(
                f"RandomRewardHeads: count={self.count} must be >= 1 and "
                f"coefficient={self.coefficient} > 0"
            )

    def init(self, key: Key, features: Array, actions: int) -> Params:
        size = features.size
        kernel = jax.random.normal(key, (size, self.count)) / math.sqrt(size)
        return {"kernel": kernel, "bias": jnp.zeros(self.count)}

    def rewards(self, next_obs: Array) -> Array:
        """``[B, m]``."""
        rows = next_obs.reshape(next_obs.shape[0], -1).astype(jnp.float32)
        length = jnp.sqrt(jnp.sum(rows**2, axis=-1, keepdims=True))
        weights = jax.random.normal(jax.random.key(self.seed), (rows.shape[1], self.count))
        return rows / jnp.maximum(length, 1e-9) @ weights

    def loss(self, params: Params, batch: Step, out: Out, key: Key) -> tuple[Array, dict[str, Any]]:
        """Half the squared TD error, averaged over the rewards, and its mean for the log."""
        fixed = jax.lax.stop_gradient(params)
        following, _ = out.target_net(batch.next_obs, batch.next_ctx)
        v_next = jax.lax.stop_gradient(self._read(fixed, following))
        target = self.rewards(batch.next_obs) + batch.boot[:, None] * v_next
        rows = jnp.mean(regression.squared(self._read(params, out.features), target), axis=-1)
        return self.coefficient * rows, {"random_rewards": jnp.mean(rows)}

    def _read(self, params: Params, features: Array) -> Array:
        return features.reshape(features.shape[0], -1) @ params["kernel"] + params["bias"]
