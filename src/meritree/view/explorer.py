"""The interactive search tree of a page: its controls, its data, its caption.

Shared by the report and the live viewer; without JavaScript a still picture and a list remain.
"""

from __future__ import annotations

from collections.abc import Iterator

from meritree.search.strategies import STRATEGIES
from meritree.view.columns import columns, embed
from meritree.view.drawing import MAX_NODES, colour, draw_tree
from meritree.view.html import figure, text
from meritree.view.plots import Series, plot
from meritree.view.run_log import RunLog
from meritree.view.scores import all_terms
from meritree.view.tree import SearchTreeView, most_visited
from meritree.view.words import one_line

_CLOSE = -1  # on the stack of `_nested`: the open element ends here
_KEYS = (
    "Keys in the picture: arrows go to parent, child and neighbours, Home and End to the root and "
    "the best node, + and - zoom, Shift with an arrow moves the picture, 0 shows all of it, "
    "c collapses, / searches and Enter goes on to the next match. A click selects, a double click "
    "collapses, the wheel zooms while the picture has the focus."
)


def explorer(
    tree: SearchTreeView, log: RunLog | None, title: str, *, live: bool = False
) -> Iterator[str]:
    """The tree as a picture to explore, the same tree as a still picture and as a list."""
    terms = None
    if log is not None and not live and log.strategy in STRATEGIES:
        terms = all_terms(log.told.search(log.strategy, _seed(log)))
    data = columns(tree, differences=log.differences if log else None, terms=terms)
    yield _CONTROLS
    yield f'<script type="application/json" id="tree-data">{embed(data)}</script>'
    shown = most_visited(tree, MAX_NODES)
    if shown.root is not None:
        note = (
            "Each dot is a state, each ring one action further from the start; the more visits "
            "the larger, the higher its value the brighter."
        )
        if shown.left_out:
            note += f" Shown are the {len(shown.nodes)} most visited."
        yield figure(draw_tree(shown, title), note, kind="still")
        yield '<details class="section"><summary>The same tree as a list</summary>'
        yield from _nested(shown)
        yield "</details>"


def tree_caption(nodes: int, repeats: int) -> str:
    """What the picture shows, in words."""
    return (
        f"{nodes} nodes; {repeats} proposals led to a state that was known already. Each dot is a "
        "state, each ring one action further from the start. Size: visits. Colour: value. Shape: "
        "discs are edits, diamonds pass the tests, stars are verified; other kinds of action have "
        "other outlines."
    )


def progress_plot(tree: SearchTreeView, log: RunLog | None) -> str:
    """Best value and solved candidates against evaluations, as HTML; empty without a search."""
    if len(tree.nodes) < 2:
        return ""
    last = max(log.evaluations if log else 0, *(node.at for node in tree.nodes.values()))
    best, solved = (
        progress_series(tree, "best value", last), solved_series(tree, "solved", last)
    )  # fmt: skip
    x = "candidate evaluations"
    what = f"one run, {last} evaluations" + (f", strategy {log.strategy}" if log else "")
    return figure(
        plot([best], title="best value against evaluations", x=x, y="best value", top=1.0)
        + plot([solved], title="solved candidates", x=x, y="candidates", top=1.0),
        f"Above: the highest value of any state found so far. Below: candidates that pass the "
        f"tests. Measured on {what}.",
    )


def progress_series(tree: SearchTreeView, name: str, last: int = 0) -> Series:
    """The highest value so far against evaluations, up to the ``last`` one."""
    points: list[tuple[float, float]] = []
    top = -1.0
    for node in sorted(tree.nodes.values(), key=lambda node: (node.at, node.id)):
        if node.value > top:
            top = node.value
            points.append((node.at, top))
    points = points or [(0, 0.0)]
    return Series(name, [*points, (max(last, points[-1][0]), points[-1][1])], steps=True)


def solved_series(tree: SearchTreeView, name: str, last: int = 0) -> Series:
    """Candidates that pass the tests, counted, against evaluations up to the ``last`` one."""
    points: list[tuple[float, float]] = [(0, 0.0)]
    for node in sorted(tree.nodes.values(), key=lambda node: (node.at, node.id)):
        if node.kind in ("passed", "verified"):
            points.append((node.at, points[-1][1] + 1))
    return Series(name, [*points, (max(last, points[-1][0]), points[-1][1])], steps=True)


def _seed(log: RunLog) -> int:
    seed = log.options.get("seed", 0)
    return seed if isinstance(seed, int) else 0


def _nested(tree: SearchTreeView) -> Iterator[str]:
    """The tree as nested <details>, with an explicit stack: depth is not bounded."""
    stack = [tree.best[0]]
    best = set(tree.best)
    while stack:
        key = stack.pop()
        if key == _CLOSE:
            yield "</details>"
            continue
        node = tree.nodes[key]
        label = (
            f'<span class="dot" style="background:{colour(node.value)}"></span>'
            f"{text(one_line(node.label, 400) or 'the start')} "
            f'<span class="soft">value {node.value:.2f}, visits {node.visits}'
            f"{', ' + node.kind if node.kind in ('passed', 'verified') else ''}</span>"
        )
        mark = "best" if key in best else ""
        children = tree.children.get(key, ())
        if not children:
            yield f'<p class="leaf {mark}">{label}</p>'
            continue
        yield f'<details class="{mark}"{" open" if mark else ""}><summary>{label}</summary>'
        stack.append(_CLOSE)
        stack += sorted(children, key=lambda child: (tree.nodes[child].value, -child))


_CONTROLS = f"""<div id="explorer" hidden>
<div class="bar">
<label class="wide">search labels, observations, changes
<input id="find" type="search" autocomplete="off" spellcheck="false"></label>
<label>action <select id="action"><option value="">all</option></select></label>
<label>kind <select id="kind"><option value="">all</option></select></label>
<label>value at least <input id="least" type="number" min="0" max="1" step="0.05" value="0"></label>
<span id="counted" role="status"></span>
</div>
<div class="bar">
<label class="wide">replay step by step
<input id="slider" type="range" min="0" max="0" value="0"></label>
<output id="when" for="slider"></output><button type="button" id="play">Replay</button>
<button type="button" id="closer" aria-label="zoom in">+</button>
<button type="button" id="wider" aria-label="zoom out">-</button>
<button type="button" id="whole">Whole tree</button>
<button type="button" id="to-best">Best node</button>
<button type="button" id="fold">Collapse</button>
<button type="button" id="unfold">Expand all</button>
</div>
<div class="stage">
<div class="picture"><canvas id="tree" tabindex="0" role="application" aria-describedby="keys"
aria-label="the search tree; the selected node is described beside it"></canvas>
<div id="hint" hidden></div></div>
<section id="detail" tabindex="0" aria-live="polite" aria-label="the selected node"></section>
</div>
<p class="legend">value 0 <span class="scale"></span> 1. <span id="keys">{_KEYS}</span></p>
</div>"""
