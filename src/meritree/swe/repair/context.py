"""A source file parsed once: offsets, parents, enclosing statements, what may be edited where.

Knows Python's syntax and layout; knows nothing about templates, tests or probabilities.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from weakref import WeakKeyDictionary

from meritree.errors import MeritreeError
from meritree.swe.repair.ast_text import TEST, fit
from meritree.swe.repair.links import FUNCTIONS, FunctionNode, Link, Links, first_line
from meritree.swe.repair.replaced import common_length, with_one_function_replaced

_NEWLINE = re.compile(r"\r\n|\r|\n")
_BODIES = ("body", "orelse", "finalbody")
_SUITES = ("body", "handlers", "orelse", "finalbody", "cases")


class SourceError(MeritreeError):
    """A file cannot be edited because it cannot be parsed."""


# Statements inside functions, whose nodes the states of a file share.
_INNER: WeakKeyDictionary[ast.AST, tuple[ast.stmt, ...]] = WeakKeyDictionary()


class SourceFile:
    """One text of one Python file with the maps that templates need.

    Attributes:
        path: the file, relative to the repository root.
        text: the text all offsets refer to (characters, not bytes).
        tree: its syntax tree; shared, must not be modified.
        newline: the newline of the file's first line (``"\\n"`` if it has none).
    """

    def __init__(self, path: str, text: str, near: SourceFile | None = None) -> None:
        """Parse ``text``; only what differs from ``near``, where that is one function.

        Raises:
            SourceError: it is not valid Python for this interpreter.
        """
        bom = text.startswith("\ufeff")
        tree = None if near is None else with_one_function_replaced(near, text)
        try:
            self.tree = tree or ast.parse(text[1:] if bom else text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
            raise SourceError(
                f"{path} cannot be parsed: {problem}; it will not be edited"
            ) from None
        self.path = path
        self.text = text
        starts = [int(bom)]
        starts.extend(found.end() for found in _NEWLINE.finditer(text))
        self._starts = starts
        first = _NEWLINE.search(text)
        self.newline = first.group() if first else "\n"
        self.memo: dict[object, object] = {}  # facts that others derive and keep with the file
        self._ascii = text.isascii()
        self._spans: dict[ast.AST, tuple[int, int]] = {}
        self._links = Links(self.tree, self.segment)

    # -- tree ---------------------------------------------------------------------------------

    def link(self, node: ast.AST) -> Link:
        """Parent, field, index and owner of ``node``."""
        found = self._links.known(node)
        if found is None:
            raise SourceError(f"{type(node).__name__} does not belong to {self.path}")
        return found

    def parent(self, node: ast.AST) -> ast.AST | None:
        """The parent of ``node``; ``None`` for the module."""
        link = self._links.known(node)
        return link.parent if link else None

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Parents of ``node`` from the nearest to the module."""
        link = self._links.known(node)
        while link is not None:
            yield link.parent
            link = self._links.known(link.parent)

    def statement_of(self, node: ast.AST) -> ast.stmt:
        """The innermost statement that contains ``node`` (or is it).

        Raises:
            SourceError: ``node`` is not inside a statement of this file.
        """
        if isinstance(node, ast.stmt):
            return node
        for parent in self.ancestors(node):
            if isinstance(parent, ast.stmt):
                return parent
        raise SourceError(f"{type(node).__name__} does not belong to a statement of {self.path}")

    def function_of(self, node: ast.AST) -> FunctionNode | None:
        """The innermost function whose body contains ``node``; ``None`` at import level."""
        child = node
        for parent in self.ancestors(node):
            if isinstance(parent, FUNCTIONS) and self.link(child).field == "body":
                return parent
            child = parent
        return None

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """The innermost class that contains ``node``."""
        for parent in self.ancestors(node):
            if isinstance(parent, ast.ClassDef):
                return parent
        return None

    def owner(self, node: ast.AST) -> FunctionNode | None:
        """The outermost function or method whose body contains ``node``."""
        link = self._links.known(node)
        return link.owner if link else None

    def function_name(self, node: ast.AST) -> str:
        """Dotted name of ``owner(node)`` (``"Cache.get"``); empty for code that runs at import."""
        owner = self.owner(node)
        return self._links.names[owner] if owner is not None else ""

    def in_loop(self, statement: ast.stmt) -> bool:
        """Whether ``break`` and ``continue`` are allowed in place of ``statement``."""
        child: ast.AST = statement
        for parent in self.ancestors(statement):
            if isinstance(parent, (*FUNCTIONS, ast.ClassDef)):
                return False
            if isinstance(parent, ast.For | ast.AsyncFor | ast.While):
                return self.link(child).field == "body" or self.in_loop(parent)
            child = parent
        return False

    @cached_property
    def functions(self) -> tuple[FunctionNode, ...]:
        """All functions and methods of the file, nested ones too, in source order."""
        found = [node for node in self.all_statements if isinstance(node, FUNCTIONS)]
        return tuple(sorted(found, key=lambda node: (node.lineno, node.col_offset)))

    @cached_property
    def all_statements(self) -> tuple[ast.stmt, ...]:
        """All statements in source order, outer before inner."""
        found: list[ast.stmt] = []
        for statement in self.tree.body:
            self._add_statements(statement, found)
        return tuple(found)

    def _add_statements(self, node: ast.AST, found: list[ast.stmt]) -> None:
        if isinstance(node, FUNCTIONS):
            known = _INNER.get(node)
            if known is None:
                inner: list[ast.stmt] = []
                for child in node.body:
                    self._add_statements(child, inner)
                known = _INNER[node] = tuple(inner)
            found.append(node)
            found.extend(known)
            return
        if isinstance(node, ast.stmt):
            found.append(node)
        for field in _SUITES:
            for child in getattr(node, field, ()):
                self._add_statements(child, found)

    # -- lines --------------------------------------------------------------------------------

    @property
    def line_count(self) -> int:
        """Number of lines."""
        return len(self._starts)

    def expressions(self, line: int) -> list[ast.expr]:
        """Editable expressions that start on ``line`` (1-based), outer before inner."""
        self._links.reach(line)
        return self._links.expressions.get(line, [])

    def statements(self, line: int) -> list[ast.stmt]:
        """Statements that start on ``line`` (a decorated one on its first decorator's line)."""
        self._links.reach(line)
        return self._links.statements.get(line, [])

    @staticmethod
    def first_line(statement: ast.stmt) -> int:
        """First line of a statement, its decorators included."""
        return first_line(statement)

    def line_start(self, line: int) -> int:
        """Offset of the first character of ``line``; the end of the text beyond the last line."""
        return self._starts[line - 1] if line <= len(self._starts) else len(self.text)

    def line_at(self, offset: int) -> int:
        """1-based line that contains the character offset."""
        return max(1, bisect_right(self._starts, offset))

    def line_text(self, line: int) -> str:
        """Text of ``line`` without its newline."""
        return self.text[self.line_start(line) : self.line_start(line + 1)].rstrip("\r\n")

    def offset(self, line: int, column: int) -> int:
        """Character offset of a UTF-8 byte column, as syntax trees give it."""
        start = self._starts[line - 1]
        if self._ascii:
            return start + column
        raw = self.text[start : self.line_start(line + 1)]
        return start + len(raw.encode()[:column].decode(errors="ignore"))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Character offsets of ``node``; for a decorated definition from its first ``@``."""
        known = self._spans.get(node)
        if known is None:
            assert node.end_lineno is not None
            assert node.end_col_offset is not None
            start = self.offset(node.lineno, node.col_offset)
            if isinstance(node, ast.stmt) and self.first_line(node) < node.lineno:
                line = self.first_line(node)
                start = self.line_start(line) + len(_indent(self.line_text(line)))
            known = (start, self.offset(node.end_lineno, node.end_col_offset))
            self._spans[node] = known
        return known

    def segment(self, node: ast.expr | ast.stmt) -> str:
        """Source text of ``node`` as written."""
        start, end = self.span(node)
        return self.text[start:end]

    def fitted(self, node: ast.expr, need: int = TEST) -> str:
        """Source text of ``node``, parenthesised where a slot of strength ``need`` asks for it."""
        return fit(self.segment(node), node, need)

    # -- layout -------------------------------------------------------------------------------

    def indent(self, statement: ast.stmt) -> str:
        """White space before a statement's line."""
        return _indent(self.line_text(self.first_line(statement)))

    def indent_unit(self, statement: ast.stmt) -> str:
        """One level of indentation as used around ``statement``."""
        nested = _first_nested(self, statement)
        if nested:
            return nested
        child: ast.stmt = statement
        for parent in self.ancestors(statement):
            if isinstance(parent, ast.stmt):
                inner, outer = self.indent(child), self.indent(parent)
                if len(inner) > len(outer) and inner.startswith(outer):
                    return inner[len(outer) :]
                child = parent
        return self._file_unit

    @cached_property
    def _file_unit(self) -> str:
        for statement in sorted(self.all_statements, key=lambda each: each.lineno):
            unit = _first_nested(self, statement)
            if unit:
                return unit
        return "    "

    def own_lines(self, statement: ast.stmt) -> bool:
        """Whether the statement shares its first and last line with no other code."""
        start, end = self.span(statement)
        before = self.text[self.line_start(self.line_at(start)) : start]
        after = self.text[end : self.line_start((statement.end_lineno or 0) + 1)].lstrip(" \t\f")
        return not before.strip(" \t\f") and after[:1] in ("", "#", "\n", "\r")

    def siblings(self, statement: ast.stmt) -> list[ast.stmt]:
        """The suite that holds ``statement``."""
        link = self.link(statement)
        suite = getattr(link.parent, link.field)
        assert isinstance(suite, list)
        return suite

    def is_elif(self, statement: ast.stmt) -> bool:
        """Whether this ``if`` is written as ``elif``."""
        return isinstance(statement, ast.If) and self.text.startswith(
            "elif", self.span(statement)[0]
        )

    @cached_property
    def string_lines(self) -> frozenset[int]:
        """Lines that begin inside a string and must keep their white space."""
        inside: set[int] = set()
        waiting: list[ast.AST] = [self.tree]
        while waiting:
            node = waiting.pop()
            literal = isinstance(node, ast.JoinedStr) or (
                isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
            )
            if literal and isinstance(node, ast.expr):
                inside.update(range(node.lineno + 1, (node.end_lineno or 0) + 1))
            waiting.extend(each for each in ast.iter_child_nodes(node) if _several_lines(each))
        return frozenset(inside)


