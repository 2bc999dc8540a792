"""The live viewer's pages: what a folder holds, one run, several side by side, results.

Made of the same parts as the report; scripts are linked, so that a policy can name our own
server alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from meritree.errors import MeritreeError
from meritree.view import report, words
from meritree.view.explorer import (
    explorer,
    progress_plot,
    progress_series,
    solved_series,
)
from meritree.view.gallery import Entry, read_json
from meritree.view.html import SCRIPTS, figure, page, table, text
from meritree.view.live import Watch
from meritree.view.measured import badge, bench_parts, checks_table, study_parts
from meritree.view.plots import plot
from meritree.view.run_log import RunLog
from meritree.view.tree import SearchTreeView

LINKED = tuple(f"/assets/{name}" for name in SCRIPTS)
MOST_BESIDE = 8  # runs side by side


def index_page(entries: Sequence[Entry], watches: dict[str, Watch], place: str) -> str:
    """Everything that a folder holds."""
    body = [f"<h1>{text(place)}</h1>"]
    for kind, title in (("run", "Runs"), ("study", "Studies"), ("bench", "Benches")):
        chosen = [one for one in entries if one.kind == kind]
        if chosen:
            body.append(f"<h2>{title}</h2>")
            body += _runs(chosen, watches) if kind == "run" else _results(chosen, kind)
    if len(body) == 1:
        body.append("<p>Nothing to show here yet: no run, no result of a study or a bench.</p>")
    return page(f"meritree: {words.one_line(place)}", body, linked=LINKED)


def _runs(entries: Sequence[Entry], watches: dict[str, Watch]) -> Iterator[str]:
    lines = []
    for one in entries:
        try:
            log, tree, document = watches[one.id].now()
        except MeritreeError as error:
            cells = f"<td>{text(one.name)}</td><td colspan=5>{text(error)}</td>"
            lines.append(f"<tr><td></td>{cells}</tr>")
            continue
        kind, state = _state(log, document)
        best = tree.nodes[tree.best[-1]].value if tree.best else None
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.changed))
        facts = (log.strategy or "-", str(log.evaluations or "-"), _number(best), when)
        lines.append(
            f'<tr><td><input type="checkbox" name="run" value="{one.id}" '
            f'aria-label="{text(one.name)}"></td>'
            f'<td><a href="/run/{one.id}">{text(one.name)}</a></td>'
            f'<td><span class="badge {text(kind)}">{text(state)}</span></td>'
            f"{''.join(f'<td>{text(cell)}</td>' for cell in facts)}</tr>"
        )
    head = ("beside", "run", "state", "strategy", "evaluations", "best value", "changed")
    cells_of = "".join(f'<th scope="col">{one}</th>' for one in head)
    yield (
        f'<form action="/compare"><div class="scroll"><table><thead><tr>{cells_of}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
        "<button>Show the marked runs side by side</button></form>"
    )


def _state(log: RunLog, document: words.Document | None) -> tuple[str, str]:
    """The kind of a run's state and its words, as `words.state` gives them."""
    return words.state(log.status or str(document["status"] if document else log.phase), document)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _results(entries: Sequence[Entry], kind: str) -> Iterator[str]:
    lines = []
    for one in entries:
        verdict = badge(result_of(one).get("verdict")) if kind == "study" else ""
        link = f'<a href="/{kind}/{one.id}">{text(one.name)}</a>'
        lines.append(f"<tr><td>{link}</td><td>{verdict}</td></tr>")
    yield f'<div class="scroll"><table><tbody>{"".join(lines)}</tbody></table></div>'
    if kind == "study" and entries[1:]:
        yield '<p><a href="/studies">All claims and their outcomes in one table</a></p>'


def studies_page(entries: Sequence[Entry]) -> str:
    """The checks of all studies in one table."""
    results = [(f"/study/{one.id}", result_of(one)) for one in entries if one.kind == "study"]
    body = ["<h1>Studies side by side</h1>", _HOME, checks_table(results)]
    return page("meritree: studies", body, linked=LINKED)


def result_of(entry: Entry) -> dict[str, object]:
    """A study's or bench's document; empty if it has gone."""
    document = read_json(entry.path) or {}
    part = document.get(entry.part) if entry.part else document
    return part if isinstance(part, dict) else {}


def study_page(entry: Entry, image: str) -> str:
    """One study's result."""
    body = [_HOME, *study_parts(result_of(entry), image)]
    return page(f"meritree: {entry.name}", body, linked=LINKED)


