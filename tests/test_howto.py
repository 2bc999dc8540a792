"""Every command of the program has a page that says how to use it, and the pages are executed."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from meritree.cli.app import app

PAGES = Path(__file__).parent.parent / "docs" / "howto"
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
SECTIONS = ["Example", "Options that matter", "Exit codes", "What it writes", "When it fails"]
BLOCK = re.compile(r"<!-- (run|says)(?:: ([\w ]+))? -->\n```(?:sh)?\n(.*?)```", re.S)
# The first page makes a run, and these go on from it.
GO_ON = {"resume", "show", "view", "export", "import", "judge"}


def text_of(verb: str) -> str:
    return (PAGES / f"{verb}.md").read_text("utf-8")


def follow(verb: str, folder: Path) -> None:
    """Type the commands of a page in a folder; what the page says must be said."""
    script, expected = [], []
    skipped = False
    for kind, needs, block in BLOCK.findall(text_of(verb)):
        if kind == "run":
            skipped = any(importlib.util.find_spec(name) is None for name in needs.split())
        if not skipped:
            (script if kind == "run" else expected).append(block)
    # A program rather than a function of the shell: `kill $!` must reach it.
    program = folder / "bin" / "meritree"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m meritree "$@"\n')
    program.chmod(0o755)
    code, said = in_bash(f'python() {{ "{sys.executable}" "$@"; }}\n' + "".join(script), folder)
    assert code == 0, said
    for line in "".join(expected).splitlines():
        assert line == "..." or line in said, f"{line!r} is not in:\n{said}"
    assert "Traceback" not in said
    assert "this is a bug" not in said


def in_bash(script: str, folder: Path) -> tuple[int, str]:
    """Exit code and output; what the script leaves running is ended with it."""
    bash = shutil.which("bash")
    assert bash is not None
    homes = dict.fromkeys(("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"), str(folder))
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            [bash, "-euo", "pipefail", "-c", script],
            cwd=folder, env={**os.environ, **homes, "PATH": path, "COLUMNS": "120"},
            stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(timeout=600)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return code, (folder / "said.txt").read_text("utf-8")


@pytest.fixture(scope="module")
def repaired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the page of `fix` leaves."""
    folder = tmp_path_factory.mktemp("howto")
    follow("fix", folder)
    return folder


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


@pytest.mark.parametrize("verb", sorted(set(COMMANDS) - {"fix"}))
def test_the_commands_of_a_page_do_what_it_says(verb: str, repaired: Path, tmp_path: Path) -> None:
    if verb in GO_ON:
        shutil.copytree(repaired, tmp_path, dirs_exist_ok=True)
    follow(verb, tmp_path)
