"""Graphs, grids, trees and linked cells."""

from __future__ import annotations

import random
from typing import Any

from classics.program import program


def _graph(r: random.Random) -> dict[int, list[int]]:
    size = r.randint(1, 6)
    graph: dict[int, list[int]] = {node: [] for node in range(size)}
    for _ in range(r.randint(0, 7)):
        a, b = r.randrange(size), r.randrange(size)
        if b not in graph[a] and a != b:
            graph[a].append(b)
            graph[b].append(a)
    return graph


def _dag(r: random.Random) -> dict[int, list[int]]:
    size = r.randint(1, 6)
    return {a: sorted(b for b in range(a + 1, size) if r.random() < 0.45) for a in range(size)}


def _tree(r: random.Random, depth: int = 3) -> Any:
    if depth == 0 or r.random() < 0.25:
        return None
    return (_tree(r, depth - 1), r.randint(0, 20), _tree(r, depth - 1))


def _grid(r: random.Random) -> list[str]:
    width = r.randint(1, 5)
    return ["".join(r.choice("..#") for _ in range(width)) for _ in range(r.randint(1, 5))]


def _cells(r: random.Random) -> Any:
    cells = None
    for value in sorted(r.randint(0, 6) for _ in range(r.randint(0, 6))):
        cells = [value, cells]
    return cells


PROGRAMS = (
    program(
        """
def components(graph):
    seen = set()
    found = []
    for start in graph:
        if start in seen:
            continue
        group = []
        stack = [start]
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            group.append(node)
            for other in graph[node]:
                stack.append(other)
        found.append(sorted(group))
    return found
""",
        lambda r: (_graph(r),),
        ("missing line", "            seen.add(node)\n", ""),
        ("wrong variable", "graph[node]", "graph[start]"),
        ("missing call", "sorted(group)", "group"),
        ("statement too deep", "        found.append(sorted", "            found.append(sorted"),
    ),
    program(
        """
from collections import deque


def two_colours(graph):
    colour = {}
    for start in graph:
        if start in colour:
            continue
        colour[start] = 0
        queue = deque([start])
        while queue:
            node = queue.popleft()
            for other in graph[node]:
                if other not in colour:
                    colour[other] = 1 - colour[node]
                    queue.append(other)
                elif colour[other] == colour[node]:
                    return False
    return True
""",
        lambda r: (_graph(r),),
        ("missing arithmetic", "1 - colour[node]", "colour[node]"),
        ("wrong comparison", "colour[other] == colour[node]", "colour[other] != colour[node]"),
        ("wrong constant", "return False", "return True"),
    ),
    program(
        """
from collections import deque


def steps_between(graph, start, goal):
    queue = deque([(start, 0)])
    seen = {start}
    while queue:
        node, steps = queue.popleft()
        if node == goal:
            return steps
        for other in graph[node]:
            if other not in seen:
                seen.add(other)
                queue.append((other, steps + 1))
    return None
""",
        lambda r: (lambda g: (g, r.choice(list(g)), r.choice(list(g))))(_graph(r)),
        ("missing arithmetic", "steps + 1", "steps"),
        ("endless loop condition", "while queue:", "while True:"),
        ("wrong variable", "if node == goal", "if start == goal"),
    ),
    program(
        """
def longest_path(graph, start):
    known = {}

    def visit(node):
        if node in known:
            return known[node]
        best = 0
        for other in graph[node]:
            best = max(best, 1 + visit(other))
        known[node] = best
        return best

    return visit(start)
""",
        lambda r: (lambda g: (g, r.choice(list(g))))(_dag(r)),
        ("missing arithmetic", "1 + visit(other)", "visit(other)"),
        ("missing call", "best = max(best, 1 + visit(other))", "best = 1 + visit(other)"),
        ("wrong variable", "return visit(start)", "return known[start]"),
    ),
    program(
        """
def islands(grid):
    land = {(i, j) for i, row in enumerate(grid) for j, cell in enumerate(row) if cell == "#"}

    def sink(i, j):
        if (i, j) not in land:
            return
        land.remove((i, j))
        sink(i + 1, j)
        sink(i - 1, j)
        sink(i, j + 1)
        sink(i, j - 1)

    count = 0
    while land:
        sink(*min(land))
        count += 1
    return count
""",
        lambda r: (_grid(r),),
        ("off by one", "sink(i - 1, j)", "sink(i, j)"),
        ("swapped arguments", "sink(i, j + 1)", "sink(j + 1, i)"),
        ("wrong operator", "count += 1", "count = 1"),
    ),
    program(
        """
def in_order(tree):
    if tree is not None:
        left, value, right = tree
        yield from in_order(left)
        yield value
        yield from in_order(right)
""",
        lambda r: (_tree(r),),
        ("generator", "yield from in_order(right)", "yield in_order(right)"),
        ("wrong variable", "yield from in_order(left)", "yield from in_order(right)"),
        ("missing condition", "tree is not None", "True"),
    ),
    program(
        """
def is_search_tree(tree, low=None, high=None):
    if tree is None:
        return True
    left, value, right = tree
    if low is not None and value <= low:
        return False
    if high is not None and value >= high:
        return False
    return is_search_tree(left, low, value) and is_search_tree(right, value, high)
""",
        lambda r: (_search_tree(r) if r.random() < 0.6 else _tree(r, 2),),
        (
            "wrong variable",
            "is_search_tree(right, value, high)",
            "is_search_tree(right, low, high)",
        ),
        ("wrong comparison", "value <= low", "value < low"),
        ("wrong constant", "        return True", "        return False"),
        ("wrong operator", "value) and is", "value) or is"),
    ),
    program(
        """
def without(cells, value):
    if cells is None:
        return None
    first, rest = cells
    if first == value:
        return without(rest, value)
    return [first, without(rest, value)]
""",
        lambda r: (_cells(r), r.randint(0, 6)),
        ("missing call", "return [first, without(rest, value)]", "return [first, rest]"),
        ("wrong result", "return without(rest, value)\n", "return rest\n"),
        ("missing base case", "    if cells is None:\n        return None\n", ""),
    ),
    program(
        """
def reachable(graph, start, goal):
    seen = set()

    def search(node):
        if node == goal:
            return True
        seen.add(node)
        return any(search(other) for other in graph[node] if other not in seen)

    return search(start)
""",
        lambda r: (lambda g: (g, r.choice(list(g)), r.choice(list(g))))(_graph(r)),
        ("missing line", "        seen.add(node)\n", ""),
        ("wrong call", "any(search", "all(search"),
        ("missing condition", " if other not in seen)", ")"),
    ),
)


def _search_tree(r: random.Random) -> Any:
    tree = None
    for value in r.sample(range(20), r.randint(0, 6)):
        tree = _put(tree, value)
    return tree


def _put(tree: Any, value: int) -> Any:
    if tree is None:
        return (None, value, None)
    left, here, right = tree
    return (_put(left, value), here, right) if value < here else (left, here, _put(right, value))
