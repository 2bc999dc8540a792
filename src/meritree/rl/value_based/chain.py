"""Target networks: one, many in a row (i-QN), or an ensemble; when each is renewed.

Parameters have a leading axis of K members throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from meritree.errors import BadInput

Params: TypeAlias = Any


@dataclass(frozen=True)
class TargetChain:
    """K online networks, each learning from the target of the one before it.

    Network k learns the Bellman image of target k - 1 (k = 1 ... K). Every ``sync`` updates,
    target k becomes network k for 1 <= k < K; every ``shift`` updates, targets 0 ... K-1 become
    networks 1 ... K, and network k becomes network k + 1 (the last one stays). K = 1 is an
    ordinary target network renewed every ``shift`` updates.

    Source: Vincent et al. (2025), arXiv:2403.02107, and its released code; system S029. The
    release leaves the optimiser's moments where they are (``shift_optimizer=False``).

    Attributes:
        K: members.
        shift: updates between shifts (T).
        sync: updates between synchronisations (D); means nothing where K = 1.
        polyak: instead of shifts, targets move this share towards their networks at every
            update; only where no network learns from another's target.
        chained: False: each member learns from its own target (an ensemble).
        keep_previous: also keep the targets before the last shift (for `InverseVariance`).
        shift_optimizer: the optimiser's state moves along with its network.
    """

    K: int = 1
    shift: int = 200
    sync: int = 10
    polyak: float | None = None
    chained: bool = True
    keep_previous: bool = False
    shift_optimizer: bool = True

    def __post_init__(self) -> None:
        if min(self.K, self.shift, self.sync) < 1:
            raise BadInput(
                f"TargetChain: K={self.K}, shift={self.shift}, sync={self.sync}: each must be >= 1"
            )
        if self.polyak is None:
            return
        if not 0.0 < self.polyak <= 1.0:
            raise BadInput(f"TargetChain: polyak={self.polyak} must lie in (0, 1]")
        if self.K > 1 and self.chained:
            raise BadInput(
                "TargetChain: polyak averages have no moment at which a chain could shift; use "
                "chained=False for an ensemble, or polyak=None"
            )
        if self.keep_previous:
            raise BadInput(
                "TargetChain: keep_previous means the target before the last shift, which polyak "
                "averages do not have; use polyak=None"
            )


class Members(NamedTuple):
    """Parameters of all networks, leaves ``[K, ...]``."""

    online: Params
    target: Params
    previous: Params | None
    optimizer: Any

    @staticmethod
    def new(chain: TargetChain, params: Params, optimizer: Any) -> Members:
        """Targets start as their networks do; in a chain all networks start equal."""
        copy = jax.tree.map(jnp.copy, params)
        previous = jax.tree.map(jnp.copy, params) if chain.keep_previous else None
        return Members(params, copy, previous, optimizer)


def renew(chain: TargetChain, updates: Any, members: Members) -> Members:
    """After update number ``updates`` (1, 2, ...), with the new online parameters in place."""
    if chain.polyak is not None:
        rate = chain.polyak
        target = jax.tree.map(
            lambda old, new: old + rate * (new - old), members.target, members.online
        )
        return members._replace(target=target)
    if chain.K > 1 and chain.chained:
        members = jax.lax.cond(updates % chain.sync == 0, _synchronised, lambda same: same, members)
    return jax.lax.cond(
        updates % chain.shift == 0, lambda old: _shifted(chain, old), lambda same: same, members
    )


def _synchronised(members: Members) -> Members:
    target = jax.tree.map(
        lambda old, new: jnp.concatenate([old[:1], new[:-1]]), members.target, members.online
    )
    return members._replace(target=target)


def _shifted(chain: TargetChain, members: Members) -> Members:
    previous = members.target if chain.keep_previous else None
    target, online, optimizer = members.online, members.online, members.optimizer
    if chain.K > 1 and chain.chained:
        online = jax.tree.map(_along, online)
        if chain.shift_optimizer:
            optimizer = jax.tree.map(_along, optimizer)
    return Members(online, target, previous, optimizer)


def _along(x: Any) -> Any:
    """Member k + 1 in the place of member k; the last one twice."""
    return jnp.concatenate([x[1:], x[-1:]])
