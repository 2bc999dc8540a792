"""Colours of patches and plots: harmless, complete, readable."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html import unescape
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.errors import BadInput
from meritree.view.curves import learning_curves
from meritree.view.html import difference
from meritree.view.plots import Series, Whisker, plot, whiskers
from meritree.view.syntax import coloured_lines

PATCH = '''--- a/a.py
+++ b/a.py
@@ -1,4 +1,4 @@
 """A text
-of several lines.  return 1
+of several lines; return 2
 """
 def f(): return "<b>"
'''


def test_a_text_over_several_lines_keeps_its_colour_on_both_sides() -> None:
    lines = coloured_lines(PATCH)
    assert [kind for n in (3, 4, 5, 6) for kind, _ in lines[n]] == ["s"] * 4
    assert ("k", "def") in lines[7]


def test_a_removed_line_that_looks_like_a_head_is_part_of_its_hunk() -> None:
    patch = "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1 @@\n--- x\n y = 1\n"
    assert set(coloured_lines(patch)) == {3, 4}


@given(st.lists(st.sampled_from([*PATCH.splitlines(), "", "\\", "@@", "+</pre>"])))
def test_whatever_a_patch_is_like_its_text_is_shown_unchanged(lines: list[str]) -> None:
    patch = "\n".join(lines)
    shown = re.sub(r"</?(?:b|pre)\b[^>]*>", "", difference(patch, "x"))
    rows = [unescape(row) for row in re.findall(r'<span class="\w*">(.*?)</span>', shown)]
    assert rows == [line or " " for line in patch.splitlines()]


def test_a_file_of_an_unknown_kind_stays_plain() -> None:
    assert coloured_lines(PATCH.replace("a.py", "a.unknown")) == {}


numbers = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20), st.text(max_size=10))
def test_a_plot_is_well_formed_whatever_its_numbers_and_names_are(
    points: list[tuple[float, float]], name: str
) -> None:
    band = [(x, y - 1, y + 1) for x, y in sorted(points)]
    lines = [Series(name, sorted(points), band), Series(f"</svg><script>{name}", points[:1])]
    root = ElementTree.fromstring(plot(lines, title=name, x=name, y=name))
    assert "script" not in {one.tag.split("}")[1] for one in root.iter()}
    whole = whiskers([Whisker(name, y, y - 1, y + 1) for _, y in points], title=name, x=name)
    assert len(
        [c for c in ElementTree.fromstring(whole).iter() if c.tag.endswith("circle")]
    ) == len(points)


def test_steps_hold_their_value_until_the_next_one() -> None:
    svg = plot([Series("x", [(0, 0), (10, 1)], steps=True)], title="", x="", y="y")
    d = re.search(r'class="line c0"[^>]* d="M([^"]+)"', svg)
    assert d is not None
    corners = [tuple(map(float, one.split())) for one in d[1].split("L")]
    assert len(corners) == 3
    assert corners[0][1] == corners[1][1]
    assert corners[1][0] == corners[2][0]


class Point(NamedTuple):
    step: int
    name: str
    value: float


def test_curves_show_the_runs_that_measured_and_name_what_there_is() -> None:
    losses = [Point(10, "loss", 0.7), Point(20, "loss", 0.5), Point(20, "accuracy", 1.0)]
    svg = learning_curves({"DPO": losses, "IPO": losses[:2], "empty": []}, "loss")
    root = ElementTree.fromstring(svg)
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"DPO", "IPO", "loss", "step"} <= set(texts)
    assert "empty" not in texts
    with pytest.raises(BadInput, match="no run measured 'reward'; there are accuracy, loss"):
        learning_curves({"DPO": losses}, "reward")
