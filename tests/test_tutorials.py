"""Tutorials are executed as they are written: Python typed line by line, commands in a shell."""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
NEEDS = {
    "add-a-system": "numpy",
    "align-a-model": "transformers",
    "compare-value-functions": "scipy",
    "learn-a-value": "gymnax",
    "search-your-world": None,
}
COMMANDS = ("fix-a-repository", "add-a-system")


def text_of(name: str) -> str:
    return (DOCS / "tutorials" / f"{name}.md").read_text("utf-8")


def test_every_tutorial_and_every_block_of_code_is_executed() -> None:
    names = {path.stem for path in (DOCS / "tutorials").glob("*.md")}
    assert names == {*NEEDS, *COMMANDS}
    for name in names:
        blocks = re.findall(r"(<!-- \w+ -->\n)?^```(\w*)\n(.)", text_of(name), flags=re.M)
        opening = [(mark.strip(), kind, first) for mark, kind, first in blocks if mark or kind]
        for mark, kind, first in opening:
            assert (kind == "python" and first == ">") or mark in ("<!-- run -->", "<!-- says -->")


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_the_python_of_a_tutorial_prints_what_it_says(name: str) -> None:
    needed = NEEDS[name]
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    page = DOCS / "tutorials" / f"{name}.md"
    failed, tried = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert tried > 5
    assert failed == 0


def test_the_examples_of_the_concepts_page_are_right() -> None:
    failed, tried = doctest.testfile(str(DOCS / "concepts.md"), module_relative=False)
    assert tried > 5
    assert failed == 0


def test_the_picture_of_the_concepts_is_the_one_that_is_drawn() -> None:
    made = runpy.run_path(str(DOCS / "draw_concepts.py"))["picture"]()
    assert made == (DOCS / "assets" / "concepts.svg").read_text("utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_of_a_tutorial_do_what_it_says(name: str, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    blocks = re.findall(r"<!-- run -->\n```sh\n(.*?)```", text_of(name), flags=re.S)
    # Whoever types them has `meritree` and `python` of one environment.
    here = f'meritree() {{ "{sys.executable}" -m meritree "$@"; }}\n'
    here += f'python() {{ "{sys.executable}" "$@"; }}\n'
    home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    run = subprocess.run(
        [bash, "-euo", "pipefail", "-c", here + "".join(blocks)],
        cwd=tmp_path,
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert run.returncode == 0, run.stderr
    said = re.findall(r"<!-- says -->\n```\n(.*?)```", text_of(name), flags=re.S)
    assert said
    for line in "".join(said).splitlines():
        assert line in run.stdout
