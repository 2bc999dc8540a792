"""What a learner is rewarded with: pure pieces that turn a step's reward into channels.

A `RewardTransform` is a tuple of pure functions, as in optax: state is passed in and handed back,
so pieces chain, trace and vectorise. Rewards always have a channel axis, ``[..., C]``. Knows no
trainer and no value head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from meritree.errors import BadInput
from meritree.value._arrays import Array, as_floats, namespace

State = Any  # whatever a piece keeps; an array, a tuple of arrays, or () where it keeps nothing


class Step(NamedTuple):
    """One transition a leading index.

    Attributes:
        reward: ``[..., C]``.
        boot: ``[...]``, gamma^n (1 - terminated): 0 at true ends only.
        last: ``[...]`` bool, terminated or truncated.
        obs, action, next_obs: whatever the environment has, leading axes ``[...]``.
        ctx, next_ctx: ``[..., D]`` contexts, None where there are none.
    """

    reward: Array
    boot: Array
    last: Array
    obs: Any = None
    action: Any = None
    next_obs: Any = None
    ctx: Array | None = None
    next_ctx: Array | None = None


class RewardTransform(NamedTuple):
    """Pure pieces of one relabelling of rewards.

    Attributes:
        channels: how many channels come out for how many that go in.
        init: a new state; takes a random key (or None) of the caller's library.
        online: (state, step) to (state, reward ``[..., C']``), once a step as it happens.
        sample: (state, step) to reward ``[..., C']``, for replayed steps; changes no state.
        fit: (state, batch of steps, key) to (state, numbers for the log), once an update, for
            pieces that learn something themselves (a predictor whose error is a bonus); None:
            nothing to learn.
        discounts: those that it reckons with; a learner that discounts otherwise is refused.
    """

    channels: Callable[[int], int]
    init: Callable[[Any], State]
    online: Callable[[State, Step], tuple[State, Array]]
    sample: Callable[[State, Step], Array]
    fit: Callable[[State, Step, Any], tuple[State, Mapping[str, Any]]] | None = None
    discounts: tuple[float, ...] = ()


def stateless(function: Callable[[Step], Array], channels: Callable[[int], int]) -> RewardTransform:
    """A transform that keeps nothing."""
    return RewardTransform(
        channels,
        lambda key: (),
        lambda state, step: (state, function(step)),
        lambda state, step: function(step),
    )


def chain(*parts: RewardTransform) -> RewardTransform:
    """One after the other, each seeing the reward that the one before made."""

    def channels(count: int) -> int:
        for part in parts:
            count = part.channels(count)
        return count

    def online(states: State, step: Step) -> tuple[State, Array]:
        after = []
        for part, state in zip(parts, states, strict=True):
            state, reward = part.online(state, step)
            after.append(state)
            step = step._replace(reward=reward)
        return tuple(after), step.reward

    def sample(states: State, step: Step) -> Array:
        for part, state in zip(parts, states, strict=True):
            step = step._replace(reward=part.sample(state, step))
        return step.reward

    def fit(states: State, step: Step, key: Any) -> tuple[State, Mapping[str, Any]]:
        after: list[State] = list(states)
        log: dict[str, Any] = {}
        for i, part in enumerate(parts):
            if part.fit is not None:
                after[i], found = part.fit(states[i], step, key)
                log.update(found)
            step = step._replace(reward=part.sample(states[i], step))
        return tuple(after), log

    learns = any(part.fit is not None for part in parts)
    return RewardTransform(
        channels,
        lambda key: tuple(part.init(key) for part in parts),
        online,
        sample,
        fit if learns else None,
        tuple(gamma for part in parts for gamma in part.discounts),
    )


def _same(count: int) -> int:
    return count


def scale_and_shift(k: float, c: float) -> RewardTransform:
    """r' = k r + c on every step, true ends left as they are.

    A negative c then also rewards ending early: the best policy may change (see `shift`).
    """
    _finite(k=k, c=c)
    return stateless(lambda step: k * step.reward + c, _same)


def shift(c: float, gamma: float, k: float = 1.0) -> RewardTransform:
    """r' = k r + c, as if a true end were a state in which c is paid for ever.

    Then every value is k times the old one plus c/(1 - gamma) and the best policies stay
    (Sun et al. 2022, arXiv 2209.07288): c < 0 makes values started at 0 optimistic, c > 0
    pessimistic. For one-step transitions; add up n steps afterwards.

    Args:
        c: shift of each reward.
        gamma: discount, in [0, 1); the learner's own.
        k: scale, > 0.
    """
    _finite(c=c)
    if not 0.0 <= gamma < 1.0 or not 0.0 < k < math.inf:
        raise BadInput(f"gamma={gamma}, k={k}: need 0 <= gamma < 1 and k > 0")

    def shifted(step: Step) -> Array:
        xp = namespace(step.reward, step.boot)
        ended = xp.expand_dims(step.boot == 0.0, axis=-1)
        paid = xp.where(
            ended,
            as_floats(xp, c / (1.0 - gamma), step.reward),
            as_floats(xp, c, step.reward),
        )
        return k * step.reward + paid

    # Nothing is paid on where c is 0, so that its discount is of no account.
    return stateless(shifted, _same)._replace(discounts=(gamma,) if c else ())


def unshifted_value(value: Array, c: float, gamma: float, k: float = 1.0) -> Array:
    """The value of the rewards themselves, from one learned under `shift`."""
    return (value - c / (1.0 - gamma)) / k


def clip(low: float, high: float) -> RewardTransform:
    """r' = min(max(r, low), high)."""
    if not low < high:
        raise BadInput(f"low={low}, high={high}: need low < high")
    return stateless(lambda step: namespace(step.reward).clip(step.reward, low, high), _same)


class Split(NamedTuple):
    """Channels with the weights that make the reward of them: r = sum_j weights[j] r_j.

    Attributes:
        transform: ``[..., 1]`` to ``[..., C]``.
        weights: C numbers, what a head weighs the channels' values with.
    """

    transform: RewardTransform
    weights: tuple[float, ...]


def channels(
    functions: Sequence[Callable[[Step], Array]], weights: Sequence[float] | None = None
) -> Split:
    """One channel a function of the step (``[...]`` each): the reward sources of HRA (S002)."""
    if not functions:
        raise BadInput("functions is empty: give one function a channel")
    weights = tuple(1.0 for _ in functions) if weights is None else tuple(weights)
    if len(weights) != len(functions):
        raise BadInput(f"{len(functions)} functions but {len(weights)} weights: give one each")

    def stacked(step: Step) -> Array:
        return namespace(step.reward).stack([each(step) for each in functions], axis=-1)

    return Split(stateless(stacked, lambda _: len(functions)), tuple(weights))


def total(weights: Sequence[float]) -> RewardTransform:
    """sum_j weights[j] r_j as the only channel."""

    def added(step: Step) -> Array:
        xp = namespace(step.reward)
        if step.reward.shape[-1] != len(weights):
            raise BadInput(
                f"reward has shape {tuple(step.reward.shape)}, weights {len(weights)} entries: "
                "the last axis must have one entry a weight"
            )
        lam = as_floats(xp, list(weights), step.reward)
        return xp.sum(step.reward * lam, axis=-1, keepdims=True)

    return stateless(added, lambda _: 1)


def polar(bound: float = 1.0) -> Split:
    """Gains and losses apart, each in [0, bound] (S010): (min(r^+, bound), min(r^-, bound)).

    Weights (1, -1); the reward comes back exactly where |r| <= bound.
    """
    if not bound > 0.0:
        raise BadInput(f"bound={bound}: must be above 0 (math.inf for none)")

    def parts(step: Step) -> Array:
        xp, r = namespace(step.reward), _only(step)
        gains, losses = xp.clip(r, 0.0, bound), xp.clip(-r, 0.0, bound)
        return xp.concat([gains, losses], axis=-1)

    return Split(stateless(parts, lambda _: 2), (1.0, -1.0))


def bins(count: int, base: float = 10.0) -> Split:
    """A reward >= 0 goes to the channel of its magnitude, scaled to [0, 1] (S010, first kind).

    Channel 0 holds r <= 1, channel j > 0 holds base^(j-1) < r <= base^j divided by base^j; the
    last one everything above, at most 1. Weights base^j; exact for 0 <= r <= base^(count - 1).
    """
    weights = _powers(count, base)

    def parts(step: Step) -> Array:
        xp, r = namespace(step.reward), _only(step)
        zero, found, below = xp.zeros_like(r), [], 0.0
        for j, top in enumerate(weights):
            inside = (r > below) & (r <= top) if j + 1 < count else r > below
            found.append(xp.where(inside, xp.clip(r / top, 0.0, 1.0), zero))
            below = top
        return xp.concat(found, axis=-1)

    return Split(stateless(parts, lambda _: count), weights)


def cascade(count: int, base: float = 10.0) -> Split:
    """A reward >= 0 fills one channel after the other (S010, second kind).

    Channel 0 holds min(r, 1); channel j > 0 what exceeds base^(j-1), up to base^j, divided by
    that width, which is its weight. Exact for 0 <= r <= base^(count - 1).
    """
    tops = _powers(count, base)
    starts = (0.0, *tops[:-1])
    widths = tuple(top - start for top, start in zip(tops, starts, strict=True))

    def parts(step: Step) -> Array:
        xp, r = namespace(step.reward), _only(step)
        filled = [
            xp.clip(r - start, 0.0, width) / width
            for start, width in zip(starts, widths, strict=True)
        ]
        return xp.concat(filled, axis=-1)

    return Split(stateless(parts, lambda _: count), widths)


def added(bonus: RewardTransform, weight: float) -> RewardTransform:
    """r' = r + weight * bonus, the bonus (``[..., 1]``) on every channel."""
    _finite(weight=weight)

    def online(state: State, step: Step) -> tuple[State, Array]:
        state, extra = bonus.online(state, step)
        return state, step.reward + weight * extra

    return RewardTransform(
        _same,
        bonus.init,
        online,
        lambda state, step: step.reward + weight * bonus.sample(state, step),
        bonus.fit,
        bonus.discounts,
    )


def intrinsic(bonus: RewardTransform, weight: float, upper: float, gamma: float) -> RewardTransform:
    """r' = r + weight (bonus - upper), true ends as states where -weight * upper is paid on.

    A positive bonus on values that start at 0 keeps a learner where it has been; minus its upper
    bound, what is unknown looks best.

    Args:
        bonus: makes ``[..., 1]``, for example `count_bonus`.
        weight: >= 0.
        upper: an upper bound of the bonus.
        gamma: discount, in [0, 1).
    """
    return chain(added(bonus, weight), shift(-weight * upper, gamma))


def count_bonus(states: int, index: Callable[[Step], Array], like: Array) -> RewardTransform:
    """1/sqrt(n), n the visits to the next state so far, this one included.

    Args:
        states: how many states are told apart.
        index: step to integers ``[...]`` in [0, states).
        like: an array whose library, type and device the counts have.
    """
    if states < 1:
        raise BadInput(f"states={states}: must be at least 1")

    def visits(step: Step) -> Array:
        xp = namespace(like)
        where = xp.expand_dims(index(step), axis=-1)
        return as_floats(xp, where == xp.arange(states, dtype=where.dtype), like)

    def worth(counts: Array, step: Step) -> Array:
        xp = namespace(like)
        n = xp.sum(visits(step) * counts, axis=-1, keepdims=True)
        return 1.0 / xp.sqrt(xp.clip(n, 1.0, None))

    def online(counts: Array, step: Step) -> tuple[State, Array]:
        xp = namespace(like)
        seen = xp.reshape(visits(step), (-1, states))
        counts = counts + xp.sum(seen, axis=0)
        return counts, worth(counts, step)

    return RewardTransform(
        lambda _: 1, lambda key: as_floats(namespace(like), [0.0] * states, like), online, worth
    )


def _only(step: Step) -> Array:
    if step.reward.shape[-1:] != (1,):
        raise BadInput(
            f"reward has shape {tuple(step.reward.shape)}: a split takes one channel, so the last "
            "axis must have length 1"
        )
    return step.reward


def _powers(count: int, base: float) -> tuple[float, ...]:
    if count < 1 or not base > 1.0:
        raise BadInput(f"count={count}, base={base}: need count >= 1 and base > 1")
    return tuple(base**j for j in range(count))


def _finite(**numbers: float) -> None:
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise BadInput(f"{name}={value}: must be finite")
