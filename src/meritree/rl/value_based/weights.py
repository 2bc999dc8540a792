"""How much each row of an update counts, learned beside the values (slot 7).

Formulas live in `meritree.objectives.weights`; nothing here knows an environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from meritree.errors import BadInput
from meritree.objectives import regression
from meritree.objectives.weights import inverse_variance, scale_loss
from meritree.rl.nets import MLP, Network, network
from meritree.rl.value_based.bootstrap import Bootstrap, Judged, greedy, value_of
from meritree.rl.value_based.parts import Out
from meritree.value.transforms import Step

Array: TypeAlias = Any
Key: TypeAlias = Any
Params: TypeAlias = Any


class Variances(NamedTuple):
    """What `InverseVariance` learns."""

    params: Params  # of the variance network
    frozen: Params  # the copy that weights are read from
    moments: Any  # of its optimiser
    log_scale: Array  # ln eta
    scale_moments: Any


@dataclass(frozen=True)
class InverseVariance:
    """Rows count by one over the variance of their targets, which a second network learns (DVW).

    Var(s, a) = exp(net(s))_a + floor regresses, by Huber loss, on (y' - q(s, a))^2: q by the
    target network, y' the target made with the one before it, which q was fitted to. Weights are
    max(eta / Var, least) of a copy renewed together with the targets; eta is learned so that
    eta / Var is 1 on average. Goes with ``TargetChain(keep_previous=True)`` and the same bootstrap
    as the trainer's.

    Source: Kitamura et al. (2023), arXiv:2305.13185, and the released DVW code; system S084.

    Attributes:
        actions: A, outputs of the variance network.
        bootstrap: how y' is made.
        net: torso of the variance network.
        step: step size of its Adam.
        scale_step: step size of ln eta, also by Adam; it starts at 1, as in the release.
        floor: > 0, added to the variance.
        least: smallest weight.
    """

    actions: int
    bootstrap: Bootstrap = greedy
    net: nn.Module = MLP()  # noqa: RUF009
    step: float = 2.5e-4
    scale_step: float = 1e-3
    floor: float = 0.1
    least: float = 0.1
    needs_previous = True

    def __post_init__(self) -> None:
        if self.actions < 1 or not self.floor > 0.0 or self.least < 0.0:
            raise BadInput(
                f"InverseVariance: actions={self.actions} must be >= 1, floor={self.floor} > 0 "
                f"and least={self.least} >= 0"
            )

    def init(self, key: Key, example: Step) -> Variances:
        ctx = None if example.ctx is None else example.ctx[0]
        params = self._network.init(key, example.obs[0], ctx)
        copy = jax.tree.map(jnp.copy, params)
        log_scale = jnp.ones(())
        return Variances(
            params, copy, self._optimizer.init(params), log_scale, self._scaler.init(log_scale)
        )

    def weight(
        self, state: Variances, batch: Step, out: Out, key: Key, renewed: Array
    ) -> tuple[Variances, Array]:
        """See `SampleWeight`; both networks learn first, weights come from the copy.

        Raises:
            BadInput: values are not one number per action.
        """
        frozen = jax.tree.map(
            lambda new, old: jnp.where(renewed, new, old), state.params, state.frozen
        )
        goal = jax.lax.stop_gradient(self.spread(batch, out, key))

        def fit(params: Params) -> Array:
            found = self.variance(params, batch)
            return jnp.mean(regression.huber(found, goal))

        change, moments = self._optimizer.update(
            jax.grad(fit)(state.params), state.moments, state.params
        )
        variance = self.variance(frozen, batch)
        slope = jax.grad(scale_loss)(state.log_scale, variance)
        step, scale_moments = self._scaler.update(slope, state.scale_moments)
        log_scale = optax.apply_updates(state.log_scale, step)
        after = Variances(
            optax.apply_updates(state.params, change), frozen, moments, log_scale, scale_moments
        )
        return after, inverse_variance(variance, jnp.exp(log_scale), self.least)

    def spread(self, batch: Step, out: Out, key: Key) -> Array:
        """(y' - q(s, a))^2, ``[B]``: what the variance network regresses on."""
        head = out.head
        if out.previous is None:
            raise BadInput("InverseVariance needs TargetChain(keep_previous=True)")
        raw_next = out.previous(batch.next_obs, batch.next_ctx)
        v_next = head.value(raw_next)
        if not isinstance(v_next, jax.Array) or v_next.shape != raw_next.shape:
            raise BadInput(
                f"InverseVariance needs one number per action; the head is {type(head).__name__}"
            )
        now = head.score(head.value(out.previous(batch.obs, batch.ctx)), batch.ctx)
        score = head.score(v_next, batch.next_ctx)
        choice = self.bootstrap(Judged(score, score, now), batch, key)
        reward = batch.reward
        if choice.bonus is not None:
            reward = reward + choice.bonus[:, None]
        y = head.target(value_of(head, v_next, choice), reward, batch.boot)
        _, raw = out.target_net(batch.obs, batch.ctx)
        return (y - head.pick(raw, batch.action)) ** 2

    def variance(self, params: Params, batch: Step) -> Array:
        """``[B]`` of the actions taken."""
        _, raw = self._network.apply(params, batch.obs, batch.ctx)
        taken = jnp.take_along_axis(raw, batch.action[:, None], axis=-1)[:, 0]
        return jnp.exp(taken) + self.floor

    @property
    def _network(self) -> Network:
        return network(self.net, self.actions)

    @property
    def _optimizer(self) -> optax.GradientTransformation:
        return optax.adam(self.step)

    @property
    def _scaler(self) -> optax.GradientTransformation:
        return optax.adam(self.scale_step)
