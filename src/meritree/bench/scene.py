"""A Python file as fault injection sees it: nodes with text offsets, scopes, parents.

Only reads; which faults there are is the business of `mutation_kinds`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property

from meritree.swe.edits import Splice

Function = ast.FunctionDef | ast.AsyncFunctionDef
_SIMPLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return, ast.Raise, ast.Delete)


class Scene:
    """One parsed file.

    Raises:
        SyntaxError: the text does not parse.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self._lines = text.splitlines(keepends=True)
        self._starts = [0]
        self._locals: dict[Function, list[str]] = {}
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Each node's parent."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def offset(self, line: int, column: int) -> int:
        """Character offset of a 1-based line and a column in UTF-8 bytes."""
        text = self._lines[line - 1]
        if not text.isascii():
            column = len(text.encode()[:column].decode(errors="ignore"))
        return self._starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt | ast.excepthandler | ast.arg) -> tuple[int, int]:
        """Start and end offset of a node."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self.offset(node.lineno, node.col_offset),
            self.offset(node.end_lineno, node.end_col_offset),
        )

    def source(self, node: ast.expr | ast.stmt | ast.excepthandler | ast.arg) -> str:
        """The node's own text."""
        start, end = self.span(node)
        return self.text[start:end]

    def replace(self, node: ast.expr | ast.stmt | ast.arg, replacement: str) -> Splice:
        """The node's text gives way to another."""
        return Splice(*self.span(node), replacement)

    def between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> Splice | None:
        """Change an operator that stands between two expressions; None where it is not found."""
        start, end = self.span(left)[1], self.span(right)[0]
        gap = self.text[start:end]
        at = gap.find(old)
        if at < 0 or "#" in gap:
            return None
        return Splice(start + at, start + at + len(old), new)

    def delete(self, statement: ast.stmt) -> Splice | None:
        """Take a statement out with its lines; None where it shares a line with another."""
        body = self.siblings(statement)
        start, end = self.span(statement)
        first, last = self.line_bounds(start, end)
        if self.text[first:start].strip() or self.text[end:last].split("#")[0].strip():
            return None
        if len(body) == 1:
            return Splice(start, end, "pass")
        return Splice(first, last, "")

    def line_bounds(self, start: int, end: int) -> tuple[int, int]:
        """The offsets of the whole lines that hold ``start:end``, line end included."""
        first = self.text.rfind("\n", 0, start) + 1
        last = self.text.find("\n", end)
        return first, len(self.text) if last < 0 else last + 1

    def siblings(self, statement: ast.stmt) -> list[ast.stmt]:
        """The block that holds a statement."""
        parent = self.parents[statement]
        for field in ("body", "orelse", "finalbody", "handlers"):
            block = getattr(parent, field, None)
            if isinstance(block, list) and statement in block:
                return block
        return [statement]

    def statement(self, node: ast.AST) -> ast.stmt | None:
        """The innermost statement that holds a node."""
        current: ast.AST | None = node
        while current is not None and not isinstance(current, ast.stmt):
            current = self.parents.get(current)
        return current

    def function(self, node: ast.AST) -> Function | None:
        """The innermost function whose body (not its signature) holds a node."""
        child, current = node, self.parents.get(node)
        while current is not None:
            if isinstance(current, Function) and child in current.body:
                return current
            child, current = current, self.parents.get(current)
        return None

    def dotted_function(self, node: ast.AST) -> str:
        """Dotted name of the outermost function or method around a node; empty outside."""
        names: list[str] = []
        current: ast.AST | None = node
        while current is not None:
            if isinstance(current, Function):
                names = [current.name]
            elif isinstance(current, ast.ClassDef) and names:
                names.append(current.name)
            current = self.parents.get(current)
        return ".".join(reversed(names))

    def locals_of(self, function: Function) -> list[str]:
        """Parameters and assigned names of a function, in order of appearance."""
        known = self._locals.get(function)
        if known is not None:
            return known
        arguments = function.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        stored = [
            node.id
            for node in ast.walk(function)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]
        found = dict.fromkeys(n for n in (*names, *stored) if n not in ("self", "cls", "_"))
        return self._locals.setdefault(function, list(found))

    def is_docstring(self, node: ast.AST) -> bool:
        """Whether a node is a string that stands alone as a statement."""
        return isinstance(node, ast.Constant) and isinstance(self.parents.get(node), ast.Expr)

    def is_simple(self, statement: ast.stmt) -> bool:
        """A statement without a body of its own that does something (no docstring)."""
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            return False
        return isinstance(statement, _SIMPLE)

    def nodes(self) -> Iterator[ast.AST]:
        """All nodes, in a fixed order."""
        return ast.walk(self.tree)