def _several_lines(node: ast.AST) -> bool:
    return getattr(node, "lineno", 0) != getattr(node, "end_lineno", -1)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t\f"))]


def _first_nested(source: SourceFile, statement: ast.stmt) -> str:
    for field in _BODIES:
        suite = getattr(statement, field, None)
        if isinstance(suite, list) and suite and isinstance(suite[0], ast.stmt):
            inner, outer = source.indent(suite[0]), source.indent(statement)
            if len(inner) > len(outer) and inner.startswith(outer):
                return inner[len(outer) :]
    return ""


_RECENT: dict[str, deque[SourceFile]] = {}
_BASES = 6  # states of one file that a new one is compared with: the first and the latest


@lru_cache(maxsize=128)
def load(path: str, text: str) -> SourceFile | None:
    """``SourceFile(path, text)``, remembered for the last 128 texts; ``None`` if unparsable."""
    recent = _RECENT.setdefault(path, deque(maxlen=_BASES))
    try:
        source = SourceFile(path, text, _nearest(recent, text))
    except SourceError:
        return None
    if len(recent) == _BASES:
        recent.rotate(-1)  # the first one stays
        recent.popleft()
        recent.appendleft(recent.pop())
    recent.append(source)
    return source


def _nearest(recent: Iterable[SourceFile], text: str) -> SourceFile | None:
    """The state of a file with the longest common beginning and end."""
    best, most = None, 0
    for source in recent:
        alike = common_length(source.text, text)
        if alike > most:
            best, most = source, alike
    return best
