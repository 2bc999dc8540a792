"""Adam over shuffled minibatches, what PPO's policy and critic, REINFORCE and mirror descent share.

Knows rows and a loss; neither policies nor critics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

from meritree.errors import BadInput
from meritree.rl.keys import permutations
from meritree.rl.optimizers import flattened

Array: TypeAlias = Any
Key: TypeAlias = Any
Params: TypeAlias = Any
Loss: TypeAlias = Callable[[Params, Any], tuple[Array, dict[str, Array]]]
"""(parameters, minibatch) -> (loss, numbers for the log)."""


@dataclass(frozen=True)
class Epochs:
    """How often rows are gone through, and how far each minibatch moves the parameters.

    Attributes:
        rate: step size of Adam at the run's beginning.
        annealed: falls to 0 in a straight line over the run, constant within an update.
        epochs: passes over all rows.
        minibatches: parts of one pass.
        max_norm: gradients are scaled down to this norm.
        epsilon: of Adam.
    """

    rate: float = 2.5e-4
    annealed: bool = True
    epochs: int = 4
    minibatches: int = 4
    max_norm: float = 0.5
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        if min(self.epochs, self.minibatches) < 1 or min(self.rate, self.max_norm) <= 0.0:
            raise BadInput(
                f"Epochs: epochs={self.epochs}, minibatches={self.minibatches} must be >= 1, "
                f"rate={self.rate}, max_norm={self.max_norm} > 0"
            )

    @property
    def _direction(self) -> optax.GradientTransformation:
        return flattened(
            optax.chain(
                optax.clip_by_global_norm(self.max_norm), optax.scale_by_adam(eps=self.epsilon)
            )
        )

    def init(self, params: Params) -> Any:
        return self._direction.init(params)

    def run(
        self, loss: Loss, params: Params, state: Any, rows: Any, key: Key, progress: Array
    ) -> tuple[Params, Any, dict[str, Array]]:
        """Parameters and state after all epochs; log numbers are means over minibatches.

        Raises:
            BadInput: the rows cannot be shared evenly.
        """
        count = jax.tree.leaves(rows)[0].shape[0]
        size, rest = divmod(count, self.minibatches)
        if rest or not size:
            raise BadInput(
                f"{count} rows cannot be shared evenly by {self.minibatches} minibatches; change "
                "rollout, n_env or minibatches"
            )
        rate = self.rate * (1.0 - progress) if self.annealed else self.rate
        direction, gradient = self._direction, jax.grad(loss, has_aux=True)

        def one(carry: tuple[Params, Any], index: Array) -> tuple[tuple[Params, Any], Any]:
            params, state = carry
            batch = jax.tree.map(lambda leaf: leaf[index], rows)
            change, log = gradient(params, batch)
            change, state = direction.update(change, state, params)
            return (jax.tree.map(lambda p, c: p - rate * c, params, change), state), log

        orders = permutations(key, self.epochs, count)
        (params, state), log = jax.lax.scan(
            one, (params, state), orders.reshape(self.epochs * self.minibatches, size)
        )
        return params, state, jax.tree.map(jnp.mean, log)
