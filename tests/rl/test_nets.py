"""The convolution of our torsos is Flax's, computed another way."""

from __future__ import annotations

import pytest

jax = pytest.importorskip("jax")
nn = pytest.importorskip("flax.linen")

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from meritree.errors import BadInput  # noqa: E402
from meritree.rl.nets import Conv3, MinAtarTorso  # noqa: E402


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_a_convolution_has_the_parameters_values_and_gradients_of_flax(padding: str) -> None:
    ours, theirs = Conv3(5, padding), nn.Conv(5, (3, 3), padding=padding)
    seen = jax.random.normal(jax.random.key(0), (6, 7, 3))
    params = ours.init(jax.random.key(1), seen)
    same = theirs.init(jax.random.key(1), seen)
    assert jax.tree.all(jax.tree.map(lambda a, b: jnp.array_equal(a, b), params, same))

    def total(module):  # type: ignore[no-untyped-def]
        return jax.grad(lambda p, x: jnp.sum(jnp.sin(module.apply(p, x))), argnums=(0, 1))

    np.testing.assert_allclose(ours.apply(params, seen), theirs.apply(params, seen), atol=1e-5)
    found, wanted = total(ours)(params, seen), total(theirs)(params, seen)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_an_unknown_padding_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="'WIDE': there are SAME and VALID"):
        Conv3(2, "WIDE").init(jax.random.key(0), jnp.zeros((4, 4, 1)))


def test_the_torso_of_minatar_names_its_parameters_as_before() -> None:
    shapes = jax.eval_shape(MinAtarTorso().init, jax.random.key(0), jnp.zeros((10, 10, 4)))
    found = {name: leaf["kernel"].shape for name, leaf in shapes["params"].items()}
    assert found == {"Conv_0": (3, 3, 4, 16), "Dense_0": (1024, 128)}