def bench_page(entry: Entry, image: str) -> str:
    """One bench's result."""
    body = [_HOME, *bench_parts(result_of(entry), entry.path, image)]
    return page(f"meritree: {entry.name}", body, linked=LINKED)


def run_page(entry: Entry, watch: Watch, *, bare: bool = False) -> str:
    """One run, ended or under way; ``bare`` leaves out what does not fit beside others."""
    log, tree, document = watch.now()
    address = f"/run/{entry.id}"
    body: list[str] = [] if bare else [_HOME]
    body.append(f"<h1>{text(entry.name)}</h1>")
    body.append(_state_line(watch))
    ended = log.phase == "ended" or (log.seq == 0 and document is not None)
    if document is not None and not bare:
        body += [*report.verdict(document), *report.patch(document), *report.partial(document)]
        best = document["candidates"][0] if document["candidates"] else {}
        body += [*report.flags(best), *report.steps(document), *report.why(document)]
    body.append("<h2>The search tree</h2>")
    body += explorer(tree, log, entry.name, live=True)
    body.append("<h2>The course of the search</h2>")
    body.append(progress_plot(tree, log) if ended else _live_plot(address))
    if document is not None and not bare:
        body += [*report.alternatives(document), *report.judges(tree)]
        body += [*report.failing_tests(document), *report.ledger(document, log)]
        body += [*report.sandbox(document)]
    if not bare:
        body += report.timeline(log)
        if document is not None:
            body += report.reproduce(document)
    data = f'data-live="{address}" data-phase="{text(log.phase)}"'
    attributes = f'{data} class="bare"' if bare else data
    return page(f"meritree: {entry.name}", body, linked=LINKED, attributes=attributes)


def _state_line(watch: Watch) -> str:
    told = str(watch.state()["words"])
    return (
        f'<p><span id="live" role="status">{text(told)}</span> '
        '<a id="reload" href="" hidden>The result is there: show it</a></p>'
    )


def _live_plot(address: str) -> str:
    return figure(
        f'<img id="curve-live" src="{address}/curve.svg" alt="best value and solved candidates '
        'against evaluations">',
        "The highest value of any state found so far against candidate evaluations of this run, "
        "drawn anew while it goes on.",
    )


def curve_svg(tree: SearchTreeView, log: RunLog) -> str:
    """The course of one run as a picture of its own."""
    one = progress_series(tree, "best value", max(1, log.evaluations))
    return plot(
        [one], title="best value against evaluations", x="candidate evaluations", y="best value",
        top=1.0,
    )  # fmt: skip


def compare_page(entries: Sequence[Entry], watches: dict[str, Watch]) -> str:
    """Several runs side by side: their courses in one plot, a table, their trees."""
    entries = entries[:MOST_BESIDE]
    rows, best, solved = [], [], []
    for one in entries:
        log, tree, document = watches[one.id].now()
        top = tree.nodes[tree.best[-1]].value if tree.best else None
        found = next((n for n in tree.nodes.values() if n.kind in ("passed", "verified")), None)
        rows.append((
            one.name, log.strategy or "-", log.options.get("seed", "-"),
            _state(log, document)[1], log.evaluations,
            f"{log.seconds:.1f}", found.at if found else "-", _number(top),
        ))  # fmt: skip
        best.append(progress_series(tree, one.name, log.evaluations))
        solved.append(solved_series(tree, one.name, log.evaluations))
    head = ("run", "strategy", "seed", "state", "evaluations", "seconds", "first passing patch",
            "best value")  # fmt: skip
    x = "candidate evaluations"
    body = [
        _HOME,
        "<h1>Runs side by side</h1>",
        table(rows, head),
        figure(
            plot(best, title="best value against evaluations", x=x, y="best value", top=1.0)
            + plot(solved, title="solved candidates", x=x, y="candidates", top=1.0),
            f"Above: the highest value found so far; below: candidates that pass the tests. "
            f"{len(entries)} runs, each once, as they stand now.",
        ),
        '<div class="side">',
        *(
            f'<iframe src="/run/{one.id}?bare=1" title="{text(one.name)}"></iframe>'
            for one in entries
        ),
        "</div>",
    ]
    return page("meritree: side by side", body, linked=LINKED)


_HOME = '<p><a href="/">everything in this folder</a></p>'
