"""The picture of a search tree: an SVG that stands alone, in light and dark.

The root is the centre and each ring is one edit further; size shows visits, colour shows value,
a ring around a node marks a patch that passes. Knows nothing of files or reports.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from html import escape

from meritree.view.tree import SearchTreeView, TreeNode
from meritree.view.words import one_line

MAX_NODES = 400
WIDTH, HEIGHT = 1000, 640
_CENTRE = (330.0, 320.0)
_RADIUS = 285.0  # of the outermost ring
_LEGEND_X = 665
_TEXT_WIDTH = 38  # characters of a line of the legend

STYLE = """
.mt-svg { --ink:#1f2328; --soft:#6e7781; --edge:#c4ccd4; --ring:#e4e8ec; --best:#bf5b04;
  --page:#ffffff; --good:#1a7f37; font-family:system-ui,sans-serif; }
@media (prefers-color-scheme: dark) { .mt-svg { --ink:#e6edf3; --soft:#8d96a0; --edge:#3d444d;
  --ring:#262c36; --best:#ffa657; --page:#0d1117; --good:#3fb950; } }
.mt-svg text { fill:var(--ink); font-size:13px; } .mt-svg .soft { fill:var(--soft); }
.mt-svg .page { fill:var(--page); } .mt-svg .level { fill:none; stroke:var(--ring); }
.mt-svg .edge { fill:none; stroke:var(--edge); stroke-width:1; }
.mt-svg .best { stroke:var(--best); stroke-width:3; }
.mt-svg .passed { fill:none; stroke:var(--good); stroke-width:2.5; }
.mt-svg .step { fill:var(--page); stroke:var(--best); stroke-width:2; }
"""

# Anchors of the colour scale, from value 0 to value 1 (dark blue, teal, green, yellow).
_SCALE = ((68, 57, 131), (49, 104, 142), (33, 145, 140), (53, 183, 121), (233, 196, 42))


def colour(value: float) -> str:
    """The colour of a value in [0, 1], interpolated on a scale safe for colour-blind eyes."""
    place = min(max(value, 0.0), 1.0) * (len(_SCALE) - 1)
    low = min(int(place), len(_SCALE) - 2)
    part = place - low
    mixed = (round(a + (b - a) * part) for a, b in zip(_SCALE[low], _SCALE[low + 1], strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def draw_tree(tree: SearchTreeView, title: str) -> str:
    """Return the tree as one SVG element with a legend of the best line."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" class="mt-svg" '
        f'role="img" aria-label="{escape(one_line(title))}">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
    ]
    if tree.root is not None:
        places = _layout(tree)
        parts += _levels(tree)
        parts += _edges(tree, places)
        parts += [_dot(tree.nodes[key], places[key]) for key in tree.nodes]
        parts += _steps(tree, places)
    parts += _legend(tree, title)
    parts.append("</svg>")
    return "\n".join(parts)


Places = Mapping[int, tuple[float, float]]  # id -> (angle in radians, radius in pixels)


def _layout(tree: SearchTreeView) -> Places:
    """Angles in proportion to the leaves below; the radius grows with the depth."""
    leaves: dict[int, int] = {}
    for key in sorted(tree.nodes, reverse=True):
        leaves[key] = sum(leaves[child] for child in tree.children.get(key, ())) or 1
    depth = {tree.best[0]: 0}
    start = {tree.best[0]: -math.pi / 2}
    angle = {tree.best[0]: 0.0}
    total = leaves[tree.best[0]]
    for key in sorted(tree.nodes):
        cursor = start[key]
        for child in tree.children.get(key, ()):
            share = 2 * math.pi * leaves[child] / total
            depth[child], start[child], angle[child] = depth[key] + 1, cursor, cursor + share / 2
            cursor += share
    deepest = max(depth.values()) or 1
    # Dots of a crowded ring take turns on two radii, so that they do not cover each other.
    shift = 13 if total > 90 else 0
    return {
        key: (angle[key], _ring(level, deepest) - (shift if key % 2 and level else 0))
        for key, level in depth.items()
    }


def _ring(level: int, deepest: int) -> float:
    """Radius of a ring: inner ones get more room, where the search is widest."""
    return float(_RADIUS * (level / deepest) ** 0.8)


def _xy(place: tuple[float, float]) -> tuple[float, float]:
    angle, radius = place
    return _CENTRE[0] + radius * math.cos(angle), _CENTRE[1] + radius * math.sin(angle)


def _levels(tree: SearchTreeView) -> Iterator[str]:
    depth: dict[int, int] = {tree.best[0]: 0}
    for key in sorted(tree.nodes):
        for child in tree.children.get(key, ()):
            depth[child] = depth[key] + 1
    deepest = max(depth.values())
    for level in range(1, deepest + 1 if deepest <= 30 else 0):
        radius = _ring(level, deepest)
        yield f'<circle class="level" cx="{_CENTRE[0]:g}" cy="{_CENTRE[1]:g}" r="{radius:.1f}"/>'


def _edges(tree: SearchTreeView, places: Places) -> Iterator[str]:
    best = set(zip(tree.best, tree.best[1:], strict=False))
    pairs = [(parent, child) for parent, ids in tree.children.items() for child in ids]
    for parent, child in sorted(pairs, key=lambda pair: pair in best):  # the best line on top
        (a0, r0), (a1, r1) = places[parent], places[child]
        middle = (r0 + r1) / 2
        points = [_xy(place) for place in ((a0, r0), (a0, middle), (a1, middle), (a1, r1))]
        if r0 == 0:  # from the centre straight outwards
            points[1] = _xy((a1, middle))
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = points
        style = "edge best" if (parent, child) in best else "edge"
        yield (
            f'<path class="{style}" d="M{x0:.1f} {y0:.1f}C{x1:.1f} {y1:.1f} {x2:.1f} {y2:.1f} '
            f'{x3:.1f} {y3:.1f}"/>'
        )


def _dot(node: TreeNode, place: tuple[float, float]) -> str:
    x, y = _xy(place)
    size = 3.2 + 1.7 * math.log(node.visits)
    text = f"{one_line(node.label, 200)} (value {node.value:.2f}, visits {node.visits})"
    dot = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" fill="{colour(node.value)}">'
        f"<title>{escape(text)}</title></circle>"
    )
    if node.kind in ("passed", "verified"):
        dot += f'<circle class="passed" cx="{x:.1f}" cy="{y:.1f}" r="{size + 4:.1f}"/>'
    return dot


def _steps(tree: SearchTreeView, places: Places) -> Iterator[str]:
    for number, key in enumerate(tree.best[1:], start=1):
        x, y = _xy(places[key])
        angle = places[key][0]
        x, y = x + 20 * math.cos(angle + 0.6), y + 20 * math.sin(angle + 0.6)
        yield _badge(number, x, y)


def _badge(number: int, x: float, y: float) -> str:
    return (
        f'<circle class="step" cx="{x:.1f}" cy="{y:.1f}" r="10"/>'
        f'<text x="{x:.1f}" y="{y + 4.5:.1f}" text-anchor="middle" '
        f'style="font-size:12px;font-weight:600">{number}</text>'
    )


def _legend(tree: SearchTreeView, title: str) -> Iterator[str]:
    y = 60
    for line in _wrap(title, 34):
        yield _text(line, y, style="font-weight:600;font-size:16px")
        y += 22
    y += 14
    shown = 0
    for number, key in enumerate(tree.best[1:], start=1):
        if y > HEIGHT - 200:
            break
        shown = number
        node = tree.nodes[key]
        yield _badge(number, _LEGEND_X + 10, y - 5)
        for line in _wrap(node.label, _TEXT_WIDTH)[:3]:
            yield _text(line, y, indent=30)
            y += 19
        words = {"passed": ": all target tests pass", "verified": ": verified"}
        yield _text(
            f"value {node.value:.2f}{words.get(node.kind, '')}", y, indent=30, style_class="soft"
        )
        y += 32
    if len(tree.best) - 1 > shown:
        left = len(tree.best) - 1 - shown
        yield _text(f"and {left} more", y, indent=30, style_class="soft")
    yield from _scale()
    note = f"{len(tree.nodes) + tree.left_out} nodes; larger: visited more often"
    if tree.left_out:
        note = f"{len(tree.nodes)} most visited of {len(tree.nodes) + tree.left_out} nodes"
    yield _text(note, HEIGHT - 28, style_class="soft")


def _scale() -> Iterator[str]:
    y = HEIGHT - 84
    yield _text("value", y - 6, style_class="soft")
    for step in range(20):
        yield (
            f'<rect x="{_LEGEND_X + step * 12}" y="{y}" width="12" height="10" '
            f'fill="{colour(step / 19)}"/>'
        )
    yield _text("0", y + 26, style_class="soft")
    yield _text("1", y + 26, indent=232, style_class="soft")


def _text(text: str, y: float, indent: int = 0, style: str = "", style_class: str = "") -> str:
    return (
        f'<text x="{_LEGEND_X + indent}" y="{y:g}" class="{style_class}" style="{style}">'
        f"{escape(text)}</text>"
    )


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(one_line(text, 160), width) or [""]
