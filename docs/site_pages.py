"""Pages of the site that are made rather than written: front page, reference, list of pages.

Run by mkdocs (plugin gen-files); nothing is written into the repository.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import mkdocs_gen_files as made

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))
from site_hooks import PAGES  # noqa: E402

PACKAGE = ROOT / "src" / "meritree"
ROOMS = {
    "objectives": "Losses, targets, advantages, divergences",
    "value": "Values: heads, risk, combination, fusion, comparison",
    "stats": "Intervals, tests, profiles",
    "search": "The search engine",
    "swe": "Repair of code",
    "respond": "Models, judges, rubrics",
    "align": "Training of language models",
    "rl": "Reinforcement learning",
    "exact": "Exact solutions of small processes",
    "studies": "Studies",
    "run": "Journal, ledger, budgets",
}
GUIDES = {
    "Tutorials": ["install", "concepts", *(f"tutorials/{name}" for name in (
        "fix-a-repository", "search-your-world", "learn-a-value", "align-a-model",
        "compare-value-functions", "add-a-system")), "examples"],
    "Repair": ["fix", "settings", "fix-json", "view", "models", "swe-agent", "bring-your-agent",
               "swe-bench", "cluster", "robustness", "discriminator", "code-search"],
    "Values and objectives": ["hybrid-values", "objectives", "objectives-language-models"],
    "Learning": ["rl", "environments", "exact", "align"],
    "Commands": [f"howto/{name}" for name in (
        "fix", "resume", "demo", "show", "view", "judge", "import", "export", "doctor", "sandbox",
        "study", "systems", "bench", "serve-model", "lab")],
    "Measuring": ["benchmarks", "peers", "bench", "bench-histories", "bench-quixbugs",
                  "benchmarks-engine", "add-a-system"],
}  # fmt: skip

SYSTEMS = ["gallery", "systems", "not-reproduced", "all-systems"]


def title_of(path: Path) -> str:
    """The first heading of a page, without code marks."""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("# "):
            return line[2:].replace("`", "")
    return path.stem


def root_pages() -> None:
    """README and its siblings, with links as seen from the docs folder."""
    for source, place in PAGES.items():
        text = (ROOT / source).read_text("utf-8")
        # A link to docs/x.md is x.md from there; one to a file of the root begins with ../.
        text = re.sub(r"\]\((?!https?:|#|mailto:)([^)]+)\)", lambda m: f"]({_seen(m[1])})", text)
        with made.open(place, "w") as file:
            file.write(text)


def _seen(link: str) -> str:
    path, mark, anchor = link.partition("#")
    if path in PAGES:
        return PAGES[path] + mark + anchor
    inside = path.removeprefix("docs/")
    return (inside if inside != path else f"../{path}") + mark + anchor


def modules(room: str) -> list[str]:
    """Public modules of a room that say something in public, by dotted name."""
    found = []
    for path in sorted((PACKAGE / room).rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if any(part.startswith("_") and part != "__init__" for part in parts):
            continue
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if public(ast.parse(path.read_text("utf-8"))):
            found.append(".".join(parts))
    return found


def public(tree: ast.Module) -> bool:
    """Whether a module defines a documented function or class without an underscore."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(
        isinstance(node, kinds) and not node.name.startswith("_") and ast.get_docstring(node)
        for node in tree.body
    )


def reference() -> list[str]:
    """One page a package or top module; returns lines of the list of pages."""
    lines = []
    for room, what in ROOMS.items():
        groups: dict[str, list[str]] = {}
        for name in modules(room):
            parts = name.split(".")
            groups.setdefault(".".join(parts[: min(len(parts) - 1, 3)]) or name, []).append(name)
        lines.append(f"    * {what}")
        for group, names in groups.items():
            place = f"reference/{group.removeprefix('meritree.')}.md"
            with made.open(place, "w") as file:
                file.write(f"# {group}\n\n")
                for name in names:
                    file.write(f"## {name}\n\n::: {name}\n\n")
            lines.append(f"        * [{group}]({place})")
    return lines


def contents() -> None:
    """SUMMARY.md: every page of the site once."""
    lines = ["* [Meritree](index.md)"]
    known = {Path(place).stem for place in PAGES.values()} | set(SYSTEMS)
    for section, names in GUIDES.items():
        lines.append(f"* {section}")
        for name in names:
            known.add(name)
            lines.append(f"    * [{title_of(HERE / f'{name}.md')}]({name}.md)")
    rest = [path for path in sorted(HERE.glob("*.md")) if path.stem not in known]
    lines += [f"    * [{title_of(path)}]({path.name})" for path in rest]
    lines.append("* Systems")
    lines += [f"    * [{title_of(HERE / f'{name}.md')}]({name}.md)" for name in SYSTEMS]
    for path in sorted((HERE / "systems").glob("*.md"), key=title_of):
        lines.append(f"    * [{title_of(path).split(':')[0]}](systems/{path.name})")
    lines += ["* Reference", *reference(), "* Project"]
    for source, place in PAGES.items():
        if place != "index.md":
            lines.append(f"    * [{title_of(ROOT / source)}]({place})")
    with made.open("SUMMARY.md", "w") as file:
        file.write("\n".join(lines) + "\n")


root_pages()
contents()
