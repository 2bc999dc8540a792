"""Checks and objectives survive tracing: no branch depends on a value."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.objectives import advantages, regression, td
from meritree.objectives._namespace import namespace, take
from meritree.value.heads import HLGauss


def loss(q: Any, a: Any, r: Any, q_t: Any) -> Any:
    """Munchausen target and Huber loss of the action taken."""
    target = td.munchausen_target(r, 0.9, 2.0 * q, a, q_t, 0.5)
    return regression.huber(take(namespace(q), q, a), target)


def gae(r: Any, v: Any, last: Any) -> Any:
    return advantages.gae(r, 0.9, v[:-1], v[1:], last, 0.95)


def classified(raw: Any, reward: Any, boot: Any) -> Any:
    head = HLGauss(-1.0, 1.0, 21)
    v = head.value(raw)
    best = td.greedy_policy(head.score(v))
    return head.loss(raw[..., :21], head.target(head.mix(v, best), reward, boot))


RNG = np.random.default_rng(0)
CALLS = [
    (loss, (RNG.normal(size=(4, 3)), np.zeros(4, np.int64), RNG.normal(size=4), np.eye(4, 3))),
    (gae, (RNG.normal(size=(8, 2)), RNG.normal(size=(9, 2)), RNG.random((8, 2)) < 0.3)),
    (classified, (RNG.normal(size=(4, 63)), RNG.normal(size=(4, 1)), np.ones(4))),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments"), CALLS)
def test_torch_compiles_without_a_graph_break(function: Any, arguments: Any) -> None:
    import torch

    tensors = [torch.asarray(x) for x in arguments]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that caches of array-api-compat are traced through
        compiled = torch.compile(function, backend="eager", fullgraph=True)
        got = compiled(*tensors)
    np.testing.assert_allclose(got.numpy(), function(*arguments), rtol=1e-10)


def test_jax_maps_an_objective_over_seeds() -> None:
    import jax

    q, a, r, q_t = CALLS[0][1]
    many = np.stack([q, q + 1.0]).astype(np.float32)
    got = jax.jit(jax.vmap(loss, in_axes=(0, None, None, None)))(many, a, r, q_t)
    for row, one in zip(got, many, strict=True):
        np.testing.assert_allclose(row, loss(one, a, r, q_t), rtol=1e-5)


def test_shapes_are_refused_while_tracing_too() -> None:
    import jax

    with pytest.raises(BadInput, match=r"r_t has shape \(3,\)|q_t has shape"):
        jax.jit(td.q_learning_target, static_argnums=1)(np.zeros(3), 0.9, np.zeros((4, 2)))


def test_single_precision_stays_single() -> None:
    q = np.zeros((2, 3), np.float32)
    r = np.zeros(2, np.float32)
    assert td.soft_q_target(r, 0.9, q, 0.5).dtype == np.float32
    assert gae(q, np.zeros((3, 3), np.float32), False).dtype == np.float32
    head = HLGauss(-1.0, 1.0, 21)
    target = head.target(r, r[:, None], r)
    assert target.dtype == np.float32
    assert head.loss(np.zeros((2, 21), np.float32), target).dtype == np.float32
