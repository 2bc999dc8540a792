"""What the rows of `swe_search` say: paired comparisons over tasks and seeds, and the picture.

Knows names of systems, metrics and data; measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from meritree.stats import Interval, crossed_bootstrap
from meritree.studies.checks import FEWEST, Outcome, decide, show
from meritree.studies.rows import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOLVED, TESTS, TOKENS = "solved %", "test runs (PAR2)", "k tokens (PAR2)"
REPAIR, MODEL = "repair policy", "model"
ONE, SEVERAL = "one edit", "several edits"
BARELY = "one edit, one test shown"
CHOOSING = "k tokens of the choice"
OPEN = "right and wrong ones pass, %"  # searches where choosing among passing patches matters
BASE = "best-first"  # whose parts are taken away, and whose value is made worse
GUARDED_PRIOR = "guarded, order of prior"
RANKED, DEBATED = f"{BASE}, then the ranking", f"{BASE}, then a debate"
MARGIN = 5.0  # percentage points: what "not worse" may hide
Compared = Callable[[Rows], tuple[Outcome, str, Interval | None]]


def debated_by(quality: float) -> str:
    """The system in which so many local debaters know the right patch."""
    return f"{DEBATED} ({100 * quality:g} % know)"


def difference(
    rows: Rows, system: str, than: str, data: str, of: Callable[[Rows], Mapping[Any, float]]
) -> Interval:
    """Mean of ``system - than`` over tasks and seeds, both drawn anew (crossed bootstrap)."""
    first, second = (
        of(rows.where(system=one, dataset=data, metric=None)) for one in (system, than)
    )
    return _over(first, second)


def solved(rows: Rows) -> dict[tuple[int, str], float]:
    """100 or 0 by seed and task, at the whole budget."""
    return {(row.seed, row.unit): row.value for row in rows if row.metric == SOLVED}


def solved_within(thousand: float) -> Callable[[Rows], dict[tuple[int, str], float]]:
    """100 or 0 by seed and task, at so many thousand tokens."""

    def within(rows: Rows) -> dict[tuple[int, str], float]:
        return {
            (row.seed, row.unit): 100.0 * (row.value <= thousand)
            for row in rows
            if row.metric == TOKENS
        }

    return within


def _told(interval: Interval, system: str, than: str, what: str) -> str:
    return f"{what}: {system} - {than} = {show(interval)} percentage points, {interval.n} tasks"


def better(system: str, than: str, data: str, of: Any = solved, what: str = "solved") -> Compared:
    """``system`` solves more than ``than``: the whole interval lies above 0."""

    def check(rows: Rows) -> tuple[Outcome, str, Interval | None]:
        interval = difference(rows, system, than, data, of)
        text = _told(interval, system, than, what)
        if interval.n < FEWEST:
            return "inconclusive", text, interval
        if interval.low > 0.0:
            return "holds", text, interval
        return "does not hold" if interval.high <= 0.0 else "inconclusive", text, interval

    return check


def never_worse(system: str, than: str, data: tuple[str, ...]) -> Compared:
    """On none of the data ``system`` solves fewer by more than `MARGIN` points."""

    def check(rows: Rows) -> tuple[Outcome, str, Interval | None]:
        found = {one: difference(rows, system, than, one, solved) for one in data}
        outcomes = {one: decide(interval, low=-MARGIN) for one, interval in found.items()}
        text = "; ".join(f"{one}: {show(interval)}" for one, interval in found.items())
        text = f"{system} - {than}, allowed {-MARGIN:g} points: {text}"
        worst = min(found, key=lambda one: found[one].low)
        if min(interval.n for interval in found.values()) < FEWEST:
            return "inconclusive", text, found[worst]
        for outcome in ("does not hold", "inconclusive"):
            if outcome in outcomes.values():
                return outcome, text, found[worst]
        return "holds", text, found[worst]

    return check


def falls_back(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """Guarded with the noisiest value solves no fewer, by more than `MARGIN`, than its chains."""
    data = f"{REPAIR}, {SEVERAL}"
    worst = _noisiest(rows)
    first = solved(rows.where(system=GUARDED_PRIOR, dataset=worst))
    interval = _over(first, solved(rows.where(system="order of prior", dataset=data)))
    text = f"{worst.removeprefix(data)[2:]}: {GUARDED_PRIOR} - order of prior = {show(interval)}"
    if interval.n < FEWEST:
        return "inconclusive", text, interval
    return decide(interval, low=-MARGIN), text, interval


def _noisiest(rows: Rows) -> str:
    noisy = [one for one in rows.datasets if one.startswith(f"{REPAIR}, {SEVERAL}, noise")]
    return max(noisy, key=lambda one: float(one.rpartition(" ")[2]))


def _over(first: Mapping[Any, float], second: Mapping[Any, float]) -> Interval:
    """Interval of first - second over tasks and seeds."""
    seeds, tasks = sorted({key[0] for key in first}), sorted({key[1] for key in first})
    table = [[first[seed, task] - second[seed, task] for seed in seeds] for task in tasks]
    return crossed_bootstrap(table, resamples=2000)


def quality_pays(rows: Rows) -> tuple[Outcome, str, Interval | None]:
    """Best-first with the plain value solves more than with the noisiest."""
    data = f"{REPAIR}, {SEVERAL}"
    worst = _noisiest(rows)
    other = solved(rows.where(system=BASE, dataset=worst))
    interval = _over(solved(rows.where(system=BASE, dataset=data)), other)
    text = f"solved with the plain value minus with {worst.removeprefix(data)[2:]}: "
    text += f"{show(interval)} percentage points, {interval.n} tasks"
    if interval.n < FEWEST:
        return "inconclusive", text, interval
    outcome: Outcome = "holds" if interval.low > 0.0 else "inconclusive"
    return "does not hold" if interval.high <= 0.0 else outcome, text, interval


# ---- the picture -------------------------------------------------------------------------

_SHOWN = ("linear", "linear, again", "best-of-n", "order of prior", "best-first", "uct",
          "swe-search-moatless", "ab-mcts", "guarded", GUARDED_PRIOR)  # fmt: skip


def draw(rows: Rows, figure: Figure) -> str:
    """Solved against test runs (both policies), against tokens, and against value noise."""
    panels = figure.subplots(2, 2)
    for axes, policy in zip(panels[0], (REPAIR, MODEL), strict=True):
        for kind, style in ((ONE, "--"), (SEVERAL, "-")):
            _curves(axes, rows.where(dataset=f"{policy}, {kind}"), TESTS, style, kind == SEVERAL)
        axes.set_title(policy, fontsize=8)
        axes.set_xlabel("test runs", fontsize=7)
    _curves(panels[1][0], rows.where(dataset=f"{MODEL}, {SEVERAL}"), TOKENS, "-", False)
    panels[1][0].set_xlabel("thousand tokens (model, several edits)", fontsize=7)
    _noise(panels[1][1], rows)
    for axes in panels.flat:
        axes.set_ylim(-3, 103)
        axes.tick_params(labelsize=6)
        axes.grid(alpha=0.25)
        axes.set_ylabel("solved %", fontsize=7)
    named = {
        text: line
        for axes in panels[0]
        for line, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=5, fontsize=6)
    tasks = {kind: len({row.unit for row in rows.where(dataset=f"{REPAIR}, {kind}")})
             for kind in (ONE, SEVERAL)}  # fmt: skip
    return (
        "Share of searches whose first patch that passes the shown tests also passes the hidden "
        "ones, against test runs (above; dashed: one edit, full: several edits), against tokens "
        "and against the noise of the value (below). "
        f"{tasks[ONE]} faults of one edit, {tasks[SEVERAL]} of several, {len(rows.seeds)} seeds."
    )


def _curves(axes: Axes, rows: Rows, metric: str, style: str, named: bool) -> None:
    from matplotlib import colormaps

    for number, system in enumerate(_SHOWN):
        own = rows.where(system=system, metric=metric)
        if not own:
            continue
        values = sorted(row.value for row in own)
        missed = sum(not row.value for row in rows.where(system=system, metric=SOLVED))
        found = values[: len(values) - missed]
        end = max(row.value for row in rows.where(metric=metric)) / 2  # PAR2: twice the budget
        steps = [100.0 * n / len(values) for n in range(len(found) + 1)]
        axes.step([0, *found, end], [*steps, steps[-1]], style, where="post", lw=1.0,
                  color=colormaps["tab10"](number), label=system if named else None)  # fmt: skip


def _noise(axes: Axes, rows: Rows) -> None:
    data = f"{REPAIR}, {SEVERAL}"
    for number, system in enumerate((BASE, GUARDED_PRIOR)):
        points = []
        for one in rows.datasets:
            if one == data or one.startswith(f"{data}, noise"):
                noise = 0.0 if one == data else float(one.rpartition(" ")[2])
                points.append((noise, rows.mean(SOLVED, system, one)))
        points.sort()
        axes.plot([p[0] for p in points], [p[1] for p in points], "os^"[number] + "-", ms=3,
                  lw=1.0, label=system)  # fmt: skip
    axes.axhline(rows.mean(SOLVED, "order of prior", data), color="black", lw=0.8, ls=":")
    axes.set_xscale("symlog", linthresh=0.05)
    axes.set_xlabel("noise of the value (repair policy, several edits; dotted: order of prior)",
                    fontsize=6)  # fmt: skip
    axes.legend(fontsize=5)
