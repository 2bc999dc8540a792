"""Networks of the trainers: a torso of Flax makes features of one observation, a readout numbers.

Modules see one example; batches are mapped. Knows neither heads nor trainers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from meritree.errors import BadInput

Array: TypeAlias = Any
Params: TypeAlias = Any
Activation: TypeAlias = Callable[[Array], Array]


def orthogonal(scale: float = math.sqrt(2.0)) -> Callable[..., Array]:
    """The initialisation common in on-policy learning."""
    return nn.initializers.orthogonal(scale)


class MLP(nn.Module):
    """Dense layers over the flattened observation and the context: [*obs], [D] -> [F]."""

    widths: Sequence[int] = (64, 64)
    activation: Activation = nn.relu
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()
    layer_norm: bool = False

    @nn.compact
    def __call__(self, obs: Array, ctx: Array | None = None) -> Array:
        x = with_context(obs.reshape(-1), ctx)
        for width in self.widths:
            x = nn.Dense(width, kernel_init=self.kernel_init)(x)
            if self.layer_norm:
                x = nn.LayerNorm()(x)
            x = self.activation(x)
        return x


class Conv3(nn.Module):
    """A 3x3 convolution of stride 1, as `flax.linen.Conv` computes it: [H, W, planes].

    Parameters are those of flax's layer too. It is one matrix product over the nine shifted
    copies of what is seen: on processors the gradient of XLA's own convolution takes six to ten
    times as long at the sizes of MinAtar.

    Attributes:
        filters: planes that come out.
        padding: ``SAME`` keeps the size, ``VALID`` takes 2 off height and width.
    """

    filters: int
    padding: str = "VALID"
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.padding not in ("SAME", "VALID"):
            raise BadInput(f"padding={self.padding!r}: there are SAME and VALID")
        if self.padding == "SAME":
            x = jnp.pad(x, ((1, 1), (1, 1), (0, 0)))
        height, width, planes = x.shape
        kernel = self.param("kernel", self.kernel_init, (3, 3, planes, self.filters))
        bias = self.param("bias", nn.initializers.zeros, (self.filters,))
        shifted = [
            x[row : row + height - 2, column : column + width - 2]
            for row in range(3)
            for column in range(3)
        ]
        return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(-1, self.filters) + bias


class MinAtarTorso(nn.Module):
    """One 3x3 convolution and one dense layer: the network of MinAtar's authors.

    Source: Young and Tian (2019), arXiv:1903.03176. [H, W, planes] -> [width].
    """

    filters: int = 16
    width: int = 128
    activation: Activation = nn.relu

    @nn.compact
    def __call__(self, obs: Array, ctx: Array | None = None) -> Array:
        x = self.activation(Conv3(self.filters, name="Conv_0")(obs))
        x = nn.Dense(self.width)(with_context(x.reshape(-1), ctx))
        return self.activation(x)


class ChannelTorsos(nn.Module):
    """C torsos with parameters of their own, each may see a part of the observation only (HRA).

    [*obs] -> [C, F]. Goes with `ChannelReadout`.

    Attributes:
        torso: the network of one channel.
        channels: C.
        masks: [C, *obs_shape] of 0 and 1, what each channel sees; None: all see everything.
    """

    torso: nn.Module
    channels: int
    masks: Any = None

    @nn.compact
    def __call__(self, obs: Array, ctx: Array | None = None) -> Array:
        seen = jnp.broadcast_to(obs, (self.channels, *obs.shape))
        if self.masks is not None:
            seen = seen * jnp.asarray(self.masks, obs.dtype)
        each = nn.vmap(
            lambda module, one: module(one, ctx),
            variable_axes={"params": 0},
            split_rngs={"params": True},
        )
        return each(self.torso, seen)


class ChannelReadout(nn.Module):
    """A dense layer for each channel: [C, F] -> [outputs], channel after channel."""

    outputs: int

    @nn.compact
    def __call__(self, features: Array) -> Array:
        channels, width = features.shape
        each, rest = divmod(self.outputs, channels)
        if rest:
            raise ValueError(f"{self.outputs} outputs cannot be shared by {channels} channels")
        kernel = self.param(
            "kernel", nn.initializers.lecun_normal(batch_axis=0), (channels, width, each)
        )
        bias = self.param("bias", nn.initializers.zeros, (channels, each))
        return (jnp.einsum("cf,cfo->co", features, kernel) + bias).reshape(-1)


def with_context(x: Array, ctx: Array | None) -> Array:
    """Features [F] with the context [D] behind them."""
    return x if ctx is None else jnp.concatenate([x, ctx])


class Network(NamedTuple):
    """A torso and its readout as two pure functions.

    Attributes:
        init: (key, one obs, one ctx or None) to parameters.
        apply: (parameters, obs [B, ...], ctx [B, D] or None) to (features [B, ...], raw [B, O]).
    """

    init: Callable[[Any, Array, Array | None], Params]
    apply: Callable[[Params, Array, Array | None], tuple[Array, Array]]


class _Readable(nn.Module):
    torso: nn.Module
    readout: nn.Module

    def __call__(self, obs: Array, ctx: Array | None) -> tuple[Array, Array]:
        features = self.torso(obs.astype(jnp.float32), ctx)
        return features, self.readout(features)


def network(
    torso: nn.Module, outputs: int, readout: Callable[[int], nn.Module] = nn.Dense
) -> Network:
    """The network of a torso with ``readout(outputs)`` on its features."""
    module = _Readable(torso, readout(outputs))

    def apply(params: Params, obs: Array, ctx: Array | None) -> tuple[Array, Array]:
        if ctx is None:
            one = jax.vmap(lambda seen: module.apply({"params": params}, seen, None))
            return one(obs)
        both = jax.vmap(lambda seen, c: module.apply({"params": params}, seen, c))
        return both(obs, ctx)

    def init(key: Any, obs: Array, ctx: Array | None) -> Params:
        return module.init(key, obs, ctx)["params"]

    return Network(init, apply)


def parameter_count(params: Params) -> int:
    """How many numbers are learned."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
