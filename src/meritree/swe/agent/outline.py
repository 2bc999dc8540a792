"""What is defined where in a file: from the syntax tree for Python, by its lines elsewhere.

Reads text only; nothing is imported or run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

_OTHER = re.compile(
    r"^[ \t]*(?:(?:export|default|pub(?:\([a-z]+\))?|public|private|protected|internal|static|"
    r"abstract|final|async|unsafe|inline|virtual|override|sealed|data|open|suspend)[ \t]+)*"
    r"(?P<kind>class|struct|enum|trait|interface|impl|module|namespace|object|type|"
    r"function\*?|fn|func|fun|def|sub|proc)[ \t]+(?:\([^)\n]{0,80}\)[ \t]*)?"
    r"(?P<name>[A-Za-z_$][\w$]*)",
    re.MULTILINE,
)
_TYPES = frozenset(
    ["class", "struct", "enum", "trait", "interface", "impl", "module", "namespace", "object",
     "type"]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Symbol:
    """A class or function of a file.

    Attributes:
        name: dotted inside the file (``Cart.total``).
        kind: ``class`` or ``function``.
        start, end: 1-based lines, decorators included; ``end`` is ``start`` where unknown.
        text: its first line.
    """

    name: str
    kind: str
    start: int
    end: int
    text: str


@lru_cache(maxsize=512)
def symbols(text: str, python: bool) -> tuple[Symbol, ...]:
    """The classes and functions of a file, in order."""
    if python:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return tuple(_by_lines(text))
        return tuple(_walk(tree, text.splitlines()))
    return tuple(_by_lines(text))


def is_python(path: str) -> bool:
    """Whether a file is Python by its name."""
    return path.endswith((".py", ".pyi"))


def _walk(tree: ast.Module, lines: Sequence[str]) -> Iterator[Symbol]:
    waiting: list[tuple[ast.AST, str]] = [(node, "") for node in reversed(tree.body)]
    while waiting:
        node, prefix = waiting.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{prefix}{node.name}"
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            said = lines[node.lineno - 1].strip() if node.lineno <= len(lines) else ""
            yield Symbol(name, kind, first, node.end_lineno or node.lineno, said)
            prefix = f"{name}."
        elif not isinstance(node, ast.If | ast.Try | ast.With):
            continue
        waiting += [(child, prefix) for child in reversed(_body(node))]


def _body(node: ast.AST) -> list[ast.AST]:
    parts: list[ast.AST] = []
    for name in ("body", "orelse", "finalbody"):
        parts += getattr(node, name, [])
    return parts


def _by_lines(text: str) -> Iterator[Symbol]:
    """Definitions that look like some in common languages; where they end is not known."""
    number, at = 1, 0
    for found in _OTHER.finditer(text):
        number += text.count("\n", at, found.start("name"))
        at = found.start("name")
        kind = "class" if found["kind"] in _TYPES else "function"
        said = text[text.rfind("\n", 0, at) + 1 :].split("\n", 1)[0].strip()
        yield Symbol(found["name"], kind, number, number, said[:200])


def outline(text: str, python: bool, most: int = 200) -> str:
    """The definitions of a file, one a line with its place; says what was left out."""
    found = symbols(text, python)
    shown = [
        f"{one.start:>5}-{one.end:<5} {'  ' * one.name.count('.')}{one.text[:120]}"
        for one in found[:most]
    ]
    if len(found) > most:
        shown.append(f"... and {len(found) - most} more")
    return "\n".join(shown)


def enclosing(text: str, python: bool, line: int) -> str:
    """The dotted name of the innermost definition around a line, empty for none."""
    around = [one for one in symbols(text, python) if one.start <= line <= one.end]
    return max(around, key=lambda one: one.start).name if around else ""
