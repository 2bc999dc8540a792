"""How advantages change a policy (a slot): REINFORCE, PPO, mirror descent, NPG, TRPO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.objectives import advantages, policy
from meritree.rl.on_policy.epochs import Epochs
from meritree.rl.on_policy.parts import Actor, Choices
from meritree.rl.on_policy.solve import backtrack, gauss_newton, inner, moved, solve

Array: TypeAlias = Any
Key: TypeAlias = Any
Params: TypeAlias = Any
Log: TypeAlias = dict[str, Array]


@dataclass(frozen=True)
class Reinforce:
    """One step along the mean of A grad log pi: the policy gradient as it stands.

    Attributes:
        epochs: how the step is made; more than one pass would leave the gradient biased.
        entropy: weight of an entropy bonus.
        standardised: advantages are brought to mean 0 and spread 1.
    """

    epochs: Epochs = field(default_factory=lambda: Epochs(rate=3e-3, epochs=1, minibatches=1))
    entropy: float = 0.0
    standardised: bool = True

    def __post_init__(self) -> None:
        if (self.epochs.epochs, self.epochs.minibatches) != (1, 1):
            raise BadInput(
                f"Reinforce: epochs={self.epochs.epochs}, minibatches={self.epochs.minibatches}: "
                "after the first step the rows are no longer the policy's own; use 1 and 1, or "
                "PpoClip, which corrects for it"
            )

    def init(self, params: Params) -> Any:
        return self.epochs.init(params)

    def step(
        self, actor: Actor, params: Params, state: Any, data: Choices, key: Key, progress: Array
    ) -> tuple[Params, Any, Log]:
        def loss(params: Params, rows: Choices) -> tuple[Array, Log]:
            raw = actor.raw(params, rows.obs, rows.ctx)
            a = advantages.standardise(rows.advantage) if self.standardised else rows.advantage
            entropy = jnp.mean(actor.law.entropy(raw))
            gain = jnp.mean(policy.reinforce(actor.law.log_prob(raw, rows.action), a))
            return gain - self.entropy * entropy, {"policy_loss": gain, "entropy": entropy}

        params, state, log = self.epochs.run(loss, params, state, data, key, progress)
        return params, state, log | {"kl": _moved_by(actor, params, data)}


@dataclass(frozen=True)
class PpoClip:
    """Proximal policy optimisation with clipped ratios.

    Defaults are CleanRL's, which PureJaxRL shares.

    Source: Schulman et al. (2017), arXiv:1707.06347.

    Attributes:
        epochs: passes, minibatches and step size.
        clip: ratios count within [1 - clip, 1 + clip].
        entropy: weight of the entropy bonus.
        standardised: advantages are brought to mean 0 and spread 1 in each minibatch.
    """

    epochs: Epochs = field(default_factory=Epochs)
    clip: float = 0.2
    entropy: float = 0.01
    standardised: bool = True

    def __post_init__(self) -> None:
        if self.clip <= 0.0:
            raise BadInput(f"PpoClip: clip={self.clip} must be above 0")

    def init(self, params: Params) -> Any:
        return self.epochs.init(params)

    def step(
        self, actor: Actor, params: Params, state: Any, data: Choices, key: Key, progress: Array
    ) -> tuple[Params, Any, Log]:
        def loss(params: Params, rows: Choices) -> tuple[Array, Log]:
            raw = actor.raw(params, rows.obs, rows.ctx)
            log_pi = actor.law.log_prob(raw, rows.action)
            a = advantages.standardise(rows.advantage) if self.standardised else rows.advantage
            gain = jnp.mean(policy.ppo_clip(log_pi, rows.log_pi, a, self.clip))
            entropy = jnp.mean(actor.law.entropy(raw))
            return gain - self.entropy * entropy, {
                "policy_loss": gain, "entropy": entropy,
                "kl": jnp.mean(actor.law.kl(rows.raw, raw)),
                "clipped": policy.clip_fraction(log_pi, rows.log_pi, self.clip),
            }  # fmt: skip

        return self.epochs.run(loss, params, state, data, key, progress)


@dataclass(frozen=True)
class Mirror:
    """Mirror descent: the surrogate minus KL(new || old) / eta, by passes of Adam.

    In tables and to the end it would be pi exp(eta A) / Z.

    Source: Tomar et al. (2020), arXiv:2005.09814 (on-policy MDPO).

    Attributes:
        epochs: passes, minibatches and step size.
        eta: step size > 0 of the descent, against advantages of spread 1.
    """

    epochs: Epochs = field(default_factory=lambda: Epochs(epochs=10))
    eta: float = 0.2

    def __post_init__(self) -> None:
        if self.eta <= 0.0:
            raise BadInput(f"Mirror: eta={self.eta} must be above 0")

    def init(self, params: Params) -> Any:
        return self.epochs.init(params)

    def step(
        self, actor: Actor, params: Params, state: Any, data: Choices, key: Key, progress: Array
    ) -> tuple[Params, Any, Log]:
        data = data._replace(advantage=advantages.standardise(data.advantage))

        def loss(params: Params, rows: Choices) -> tuple[Array, Log]:
            raw = actor.raw(params, rows.obs, rows.ctx)
            log_pi = actor.law.log_prob(raw, rows.action)
            gain = jnp.mean(policy.surrogate(log_pi, rows.log_pi, rows.advantage))
            kl = jnp.mean(actor.law.kl(raw, rows.raw))
            return gain + kl / self.eta, {
                "policy_loss": gain, "kl": kl, "entropy": jnp.mean(actor.law.entropy(raw))
            }  # fmt: skip

        return self.epochs.run(loss, params, state, data, key, progress)


@dataclass(frozen=True)
class Npg:
    """The natural gradient, as far as the second order of the KL allows; no line search.

    Source: Kakade (2001); normalised as in Rajeswaran et al. (2017), arXiv:1703.02660.

    Attributes:
        kl: mean KL(old || new) in nats that the quadratic model is allowed.
        iterations: of conjugate gradients.
        damping: added to the Fisher matrix.
    """

    kl: float = 0.01
    iterations: int = 10
    damping: float = 1e-3

    def __post_init__(self) -> None:
        if min(self.kl, self.iterations) <= 0 or self.damping < 0.0:
            raise BadInput(
                f"{type(self).__name__}: kl={self.kl} and iterations={self.iterations} must be "
                f"above 0, damping={self.damping} >= 0"
            )

    def init(self, params: Params) -> Any:
        return ()

    def step(
        self, actor: Actor, params: Params, state: Any, data: Choices, key: Key, progress: Array
    ) -> tuple[Params, Any, Log]:
        direction, loss, _ = self.direction(actor, params, data)
        new = moved(params, direction, 1.0)
        log = {"policy_loss": loss(new), "kl": _moved_by(actor, new, data)}
        return new, state, log | {"entropy": _entropy(actor, new, data)}

    def direction(self, actor: Actor, params: Params, data: Choices) -> tuple[Params, Any, Array]:
        """(the full step, the surrogate as a function of parameters, its fall to first order)."""
        a = advantages.standardise(data.advantage)

        def outputs(params: Params) -> Array:
            return actor.raw(params, data.obs, data.ctx)

        def loss(params: Params) -> Array:
            log_pi = actor.law.log_prob(outputs(params), data.action)
            return jnp.mean(policy.surrogate(log_pi, data.log_pi, a))

        gradient = jax.grad(loss)(params)
        downhill = jax.tree.map(jnp.negative, gradient)
        fisher = gauss_newton(outputs, lambda raw: actor.law.kl(data.raw, raw), params)
        natural = solve(fisher, downhill, self.iterations, self.damping)
        curve = inner(natural, moved(fisher(natural), natural, self.damping))
        size = jnp.sqrt(2.0 * self.kl / jnp.maximum(curve, 1e-12))
        direction = jax.tree.map(lambda x: size * x, natural)
        return direction, loss, -inner(gradient, direction)


@dataclass(frozen=True)
class Trpo(Npg):
    """Trust region policy optimisation: `Npg` with a line search on the surrogate and the KL.

    The step is halved until the surrogate falls by a share of what its slope promises and the
    mean KL is within 1.5 of the limit; where no size will do, the policy stays.

    Source: Schulman et al. (2015), arXiv:1502.05477, appendix C; the share and the ten halvings
    are those of joschu/modular_rl, which does not look at the KL again (OpenAI's baselines does).

    Attributes:
        halvings: tried at most.
        accept: share of the promised fall.
    """

    halvings: int = 10
    accept: float = 0.1

    def step(
        self, actor: Actor, params: Params, state: Any, data: Choices, key: Key, progress: Array
    ) -> tuple[Params, Any, Log]:
        direction, loss, promised = self.direction(actor, params, data)
        before = loss(params)

        def accepted(size: Array) -> Array:
            new = moved(params, direction, size)
            fell = before - loss(new)
            kl = _moved_by(actor, new, data)
            return (fell >= self.accept * size * promised) & (fell > 0.0) & (kl <= 1.5 * self.kl)

        found = backtrack(accepted, self.halvings)
        new = moved(params, direction, found.size)
        return new, state, {
            "policy_loss": loss(new), "kl": _moved_by(actor, new, data),
            "entropy": _entropy(actor, new, data), "step": found.size,
        }  # fmt: skip


def _moved_by(actor: Actor, params: Params, data: Choices) -> Array:
    """Mean KL(old || new)."""
    return jnp.mean(actor.law.kl(data.raw, actor.raw(params, data.obs, data.ctx)))


def _entropy(actor: Actor, params: Params, data: Choices) -> Array:
    return jnp.mean(actor.law.entropy(actor.raw(params, data.obs, data.ctx)))
