"""Results of studies and benches as parts of a page: badges, tables, intervals, curves.

Reads their documents as plain data; every figure has a caption that says what was measured, on
what and how often.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from meritree.stats import cluster_bootstrap
from meritree.view.html import command, figure, table, text
from meritree.view.plots import Series, Whisker, plot, whiskers

RESAMPLES = 1000  # of the intervals that are computed here, for a look
GRID = 40  # points of a curve
MOST_ROWS = 400  # of a table of everything


def badge(verdict: object) -> str:
    """A verdict as a small label."""
    known = {"holds": "holds", "holds in part": "part", "does not hold": "verdict"}
    return f'<span class="badge {known.get(str(verdict), "soft")}">{text(verdict)}</span>'


# ---- studies -----------------------------------------------------------------------


def study_parts(result: Mapping[str, Any], figure_address: str = "") -> Iterator[str]:
    """One result of a study: verdict, checks, figure, measured means, where it comes from."""
    made = _mapping(result.get("provenance"))
    seeds = made.get("seeds", ())
    yield f"<h1>{text(result.get('id', ''))} {text(result.get('name', 'a study'))}</h1>"
    yield f"<p>{badge(result.get('verdict'))} at {text(result.get('scale', '?'))} scale</p>"
    if result.get("scale") == "smoke":
        yield "<p>A smoke run only shows that everything works; its verdict decides nothing.</p>"
    yield "<h2>What was asked, and the answer</h2>"
    yield checks_table([(None, result)])
    if figure_address:
        picture = f'<img src="{text(figure_address)}" alt="the study\'s own figure">'
        yield figure(picture, str(result.get("caption", "")))
    yield "<h2>Everything measured</h2>"
    yield from _metrics(result.get("rows", ()), len(seeds))
    yield from provenance_parts(made)


def checks_table(results: Sequence[tuple[str | None, Mapping[str, Any]]]) -> str:
    """Checks of one or several studies with their outcomes; (address, result) pairs."""
    several = len(results) > 1
    lines = []
    for address, result in results:
        checks = [_mapping(one) for one in result.get("checks", ())]
        for check in checks:
            name = text(result.get("name", "?"))
            link = f'<a href="{text(address)}">{name}</a>' if address else name
            first = f"<td>{link}</td>" if several else ""
            lines.append(
                f"<tr>{first}<td>{text(check.get('claim'))}</td>"
                f"<td>{badge(check.get('outcome'))}</td><td>{text(check.get('figures'))}</td></tr>"
            )
    head = ["study"] * several + ["claim", "outcome", "figures"]
    cells = "".join(f'<th scope="col">{one}</th>' for one in head)
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _metrics(rows: Sequence[Any], seeds: int) -> Iterator[str]:
    """A dot plot a metric and data set, systems below each other."""
    groups: dict[tuple[str, str], dict[str, dict[Any, list[float]]]] = {}
    for row in rows:
        if isinstance(row, Sequence) and len(row) >= 5 and isinstance(row[4], int | float):
            seed, system, data, metric, value = row[:5]
            by_seed = groups.setdefault((str(metric), str(data)), {}).setdefault(str(system), {})
            by_seed.setdefault(seed, []).append(float(value))
    for (metric, data), systems in list(groups.items())[:24]:
        marks = []
        for system, by_seed in systems.items():
            found = cluster_bootstrap(list(by_seed.values()), resamples=RESAMPLES)
            marks.append(Whisker(system, found.mean, found.low, found.high))
        name = f"{metric} on {data}" if data else metric
        yield figure(
            whiskers(marks, title=name, x=metric),
            f"{name}: mean and 95 % bootstrap interval over seeds ({seeds} seeds).",
        )


# ---- benches -----------------------------------------------------------------------


def bench_parts(document: Mapping[str, Any], path: Path, image: str = "") -> Iterator[str]:
    """One result of a bench: strategies with intervals and curves, else all its figures."""
    yield f"<h1>{text(path.parent.name if path.name == 'summary.json' else path.stem)}</h1>"
    if document.get("what"):
        yield f"<p>{text(document['what'])}</p>"
    settings = document.get("settings")
    made = {**_mapping(document.get("provenance"))}
    if isinstance(settings, list):
        yield from _strategies([_mapping(one) for one in settings], made)
        yield from _curves(path.with_name("trials.jsonl"), made)
        if image:
            picture = f'<img src="{text(image)}" alt="curves of the strategies">'
            yield figure(picture, f"The bench's own figure: {_on_what(made)}.")
    else:
        yield "<h2>The figures</h2>"
        rows = list(_flat(document))
        yield table(rows[:MOST_ROWS], ("figure", "value"))
        if len(rows) > MOST_ROWS:
            yield f'<p class="soft">and {len(rows) - MOST_ROWS} more in {text(path.name)}</p>'
        made = {k: v for k, v in document.items() if isinstance(v, str | int | float | list)}
    yield from provenance_parts(made)


def _on_what(made: Mapping[str, Any]) -> str:
    return (
        f"{made.get('tasks', '?')} tasks, {made.get('seeds', '?')} seeds each, at most "
        f"{made.get('budget_tests', '?')} candidate evaluations"
    )


def _strategies(settings: Sequence[Mapping[str, Any]], made: Mapping[str, Any]) -> Iterator[str]:
    names = [
        name
        for name in dict.fromkeys(key for one in settings for key in one)
        if any({"mean", "low", "high"} <= _mapping(one.get(name)).keys() for one in settings)
    ]
    yield "<h2>The strategies</h2>"
    head = ("setting", *(name.replace("_", " ") for name in names))
    yield table(
        [(one.get("setting", "?"), *(_cell(one.get(n)) for n in names)) for one in settings], head
    )
    for name in names:
        marks = []
        for one in settings:
            found = _mapping(one.get(name))
            if {"mean", "low", "high"} <= found.keys():
                ends = (float(found[k]) for k in ("mean", "low", "high"))
                marks.append(Whisker(str(one.get("setting", "?")), *ends))
        words = name.replace("_", " ")
        yield figure(
            whiskers(marks, title=words, x=words),
            f"{words}: mean and 95 % interval over tasks; {_on_what(made)}.",
        )


def _curves(trials: Path, made: Mapping[str, Any]) -> Iterator[str]:
    """Share solved correctly against evaluations, with bands over tasks."""
    settings: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for trial in _trials(trials):
        tasks = settings.setdefault(str(trial.get("setting")), {})
        tasks.setdefault(str(trial.get("task")), []).append(trial)
    if not settings:
        return
    budget = max(int(t.get("budget", 1)) for s in settings.values() for r in s.values() for t in r)
    grid = sorted({max(1, round(budget ** (i / (GRID - 1)))) for i in range(GRID)})
    lines = [_curve(name, tasks, grid) for name, tasks in settings.items()]
    yield "<h2>Solved against evaluations</h2>"
    yield figure(
        plot(lines, title="solved against evaluations", x="candidate evaluations (log scale)",
             y="share solved", top=1.0, log_x=True),
        "Share of task-seed pairs whose first passing patch was correct and found within that many "
        f"evaluations; band: 95 % bootstrap over tasks, {RESAMPLES} resamples. {_on_what(made)}.",
    )  # fmt: skip


def _curve(name: str, tasks: Mapping[str, Sequence[Mapping[str, Any]]], grid: list[int]) -> Series:
    points, band = [], []
    for limit in grid:
        solved = [[float(_solved(trial, limit)) for trial in own] for own in tasks.values()]
        found = cluster_bootstrap(solved, resamples=RESAMPLES // 5)
        points.append((float(limit), found.mean))
        band.append((float(limit), found.low, found.high))
    return Series(name, points, band)


def _solved(trial: Mapping[str, Any], limit: int) -> bool:
    found = trial.get("found_at")
    right = trial.get("original") or trial.get("kept")
    return bool(right) and isinstance(found, int) and found <= limit


def _trials(path: Path) -> Iterator[Mapping[str, Any]]:
    if not path.is_file():
        return
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            trial = json.loads(line)
        except ValueError:
            continue  # cut off while it was written
        if isinstance(trial, dict) and "task" in trial:
            yield trial


# ---- shared ------------------------------------------------------------------------


def provenance_parts(made: Mapping[str, Any]) -> Iterator[str]:
    """Where figures come from, and the command that repeats them."""
    rows = [(key, _plain(value)) for key, value in made.items() if key != "command"]
    if rows:
        yield "<h2>Where it comes from</h2>"
        yield table(rows)
    if made.get("command"):
        yield "<h2>To repeat it</h2>"
        yield command(str(made["command"]))


def _flat(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and not {"mean", "low", "high"} <= value.keys():
        for key, inner in value.items():
            yield from _flat(inner, f"{name}: {key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{name} {number}")
    else:
        yield name, _cell(value)


def _cell(value: object) -> str:
    found = _mapping(value)
    if {"mean", "low", "high"} <= found.keys():
        return f"{found['mean']:.3g} [{found['low']:.3g}, {found['high']:.3g}]"
    return _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return "-" if value is None else str(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
