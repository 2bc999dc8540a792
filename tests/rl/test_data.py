"""Replay buffers: what is drawn was stored, windows end where episodes do, weights undo bias."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.rl.value_based.data import Prioritised, Uniform, fold
from meritree.value.transforms import Step

GAMMA = 0.9


def step(time: int, worlds: int = 2, *, terminated: Any = None, truncated: Any = None) -> Step:
    """Step number ``time`` of all worlds: its observation says when and where it was."""
    ended = jnp.zeros(worlds, bool) if terminated is None else jnp.asarray(terminated)
    cut = jnp.zeros(worlds, bool) if truncated is None else jnp.asarray(truncated)
    where = jnp.arange(worlds)
    return Step(
        reward=jnp.full((worlds, 1), float(time)),
        boot=GAMMA * (1.0 - ended),
        last=ended | cut,
        obs=jnp.stack([jnp.full(worlds, time), where], axis=1),
        action=where,
        next_obs=jnp.stack([jnp.full(worlds, time + 1), where], axis=1),
    )


def filled(data: Any, times: int) -> Any:
    state = data.init(step(0))
    for time in range(times):
        state = data.add(state, step(time))
    return state


@pytest.mark.parametrize("kind", [Uniform, Prioritised])
@pytest.mark.parametrize(("n_step", "times"), [(1, 3), (1, 23), (3, 7), (3, 23)])
def test_windows_hold_steps_in_a_row_of_one_world_and_nothing_overwritten(
    kind: Any, n_step: int, times: int
) -> None:
    data = kind(10, n_step=n_step)
    drawn = data.sample(filled(data, times), jax.random.key(0), 200).steps
    when, where = drawn.obs[..., 0], drawn.obs[..., 1]
    assert (when[:, 1:] == when[:, :-1] + 1).all()
    assert (where == where[:, :1]).all()
    assert when.min() >= max(0, times - 10)
    assert when.max() == times - 1
    # Every window that exists can be drawn.
    assert set(np.asarray(when[:, 0]).tolist()) == set(
        range(max(0, times - 10), times - n_step + 1)
    )


def test_prioritised_draws_follow_the_errors_and_their_weights_undo_it() -> None:
    data = Prioritised(8, alpha=1.0, beta=1.0)
    state = filled(data, 8)
    index = jnp.arange(16)
    error = jnp.where(index == 5, 3.0, 1.0)
    state = data.update(state, index, error)
    drawn = data.sample(state, jax.random.key(1), 18_000)
    share = float(jnp.mean(drawn.index == 5))
    assert share == pytest.approx(3.0 / 18.0, abs=0.005)
    # Weighted, every row counts the same again.
    counts = jnp.bincount(drawn.index, weights=drawn.weight, length=16)
    assert float(counts.max() / counts.min()) == pytest.approx(1.0, abs=0.1)
    assert float(jnp.mean(drawn.weight)) == pytest.approx(1.0, abs=1e-5)


def test_a_new_step_is_drawn_as_often_as_the_worst_error_seen() -> None:
    data = Prioritised(8, alpha=1.0)
    state = data.update(filled(data, 4), jnp.asarray([0]), jnp.asarray([50.0]))
    state = data.add(state, step(4))
    assert float(state.priority[4, 0]) == pytest.approx(50.0, rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-5, 5), st.sampled_from(["goes on", "ends", "is cut"])),
             min_size=1, max_size=5)
)  # fmt: skip
def test_folding_a_window_is_the_sum_written_out(events: list[tuple[float, str]]) -> None:
    rewards = np.asarray([[reward] for reward, _ in events])
    ended = np.asarray([how == "ends" for _, how in events])
    cut = np.asarray([how == "is cut" for _, how in events])
    n = len(events)
    window = Step(
        reward=jnp.asarray(rewards)[None],
        boot=jnp.asarray(GAMMA * (1.0 - ended))[None],
        last=jnp.asarray(ended | cut)[None],
        obs=jnp.arange(n)[None],
        action=jnp.zeros((1, n), int),
        next_obs=jnp.arange(1, n + 1)[None],
    )
    got = fold(window, window.reward)
    total, discount, m = 0.0, 1.0, 0
    for i in range(n):
        total += discount * rewards[i, 0]
        discount *= GAMMA * (1.0 - ended[i])
        m = i + 1
        if ended[i] or cut[i]:
            break
    assert float(got.reward[0, 0]) == pytest.approx(total, abs=1e-5)
    assert float(got.boot[0]) == pytest.approx(discount, abs=1e-6)
    assert int(got.next_obs[0]) == m
    assert int(got.obs[0]) == 0


@pytest.mark.parametrize("make", [lambda: Uniform(2, n_step=3), lambda: Prioritised(5, epsilon=0)])
def test_impossible_buffers_are_refused(make: Any) -> None:
    with pytest.raises(BadInput, match=r"capacity=2|epsilon=0"):
        make()
