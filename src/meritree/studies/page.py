"""The page of a study, in Markdown: generated from its declaration and its stored result."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from meritree.studies.registry import system_named
from meritree.studies.result import Result, table
from meritree.studies.study import Study


def page(
    study: Study,
    result: Result | None,
    figure: str | None = None,
    further: Mapping[str, tuple[Result, str]] = MappingProxyType({}),
) -> str:
    """Claim, parts, data, verdict, checks, figure, table and how to repeat it.

    Args:
        study: the declaration.
        result: its stored full run; None: the page says that it was not measured yet.
        figure: link to the figure.
        further: stored results of further scales, by name, each with a link to its figure.
    """
    system = system_named(study.name)
    lines = [
        f"# {study.id} {study.name}: {system.title}",
        "",
        f"{_paper(study)}",
        "",
        f"**Claim.** {study.claim}",
        "",
    ]
    if study.part:
        lines += [f"**What works here.** {study.part}", ""]
    lines += _verdict(result)
    if figure and result:
        lines += [f"![{study.name}]({figure})", "", f"*{result.caption}*", ""]
    lines += ["## Parts", ""]
    lines += [f"- `{part}`" for part in study.parts]
    lines += ["", "## Data and baselines", ""]
    lines += [f"- **{data.name}**: {data.size}; {data.source}" for data in study.data]
    lines += ["", f"Compared with: {', '.join(study.baselines) or 'nothing'}.", ""]
    if study.notes:
        lines += ["## Notes", "", *[f"- {note}" for note in study.notes], ""]
    if result:
        lines += _figures(result)
    for scale, more in study.further.items():
        lines += [f"## At scale {scale}", "", more.about, ""]
        if scale not in further:
            lines += [f"Not yet measured: `meritree study {study.name} --scale {scale}`.", ""]
            continue
        measured, link = further[scale]
        lines += [*_verdict(measured), f"![{study.name}, {scale}]({link})", ""]
        lines += [f"*{measured.caption}*", "", *_table(measured)]
    lines += ["## Repeat it", "", "```", f"meritree study {study.name}", "```", ""]
    return "\n".join(lines)


def _paper(study: Study) -> str:
    paper = study.paper
    where = f", arXiv {paper.arxiv}" if paper.arxiv else ""
    return f"{paper.authors}: *{paper.title}* ({paper.year}{where}). Checked against: {paper.read}."


def _verdict(result: Result | None) -> list[str]:
    if result is None:
        return ["**Verdict.** Not yet measured at full scale.", ""]
    head = ["| check | outcome | figures |", "|---|---|---|"]
    rows = [f"| {_cell(f.claim)} | {f.outcome} | {_cell(f.figures)} |" for f in result.findings]
    return [f"**Verdict: {result.verdict}.**", "", *head, *rows, ""]


def _figures(result: Result) -> list[str]:
    return [
        "## Figures",
        "",
        "Means over seeds with 95 % bootstrap intervals.",
        "",
        *_table(result),
    ]


def _table(result: Result) -> list[str]:
    head, rows = table(result.rows)
    made = result.provenance
    first = f"{len(made.seeds)} seed{'s' if len(made.seeds) > 1 else ''}"
    return [
        f"| {' | '.join(map(_cell, head))} |",
        f"|{'---|' * len(head)}",
        *[f"| {' | '.join(map(_cell, row))} |" for row in rows],
        "",
        f"`{made.command}` at {made.commit}, {made.date}, {first}, {made.seconds:g} s, "
        f"{made.machine}, load {made.load:g}; "
        + ", ".join(f"{name} {version}" for name, version in made.versions.items())
        + ".",
        "",
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
