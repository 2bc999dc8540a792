"""Mixtures of experts in place of a torso's dense layer: soft routes, or the best expert only.

Modules see one example as m tokens of length d. Knows neither heads nor trainers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from meritree.errors import BadInput
from meritree.rl.nets import Conv3, with_context

Array: TypeAlias = Any
Tokens: TypeAlias = Literal["pixel", "map", "sample"]
Initializer: TypeAlias = Callable[..., Array]


class Routes(NamedTuple):
    """How tokens go into the slots of experts and come back."""

    dispatch: Array  # [m, n, p], sums to 1 over tokens: what a slot is made of
    combine: Array  # [m, n, p], sums to 1 over all slots: what a token gets back


def soft_routes(tokens: Array, phi: Array) -> Routes:
    """Softmaxes of x Phi, over tokens and over slots. [m, d], [d, n, p].

    Source: Puigcerver et al. (2023), arXiv:2308.00951, eq. 1 and 3.
    """
    logits = jnp.einsum("md,dnp->mnp", tokens, phi)
    return Routes(jax.nn.softmax(logits, axis=0), jax.nn.softmax(logits, axis=(1, 2)))


class Expert(nn.Module):
    """Dense, ReLU, dense back to the size of the token: [..., d] -> [..., d]."""

    hidden: int
    kernel_init: Initializer = nn.initializers.xavier_uniform()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        inner = nn.relu(nn.Dense(self.hidden, kernel_init=self.kernel_init)(x))
        self.sow("intermediates", "hidden", inner)
        return nn.Dense(x.shape[-1], kernel_init=self.kernel_init)(inner)


class SoftMoE(nn.Module):
    """Every slot sees a mixture of all tokens, every token gets a mixture of all slots: [m, d].

    Source: Obando-Ceron et al. (2024), arXiv:2402.08609, and its released code; system S107.

    Attributes:
        experts: n.
        slots: p of each expert; None: ceil(m capacity / n), as in the release.
        capacity: slots in all, in shares of the number of tokens.
        hidden: width inside an expert; 512 in the paper.
        normalize: tokens and columns of Phi have length 1, times a learned scale.
    """

    experts: int = 4
    slots: int | None = None
    capacity: float = 1.0
    hidden: int = 64
    normalize: bool = False

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        _check(self, tokens)
        m, d = tokens.shape
        p = self.slots or slots_of(m, self.experts, self.capacity)
        phi = self.param("phi", nn.initializers.lecun_normal(), (d, self.experts, p))
        seen = tokens
        if self.normalize:
            scale = self.param("scale", nn.initializers.ones, ())
            seen, phi = _unit(tokens, axis=1), scale * _unit(phi, axis=0)
        routes = soft_routes(seen, phi)
        slots = jnp.einsum("md,mnp->npd", tokens, routes.dispatch)
        return jnp.einsum("npd,mnp->md", _each(self.experts, self.hidden, slots), routes.combine)


class TopOneMoE(nn.Module):
    """Each token goes to the expert its router likes best, as far as there is room: [m, d].

    An expert takes the first ceil(m capacity / n) tokens that choose it; the others get 0. What
    comes back is weighted by the router's probability, which is how the router learns. As in the
    release no loss balances the load.

    Source: Obando-Ceron et al. (2024), arXiv:2402.08609, released ``MoE`` with ``TopKRouter``.

    Attributes:
        experts: n.
        capacity: tokens that all experts have room for, in shares of m.
        hidden: width inside an expert.
    """

    experts: int = 4
    capacity: float = 1.0
    hidden: int = 64

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        _check(self, tokens)
        room = slots_of(tokens.shape[0], self.experts, self.capacity)
        chance = jax.nn.softmax(nn.Dense(self.experts, use_bias=False, name="router")(tokens))
        chosen = jax.nn.one_hot(jnp.argmax(chance, axis=-1), self.experts)  # [m, n]
        place = (jnp.cumsum(chosen, axis=0) - 1.0).astype(jnp.int32)
        # one_hot of a place beyond the room is 0: the token is dropped.
        sent = chosen[..., None] * jax.nn.one_hot(place, room)  # [m, n, room]
        slots = jnp.einsum("md,mnp->npd", tokens, sent)
        back = jnp.einsum("npd,mnp->md", _each(self.experts, self.hidden, slots), sent)
        return back * jnp.max(chance, axis=-1, keepdims=True)


class Convolutions(nn.Module):
    """3x3 convolutions with ReLU: [H, W, planes] -> [H', W', filters[-1]].

    An observation without planes gets one.

    Attributes:
        filters: of each layer.
        paddings: ``SAME`` keeps the size, ``VALID`` takes 2 off height and width.
    """

    filters: Sequence[int] = (16, 16)
    paddings: Sequence[str] = ("SAME", "SAME")
    kernel_init: Initializer = nn.initializers.xavier_uniform()

    @nn.compact
    def __call__(self, obs: Array, ctx: Array | None = None) -> Array:
        x = obs if obs.ndim == 3 else obs[..., None]
        if len(self.filters) != len(self.paddings):
            raise BadInput(
                f"Convolutions: {len(self.filters)} filters and {len(self.paddings)} paddings; "
                "give one of each for every layer"
            )
        for i, (count, padding) in enumerate(zip(self.filters, self.paddings, strict=True)):
            conv = Conv3(count, padding, kernel_init=self.kernel_init, name=f"Conv_{i}")
            x = nn.relu(conv(x))
        return x


class Tokenised(nn.Module):
    """A torso that cuts what its encoder sees into tokens for a mixture: [*obs], [D] -> [F].

    Attributes:
        encoder: observation to [H, W, d].
        mixture: [m, d] -> [m, d].
        tokens: ``pixel``: positions, d numbers each (the paper's choice); ``map``: feature maps;
            ``sample``: one token of everything.
    """

    encoder: nn.Module
    mixture: nn.Module
    tokens: Tokens = "pixel"

    @nn.compact
    def __call__(self, obs: Array, ctx: Array | None = None) -> Array:
        x = self.encoder(obs)
        if self.tokens not in ("pixel", "map", "sample"):
            raise BadInput(f"tokens={self.tokens!r}: there are pixel, map and sample")
        flat = x.reshape(-1, x.shape[-1])
        cut = {"pixel": flat, "map": flat.T, "sample": flat.reshape(1, -1)}[self.tokens]
        return with_context(self.mixture(cut).reshape(-1), ctx)


class Flattened(nn.Module):
    """The torso without a mixture: all positions, or their mean, through one dense layer.

    Attributes:
        encoder: observation to [H, W, d].
        width: of the dense layer.
        pooled: the mean over positions instead of all of them.
    """

    encoder: nn.Module
    width: int = 64
    pooled: bool = False
    kernel_init: Initializer = nn.initializers.xavier_uniform()

    @nn.compact
    def __call__(self, obs: Array, ctx: Array | None = None) -> Array:
        x = self.encoder(obs)
        x = jnp.mean(x, axis=(0, 1)) if self.pooled else x.reshape(-1)
        inner = nn.relu(nn.Dense(self.width, kernel_init=self.kernel_init)(with_context(x, ctx)))
        self.sow("intermediates", "hidden", inner)
        return inner


def slots_of(tokens: int, experts: int, capacity: float = 1.0) -> int:
    """Slots of one expert, such that all together hold ``capacity`` times the tokens."""
    return max(1, math.ceil(tokens * capacity / experts))


def soft_moe_size(d: int, experts: int, slots: int, hidden: int) -> int:
    """Numbers that a `SoftMoE` learns (without ``normalize``): Phi and the experts."""
    return d * experts * slots + experts * (d * hidden + hidden + hidden * d + d)


def _each(experts: int, hidden: int, slots: Array) -> Array:
    """Expert i on its slots: [n, p, d] -> [n, p, d]; parameters have a leading axis of experts."""
    mapped = nn.vmap(
        Expert,
        variable_axes={"params": 0, "intermediates": 0},
        split_rngs={"params": True},
        axis_size=experts,
    )
    return mapped(hidden, name="experts")(slots)


def _unit(x: Array, axis: int) -> Array:
    return x / (jnp.sqrt(jnp.sum(x * x, axis=axis, keepdims=True)) + 1e-6)


def _check(module: Any, tokens: Array) -> None:
    name = type(module).__name__
    if tokens.ndim != 2:
        raise BadInput(f"{name}: tokens have shape {tokens.shape}, expected [m, d]")
    if min(module.experts, module.hidden) < 1 or module.capacity <= 0.0:
        raise BadInput(
            f"{name}: experts={module.experts}, hidden={module.hidden} must be >= 1 and "
            f"capacity={module.capacity} > 0"
        )
