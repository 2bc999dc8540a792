"""Plots as SVG text: steps and curves with bands, intervals as dots with whiskers.

They stand alone, follow light and dark, and know nothing of runs. A caption is the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from meritree.view.words import one_line

WIDTH, HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 40
SERIES = 8  # different looks of lines; more are told apart by dashes

STYLE = """
.mt-plot { --ink:#1f2328; --soft:#59636e; --grid:#e4e8ec; font-family:system-ui,sans-serif; }
.mt-plot text { fill:var(--soft); font-size:12px; } .mt-plot .name { fill:var(--ink); }
.mt-plot .grid { stroke:var(--grid); } .mt-plot .line { fill:none; stroke-width:2; }
.mt-plot .band { opacity:.16; stroke:none; } .mt-plot .whisker { stroke-width:2; }
.c0{stroke:#0969da;fill:#0969da} .c1{stroke:#bf5b04;fill:#bf5b04} .c2{stroke:#1a7f37;fill:#1a7f37}
.c3{stroke:#8250df;fill:#8250df} .c4{stroke:#cf222e;fill:#cf222e} .c5{stroke:#0b7d8a;fill:#0b7d8a}
.c6{stroke:#7d6608;fill:#7d6608} .c7{stroke:#59636e;fill:#59636e}
@media (prefers-color-scheme: dark) { .mt-plot { --ink:#e6edf3; --soft:#9198a1; --grid:#2a313c; }
.c0{stroke:#58a6ff;fill:#58a6ff} .c1{stroke:#ffa657;fill:#ffa657} .c2{stroke:#3fb950;fill:#3fb950}
.c3{stroke:#bc8cff;fill:#bc8cff} .c4{stroke:#ff7b72;fill:#ff7b72} .c5{stroke:#39c5cf;fill:#39c5cf}
.c6{stroke:#d4b106;fill:#d4b106} .c7{stroke:#9198a1;fill:#9198a1} }
"""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a plot.

    Attributes:
        name: for the key.
        points: (x, y), x not falling.
        band: (x, low, high) around it, may be empty.
        steps: y holds until the next x.
    """

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Whisker:
    """A mean with its interval; equal ends mean that there is none."""

    name: str
    mean: float
    low: float
    high: float


def plot(
    series: Sequence[Series],
    *,
    title: str,
    x: str,
    y: str,
    top: float | None = None,
    log_x: bool = False,
) -> str:
    """Lines over one axis; ``top`` fixes the end of the y axis, which begins at 0 or below."""
    xs = [px for one in series for px, _ in one.points]
    ys = [py for one in series for _, py in one.points]
    ys += [v for one in series for _, *pair in one.band for v in pair]
    if not xs:
        return ""
    frame = _Frame(
        min(xs), max(xs), min(0.0, *ys), max(ys) if top is None else max(top, *ys), log_x
    )
    parts = [_open(title, HEIGHT + 18 * math.ceil(len(series) / 3) if series[1:] else HEIGHT)]
    parts += frame.axes(x, y)
    for number, one in enumerate(series):
        look = f"c{number % SERIES}"
        dash = ' stroke-dasharray="6 4"' if number // SERIES % 2 else ""
        if one.band:
            there = [frame.at(px, high) for px, _, high in one.band]
            back = [frame.at(px, low) for px, low, _ in reversed(one.band)]
            parts.append(f'<path class="band {look}" d="M{_joined([*there, *back])}Z"/>')
        points = list(_stepped(one.points)) if one.steps else one.points
        line = _joined([frame.at(*point) for point in points])
        parts.append(f'<path class="line {look}" style="fill:none"{dash} d="M{line}"/>')
    if series[1:]:
        parts += _key(series)
    return "".join([*parts, "</svg>"])


def whiskers(rows: Sequence[Whisker], *, title: str, x: str) -> str:
    """A dot a row with its interval."""
    if not rows:
        return ""
    low, high = min(0.0, *(r.low for r in rows)), max(0.0, *(r.high for r in rows))
    height = 30 + 24 * len(rows) + _BOTTOM
    left = 20 + 7 * min(40, max(len(row.name) for row in rows))
    frame = _Frame(low, high, 0, 1, left=left, height=height)
    parts = [_open(title, height), *frame.axes(x, "")]
    for number, row in enumerate(rows):
        y = 30 + 24 * number
        a, b, m = (frame.at(v, 0)[0] for v in (row.low, row.high, row.mean))
        parts.append(
            f'<text class="name" x="{left - 10}" y="{y + 4}" text-anchor="end">'
            f"{escape(one_line(row.name, 40))}</text>"
            f'<path class="whisker c0" d="M{a:.1f} {y}H{b:.1f}"/>'
            f'<circle class="c0" cx="{m:.1f}" cy="{y}" r="4.5"><title>{row.mean:.4g} '
            f"[{row.low:.4g}, {row.high:.4g}]</title></circle>"
        )
    return "".join([*parts, "</svg>"])


class _Frame:
    """From data to pixels."""

    def __init__(
        self,
        x0: float,
        x1: float,
        y0: float,
        y1: float,
        log_x: bool = False,
        left: int = _LEFT,
        height: int = HEIGHT,
    ) -> None:
        self.log = log_x and x0 > 0
        self.x0, self.x1 = x0, x1 if x1 > x0 else x0 + 1
        self.y0, self.y1 = y0, y1 if y1 > y0 else y0 + 1
        self.left, self.height = left, height

    def at(self, x: float, y: float) -> tuple[float, float]:
        a, b, v = (
            (math.log(self.x0), math.log(self.x1), math.log(x))
            if self.log
            else (self.x0, self.x1, x)
        )
        across = (v - a) / (b - a)
        up = (y - self.y0) / (self.y1 - self.y0)
        return (
            self.left + across * (WIDTH - self.left - _RIGHT),
            self.height - _BOTTOM - up * (self.height - _TOP - _BOTTOM),
        )

    def axes(self, x: str, y: str) -> Iterator[str]:
        bottom = self.height - _BOTTOM
        for value in _ticks(self.y0, self.y1) if y else ():
            place = self.at(self.x0, value)[1]
            yield f'<path class="grid" d="M{self.left} {place:.1f}H{WIDTH - _RIGHT}"/>'
            yield (
                f'<text x="{self.left - 6}" y="{place + 4:.1f}" text-anchor="end">{value:g}</text>'
            )
        marks = _powers(self.x0, self.x1) if self.log else _ticks(self.x0, self.x1)
        for value in marks:
            place = self.at(value, self.y0)[0]
            yield f'<path class="grid" d="M{place:.1f} {_TOP}V{bottom}"/>'
            yield f'<text x="{place:.1f}" y="{bottom + 16}" text-anchor="middle">{value:g}</text>'
        yield (
            f'<text x="{(self.left + WIDTH - _RIGHT) / 2:.0f}" y="{bottom + 33}" '
            f'text-anchor="middle">{escape(one_line(x, 90))}</text>'
        )
        if y:
            yield (
                f'<text transform="translate(13 {(_TOP + bottom) / 2:.0f}) rotate(-90)" '
                f'text-anchor="middle">{escape(one_line(y, 60))}</text>'
            )


def _open(title: str, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'class="mt-plot" role="img" aria-label="{escape(one_line(title, 200))}">'
        f"<style>{STYLE}</style>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers in the range."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next((m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= 6), 10)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [round(step * (first + i), 12) for i in range(count)]


def _powers(low: float, high: float) -> list[float]:
    marks = [m * 10.0**e for e in range(-3, 9) for m in (1, 2, 5)]
    inside = [mark for mark in marks if low <= mark <= high]
    return inside if len(inside) <= 9 else [m for m in inside if math.log10(m) % 1 < 1e-9]


def _stepped(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    before: float | None = None
    for x, y in points:
        if before is not None and before != y:
            yield x, before
        yield x, y
        before = y


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _key(series: Sequence[Series]) -> Iterator[str]:
    for number, one in enumerate(series):
        column, row = number % 3, number // 3
        x, y = _LEFT + column * 230, HEIGHT + 4 + 18 * row
        dash = ' stroke-dasharray="6 4"' if number // SERIES % 2 else ""
        yield f'<path class="line c{number % SERIES}"{dash} d="M{x} {y}h18"/>'
        yield f'<text class="name" x="{x + 24}" y="{y + 4}">{escape(one_line(one.name, 30))}</text>'
