"""Several bonuses as one: scaled to spread 1, fused by sum, product, cycle or maximum, faded out.

Source: Yuan et al. (2025), arXiv:2501.12627 (HIRE); system S026.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.value.transforms import RewardTransform, Step

Array: TypeAlias = Any
Key: TypeAlias = Any
Strategy: TypeAlias = Literal["sum", "product", "cycle", "max"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


class Spread(NamedTuple):
    """Running moments of a bonus (Welford), beside its own state."""

    inner: Any
    count: Array
    mean: Array
    squares: Array  # sum of squared deviations


def scaled(bonus: RewardTransform) -> RewardTransform:
    """The bonus divided by the standard deviation of all its values so far.

    The mean stays: what is new is worth more than 0. (rllte at its last stored version also
    subtracts the mean and clips to [-1, 1].)
    """

    def init(key: Key) -> Spread:
        zero = jnp.zeros(())
        return Spread(bonus.init(key), zero, zero, zero)

    def size(state: Spread) -> Array:
        variance = state.squares / jnp.maximum(state.count, 1.0)
        return jnp.where(variance > 0.0, jnp.sqrt(jnp.maximum(variance, 1e-12)), 1.0)

    def online(state: Spread, step: Step) -> tuple[Spread, Array]:
        inner, paid = bonus.online(state.inner, step)
        many, mean = paid.size, jnp.mean(paid)
        count = state.count + many
        gap = mean - state.mean
        squares = state.squares + jnp.sum((paid - mean) ** 2)
        state = Spread(
            inner, count, state.mean + gap * many / count,
            squares + gap**2 * state.count * many / count,
        )  # fmt: skip
        return state, paid / size(state)

    def sample(state: Spread, step: Step) -> Array:
        return bonus.sample(state.inner, step) / size(state)

    learn = bonus.fit
    if learn is None:
        return RewardTransform(bonus.channels, init, online, sample)

    def fit(state: Spread, batch: Step, key: Key) -> tuple[Spread, Any]:
        inner, log = learn(state.inner, batch, key)
        return state._replace(inner=inner), log

    return RewardTransform(bonus.channels, init, online, sample, fit)


class Parts(NamedTuple):
    """States of the bonuses, and how many steps were seen."""

    inner: tuple[Any, ...]
    t: Array


def fuse(
    strategy: Strategy, bonuses: Sequence[RewardTransform], weights: Sequence[float] | None = None
) -> RewardTransform:
    """sum_i w_i I_i, prod_i I_i, I_(t mod n), or max_i I_i of bonuses of one channel.

    Args:
        strategy: one of `STRATEGIES`.
        bonuses: n of them, of alike scale (`scaled`).
        weights: of the sum, 1/n each by default; other strategies have none.
    """
    if strategy not in STRATEGIES:
        raise BadInput(f"fuse: strategy={strategy!r}; there are {', '.join(STRATEGIES)}")
    n = len(bonuses)
    if n == 0 or (weights is not None and (strategy != "sum" or len(weights) != n)):
        raise BadInput(
            f"fuse: {n} bonuses, weights={weights}: give a bonus at least, and one weight each "
            "to the strategy 'sum' only"
        )
    share = jnp.full(n, 1.0 / n) if weights is None else jnp.asarray(weights)
    how: dict[str, Callable[[Array, Array], Array]] = {
        "sum": lambda each, t: jnp.tensordot(share, each, axes=1),
        "product": lambda each, t: jnp.prod(each, axis=0),
        "cycle": lambda each, t: each[t % n],
        "max": lambda each, t: jnp.max(each, axis=0),
    }

    def init(key: Key) -> Parts:
        keys = jax.random.split(key, n)
        inner = tuple(bonus.init(keys[i]) for i, bonus in enumerate(bonuses))
        return Parts(inner, jnp.zeros((), jnp.int32))

    def online(state: Parts, step: Step) -> tuple[Parts, Array]:
        both = [bonus.online(s, step) for bonus, s in zip(bonuses, state.inner, strict=True)]
        paid = how[strategy](jnp.stack([each for _, each in both]), state.t)
        return Parts(tuple(s for s, _ in both), state.t + 1), paid

    def sample(state: Parts, step: Step) -> Array:
        each = [bonus.sample(s, step) for bonus, s in zip(bonuses, state.inner, strict=True)]
        return how[strategy](jnp.stack(each), state.t)

    def fit(state: Parts, batch: Step, key: Key) -> tuple[Parts, dict[str, Any]]:
        inner, logs = list(state.inner), []
        for i, bonus in enumerate(bonuses):
            if bonus.fit is not None:
                inner[i], log = bonus.fit(inner[i], batch, jax.random.fold_in(key, i))
                logs.append({f"{name}_{i}": value for name, value in log.items()})
        return state._replace(inner=tuple(inner)), reduce(lambda a, b: a | b, logs, {})

    learns = any(bonus.fit is not None for bonus in bonuses)
    return RewardTransform(lambda _: 1, init, online, sample, fit if learns else None)


class Fading(NamedTuple):
    """The bonus's state, and how many steps were seen."""

    inner: Any
    t: Array


def faded(bonus: RewardTransform, beta: float, kappa: float = 0.0) -> RewardTransform:
    """r' = r + beta (1 - kappa)^t times the bonus, on every channel; t counts steps of all worlds.

    (rllte counts rollouts instead.)

    Args:
        bonus: makes ``[..., 1]``.
        beta: first weight, >= 0.
        kappa: share of the weight lost a step, in [0, 1).
    """
    if beta < 0.0 or not 0.0 <= kappa < 1.0:
        raise BadInput(f"faded: beta={beta} must be >= 0 and kappa={kappa} in [0, 1)")

    def weight(t: Array) -> Array:
        return beta * (1.0 - kappa) ** t

    def online(state: Fading, step: Step) -> tuple[Fading, Array]:
        inner, paid = bonus.online(state.inner, step)
        return Fading(inner, state.t + 1), step.reward + weight(state.t) * paid

    def sample(state: Fading, step: Step) -> Array:
        return step.reward + weight(state.t) * bonus.sample(state.inner, step)

    learn = bonus.fit
    first = jnp.zeros((), jnp.int32)

    def init(key: Key) -> Fading:
        return Fading(bonus.init(key), first)

    if learn is None:
        return RewardTransform(lambda count: count, init, online, sample)

    def fit(state: Fading, batch: Step, key: Key) -> tuple[Fading, Any]:
        inner, log = learn(state.inner, batch, key)
        return state._replace(inner=inner), log

    return RewardTransform(lambda count: count, init, online, sample, fit)


def hire(
    strategy: Strategy,
    bonuses: Sequence[RewardTransform],
    beta: float = 0.1,
    kappa: float = 0.0,
) -> RewardTransform:
    """Rewards plus beta (1 - kappa)^t times a fusion of bonuses, each scaled to spread 1."""
    return faded(fuse(strategy, [scaled(bonus) for bonus in bonuses]), beta, kappa)
