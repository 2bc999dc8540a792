"""Write the pages of all studies from their declarations and stored results.

Usage: python docs/draw_pages.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from meritree.studies.page import page
from meritree.studies.registry import study_named, systems
from meritree.studies.result import figure_name, stored

HERE = Path(__file__).parent
RESULTS = "../../src/meritree/studies/results"


def pages() -> Iterator[tuple[Path, str]]:
    """(path, text) of every page, the index last."""
    index = [
        "# Systems with a study",
        "",
        "| number | name | what | verdict |",
        "|---|---|---|---|",
    ]
    for system in systems():
        if system.study is None:
            continue
        kept = stored(system.name)
        links = {scale: f"{RESULTS}/{figure_name(system.name, scale)}" for scale in kept}
        study = study_named(system.name)
        further = {scale: (kept[scale], links[scale]) for scale in study.further if scale in kept}
        yield (
            HERE / "systems" / f"{system.name}.md",
            page(study, kept.get("full"), links.get("full"), further),
        )
        index.append(
            f"| {system.id} | [{system.name}](systems/{system.name}.md) | {system.title} "
            f"| {system.verdict or '-'} |"
        )
    index += [
        "",
        "All 119: `meritree systems`. How to add one: [add-a-system.md](add-a-system.md).",
    ]
    yield HERE / "systems.md", "\n".join(index) + "\n"


if __name__ == "__main__":
    for path, text in pages():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        print(path.relative_to(HERE))
