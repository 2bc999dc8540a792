"""The examples of docs/align.md run one after the other and print what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "align.md"


def test_the_examples_print_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"<!-- run: align -->\n```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert len(blocks) >= 4
    scope: dict[str, Any] = {}
    for code in blocks:
        exec(code, scope)
        printed = capsys.readouterr().out.splitlines()
        said = re.findall(r"(?:print\(.*\)  |^)# (.*)$", code, re.M)
        assert printed == said
