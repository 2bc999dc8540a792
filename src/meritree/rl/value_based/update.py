"""One update of the value trainer: from a batch to new parameters of every member."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from meritree.rl.nets import Network
from meritree.rl.value_based.bootstrap import Bootstrap, Judged, value_of
from meritree.rl.value_based.chain import Members, TargetChain, renew
from meritree.rl.value_based.parts import Extra, Out, SampleWeight
from meritree.value.heads import ValueHead
from meritree.value.transforms import Step

Array: TypeAlias = Any
Key: TypeAlias = Any
Params: TypeAlias = Any


class Learning(NamedTuple):
    """The parts that an update is made of."""

    network: Network
    head: ValueHead
    bootstrap: Bootstrap
    chain: TargetChain
    weight: SampleWeight
    extra: Extra | None
    optimizer: optax.GradientTransformation


class Learned(NamedTuple):
    """What changes: networks, and the states of weights, all with a leading axis of members."""

    members: Members
    weights: Any
    updates: Array  # made so far


def over_members(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """``function`` for each member; one member is not mapped over, which would cost time."""
    if count > 1:
        return jax.vmap(function)

    def single(*arguments: Any) -> Any:
        first = [jax.tree.map(lambda leaf: leaf[0], each) for each in arguments]
        return jax.tree.map(lambda leaf: leaf[None], function(*first))

    return single


def fresh(parts: Learning, key: Key, example: Step, actions: int) -> Learned:
    """Members before their first update.

    Args:
        parts: what updates are made of.
        key: random key.
        example: transitions ``[N, ...]`` whose shapes (and contexts) count.
        actions: how many there are.
    """
    one, count = jax.tree.map(lambda leaf: leaf[:1], example), parts.chain.K

    def new(key: Key) -> Any:
        inner, outer, weighing = jax.random.split(key, 3)
        first_ctx = None if one.ctx is None else one.ctx[0]
        params = {"net": parts.network.init(inner, one.obs[0], first_ctx)}
        if parts.extra is not None:
            features, _ = parts.network.apply(params["net"], one.obs, one.ctx)
            params["extra"] = parts.extra.init(outer, features[0], actions)
        weights = parts.weight.init(weighing, example)
        return params, parts.optimizer.init(params), weights

    keys = jax.random.split(key, count)
    if count > 1 and parts.chain.chained:
        keys = jnp.broadcast_to(keys[:1], keys.shape)  # one network, several Bellman steps apart
    params, optimizer, weights = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *[new(keys[k]) for k in range(count)]
    )
    return Learned(Members.new(parts.chain, params, optimizer), weights, jnp.zeros((), jnp.int32))


def scores(
    parts: Learning,
    online: Any,
    obs: Array,
    ctx: Array | None,
    score: Callable[[Any, Array | None], Array] | None = None,
) -> Array:
    """What actions are chosen by, [K, B, A] of all members; ``score`` in place of the head's."""
    scored = score or parts.head.score

    def one(params: Any) -> Array:
        _, raw = parts.network.apply(params["net"], obs, ctx)
        return scored(parts.head.value(raw), ctx)

    return over_members(one, parts.chain.K)(online)


