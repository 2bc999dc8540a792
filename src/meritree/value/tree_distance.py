"""How differently two judges would steer one search: STARC distance on the tree itself.

Plain Python over parents and values, exact, linear in the number of nodes; knows no engine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from meritree.errors import BadInput

_TOLERANCE = 1e-12


def tree_advantages(
    parents: Sequence[int | None], values: Sequence[float], discount: float = 1.0
) -> tuple[list[float], list[float]]:
    """Advantages of stopping at a node and of moving to it, under the uniform policy.

    The tree as a decision process: at a node one may stop, which pays the node's value, or move
    to a child, which pays nothing. ``U(n) = (v(n) + gamma sum U(child)) / (1 + children)`` is
    the uniform policy's value.

    Args:
        parents: [n] index of each node's parent, None for the root; parents come first.
        values: [n] the judge's value of stopping at each node.
        discount: gamma in (0, 1].

    Returns:
        [n] advantage of stopping at each node, [n] advantage of moving to it from its parent
        (0 for the root).

    Raises:
        BadInput: lengths that differ, a parent that does not come first, values not finite.
    """
    _check(parents, values, discount)
    below = [0.0] * len(values)
    children = [0] * len(values)
    worth = [0.0] * len(values)
    for node in range(len(values) - 1, -1, -1):
        worth[node] = (values[node] + discount * below[node]) / (1 + children[node])
        parent = parents[node]
        if parent is not None:
            below[parent] += worth[node]
            children[parent] += 1
    stop = [value - own for value, own in zip(values, worth, strict=True)]
    move = [
        0.0 if parent is None else discount * own - worth[parent]
        for parent, own in zip(parents, worth, strict=True)
    ]
    return stop, move


def tree_distance(
    parents: Sequence[int | None],
    one: Sequence[float],
    other: Sequence[float],
    discount: float = 1.0,
) -> float:
    """STARC distance of two judges on a tree, in [0, 1].

    Half the L2 norm of the difference of the standardised advantages (`tree_advantages`), which
    are the value canonical form of this deterministic process. 0: both order all ways through
    the tree alike; 1: one wants the opposite of the other; a judge that says the same of every
    node is trivial and stands at 1/2 from any that does not.

    Raises:
        BadInput: as `tree_advantages`.

    Source: Skalse et al. (2024), "STARC", arXiv 2309.15257; see `comparison.starc_distance`.
    """
    first, second = (_standard(parents, values, discount) for values in (one, other))
    return math.dist(first, second) / 2.0


def _standard(
    parents: Sequence[int | None], values: Sequence[float], discount: float
) -> list[float]:
    stop, move = tree_advantages(parents, values, discount)
    table = [*stop, *move]
    size = math.hypot(*table)
    return [0.0] * len(table) if size <= _TOLERANCE else [entry / size for entry in table]


def _check(parents: Sequence[int | None], values: Sequence[float], discount: float) -> None:
    if len(parents) != len(values):
        raise BadInput(f"{len(parents)} parents, {len(values)} values: give one of each a node")
    if not values:
        raise BadInput("a tree without nodes has no distances")
    if not 0.0 < discount <= 1.0:
        raise BadInput(f"discount = {discount}: must lie in (0, 1]")
    for node, parent in enumerate(parents):
        if (parent is None) != (node == 0) or (parent is not None and not 0 <= parent < node):
            raise BadInput(f"parents[{node}] = {parent}: the root comes first, parents before")
    for node, value in enumerate(values):
        if not math.isfinite(value):
            raise BadInput(f"values[{node}] = {value}: must be finite")
