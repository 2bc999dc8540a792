"""A text collection that is always there: the functions of Python's own library.

A query is the first sentence of a function's docstring, its answer the function's code without the
docstring. Split by module, so that no file is on two sides.
"""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SKIPPED = {"test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo", "__phello__"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True, slots=True)
class Function:
    """One documented function.

    Attributes:
        name: module and name, unique.
        module: top-level module.
        query: first sentence of the docstring, at least four words.
        code: source without the docstring.
    """

    name: str
    module: str
    query: str
    code: str


def words(text: str) -> list[str]:
    """Lower-case words without a final s; identifiers are split at underscores and humps."""
    return [_singular(word.lower()) for word in _WORD.findall(text)]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] != "s" else word


@cache
def functions() -> tuple[Function, ...]:
    """All of them, in a fixed order; functions with one and the same query are left out."""
    found: dict[str, list[Function]] = {}
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        if not _SKIPPED & set(inside.parts):
            for function in _documented(path, inside):
                found.setdefault(function.query, []).append(function)
    return tuple(group[0] for group in found.values() if len(group) == 1)


def _documented(path: Path, inside: Path) -> Iterator[Function]:
    try:
        text = path.read_text("utf-8")
        tree = ast.parse(text)
    except (OSError, UnicodeDecodeError, SyntaxError):
        return  # a few files of the library are broken on purpose
    lines = text.splitlines()
    module = inside.parts[0].removesuffix(".py")
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or len(node.body) < 2:
            continue
        doc = ast.get_docstring(node)
        query = re.split(r"(?<=[.!?])\s|\n\s*\n", doc, maxsplit=1)[0] if doc else ""
        if len(words(query)) < 4:
            continue
        quoted, last = node.body[0], node.body[-1]
        kept = (
            lines[node.lineno - 1 : quoted.lineno - 1] + lines[quoted.end_lineno : last.end_lineno]
        )
        yield Function(f"{inside}:{node.lineno}", module, " ".join(query.split()), "\n".join(kept))
