"""The how-to pages: where they are, and how one is followed in a shell."""

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

import typer

from meritree.cli.app import app

PAGES = Path(__file__).parent.parent.parent / "docs" / "howto"
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
BLOCK = re.compile(r"<!-- (run|says)(?:: ([\w ]+))? -->\n```(?:sh)?\n(.*?)```", re.S)
# The page of `fix` makes a run, and these go on from it.
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
