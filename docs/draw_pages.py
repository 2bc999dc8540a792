"""Write the pages of all studies from their declarations and stored results.

Usage: python docs/draw_pages.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from meritree.studies.page import page
from meritree.studies.registry import System, study_named, systems
from meritree.studies.result import Result, figure_name, stored
from meritree.studies.study import Study

HERE = Path(__file__).parent
RESULTS = "../../src/meritree/studies/results"
VERDICTS = ("holds", "holds in part", "inconclusive", "does not hold")


def pages() -> Iterator[tuple[Path, str]]:
    """(path, text) of every page."""
    index = [
        "# Systems with a study",
        "",
        "| number | name | what | verdict |",
        "|---|---|---|---|",
    ]
    shown: list[tuple[System, Study, Result | None]] = []
    for system in systems():
        if system.study is None:
            continue
        kept = stored(system.name)
        links = {scale: f"{RESULTS}/{figure_name(system.name, scale)}" for scale in kept}
        study, full = study_named(system.name), kept.get("full")
        shown.append((system, study, full))
        further = {scale: (kept[scale], links[scale]) for scale in study.further if scale in kept}
        yield HERE / "systems" / f"{system.name}.md", page(study, full, links.get("full"), further)
        index.append(
            f"| {system.id} | [{system.name}](systems/{system.name}.md) | {system.title} "
            f"| {system.verdict or '-'} |"
        )
    index += [
        "",
        "With figures: [gallery](gallery.md). What did not reproduce: "
        "[not-reproduced.md](not-reproduced.md). All 119: [all-systems.md](all-systems.md), or "
        "`meritree systems`. How to add one: [add-a-system.md](add-a-system.md).",
    ]
    yield HERE / "systems.md", "\n".join(index) + "\n"
    yield HERE / "gallery.md", gallery(shown)
    yield HERE / "not-reproduced.md", not_reproduced(shown)
    yield HERE / "all-systems.md", all_systems()


def gallery(shown: list[tuple[System, Study, Result | None]]) -> str:
    """Every measured system: claim, verdict, figure, command."""
    counts = Counter(result.verdict for _, _, result in shown if result)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    lines = [
        "# Gallery",
        "",
        f"{sum(counts.values())} papers' claims, measured by the studies of this project: {said}. "
        "Each figure is drawn from the stored result; its page has the checks, the baselines and "
        "the command.",
        "",
    ]
    for system, study, result in shown:
        if result is None:
            continue
        lines += [
            f"## {system.id} {system.title}",
            "",
            f"**{result.verdict}.** {study.claim}",
            "",
            f"[![{system.name}](../src/meritree/studies/results/{system.name}.png)]"
            f"(systems/{system.name}.md)",
            "",
            f"*{result.caption}* `meritree study {system.name}`, [page](systems/{system.name}.md).",
            "",
        ]
    return "\n".join(lines)


def not_reproduced(shown: list[tuple[System, Study, Result | None]]) -> str:
    """Every check that does not hold or is undecided, with its figures and the study's notes."""
    lines = [
        "# What did not reproduce, and why",
        "",
        "Every check of a study that was not met, or that its seeds could not decide, with what "
        "was measured; below it the study's own notes. Sizes are those of two processor cores: a "
        "claim about large networks or long runs may fail here for want of size, and the notes "
        "say where that is likely. Where released code differs from its paper, the notes say so.",
        "",
    ]
    for system, study, result in shown:
        if result is None:
            continue
        missed = [found for found in result.findings if found.outcome != "holds"]
        if not missed:
            continue
        lines += [
            f"## {system.id} [{system.name}](systems/{system.name}.md): {result.verdict}",
            "",
            f"{study.claim}",
            "",
            "| check | outcome | figures |",
            "|---|---|---|",
            *[f"| {_cell(f.claim)} | {f.outcome} | {_cell(f.figures)} |" for f in missed],
            "",
            *[f"- {note}" for note in study.notes],
            "",
        ]
    return "\n".join(lines)


def all_systems() -> str:
    """The 119, each with its state."""
    counts = Counter(system.state for system in systems())
    lines = [
        "# All 119 systems",
        "",
        f"{counts['works']} work, {counts['part']} work in part, {counts['planned']} are planned.",
        "",
        "| number | name | what | room | state | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for system in systems():
        link = f"[{system.name}](systems/{system.name}.md)" if system.study else system.name
        lines.append(
            f"| {system.id} | {link} | {_cell(system.title)} | `{system.room}` "
            f"| {_cell(system.state_in_words)} | {system.verdict or '-'} |"
        )
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    for path, text in pages():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        print(path.relative_to(HERE))
