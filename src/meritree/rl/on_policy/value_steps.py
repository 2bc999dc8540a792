"""How targets change a critic (a slot): passes of Adam, a trust region, or least squares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.rl.on_policy.epochs import Epochs
from meritree.rl.on_policy.parts import Critic, Judgements, first
from meritree.rl.on_policy.solve import backtrack, gauss_newton, inner, largest, moved, solve
from meritree.value.heads import Scalar

Array: TypeAlias = Any
Key: TypeAlias = Any
Params: TypeAlias = Any
Log: TypeAlias = dict[str, Array]


@dataclass(frozen=True)
class AdamEpochs:
    """Passes of Adam over shuffled minibatches, as PPO does.

    Attributes:
        epochs: passes, minibatches and step size.
        coefficient: of the loss, which matters only to clipping the gradient's norm.
        clip: values that move further than this from where they were count as if they had stopped
            there (the worse of both losses); None: not clipped. For heads that are one number.
    """

    epochs: Epochs = field(default_factory=Epochs)
    coefficient: float = 0.5
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.coefficient <= 0.0 or (self.clip is not None and self.clip <= 0.0):
            raise BadInput(
                f"AdamEpochs: coefficient={self.coefficient} and clip={self.clip} must be above 0"
            )

    def init(self, params: Params) -> Any:
        return self.epochs.init(params)

    def step(
        self, critic: Critic, params: Params, state: Any, data: Judgements, key: Key,
        progress: Array,
    ) -> tuple[Params, Any, Log]:  # fmt: skip
        if self.clip is not None:
            _one_number(critic, "AdamEpochs(clip=...) compares values as numbers", "clip=None")

        def loss(params: Params, rows: Judgements) -> tuple[Array, Log]:
            raw = critic.raw(params, rows.obs, rows.ctx)
            each = critic.loss(raw, rows.target)
            if self.clip is not None:
                near = rows.raw + jnp.clip(raw - rows.raw, -self.clip, self.clip)
                each = jnp.maximum(each, critic.loss(near, rows.target))
            value = jnp.mean(each)
            return self.coefficient * value, {"value_loss": value}

        return self.epochs.run(loss, params, state, data, key, progress)


@dataclass(frozen=True)
class TrustRegion:
    """The loss falls along its Gauss-Newton direction as far as values may change.

    Constraint: mean (V - V_old)^2 / (2 sigma^2) <= epsilon, sigma^2 the mean squared error before
    the step; it is met with equality unless the minimum lies within. Heads other than squared
    numbers use the curvature of their own loss and are measured by their scores.

    After Schulman et al. (2016), arXiv:1506.02438, section 5; the constraint is recalled, not read
    again. There the step is scaled by the quadratic model; here the constraint itself decides.

    Attributes:
        epsilon: > 0.
        iterations: of conjugate gradients.
        damping: added to the curvature. Directions in which values hardly change take up the
            targets' noise where it is small: the step then leaves the region in which the network
            is nearly linear, and is cut short.
        floor: smallest sigma^2.
    """

    epsilon: float = 0.1
    iterations: int = 10
    damping: float = 0.1
    floor: float = 1e-6

    def __post_init__(self) -> None:
        if min(self.epsilon, self.iterations, self.floor) <= 0 or self.damping < 0.0:
            raise BadInput(
                f"TrustRegion: epsilon={self.epsilon}, iterations={self.iterations}, "
                f"floor={self.floor} must be above 0, damping={self.damping} >= 0"
            )

    def init(self, params: Params) -> Any:
        return ()

    def step(
        self, critic: Critic, params: Params, state: Any, data: Judgements, key: Key,
        progress: Array,
    ) -> tuple[Params, Any, Log]:  # fmt: skip
        def outputs(params: Params) -> Array:
            return critic.raw(params, data.obs, data.ctx)

        def curve(raw: Array) -> Array:
            return critic.loss(raw, data.target)

        def loss(params: Params) -> Array:
            return jnp.mean(curve(outputs(params)))

        gradient = jax.grad(loss)(params)
        downhill = jax.tree.map(jnp.negative, gradient)
        curvature = gauss_newton(outputs, curve, params)
        newton = solve(curvature, downhill, self.iterations, self.damping)
        slope = inner(newton, downhill)
        # The minimum of the quadratic model along the direction; 1 where conjugate gradients end.
        reach = slope / jnp.maximum(inner(newton, curvature(newton)), 1e-12)
        old = critic.score(data.raw, data.ctx)
        head = critic.head
        error = head.error(head.pick(data.raw, first(data.raw)), data.target)
        sigma2 = jnp.maximum(jnp.mean(error**2), self.floor)

        def constraint(size: Array) -> Array:
            new = critic.score(outputs(moved(params, newton, size)), data.ctx)
            return jnp.mean((new - old) ** 2) / (2.0 * sigma2)

        full = reach * largest(lambda share: constraint(reach * share), self.epsilon)
        before = loss(params)
        found = backtrack(lambda share: loss(moved(params, newton, full * share)) <= before, 10)
        size = full * found.size
        new = moved(params, newton, size)
        return new, state, {"value_loss": loss(new), "value_constraint": constraint(size)}


@dataclass(frozen=True)
class LeastSquares:
    """The readout becomes the ridge regression of the targets on the features, which stay.

    With one feature a state this is the table of mean targets; with random features, regression
    in closed form.

    Attributes:
        ridge: > 0, per row, added to the features' second moments.
        rate: share of the way from the old readout, in (0, 1].
    """

    ridge: float = 1e-3
    rate: float = 1.0

    def __post_init__(self) -> None:
        if self.ridge <= 0.0 or not 0.0 < self.rate <= 1.0:
            raise BadInput(
                f"LeastSquares: ridge={self.ridge} must be above 0, rate={self.rate} in (0, 1]"
            )

    def init(self, params: Params) -> Any:
        return ()

    def step(
        self, critic: Critic, params: Params, state: Any, data: Judgements, key: Key,
        progress: Array,
    ) -> tuple[Params, Any, Log]:  # fmt: skip
        _one_number(critic, "LeastSquares fits one number", "AdamEpochs or TrustRegion")
        if set(params["readout"]) != {"kernel", "bias"}:
            raise BadInput("LeastSquares: the critic's readout must be a dense layer with a bias")
        features, _ = critic.network.apply(params, data.obs, data.ctx)
        x = jnp.concatenate([features, jnp.ones_like(features[:, :1])], axis=-1)
        moments = x.T @ x / len(x) + self.ridge * jnp.eye(x.shape[1])
        w = jnp.linalg.solve(moments, x.T @ data.target / len(x))
        fitted = {"kernel": w[:-1, None], "bias": w[-1:]}
        readout = jax.tree.map(
            lambda old, new: old + self.rate * (new - old), params["readout"], fitted
        )
        new = params | {"readout": readout}
        loss = jnp.mean(critic.loss(critic.raw(new, data.obs, data.ctx), data.target))
        return new, state, {"value_loss": loss}


def _one_number(critic: Critic, what: str, instead: str) -> None:
    if not isinstance(critic.head, Scalar):
        raise BadInput(
            f"{what}; the head {type(critic.head).__name__} is not one: use {instead} or Scalar"
        )
