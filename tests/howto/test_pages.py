"""Every command of the program has a page that says how to use it; those that need no run work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .pages import BLOCK, COMMANDS, GO_ON, PAGES, follow, text_of

SECTIONS = ["Example", "Options that matter", "Exit codes", "What it writes", "When it fails"]


def test_every_command_has_a_page_with_the_same_sections() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == set(COMMANDS)
    for verb in COMMANDS:
        assert re.findall(r"^## (.+)$", text_of(verb), flags=re.M) == SECTIONS, verb


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_options_that_a_page_names_exist_and_every_shell_block_is_run(verb: str) -> None:
    command = COMMANDS[verb]
    below = list(getattr(command, "commands", {}).values())
    known = {name for one in (command, *below) for p in one.params for name in p.opts}
    part = text_of(verb).split("## Options that matter", 1)[1].split("\n## ")[0]
    if verb != "bench":  # its options are those of the benchmark
        bullets = "\n".join(line for line in part.splitlines() if line.startswith("- `--"))
        assert bullets
        firsts = re.findall(r"^- `(--[\w-]+)", bullets, flags=re.M)
        assert set(firsts) <= known
    assert len(re.findall(r"^```sh$", text_of(verb), flags=re.M)) == sum(
        kind == "run" for kind, _, _ in BLOCK.findall(text_of(verb))
    )


@pytest.mark.parametrize("verb", sorted(set(COMMANDS) - GO_ON - {"fix"}))
def test_the_commands_of_a_page_do_what_it_says(verb: str, tmp_path: Path) -> None:
    follow(verb, tmp_path)
