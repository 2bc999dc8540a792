"""Distances of judges on a tree: figures by hand, invariances, equality with the general form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.value.comparison import Dynamics, advantages
from meritree.value.tree_distance import tree_advantages, tree_distance

PARENTS = [None, 0, 0, 1, 1, 2]


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[int | None], list[float], list[float]]:
    size = draw(st.integers(2, 12))
    parents = [None, *(draw(st.integers(0, n - 1)) for n in range(1, size))]
    column = st.lists(st.floats(0.0, 1.0), min_size=size, max_size=size)
    return parents, draw(column), draw(column)


def test_advantages_in_figures() -> None:
    """Root with one child: U(child) = 1, U(root) = (0 + 1) / 2."""
    assert tree_advantages([None, 0], [0.0, 1.0]) == ([-0.5, 0.0], [0.0, 0.5])


def test_opposite_judges_are_farthest() -> None:
    values = [0.1, 0.5, 0.2, 0.9, 0.4, 0.3]
    opposite = [1.0 - value for value in values]
    assert tree_distance(PARENTS, values, opposite) == pytest.approx(1.0)


@given(trees(), st.floats(0.1, 10.0), st.floats(-3.0, 3.0))
def test_scale_and_level_do_not_count(
    tree: tuple[list[int | None], list[float], list[float]], scale: float, level: float
) -> None:
    parents, one, other = tree
    moved = [scale * value + level for value in one]
    assert tree_distance(parents, one, moved) < 1e-5 or max(one) - min(one) < 1e-6
    assert 0.0 <= tree_distance(parents, one, other) <= 1.0 + 1e-12


def test_a_judge_without_opinion_stands_in_the_middle() -> None:
    flat = [0.3] * 6
    assert tree_distance(PARENTS, flat, [0.1, 0.5, 0.2, 0.9, 0.4, 0.3]) == pytest.approx(0.5)
    assert tree_distance(PARENTS, flat, [0.7] * 6) == 0.0


@given(trees())
@settings(max_examples=25)
def test_it_is_the_general_form_on_the_tree_as_a_process(
    tree: tuple[list[int | None], list[float], list[float]],
) -> None:
    """Equal actions are repeated so that each node's choices weigh as the uniform policy does."""
    parents, values, _ = tree
    gamma, size = 0.9, len(parents)
    children = [[n for n, parent in enumerate(parents) if parent == node] for node in range(size)]
    actions = int(np.lcm.reduce([len(own) + 1 for own in children]))
    tau = np.zeros((size + 1, actions, size + 1))
    reward = np.zeros_like(tau)
    tau[size, :, size] = 1.0  # where one is after stopping
    for node in range(size):
        choices = [size, *children[node]]
        for action in range(actions):
            to = choices[action % len(choices)]
            tau[node, action, to] = 1.0
            reward[node, action, to] = values[node] if to == size else 0.0
    table = advantages(reward, Dynamics(tau, gamma))
    stop, move = tree_advantages(parents, values, gamma)
    for node in range(size):
        assert table[node, 0] == pytest.approx(stop[node])
        for place, child in enumerate(children[node], 1):
            assert table[node, place] == pytest.approx(move[child])


@pytest.mark.parametrize(
    ("parents", "values", "says"),
    [
        ([None, 0], [1.0], "2 parents, 1 values"),
        ([], [], "without nodes"),
        ([None, 1], [1.0, 1.0], r"parents\[1\] = 1"),
        ([None, None], [1.0, 1.0], r"parents\[1\] = None"),
        ([None], [float("nan")], r"values\[0\] = nan"),
    ],
)
def test_bad_input_is_named(parents: list[int | None], values: list[float], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        tree_distance(parents, values, values)
