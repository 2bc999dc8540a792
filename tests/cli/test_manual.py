"""The manual page tells every command and option, and completion offers them in each shell."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from meritree.cli.app import app
from meritree.cli.bench import BENCHES
from meritree.cli.manual import manual

PAGE = Path(__file__).parents[2] / "docs" / "meritree.1"
ROOT: Any = typer.main.get_command(app)
VERBS = set(ROOT.commands)


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name in below:
        yield from commands(below[name], f"{path} {name}")


def sections(page: str) -> dict[str, str]:
    """Heading up to the first bracket -> text below it, without roff's escapes."""
    plain = page.replace("\\-", "-")
    parts = re.split(r'^\.SS "([^"]*)"$', plain, flags=re.M)
    return {
        re.split(r" [\[{]", head)[0]: text
        for head, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_the_page_of_the_repository_is_the_one_that_the_program_writes() -> None:
    pytest.importorskip("matplotlib", reason="benchmarks tell their options with extra bench")
    assert PAGE.read_text("utf-8") == manual(), "python docs/draw_man.py writes it anew"


def test_every_command_and_every_option_stands_in_the_manual() -> None:
    told = sections(PAGE.read_text("utf-8"))
    known = dict(commands(ROOT, "meritree"))
    assert set(told) == {*known, *(f"meritree bench {name}" for name in BENCHES)}
    for path, command in known.items():
        for parameter in command.params:
            for name in (*parameter.opts, *parameter.secondary_opts):
                spelled = name if name[0] == "-" else (parameter.metavar or name)
                assert re.search(rf"^\.B .*{re.escape(spelled)}\b", told[path], re.M), spelled


def test_roff_reads_the_manual_without_a_warning() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(
        [groff, "-man", "-Tascii", "-ww", str(PAGE)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "--final-checks" in re.sub(".\b", "", done.stdout)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment in which `meritree` is this one, and whose home is empty."""
    program = tmp_path / "bin" / "meritree"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m meritree "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(tmp_path), "COLUMNS": "200"}


IN_BASH = """
set -eu
eval "$(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION=1 meritree --show-completion bash)"
complete -p meritree
tab() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _meritree_completion meritree
        echo "${COMPREPLY[*]}" | tr '\\n' ' '; echo; }
tab meritree ''
tab meritree se
tab meritree fix --budget-
"""


def test_bash_offers_every_verb_and_the_options_of_a_verb(home: dict[str, str]) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run([bash, "-c", IN_BASH], env=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    registered, verbs, started, options = done.stdout.splitlines()
    assert "_meritree_completion" in registered
    assert set(verbs.split()) == VERBS
    assert started.split() == ["serve-model"]
    kinds = ("tests", "seconds", "usd", "tokens")
    assert set(options.split()) == {f"--budget-{kind}" for kind in kinds}


@pytest.mark.parametrize(
    ("shell", "asked"),
    [("zsh", {}), ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"})],
)
def test_other_shells_are_answered_with_every_verb(
    shell: str, asked: dict[str, str], home: dict[str, str]
) -> None:
    environment = {**home, **asked, "_MERITREE_COMPLETE": f"complete_{shell}",
                   "_TYPER_COMPLETE_ARGS": "meritree "}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "meritree"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    offered = re.findall(r'^\("?|"([\w-]+)":|^([\w-]+)\t', done.stdout, flags=re.M)
    assert {one or other for one, other in offered if one or other} == VERBS


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_of_other_shells_is_valid_and_is_installed_in_the_home(
    shell: str, home: dict[str, str]
) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run(
        [program, "-c", "meritree --install-completion; true"], env=home, check=True,
        capture_output=True,
    )  # fmt: skip
    place = {"zsh": ".zfunc/_meritree", "fish": ".config/fish/completions/meritree.fish"}[shell]
    script = Path(home["HOME"]) / place
    assert "_MERITREE_COMPLETE" in script.read_text("utf-8")
    subprocess.run([program, "-n", str(script)], check=True)
