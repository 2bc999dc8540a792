"""What keeps values honest away from the data: a penalty (CQL), or the actions they gave (BCQ).

Parts of both value trainers: an extra loss, and a bootstrap among some actions only. Knows
neither trainer nor data set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from meritree.errors import BadInput
from meritree.objectives import offline, policy
from meritree.rl.checks import check_counts
from meritree.rl.nets import MLP, network
from meritree.rl.value_based.bootstrap import Bootstrap, Judged, Next, double
from meritree.rl.value_based.parts import Out
from meritree.value.transforms import Step

Array: TypeAlias = Any
Key: TypeAlias = Any
Params: TypeAlias = Any
Behaviour: TypeAlias = Callable[[Array, Array | None], Array]
"""(obs, ctx) to log-probabilities of actions [B, A]; -inf where an action never happens."""
Support: TypeAlias = Callable[[Array, Array | None], Array]
"""(obs, ctx) to bool [B, A], one action at least in every row."""


@dataclass(frozen=True)
class Conservative:
    """alpha (log sum_a exp Q(s, a) - Q(s, a_data)) beside the head's loss: CQL(H).

    Q is the head's score, so that laws of returns are penalised by what they are chosen by.

    Source: Kumar et al. (2020), arXiv:2006.04779, eq. 4.

    Attributes:
        alpha: >= 0, 0 is no penalty; a traced number is not checked.
    """

    alpha: Any = 1.0
    replaces_main = False

    def __post_init__(self) -> None:
        if not isinstance(self.alpha, jax.Array) and not self.alpha >= 0.0:
            raise BadInput(f"Conservative: alpha={self.alpha} must be >= 0")

    def init(self, key: Key, features: Array, actions: int) -> Params:
        """It has no parameters."""
        return {}

    def loss(self, params: Params, batch: Step, out: Out, key: Key) -> tuple[Array, dict[str, Any]]:
        """The penalty of each row, and its mean before it is weighed for the log."""
        q = out.head.score(out.head.value(out.raw), batch.ctx)
        rows = offline.cql(jnp.take_along_axis(q, batch.action[:, None], axis=-1)[:, 0], q)
        return self.alpha * rows, {"conservative": jnp.mean(jax.lax.stop_gradient(rows))}


def likely(behaviour: Behaviour, threshold: Any = 0.3) -> Support:
    """Actions with pi(a|s) / max_b pi(b|s) > threshold: what discrete BCQ chooses among.

    Threshold 0 leaves out what never happens only.

    Source: Fujimoto et al. (2019), arXiv:1910.01708, and its released code, which trains pi along
    with the values; here it is there before (`imitate`).
    """
    if not isinstance(threshold, jax.Array) and not 0.0 <= threshold < 1.0:
        raise BadInput(f"likely: threshold={threshold} must lie in [0, 1)")
    least = jnp.log(jnp.asarray(threshold, jnp.float32))

    def support(obs: Array, ctx: Array | None) -> Array:
        log_pi = behaviour(obs, ctx)
        return log_pi - jnp.max(log_pi, axis=-1, keepdims=True) > least

    return support


def among(support: Support, bootstrap: Bootstrap = double) -> Bootstrap:
    """A bootstrap that chooses an action (`greedy`, `double`) among some of the next state's."""

    def chosen(judged: Judged, batch: Step, key: Key) -> Next:
        possible = support(batch.next_obs, batch.next_ctx)
        return bootstrap(
            judged._replace(
                online=jnp.where(possible, judged.online, -jnp.inf),
                target=jnp.where(possible, judged.target, -jnp.inf),
            ),
            batch, key,
        )  # fmt: skip

    return chosen


def imitate(
    data: Step,
    actions: int,
    key: Key,
    *,
    net: nn.Module | None = None,
    updates: int = 1000,
    batch: int = 64,
    rate: float = 1e-3,
    flatness: float = 1e-2,
) -> Behaviour:
    """Which actions the data take: a network fitted by cross-entropy. Pure, so it can be traced.

    Args:
        data: transitions ``[N, ...]``.
        actions: how many there are.
        key: random key.
        net: torso; two layers of 64 by default.
        updates: steps of Adam.
        batch: rows of each.
        rate: step size.
        flatness: weight of the mean squared logit, 1e-2 in the released BCQ.
    """
    check_counts(actions=actions, updates=updates, batch=batch)
    function, optimizer = network(net or MLP(), actions, nn.Dense), optax.adam(rate)
    starting, drawing = jax.random.split(key)
    params = function.init(starting, data.obs[0], None)

    def loss(params: Params, rows: Array) -> Array:
        _, logits = function.apply(params, data.obs[rows], None)
        right = policy.categorical_log_prob(logits, data.action[rows])
        return flatness * jnp.mean(logits**2) - jnp.mean(right)

    def one(carry: Any, key: Key) -> tuple[Any, None]:
        params, state = carry
        rows = jax.random.randint(key, (batch,), 0, len(data.last))
        change, state = optimizer.update(jax.grad(loss)(params, rows), state, params)
        return (optax.apply_updates(params, change), state), None

    (params, _), _ = jax.lax.scan(
        one, (params, optimizer.init(params)), jax.random.split(drawing, updates)
    )
    return lambda obs, ctx: jax.nn.log_softmax(function.apply(params, obs, ctx)[1])
