"""The documentation says what the code does."""

from __future__ import annotations

import doctest
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from meritree.cli.app import app
from meritree.cli.options import DEFAULTS
from meritree.cli.settings import TYPES
from meritree.swe.result import EXIT_CODES, SCHEMA_VERSION, Candidate, FixResult
from meritree.value.estimate import Estimate

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs/tutorials").glob("*.md"),
        *(ROOT / "docs/howto").glob("*.md"),
    ]
)


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """First cell without backticks -> all cells, of the first table below a heading."""
    text = (ROOT / page).read_text("utf-8")
    part = re.split(r"^#+ ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]
    found = {}
    for line in re.findall(r"^\| *`(.+)\|$", part, flags=re.M):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", "`" + line)]
        found[cells[0].strip("`")] = cells
    return found


def result() -> dict[str, Any]:
    candidate = Candidate(1, True, "diff", ("a.py",), ("an edit",), Estimate(1.0), 3, 9, "why")
    return FixResult("verified", "message", (candidate,)).to_json()


def test_the_json_page_lists_exactly_the_keys_of_the_document() -> None:
    document = result()
    assert set(rows("docs/fix-json.md", "Document")) == set(document)
    assert set(rows("docs/fix-json.md", "Candidate")) == set(document["candidates"][0])
    assert set(rows("docs/fix-json.md", "Estimate")) == set(document["estimate"])
    assert f"`schema` is {SCHEMA_VERSION}." in (ROOT / "docs/fix-json.md").read_text("utf-8")


def test_the_example_document_has_the_documented_keys() -> None:
    example = json.loads((ROOT / "docs/assets/fix-result.json").read_text("utf-8"))
    document = result()
    assert set(example) == set(document)
    for candidate in example["candidates"]:
        assert set(candidate) == set(document["candidates"][0])
        assert set(candidate["estimate"]) == set(document["estimate"])
    assert example["status"] == "verified"
    assert example["patch"] == example["candidates"][0]["patch"]


def test_every_status_is_documented_with_its_exit_code() -> None:
    documented = rows("docs/fix.md", "What it says")
    assert {status: int(cells[2]) for status, cells in documented.items()} == dict(EXIT_CODES)


def test_every_option_of_fix_is_documented_and_has_help() -> None:
    command = typer.main.get_command(app).commands["fix"]  # type: ignore[attr-defined]
    options = {option for one in command.params for option in one.opts if option[:2] == "--"}
    documented = {cell.split()[0].strip("`") for cell in rows("docs/fix.md", "Options")}
    assert documented == options - {"--help"}
    assert [p.name for p in command.params if not getattr(p, "help", "")] == []


@pytest.mark.parametrize(
    "key", ["policy", "strategy", "budget-tests", "budget-seconds", "budget-tokens", "workers",
            "seed", "final-checks", "sandbox", "tools"],
)  # fmt: skip
def test_documented_defaults_are_the_defaults(key: str) -> None:
    default = DEFAULTS[key.replace("-", "_")]
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    options = {
        cell.split()[0].strip("`"): cells for cell, cells in rows("docs/fix.md", "Options").items()
    }
    assert options[f"--{key}"][-2 if options[f"--{key}"][-1] == "" else -1].strip("`") == shown
    setting = [cell for cell in rows("docs/settings.md", "Settings")[key] if cell]
    assert setting[-1].strip("`") == shown


def test_every_setting_is_documented() -> None:
    assert set(rows("docs/settings.md", "Settings")) == set(TYPES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_has_exactly_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    commands = re.findall(r"<!-- command:\w+ -->\n```\n(.*?)\n```", text, flags=re.S)
    assert commands == [
        "pip install -e . && meritree demo",
        "pip install -c constraints.txt -e '.[dev]' && pytest",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_shown_in_the_documentation_exist(page: Path) -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    blocks = re.findall(r"```\w*\n(.*?)```", page.read_text("utf-8"), flags=re.S)
    used = {
        verb for block in blocks for verb in re.findall(r"^meritree ([\w-]+)", block, flags=re.M)
    }
    assert used <= known


def test_shell_scripts_are_valid() -> None:
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n", str(ROOT / ".ci" / "run")], check=True)


@pytest.mark.parametrize("page", ["code-search.md", "discriminator.md", "exact.md", "rl.md"])
def test_every_example_of_a_guide_is_right(page: str) -> None:
    failed, tried = doctest.testfile(str(ROOT / "docs" / page), module_relative=False)
    assert tried > 10
    assert failed == 0


def test_the_figures_of_code_search_are_the_stored_ones() -> None:
    text = (ROOT / "docs/code-search.md").read_text("utf-8")
    stored = json.loads((ROOT / "benchmarks/results/retrieval.json").read_text("utf-8"))
    goals = stored["validation"]["scores"]
    rows = [row for kind in ("report", "subject") for row in shown_rows(goals[kind])]
    assert len(rows) == 20
    for row in rows:
        assert row in text


def shown_rows(goals: dict[str, Any]) -> list[str]:
    found = []
    for goal, systems in goals.items():
        for system, row in systems.items():
            hits = " | ".join(f"{row[name][0]:.2f}" for name in ("hit@1", "hit@5", "hit@10"))
            mean, low, high = row["MRR"]
            found.append(f"| {system} | {goal} | {hits} | {mean:.2f} [{low:.2f}, {high:.2f}] |")
    return found
