"""A task of five places in a row that compiles fast: +1 at the right end, where it ends."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from meritree.rl.envs import Discrete, EnvSpec, Outcome

PLACES = 5


class Corridor:
    """Begins on the left; action 1 goes right, 0 left. Cut after 20 steps."""

    spec = EnvSpec("corridor", (PLACES,), Discrete(2))

    def reset(self, key: Any) -> tuple[Any, Any]:
        start = jnp.zeros(2, jnp.int32)  # where, how long
        return start, _seen(start)

    def step(self, key: Any, state: Any, action: Any) -> tuple[Any, Outcome]:
        at = jnp.clip(state[0] + 2 * action - 1, 0, PLACES - 1)
        state = jnp.stack([at, state[1] + 1])
        end = at == PLACES - 1
        cut = (state[1] >= 20) & ~end
        return state, Outcome(_seen(state), end.astype(jnp.float32)[None], end, cut)


def _seen(state: Any) -> Any:
    return jax.nn.one_hot(state[0], PLACES)


@pytest.fixture(scope="session")
def corridor() -> Corridor:
    return Corridor()
