"""How far each channel would have steered the search elsewhere."""

from __future__ import annotations

import pytest

from meritree.view.judges import judge_distances
from meritree.view.tree import SearchTreeView, TreeNode, build_tree


def tree_of(values: list[float], channels: dict[str, list[float | None]]) -> SearchTreeView:
    """A root with the other nodes below it."""
    nodes = []
    for key, value in enumerate(values):
        said = {n: own[key] for n, own in channels.items() if key and own[key] is not None}
        nodes.append(TreeNode(key, None if key == 0 else 0, "x", value, channels=said))  # type: ignore[arg-type]
    return build_tree(nodes)


def test_the_nearest_judge_comes_first() -> None:
    values = [0.0, 0.2, 0.9, 0.4]
    same: list[float | None] = [None, 0.1, 0.45, 0.2]
    against: list[float | None] = [None, 0.9, 0.1, 0.8]
    found = judge_distances(tree_of(values, {"against": against, "same": same}))
    assert [one.channel for one in found] == ["same", "against"]
    assert found[0].distance == pytest.approx(0.0, abs=1e-12)
    assert found[0].meaning == "would have steered almost alike"
    assert found[1].distance > 0.4


def test_a_channel_counts_on_the_nodes_that_it_judged() -> None:
    values = [0.0, 0.2, 0.9, 0.4]
    partly: list[float | None] = [None, 0.1, 0.45, None]
    assert judge_distances(tree_of(values, {"partly": partly}))[0].distance == pytest.approx(
        0.0, abs=1e-12
    )


def test_two_nodes_tell_nothing() -> None:
    assert judge_distances(tree_of([0.0, 0.2], {"one": [None, 0.2]})) == []
    assert judge_distances(build_tree([])) == []
