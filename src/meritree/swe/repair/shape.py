"""Which unit, function and constants a line of a Python file belongs to.

A unit is a simple statement with all its lines, or the header of a compound one. Knows
only the text of one file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import lru_cache

_COMPOUND = (
    ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match,
)  # fmt: skip
_DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class FileShape:
    """Line-wise structure of one file; a file that does not parse has no code lines."""

    def __init__(self, text: str) -> None:
        self.texts = text.split("\n")
        self._start: dict[int, int] = {}
        self._function: dict[int, str] = {}
        self._span: dict[str, tuple[int, int]] = {}
        self._headers: set[int] = set()
        self._assigned: dict[int, frozenset[str]] = {}
        self._reads: dict[str, frozenset[str]] = {}
        self._adjacent: dict[int, list[int]] = {}
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):  # ValueError: null bytes
            tree = ast.Module([], [])
        self._walk(tree.body, "", "")
        self.code_lines: tuple[int, ...] = tuple(sorted(self._start))

    def start(self, line: int) -> int:
        """First line of the unit that ``line`` belongs to (itself outside any unit)."""
        return self._start.get(line, line)

    def function(self, line: int) -> str:
        """Dotted name of the outermost function or method, empty for import-time code."""
        return self._function.get(line, "")

    def is_header(self, line: int) -> bool:
        """Whether the line belongs to the signature or decorators of a function."""
        return line in self._headers

    def functions_of(self, starts: Iterable[int]) -> set[str]:
        """Functions with a unit of their body among ``starts``."""
        found = {self._function.get(s, "") for s in starts if s not in self._headers}
        return found - {""}

    def text_of(self, function: str) -> str:
        """Source text of a function; empty when unknown."""
        first, last = self._span.get(function, (1, 0))
        return "\n".join(self.texts[first - 1 : last])

    def adjacent(self, start: int) -> tuple[int, ...]:
        """Headers of the compound statements directly around a unit, and its siblings' starts."""
        return tuple(self._adjacent.get(start, ()))

    def readers(self, start: int) -> Iterator[str]:
        """Functions that read a name bound by the import-time unit at ``start``."""
        names = self._assigned.get(start, frozenset())
        if names:
            for function, read in self._reads.items():
                if names & read:
                    yield function

    def _walk(self, body: list[ast.stmt], function: str, scope: str) -> None:
        for place, statement in enumerate(body):
            if place == 0 and _is_docstring(statement):
                continue
            if isinstance(statement, _DEFINITION):
                self._definition(statement, function, scope)
            elif isinstance(statement, _COMPOUND):
                self._compound(statement, function, scope)
            else:
                self._unit(statement.lineno, statement.end_lineno or statement.lineno, function)
                if not function:
                    self._assigned[statement.lineno] = _bound(statement)

    def _unit(self, first: int, last: int, function: str) -> None:
        for line in range(first, last + 1):
            text = self.texts[line - 1].strip()
            if line == first or (text and not text.startswith("#")):
                self._start.setdefault(line, first)
                self._function.setdefault(line, function)

    def _definition(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
        function: str,
        scope: str,
    ) -> None:
        name = f"{scope}.{node.name}" if scope else node.name
        is_class = isinstance(node, ast.ClassDef)
        owner = function or ("" if is_class else name)
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        header_end = max(node.lineno, _line_before_body(node.body, node.lineno))
        self._unit(first, header_end, owner)
        if owner and not function:
            self._headers.update(range(first, header_end + 1))
            self._span[owner] = (first, node.end_lineno or header_end)
            self._reads[owner] = frozenset(
                n.id if isinstance(n, ast.Name) else n.attr
                for n in ast.walk(node)
                if isinstance(n, ast.Name | ast.Attribute) and isinstance(n.ctx, ast.Load)
            )
        self._walk(node.body, owner, name)

    def _compound(self, node: ast.stmt, function: str, scope: str) -> None:
        bodies = list(_bodies(node))
        first_body = bodies[0] if bodies else []
        self._unit(node.lineno, _line_before_body(first_body, node.lineno), function)
        for body in bodies:
            if body:
                self._adjacent.setdefault(body[0].lineno, []).append(node.lineno)
                self._adjacent.setdefault(node.lineno, []).append(body[0].lineno)
            self._walk(body, function, scope)
        for handler in getattr(node, "handlers", []):
            self._unit(handler.lineno, _line_before_body(handler.body, handler.lineno), function)


@lru_cache(maxsize=256)
def file_shape(text: str) -> FileShape:
    """The shape of a file's text (cached)."""
    return FileShape(text)


def _bodies(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if body:
            yield body
    for handler in getattr(node, "handlers", []):
        yield handler.body
    for case in getattr(node, "cases", []):
        yield case.body


def _line_before_body(body: list[ast.stmt], first: int) -> int:
    if not body:
        return first
    decorators: list[ast.expr] = getattr(body[0], "decorator_list", [])
    start = min([body[0].lineno, *(decorator.lineno for decorator in decorators)])
    return max(first, start - 1)


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _bound(statement: ast.stmt) -> frozenset[str]:
    return frozenset(
        n.id
        for n in ast.walk(statement)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    )
