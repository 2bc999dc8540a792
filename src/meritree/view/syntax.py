"""Colours of the language for the lines of a patch, with Pygments.

Each hunk is read twice, as it was and as it became, so that a text over several lines keeps its
colour on both sides. A file of an unknown kind, or a huge patch, stays plain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

Spans = list[tuple[str, str]]  # (class, text); the class is empty for ordinary text

MAX_PATCH = 200_000  # characters; beyond that nothing is coloured
_HEAD = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_CLASSES = (
    ("Token.Keyword", "k"),
    ("Token.Comment", "c"),
    ("Token.Literal.String", "s"),
    ("Token.Literal.Number", "n"),
    ("Token.Name.Function", "f"),
    ("Token.Name.Class", "f"),
    ("Token.Name.Decorator", "f"),
    ("Token.Name.Builtin", "b"),
    ("Token.Operator.Word", "k"),
)


def coloured_lines(patch: str) -> dict[int, Spans]:
    """Line number in the patch -> the spans of its text after the first character."""
    if len(patch) > MAX_PATCH:
        return {}
    found: dict[int, Spans] = {}
    for path, numbered in _hunks(patch.splitlines()):
        lexer = _lexer(path)
        if lexer is None:
            continue
        for sign in "-+":  # what is on both sides is taken from the new one
            side = [(number, line[1:]) for number, line in numbered if line[:1] in (" ", sign)]
            lines = _by_line(lexer, [line for _, line in side])
            if len(lines) == len(side):
                found.update({n: spans for (n, _), spans in zip(side, lines, strict=True)})
    return found


def _hunks(lines: Sequence[str]) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """(path, numbered lines) of each hunk; its head says how many lines belong to it."""
    path, old, new = "", 0, 0
    hunk: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        if old > 0 or new > 0:
            sign = line[:1] or " "
            if sign not in " +-":
                continue  # "No newline at end of file"
            hunk.append((number, line))
            old -= sign != "+"
            new -= sign != "-"
            if old <= 0 and new <= 0:
                yield path, hunk
                hunk = []
        elif line.startswith("+++ "):
            path = line[4:].removeprefix("b/").split("\t")[0]
        elif head := _HEAD.match(line):
            old, new = (int(size or 1) for size in head.groups())


def _lexer(path: str) -> Any:
    from pygments.lexers import get_lexer_for_filename
    from pygments.util import ClassNotFound

    try:
        return get_lexer_for_filename(path, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


def _by_line(lexer: Any, lines: Sequence[str]) -> list[Spans]:
    result: list[Spans] = [[]]
    for kind, value in lexer.get_tokens("\n".join(lines)):
        name = _class(str(kind))
        first, *rest = value.split("\n")
        if first:
            result[-1].append((name, first))
        result += [[(name, part)] if part else [] for part in rest]
    return result


def _class(kind: str) -> str:
    return next((name for start, name in _CLASSES if kind.startswith(start)), "")
