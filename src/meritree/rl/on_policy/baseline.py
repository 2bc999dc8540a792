"""What advantages are measured from (a slot): the critic, a prior computation, or both.

A prior is a function of observations and contexts to one number each: the value of another
trainer, of a solved model, of a related task. System S018.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import optax

from meritree.errors import BadInput
from meritree.objectives import advantages
from meritree.rl.nets import Network
from meritree.rl.on_policy.parts import Critic
from meritree.value.heads import ValueHead

Array: TypeAlias = Any
Key: TypeAlias = Any
Params: TypeAlias = Any
Prior: TypeAlias = Callable[[Array, Array | None], Array]
"""(obs [B, ...], ctx [B, D] or None) -> values [B]."""
Schedule: TypeAlias = Callable[[Array], Array]
"""progress in [0, 1) of the run -> alpha in [0, 1]."""


def from_q(net: Network, head: ValueHead, params: Params) -> Prior:
    """max_a of a trained network's action values: a value trainer's work as a prior.

    Args:
        net: as it was trained, `nets.network(torso, head.features(actions))`.
        head: what its values are.
        params: of one member, `value_params` of a value trainer's state.
    """

    def prior(obs: Array, ctx: Array | None) -> Array:
        return jnp.max(head.score(head.value(net.apply(params, obs, ctx)[1]), ctx), axis=-1)

    return prior


def value_params(state: Any, member: int = 0) -> Params:
    """Parameters of one network in the state of a value trainer, as kept in its checkpoint."""
    return jax.tree.map(lambda leaf: leaf[member], state.learned.members.online)["net"]


class Baseline(Protocol):
    """Slot of the trainer. Values have leading axes ``[B]``, states of a rollout one a row."""

    def start(self, critic: Critic, params: Params, key: Key) -> Params:
        """The critic's first parameters."""
        ...

    def init(self) -> Any: ...

    def value(self, state: Any, v: Array, obs: Array, ctx: Array | None, progress: Array) -> Array:
        """What takes the place of the critic's values v, as baseline and in bootstraps."""
        ...

    def update(
        self, state: Any, v: Array, obs: Array, ctx: Array | None, returns: Array
    ) -> tuple[Any, dict[str, Array]]:
        """After a rollout, with the returns that followed each state ``[B]``."""
        ...


class Identity:
    """The critic and nothing else."""

    def start(self, critic: Critic, params: Params, key: Key) -> Params:
        return params

    def init(self) -> Any:
        return ()

    def value(self, state: Any, v: Array, obs: Array, ctx: Array | None, progress: Array) -> Array:
        return v

    def update(
        self, state: Any, v: Array, obs: Array, ctx: Array | None, returns: Array
    ) -> tuple[Any, dict[str, Array]]:
        return state, {}


@dataclass(frozen=True)
class Mix(Identity):
    """alpha prior + (1 - alpha) critic.

    Source: Rahman and Xue (2023), arXiv:2302.01399; system S018.

    Attributes:
        prior: the prior computation.
        alpha: trust in it, in [0, 1]; a number, or a function of the run's progress (`decay`).
    """

    prior: Prior
    alpha: float | Schedule = 0.5

    def __post_init__(self) -> None:
        if not callable(self.alpha) and not 0.0 <= self.alpha <= 1.0:
            raise BadInput(f"Mix: alpha={self.alpha} must lie in [0, 1]")

    def value(self, state: Any, v: Array, obs: Array, ctx: Array | None, progress: Array) -> Array:
        alpha = self.alpha(progress) if callable(self.alpha) else self.alpha
        return advantages.mixed_baseline(v, self.prior(obs, ctx), alpha)


def decay(first: float = 1.0, over: float = 0.5) -> Schedule:
    """From first to 0 in a straight line over this share of the run."""
    if not (0.0 <= first <= 1.0 and 0.0 < over <= 1.0):
        raise BadInput(f"decay: first={first} must lie in [0, 1] and over={over} in (0, 1]")
    return lambda progress: first * jnp.clip(1.0 - progress / over, 0.0, 1.0)


class Trust(NamedTuple):
    """How far the prior is trusted at present."""

    alpha: Array


@dataclass(frozen=True)
class Adaptive(Identity):
    """`Mix` with the alpha that would have fitted the returns so far best, in least squares.

    The alpha in use comes from earlier rollouts only: a baseline that had seen the returns it is
    subtracted from would bias the gradient.

    Attributes:
        prior: the prior computation.
        first: alpha of the first rollout.
        rate: how fast alpha follows the last rollout's best, in (0, 1].
    """

    prior: Prior
    first: float = 0.5
    rate: float = 0.5

    def __post_init__(self) -> None:
        if not (0.0 <= self.first <= 1.0 and 0.0 < self.rate <= 1.0):
            raise BadInput(
                f"Adaptive: first={self.first} must lie in [0, 1] and rate={self.rate} in (0, 1]"
            )

    def init(self) -> Trust:
        return Trust(jnp.asarray(self.first))

    def value(
        self, state: Trust, v: Array, obs: Array, ctx: Array | None, progress: Array
    ) -> Array:
        return advantages.mixed_baseline(v, self.prior(obs, ctx), state.alpha)

    def update(
        self, state: Trust, v: Array, obs: Array, ctx: Array | None, returns: Array
    ) -> tuple[Trust, dict[str, Array]]:
        best = advantages.best_mixture(returns, v, self.prior(obs, ctx))
        alpha = state.alpha + self.rate * (best - state.alpha)
        return Trust(alpha), {"alpha": alpha}


@dataclass(frozen=True)
class InitFromPrior(Identity):
    """The critic is fitted to the prior before training, which then goes on as usual.

    Attributes:
        prior: the prior computation.
        obs: states to fit on, ``[B, ...]``.
        steps: of Adam, each on all of them.
        rate: its step size.
    """

    prior: Prior
    obs: Any
    steps: int = 500
    rate: float = 3e-3

    def start(self, critic: Critic, params: Params, key: Key) -> Params:
        goal = self.prior(self.obs, None)
        optimizer = optax.adam(self.rate)

        def loss(params: Params) -> Array:
            raw = critic.raw(params, self.obs, None)
            v1 = critic.head.take(critic.head.value(raw), jnp.zeros(goal.shape, jnp.int32))
            target = critic.head.target(v1, goal[:, None], jnp.zeros_like(goal), v1)
            return jnp.mean(critic.loss(raw, jax.lax.stop_gradient(target)))

        def step(carry: Any, _: None) -> tuple[Any, None]:
            params, state = carry
            change, state = optimizer.update(jax.grad(loss)(params), state)
            return (optax.apply_updates(params, change), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), length=self.steps)[0][0]
