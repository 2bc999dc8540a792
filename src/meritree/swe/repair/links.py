"""Where every node of a syntax tree hangs, found out one function at a time.

Knows syntax trees and which of their places may be edited; of the text only how to read a node's.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import NamedTuple

from meritree.swe.repair.ast_text import expression, same

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LINKED = (
    ast.expr,
    ast.stmt,
    ast.excepthandler,
    ast.comprehension,
    ast.arguments,
    ast.arg,
    ast.keyword,
    ast.withitem,
    ast.match_case,
    ast.pattern,
    ast.alias,
)
_FROZEN_FIELDS = frozenset({"annotation", "returns", "decorator_list", "type_params", "pattern"})


class Link(NamedTuple):
    """Where a node hangs: parent, field, position in a list field (else -1), and its function."""

    parent: ast.AST
    field: str
    position: int
    owner: FunctionNode | None  # outermost function whose body holds the node
    editable: bool  # False in annotations, decorators, docstrings, patterns


_Unlinked = tuple[ast.AST, FunctionNode | None, bool, str]  # node, owner, editable, dotted name


class Links:
    """The links of one tree.

    Attributes:
        names: outermost functions -> dotted names.
        expressions: line -> editable expressions that start there, outer before inner.
        statements: line -> statements that start there.
    """

    def __init__(self, tree: ast.Module, segment: Callable[[ast.expr], str]) -> None:
        """Link what is outside functions; ``segment``: a node's text as written."""
        self.tree = tree
        self.names: dict[FunctionNode, str] = {}
        self.expressions: dict[int, list[ast.expr]] = {}
        self.statements: dict[int, list[ast.stmt]] = {}
        self._segment = segment
        self._links: dict[ast.AST, Link] = {}
        self._unlinked: dict[int, _Unlinked] = {}  # by every line of the function
        self._link([(tree, None, True, "")])

    def _link(self, stack: list[_Unlinked], inside: bool = False) -> None:
        """Walk in source order and note parent, owner and lines of every node.

        What is inside outermost functions is left until somebody asks for a line or a node
        there: most states of a file differ in one function and are looked at nowhere else.
        """
        while stack:
            node, owner, editable, dotted = stack.pop()
            if isinstance(node, FUNCTIONS) and owner is None and not inside:
                self.names[node] = dotted + node.name
                lines = range(first_line(node), (node.end_lineno or 0) + 1)
                self._unlinked.update(dict.fromkeys(lines, (node, owner, editable, dotted)))
                continue
            inside = False
            inner_owner, inner_dotted = owner, dotted
            if isinstance(node, FUNCTIONS) and owner is None:
                inner_owner = node
            elif isinstance(node, ast.ClassDef) and owner is None:
                inner_dotted = f"{dotted}{node.name}."
            children: list[tuple[ast.AST, FunctionNode | None, bool, str]] = []
            for field, index, child in _children(node):
                # Only the body of a function is swapped with it; the rest runs at definition.
                body = field == "body" if isinstance(node, FUNCTIONS) else True
                child_owner = inner_owner if body else owner
                open_ = editable and field not in _FROZEN_FIELDS and not _docstring(child)
                if isinstance(node, ast.FormattedValue | ast.JoinedStr):
                    open_ = open_ and field != "format_spec" and self._located(child)
                self._links[child] = Link(node, field, index, child_owner, open_)
                self._register(child, open_)
                children.append((child, child_owner, open_, inner_dotted))
            stack.extend(reversed(children))

    def reach(self, line: int) -> None:
        """Link the outermost function that ``line`` belongs to."""
        left = self._unlinked.get(line)
        if left is not None:
            node = left[0]
            assert isinstance(node, FUNCTIONS)
            for each in range(first_line(node), (node.end_lineno or 0) + 1):
                self._unlinked.pop(each, None)
            self._link([left], inside=True)

    def _reach_all(self) -> None:
        while self._unlinked:
            self.reach(next(iter(self._unlinked)))

    def known(self, node: ast.AST) -> Link | None:
        """The link of a node; None for the module and for a node of another tree."""
        found = self._links.get(node)
        if found is None and self._unlinked and node is not self.tree:
            line = getattr(node, "lineno", None)
            if isinstance(line, int):
                self.reach(line)
            else:
                self._reach_all()  # arguments, comprehensions and the like have no place
            found = self._links.get(node)
        return found

    def _register(self, node: ast.AST, editable: bool) -> None:
        if isinstance(node, ast.stmt):
            self.statements.setdefault(first_line(node), []).append(node)
        elif isinstance(node, ast.FormattedValue):
            return  # only its value can be edited
        elif isinstance(node, ast.expr) and editable:
            self.expressions.setdefault(node.lineno, []).append(node)

    def _located(self, child: ast.AST) -> bool:
        """Whether a part of an f-string can be edited: before 3.12 positions may be wrong."""
        if isinstance(child, ast.FormattedValue):
            return True
        if not isinstance(child, ast.expr) or isinstance(child, ast.Constant):
            return False
        written = expression(self._segment(child))
        return written is not None and same(child, written, {})


def first_line(statement: ast.stmt) -> int:
    """First line of a statement, its decorators included."""
    decorators = getattr(statement, "decorator_list", None)
    lines: list[int] = [each.lineno for each in decorators or ()]
    return min([statement.lineno, *lines])


def _children(node: ast.AST) -> Iterator[tuple[str, int, ast.AST]]:
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, _LINKED):
                    yield field, index, item
        elif isinstance(value, _LINKED):
            yield field, -1, value


def _docstring(node: ast.AST) -> bool:
    """Whether ``node`` is a bare string, documentation wherever it stands."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str | bytes)
    )
