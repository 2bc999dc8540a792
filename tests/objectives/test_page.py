"""The page on objectives for language models: its code runs and prints what it says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "objectives-language-models.md"


def test_the_examples_print_what_their_comments_say() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    code = "\n".join(blocks)
    expected = re.findall(r"^print\(.*\)  # (.+)$", code, re.M)
    assert len(expected) == 3
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(PAGE), "exec"), {})
    assert printed.getvalue().splitlines() == expected


def test_every_name_in_the_tables_exists() -> None:
    from meritree.objectives import (
        divergences,
        extras,
        group_advantages,
        links,
        preference,
        risk_ratio,
        rows,
        shapes,
        surrogates,
    )

    rooms = [
        divergences, extras, group_advantages, links, preference, risk_ratio, rows, shapes,
        surrogates,
    ]  # fmt: skip
    known = {name for room in rooms for name in dir(room)}
    cells = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    calls = {name for line in cells for name in re.findall(r"`(?:shapes\.)?(\w+)\(", line)}
    assert len(calls) > 15
    assert calls <= known
