"""Every test of this folder needs JAX, Flax and gymnax (extra ``rl``), and runs on processors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
for module in ("jax", "flax", "optax", "gymnax"):
    pytest.importorskip(module)


@pytest.fixture(scope="session")
def corridor() -> Any:
    """Five places in a row, +1 at the right end, where it ends; cut after 20 steps."""
    return make_corridor()


def make_corridor() -> Any:
    """A task that compiles fast: begins on the left, action 1 goes right, 0 left."""
    import jax
    import jax.numpy as jnp

    from meritree.rl.envs import Discrete, EnvSpec, Outcome

    class Corridor:
        spec = EnvSpec("corridor", (5,), Discrete(2))

        def reset(self, key: Any) -> tuple[Any, Any]:
            start = jnp.zeros(2, jnp.int32)  # where, how long
            return start, self._seen(start)

        def step(self, key: Any, state: Any, action: Any) -> tuple[Any, Outcome]:
            at = jnp.clip(state[0] + 2 * action - 1, 0, 4)
            state = jnp.stack([at, state[1] + 1])
            end = at == 4
            cut = (state[1] >= 20) & ~end
            return state, Outcome(self._seen(state), end.astype(jnp.float32)[None], end, cut)

        def _seen(self, state: Any) -> Any:
            return jax.nn.one_hot(state[0], 5)

    return Corridor()


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs() -> Iterator[None]:
    """Programs of one file are of no use to the next, and together they fill gigabytes."""
    yield
    import jax

    jax.clear_caches()
