"""Draw the picture of docs/concepts.md: from a state to a decision. python docs/draw_concepts.py"""

from __future__ import annotations

from html import escape
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
WIDTH, HEIGHT = 760, 430
# One line per box: left, top, width, height, title, further lines.
BOXES = (
    (20, 30, 150, 62, "state", "what is judged"),
    (20, 180, 150, 76, "policy", "proposes actions,", "most probable first"),
    (20, 344, 150, 62, "action", "what changes a state"),
    (270, 30, 150, 50, "judge", "the tests"),
    (270, 92, 150, 50, "judge", "a critic network"),
    (270, 154, 150, 50, "judge", "a language model"),
    (520, 82, 220, 70, "estimates", "mean, spread, named channels,", "reasons, cost"),
    (520, 196, 220, 62, "hybrid value", "one estimate made of several"),
    (520, 344, 220, 62, "decision", "the best state, checked again"),
)
ARROWS = (
    ((170, 55), (270, 55)),
    ((170, 61), (270, 117)),
    ((170, 67), (270, 179)),
    ((420, 55), (520, 100)),
    ((420, 117), (520, 117)),
    ((420, 179), (520, 134)),
    ((630, 152), (630, 196)),
    ((95, 92), (95, 180)),
    ((95, 256), (95, 344)),
    ((170, 375), (262, 375)),
    ((520, 240), (440, 300)),
    ((440, 375), (520, 375)),
)
# The search tree: centres, and the parent of each.
TREE = ((350, 278), (310, 328), (390, 328), (286, 378), (334, 378), (374, 378), (414, 378))
PARENTS = (None, 0, 0, 1, 1, 2, 2)
BEST = (0, 2, 6)
STYLE = """
svg{--page:#ffffff;--ink:#1f2933;--soft:#5f6b76;--line:#8492a0;--fill:#f4f7f9;--mark:#00796b}
@media (prefers-color-scheme:dark){
svg{--page:#161c22;--ink:#e6ebf0;--soft:#a9b4bf;--line:#8492a0;--fill:#263038;--mark:#4db6ac}}
rect{fill:var(--fill);stroke:var(--line)}
.page{fill:var(--page);stroke:none}
text{fill:var(--ink);font:14px sans-serif;text-anchor:middle}
.soft{fill:var(--soft);font-size:12px}
path{stroke:var(--line);fill:none;marker-end:url(#tip)}
.tip{fill:var(--line);stroke:none;marker-end:none}
line{stroke:var(--line)}
circle{fill:var(--fill);stroke:var(--line)}
.best{stroke:var(--mark);stroke-width:3}
"""


def picture() -> str:
    """The whole SVG, readable on light and on dark pages."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-labelledby="title">',
        '<title id="title">Judges look at a state and say estimates; a hybrid value joins them; '
        "a search tree asks the policy where the value is promising; the decision is "
        "checked.</title>",
        f"<style>{STYLE}</style>",
        # A page of its own: readers may choose light or dark apart from their system.
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    parts += [f'<path d="M{a} {b}L{c} {d}"/>' for (a, b), (c, d) in ARROWS]
    for left, top, width, height, title, *lines in BOXES:
        middle = left + width / 2
        parts.append(f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="8"/>')
        parts.append(f'<text x="{middle:g}" y="{top + 21}">{escape(title)}</text>')
        for number, line in enumerate(lines):
            y = top + 39 + 16 * number
            parts.append(f'<text class="soft" x="{middle:g}" y="{y}">{escape(line)}</text>')
    parts += _tree()
    return "\n".join([*parts, "</svg>"]) + "\n"


def _tree() -> list[str]:
    edges, nodes = [], []
    for number, ((x, y), parent) in enumerate(zip(TREE, PARENTS, strict=True)):
        best = ' class="best"' if number in BEST else ""
        if parent is not None:
            a, b = TREE[parent]
            edges.append(f'<line x1="{a}" y1="{b}" x2="{x}" y2="{y}"{best}/>')
        nodes.append(f'<circle cx="{x}" cy="{y}" r="9"{best}/>')
    label = '<text x="350" y="418">search tree: each node is a state</text>'
    return [*edges, *nodes, label]


if __name__ == "__main__":
    (ASSETS / "concepts.svg").write_text(picture(), "utf-8")
