"""What a value may depend on beside the state: stock, auxiliary variable, policy code.

A `Context` is a tuple of pure functions that carries ``[..., D]`` numbers along an episode; with
them a risk of the whole return becomes an ordinary value of (state, context). Knows no learner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from meritree.errors import BadInput
from meritree.value._arrays import Array, namespace
from meritree.value.risk.laws import law
from meritree.value.transforms import Step

Draw = Callable[[Any], Array]


class Context(NamedTuple):
    """Pure pieces of one context.

    Attributes:
        dim: D, how many numbers.
        reset: random key (or None) to ``[..., D]``, at the beginning of an episode.
        step: (ctx ``[..., D]``, reward ``[..., C]``) to the next ctx within an episode.
    """

    dim: int
    reset: Draw
    step: Callable[[Array, Array], Array]


def advance(context: Context, ctx: Array, step: Step, fresh: Array) -> Array:
    """The next context: ``fresh`` (drawn by ``reset``) after an episode's last step."""
    _check(context, ctx)
    xp = namespace(ctx, fresh)
    return xp.where(xp.expand_dims(step.last, axis=-1), fresh, context.step(ctx, step.reward))


def relabel(context: Context, ctx: Array, step: Step) -> Step:
    """The same transition under another context: what happened does not depend on it.

    ``next_ctx`` is the context within the episode also where the step is the last: a value is
    bootstrapped from it only if the episode was cut short.
    """
    _check(context, ctx)
    return step._replace(ctx=ctx, next_ctx=context.step(ctx, step.reward))


def stock(gamma: float, draw: Draw) -> Context:
    """c' = (c + r)/gamma: what has been collected, in today's money (S039).

    Then gamma^t (c_t + G_t) is the same at all t of an episode, G_t the return to come: an
    objective of c_0 + G_0 is one of c_t + G_t.

    Args:
        gamma: discount, in (0, 1].
        draw: key to the first stock ``[..., 1]``.
    """
    if not 0.0 < gamma <= 1.0:
        raise BadInput(f"gamma={gamma}: must lie in (0, 1]")
    return Context(1, draw, lambda c, reward: (c + _sum(reward)) / gamma)


def stock_each(gamma: float, channels: int, draw: Draw) -> Context:
    """`stock` of each reward channel for itself: what constraints on several rewards go by (S003).

    Args:
        gamma: discount, in (0, 1].
        channels: C.
        draw: key to the first stocks ``[..., C]``; minus the thresholds, or zeros.
    """
    if not 0.0 < gamma <= 1.0 or channels < 1:
        raise BadInput(f"gamma={gamma}, channels={channels}: need 0 < gamma <= 1 and a channel")
    return Context(channels, draw, lambda c, reward: (c + reward) / gamma)


def auxiliary(draw: Draw) -> Context:
    """(y, v): the reward collected so far and the v of a scoring function f(y, v) (S071).

    v stays; y' = y + r. At the end of an episode -f(-y, v) is the terminal reward, see
    `terminal_reward`.

    Args:
        draw: key to the first pair ``[..., 2]``, y = 0 as a rule.
    """

    def step(ctx: Array, reward: Array) -> Array:
        xp = namespace(ctx, reward)
        return xp.concat([ctx[..., :1] + _sum(reward), ctx[..., 1:]], axis=-1)

    return Context(2, draw, step)


def terminal_reward(f: Callable[[Array, Array], Array], ctx: Array) -> Array:
    """-f(-y, v) of contexts (y, v), ``[..., 2]`` to ``[..., 1]``; f takes costs."""
    return -f(-ctx[..., :1], ctx[..., 1:])


def code(dim: int, draw: Draw) -> Context:
    """A code z of the policy or task that stays for the episode."""
    if dim < 1:
        raise BadInput(f"dim={dim}: must be at least 1")
    return Context(dim, draw, lambda z, reward: z)


def side_by_side(*parts: Context) -> Context:
    """Several contexts, one after the other along the last axis; one key for all.

    Pass draws that split the key themselves if the parts must be independent.
    """
    edges = [sum(part.dim for part in parts[:i]) for i in range(len(parts) + 1)]

    def step(ctx: Array, reward: Array) -> Array:
        xp = namespace(ctx, reward)
        pieces = [
            part.step(ctx[..., low:high], reward)
            for part, low, high in zip(parts, edges[:-1], edges[1:], strict=True)
        ]
        return xp.concat(pieces, axis=-1)

    def reset(key: Any) -> Array:
        drawn = [part.reset(key) for part in parts]
        return namespace(*drawn).concat(drawn, axis=-1)

    return Context(edges[-1], reset, step)


def stock_score(
    f: Callable[[Array], Array],
) -> Callable[[Array, Array | None, Array], Array]:
    """E f(c + Z) of laws of returns: what a stock-augmented learner maximises (S039).

    f = min(x, 0) with c_0 = -b gives shortfall, f = -|x| reaching zero, f = x the plain mean.

    Returns:
        (values ``[..., A, N]``, weights or None, stock ``[..., 1]``) to scores ``[..., A]``.
    """

    def score(values: Array, weights: Array | None, ctx: Array) -> Array:
        z, w = law(values, weights)
        xp = namespace(z, ctx)
        if ctx.ndim != z.ndim - 1 or ctx.shape[-1] != 1:
            raise BadInput(
                f"ctx has shape {tuple(ctx.shape)}, values {tuple(z.shape)}: need [..., 1] and "
                "[..., A, N]"
            )
        return xp.sum(w * f(xp.expand_dims(ctx, axis=-1) + z), axis=-1)

    return score


def _sum(reward: Array) -> Array:
    return namespace(reward).sum(reward, axis=-1, keepdims=True)


def _check(context: Context, ctx: Array) -> None:
    if ctx.shape[-1] != context.dim:
        raise BadInput(
            f"ctx has shape {tuple(ctx.shape)}: the last axis must have length {context.dim}"
        )