def update(
    parts: Learning, learned: Learned, batch: Step, reward: Array, importance: Array, key: Key
) -> tuple[Learned, Array, dict[str, Array]]:
    """One step of the optimiser for every member.

    Args:
        parts: what the update is made of.
        learned: networks so far.
        batch: transitions ``[B, ...]``.
        reward: what each member is rewarded with, ``[K, B, C]``.
        importance: ``[B]``, of prioritised draws.
        key: random key.

    Returns:
        What was learned, signed errors ``[B]`` averaged over members, numbers for the log.
    """
    chain, members = parts.chain, learned.members
    renewed = (learned.updates % chain.shift == 0) & (learned.updates > 0)

    def one(
        online: Params, target: Params, previous: Params, optimizer: Any, weights: Any,
        reward: Array, key: Key,
    ) -> Any:  # fmt: skip
        rewarded = batch._replace(reward=reward)
        value_and_grad = jax.value_and_grad(_loss, argnums=1, has_aux=True)
        (loss, (weights, error, extras)), gradient = value_and_grad(
            parts, online, target, previous, weights, rewarded, importance, key, renewed
        )
        change, optimizer = parts.optimizer.update(gradient, optimizer, online)
        return optax.apply_updates(online, change), optimizer, weights, error, {
            "loss": loss, "error": jnp.mean(jnp.abs(error)), **extras
        }  # fmt: skip

    online, optimizer, weights, error, log = over_members(one, chain.K)(
        members.online, members.target, members.previous, members.optimizer, learned.weights,
        reward, jax.random.split(key, chain.K),
    )  # fmt: skip
    updates = learned.updates + 1
    members = renew(chain, updates, members._replace(online=online, optimizer=optimizer))
    log = {name: jnp.mean(value) for name, value in log.items()}
    return Learned(members, weights, updates), jnp.mean(error, axis=0), log


def _loss(
    parts: Learning, online: Params, target: Params, previous: Params | None, weights: Any,
    batch: Step, importance: Array, key: Key, renewed: Array,
) -> tuple[Array, tuple[Any, Array, dict[str, Any]]]:  # fmt: skip
    choosing, weighing, further = jax.random.split(key, 3)
    out, rows = _judged(parts, online, target, previous, batch, choosing)
    weights, weight = parts.weight.weight(weights, batch, _data(out), weighing, renewed)
    weight = jax.lax.stop_gradient(weight * importance)
    log: dict[str, Any] = {}
    total = jnp.zeros(()) if parts.extra is not None and parts.extra.replaces_main else jnp.mean(
        weight * rows
    )  # fmt: skip
    if parts.extra is not None:
        more, log = parts.extra.loss(online["extra"], batch, out, further)
        total = total + jnp.mean(weight * more)
    return total, (weights, out.error, log)


def _judged(
    parts: Learning, online: Params, target: Params, previous: Params | None, batch: Step, key: Key
) -> tuple[Out, Array]:
    """Everything that is known of a batch, and the head's loss per row."""
    apply, head, detached = parts.network.apply, parts.head, jax.lax.stop_gradient

    def by(params: Params, obs: Array, ctx: Array | None) -> tuple[Array, Array]:
        return apply(params["net"], obs, ctx)

    features, raw = by(online, batch.obs, batch.ctx)
    _, raw_next = by(online, batch.next_obs, batch.next_ctx)
    _, raw_next_target = by(target, batch.next_obs, batch.next_ctx)
    _, raw_target = by(target, batch.obs, batch.ctx)
    v_next = head.value(raw_next_target)
    judged = Judged(
        detached(head.score(head.value(raw_next), batch.next_ctx)),
        head.score(v_next, batch.next_ctx),
        head.score(head.value(raw_target), batch.ctx),
    )
    choice = parts.bootstrap(judged, batch, key)
    reward = batch.reward if choice.bonus is None else batch.reward + choice.bonus[:, None]
    old = head.take(head.value(detached(raw)), batch.action)
    goal = detached(head.target(value_of(head, v_next, choice), reward, batch.boot, old))
    raw_a = head.pick(raw, batch.action)
    out = Out(
        features, raw, raw_next, raw_next_target, goal, detached(head.error(raw_a, goal)), head,
        choice,
        None if previous is None else lambda obs, ctx: by(previous, obs, ctx)[1],
        lambda obs, ctx: by(online, obs, ctx),
        lambda obs, ctx: by(target, obs, ctx),
    )  # fmt: skip
    return out, head.loss(raw_a, goal)


def _data(out: Out) -> Out:
    """Its arrays detached; what is called stays as it is."""
    calls = {"head", "choice", "previous", "net", "target_net"}
    fixed = {
        name: jax.lax.stop_gradient(value)
        for name, value in out._asdict().items()
        if name not in calls
    }
    return out._replace(**fixed)
