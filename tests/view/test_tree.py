"""The tree as data for pictures, and its drawing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from meritree.view.drawing import colour, draw_tree
from meritree.view.tree import SearchTreeView, TreeNode, build_tree, most_visited

parents = st.lists(st.floats(0, 0.999), max_size=60)  # where in the older nodes each hangs
SVG = "{http://www.w3.org/2000/svg}"


def grown(shares: list[float]) -> SearchTreeView:
    nodes = [TreeNode(0, None, "root", 0.1)]
    nodes += [
        TreeNode(i, int(share * i), f"edit {i}", value=share) for i, share in enumerate(shares, 1)
    ]
    return build_tree(nodes)


@given(parents)
def test_visits_of_a_node_count_the_nodes_below_it(shares: list[float]) -> None:
    tree = grown(shares)
    for key, node in tree.nodes.items():
        below = sum(tree.nodes[child].visits for child in tree.children.get(key, ()))
        assert node.visits == 1 + below


@given(parents)
def test_the_best_line_leads_from_the_root_to_the_highest_value(shares: list[float]) -> None:
    tree = grown(shares)
    assert tree.best[0] == 0
    assert tree.nodes[tree.best[-1]].value == max(node.value for node in tree.nodes.values())
    for parent, child in zip(tree.best, tree.best[1:], strict=False):
        assert tree.nodes[child].parent == parent


@given(parents, st.integers(1, 30))
def test_a_cut_tree_is_a_tree_that_keeps_the_best_line(shares: list[float], limit: int) -> None:
    whole = grown(shares)
    tree = most_visited(whole, limit)
    assert set(tree.best) <= set(tree.nodes)
    assert len(tree.nodes) + tree.left_out == len(whole.nodes)
    for node in tree.nodes.values():
        assert node.parent is None or node.parent in tree.nodes
    deepest = max(len(_path(whole, key)) for key in whole.nodes)
    assert len(tree.nodes) <= max(limit, len(tree.best)) + deepest


def _path(tree: SearchTreeView, key: int) -> list[int]:
    path, parent = [key], tree.nodes[key].parent
    while parent is not None:
        path.append(parent)
        parent = tree.nodes[parent].parent
    return path


def test_nodes_of_unknown_parents_are_left_out() -> None:
    tree = build_tree([TreeNode(0, None, "root", 0.0), TreeNode(5, 3, "lost", 1.0)])
    assert set(tree.nodes) == {0}


def test_an_empty_tree_has_no_root_and_can_be_drawn() -> None:
    tree = build_tree([])
    assert tree.root is None
    ElementTree.fromstring(draw_tree(tree, "nothing yet"))


@given(parents, st.text(max_size=20))
def test_the_picture_is_well_formed_and_shows_every_node(shares: list[float], text: str) -> None:
    tree = grown(shares)
    hostile = build_tree(
        [TreeNode(n.id, n.parent, f"</svg><script>{text}", n.value) for n in tree.nodes.values()]
    )
    root = ElementTree.fromstring(draw_tree(hostile, f"<b>{text}"))
    titled = [c for c in root.iter(f"{SVG}circle") if c.find(f"{SVG}title") is not None]
    assert len(titled) == len(tree.nodes)
    assert not list(root.iter(f"{SVG}script"))


def test_dots_of_a_tree_lie_inside_the_picture() -> None:
    tree = grown([0.0] * 150 + [0.9] * 50)
    root = ElementTree.fromstring(draw_tree(tree, "title"))
    for circle in root.iter(f"{SVG}circle"):
        assert 0 <= float(circle.get("cx", "-1")) <= 1000
        assert 0 <= float(circle.get("cy", "-1")) <= 640


def test_a_deep_tree_is_drawn_without_recursion() -> None:
    nodes = [TreeNode(0, None, "root", 0.0)]
    nodes += [TreeNode(i, i - 1, "edit", 0.5) for i in range(1, 3000)]
    ElementTree.fromstring(draw_tree(build_tree(nodes), "deep"))


@given(st.floats(-1, 2))
def test_every_value_has_a_colour(value: float) -> None:
    assert re.fullmatch("#[0-9a-f]{6}", colour(value))


def test_the_ends_of_the_scale_are_its_anchors() -> None:
    assert colour(0.0) == "#443983"
    assert colour(1.0) == "#e9c42a"
