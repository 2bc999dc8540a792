"""The page of the room says what its docstrings say, and its example runs."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_tables_are_those_of_the_docstrings() -> None:
    text = (DOCS / "objectives.md").read_text("utf-8")
    made = runpy.run_path(str(DOCS / "draw_objectives.py"))["page"](text)
    assert text == made, "write them anew: python docs/draw_objectives.py"


def test_the_example_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "objectives.md").read_text("utf-8")
    code = re.search(r"<!-- run: objectives -->\n```python\n(.*?)```", text, re.S)
    assert code
    scope: dict[str, Any] = {}
    exec(code[1], scope)
    said = re.search(r"# (\[.*\])", code[1])
    assert said
    assert capsys.readouterr().out.strip() == said[1]
