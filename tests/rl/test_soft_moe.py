"""Mixtures of experts (S107): what their routes and parameters must be, exactly."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.rl.moe import (
    Convolutions,
    Flattened,
    SoftMoE,
    Tokenised,
    TopOneMoE,
    slots_of,
    soft_moe_size,
    soft_routes,
)
from meritree.rl.nets import network, parameter_count

M, D, N, P, HIDDEN = 9, 6, 3, 2, 5
TOKENS = np.random.default_rng(1).normal(size=(M, D)).astype(np.float32)


def shapes(module: Any, *inputs: Any) -> Any:
    """Of the parameters, without compiling anything."""
    return jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]


def numbers(module: Any, *inputs: Any) -> Any:
    """Random parameters, drawn by NumPy: initialisers would have to be compiled."""
    rng = np.random.default_rng(2)
    return jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes(module, *inputs)
    )


def expert(params: Any, k: int, x: Any) -> Any:
    first, second = (params["experts"][f"Dense_{layer}"] for layer in (0, 1))
    inner = np.maximum(x @ first["kernel"][k] + first["bias"][k], 0.0)
    return inner @ second["kernel"][k] + second["bias"][k]


def softmax(x: Any, axis: Any) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def test_dispatch_sums_to_one_over_tokens_and_combine_over_slots() -> None:
    phi = np.random.default_rng(3).normal(scale=3.0, size=(D, N, P)).astype(np.float32)
    dispatch, combine = (np.asarray(each) for each in soft_routes(TOKENS, phi))
    np.testing.assert_allclose(dispatch.sum(axis=0), np.ones((N, P)), rtol=1e-5)
    np.testing.assert_allclose(combine.sum(axis=(1, 2)), np.ones(M), rtol=1e-5)
    assert dispatch.min() > 0.0


@pytest.fixture(scope="module")
def soft() -> tuple[Any, Any, Any]:
    """(parameters, apply(params, tokens), gradient of a weighted sum of outputs), compiled once."""
    module = SoftMoE(N, P, hidden=HIDDEN)
    weight = np.random.default_rng(4).normal(size=(M, D))

    def both(params: Any, tokens: Any) -> Any:
        def total(params: Any) -> Any:
            out = module.apply({"params": params}, tokens)
            return jnp.sum(weight * out), out

        slopes, out = jax.grad(total, has_aux=True)(params)
        return out, slopes

    compiled = jax.jit(both)
    params = numbers(module, TOKENS)
    return (
        params,
        lambda params, tokens: np.asarray(compiled(params, tokens)[0]),
        lambda params: jax.tree.map(np.asarray, compiled(params, TOKENS)[1]),
    )


def test_a_soft_mixture_is_what_its_equations_say(soft: tuple[Any, Any, Any]) -> None:
    params, apply, _ = soft
    logits = np.einsum("md,dnp->mnp", TOKENS, params["phi"])
    slots = np.einsum("md,mnp->npd", TOKENS, softmax(logits, 0))
    answers = np.stack([expert(params, k, slots[k]) for k in range(N)])
    expected = np.einsum("npd,mnp->md", answers, softmax(logits, (1, 2)))
    np.testing.assert_allclose(apply(params, TOKENS), expected, atol=1e-4)


def test_permuting_tokens_permutes_what_a_soft_mixture_gives(soft: tuple[Any, Any, Any]) -> None:
    params, apply, _ = soft
    order = np.random.default_rng(5).permutation(M)
    plain = apply(params, TOKENS)
    np.testing.assert_allclose(apply(params, TOKENS[order]), plain[order], atol=1e-4)
    assert np.abs(plain - plain[order]).max() > 0.01


def test_gradients_reach_every_expert_and_all_routes(soft: tuple[Any, Any, Any]) -> None:
    params, _, gradient = soft
    slopes = gradient(params)
    for layer in slopes["experts"].values():
        for leaf in layer.values():
            assert (np.abs(leaf).reshape(N, -1).max(axis=1) > 1e-6).all()
    assert (np.abs(slopes["phi"]).max(axis=0) > 1e-6).all()


def test_one_expert_with_one_slot_is_a_network_of_the_mean_token_given_to_all() -> None:
    module = SoftMoE(1, 1, hidden=HIDDEN)
    params = numbers(module, TOKENS)
    params["phi"] *= 0.0  # equal weights: the plain mean
    out = jax.jit(module.apply)({"params": params}, TOKENS)
    expected = expert(params, 0, TOKENS.mean(axis=0))
    np.testing.assert_allclose(out, np.broadcast_to(expected, (M, D)), atol=1e-5)


def test_normalised_routes_go_by_the_direction_of_tokens() -> None:
    module = SoftMoE(1, P, hidden=HIDDEN, normalize=True)
    params = numbers(module, TOKENS)
    apply = jax.jit(lambda tokens: module.apply({"params": params}, tokens))
    unit = TOKENS / np.linalg.norm(TOKENS, axis=1, keepdims=True)
    phi = params["phi"] / np.linalg.norm(params["phi"], axis=0, keepdims=True)
    logits = np.einsum("md,dnp->mnp", unit, params["scale"] * phi)
    slots = np.einsum("md,mnp->npd", TOKENS, softmax(logits, 0))
    expected = np.einsum("npd,mnp->md", expert(params, 0, slots[0])[None], softmax(logits, (1, 2)))
    np.testing.assert_allclose(apply(TOKENS), expected, atol=1e-4)


def test_experts_begin_different() -> None:
    init = jax.jit(SoftMoE(N, P, hidden=HIDDEN).init)
    kernels = np.asarray(init(jax.random.key(0), TOKENS)["params"]["experts"]["Dense_0"]["kernel"])
    assert kernels.shape == (N, D, HIDDEN)
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1


@pytest.mark.parametrize(("experts", "slots"), [(1, None), (4, None), (2, 3)])
def test_a_soft_mixture_has_as_many_parameters_as_its_formula_says(
    experts: int, slots: int | None
) -> None:
    p = slots or slots_of(M, experts)
    module = SoftMoE(experts, slots, hidden=HIDDEN)
    assert parameter_count(shapes(module, TOKENS)) == soft_moe_size(D, experts, p, HIDDEN)


def test_slots_hold_the_capacity_as_in_the_release() -> None:
    assert [slots_of(121, n) for n in (1, 2, 4, 8)] == [121, 61, 31, 16]
    assert slots_of(1, 8) == 1
    assert slots_of(100, 4, capacity=0.5) == 13


def routed(tokens: Any, capacity: float) -> tuple[Any, Any, Any]:
    module = TopOneMoE(N, capacity=capacity, hidden=HIDDEN)
    params = numbers(module, tokens)
    chance = softmax(tokens @ params["router"]["kernel"], 1)
    return np.asarray(jax.jit(module.apply)({"params": params}, tokens)), params, chance


def test_the_best_expert_alone_answers_weighted_by_its_probability() -> None:
    out, params, chance = routed(TOKENS, capacity=float(N))  # room for everybody everywhere
    for i, token in enumerate(TOKENS):
        best = chance[i].argmax()
        np.testing.assert_allclose(out[i], chance[i, best] * expert(params, best, token), atol=1e-4)


def test_tokens_that_find_no_room_get_nothing_and_the_first_ones_get_in() -> None:
    alike = np.broadcast_to(TOKENS[:1], (M, D))  # all choose the same expert
    out, _, _ = routed(alike, capacity=1.0)
    room = slots_of(M, N)
    assert (np.abs(out[:room]).max(axis=1) > 1e-3).all()
    assert np.abs(out[room:]).max() == 0.0


def test_tokens_are_positions_feature_maps_or_everything() -> None:
    obs = jnp.ones((4, 3, 2))
    sizes: dict[Any, tuple[int, int]] = {"pixel": (12, 5), "map": (5, 12), "sample": (1, 60)}
    for tokens, (count, size) in sizes.items():
        torso = Tokenised(Convolutions((4, 5)), SoftMoE(2, hidden=7), tokens)
        params = shapes(torso, obs)
        assert params["mixture"]["phi"].shape == (size, 2, slots_of(count, 2))
        out = jax.eval_shape(lambda p, torso=torso: torso.apply({"params": p}, obs), params)
        assert out.shape == (60,)


def test_a_torso_with_a_mixture_is_a_network_for_the_trainer_and_takes_a_context() -> None:
    net = network(Tokenised(Convolutions((4,), ("SAME",)), SoftMoE(2, hidden=3)), outputs=6)
    obs, ctx = jnp.ones((2, 5, 4), bool), jnp.zeros((2, 3))
    params = jax.eval_shape(net.init, jax.random.key(0), obs[0], ctx[0])
    features, raw = jax.eval_shape(net.apply, params, obs, ctx)
    assert features.shape == (2, 5 * 4 * 4 + 3)
    assert raw.shape == (2, 6)


def test_convolutions_without_padding_leave_fewer_positions() -> None:
    torso = Convolutions((4, 5), ("SAME", "VALID"))
    out = jax.eval_shape(
        lambda key: torso.apply(torso.init(key, jnp.ones((10, 5))), jnp.ones((10, 5))),
        jax.random.key(0),
    )
    assert out.shape == (8, 3, 5)


def test_the_pooled_torso_knows_what_is_there_but_not_where() -> None:
    a, b = np.zeros((2, 4, 4, 1), np.float32)
    a[1, 1] = b[2, 3] = 1.0
    for pooled in (True, False):
        torso = Flattened(Convolutions((), ()), 8, pooled=pooled)  # the observation itself
        params = numbers(torso, a)
        apply = jax.jit(
            lambda obs, torso=torso, params=params: torso.apply({"params": params}, obs)
        )
        gap = np.abs(np.asarray(apply(a)) - np.asarray(apply(b))).max()
        assert gap == 0.0 if pooled else gap > 0.01


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (SoftMoE(0), "experts=0"),
        (SoftMoE(2, hidden=0), "hidden=0"),
        (TopOneMoE(2, capacity=0.0), r"capacity=0\.0"),
        (Tokenised(Convolutions(), SoftMoE(2), "words"), "pixel, map and sample"),  # type: ignore[arg-type]
        (Flattened(Convolutions((4,))), "1 filters and 2 paddings"),
    ],
)
def test_what_makes_no_mixture_is_refused(module: Any, words: str) -> None:
    mixture = isinstance(module, SoftMoE | TopOneMoE)
    tokens = TOKENS if mixture else jnp.ones((3, 3, 1))
    with pytest.raises(BadInput, match=words):
        shapes(module, tokens)
