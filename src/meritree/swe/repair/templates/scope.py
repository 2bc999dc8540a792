"""What one function offers as ingredients: names in scope, expressions, constants, places.

Computed lazily once per outermost function (or for the code a module runs at import);
knows nothing about other files.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cached_property

from meritree.swe.repair.ast_text import COMPARE, COMPARE_TEXT, NEGATED_COMPARE, NOT
from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.links import FunctionNode

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_NOT_VARIABLES = frozenset({"self", "cls", "_", "mcs"})
MAX_LISTED = 40  # ingredients of one kind taken from one function
_LONG = 60  # characters of a condition or expression worth moving


class Scope:
    """Ingredients of the outermost function ``owner`` of ``source`` (``None``: import level)."""

    def __init__(self, source: SourceFile, owner: FunctionNode | None) -> None:
        self.source = source
        self.owner = owner
        self._visible: dict[tuple[ast.AST, int], tuple[str, ...]] = {}

    # -- nodes --------------------------------------------------------------------------------

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of the function in source order, without annotations."""
        return tuple(self._walk())

    def _walk(self) -> Iterator[ast.AST]:
        root: ast.AST = self.owner if self.owner is not None else self.source.tree
        stack = [root]
        while stack:
            node = stack.pop()
            yield node
            if isinstance(node, ast.JoinedStr):
                continue
            if self.owner is None and isinstance(node, _FUNCTIONS):
                continue  # functions have scopes of their own
            children: list[ast.AST] = []
            for field in node._fields:
                if field in ("annotation", "returns", "decorator_list", "ctx"):
                    continue
                value = getattr(node, field, None)
                if isinstance(value, ast.AST):
                    children.append(value)
                elif isinstance(value, list):
                    children.extend(each for each in value if isinstance(each, ast.AST))
            stack.extend(reversed(children))

    @cached_property
    def expressions(self) -> tuple[ast.expr, ...]:
        """Editable expressions in source order."""
        linked = self.source
        return tuple(
            node
            for node in self.nodes
            if isinstance(node, ast.expr) and linked.parent(node) and linked.link(node).editable
        )

    def texts(self, nodes: Iterable[ast.expr], longest: int = _LONG) -> tuple[str, ...]:
        """Distinct one-line source texts of ``nodes``, at most ``MAX_LISTED``."""
        seen: dict[str, None] = {}
        for node in nodes:
            text = self.source.segment(node)
            if len(text) <= longest and "\n" not in text and "#" not in text:
                seen.setdefault(text)
                if len(seen) >= MAX_LISTED:
                    break
        return tuple(seen)

    # -- names --------------------------------------------------------------------------------

    @cached_property
    def _bound(self) -> dict[ast.AST, dict[str, int]]:
        """Per function, lambda or comprehension: its names with the line that binds them first."""
        bound: dict[ast.AST, dict[str, int]] = {}
        for node in self.nodes:
            name, line = _binding(node)
            if name is None or name in _NOT_VARIABLES:
                continue
            home = self._home(node)
            known = bound.setdefault(home, {})
            known[name] = min(line, known.get(name, line))
        return bound

    def _home(self, node: ast.AST) -> ast.AST:
        """The scope that a binding at ``node`` belongs to."""
        child = node
        for parent in self.source.ancestors(node):
            if isinstance(parent, (*_FUNCTIONS, ast.Lambda)):
                return parent
            if isinstance(parent, ast.comprehension) and child is parent.target:
                return self.source.link(parent).parent
            if isinstance(parent, ast.ClassDef):
                return parent
            child = parent
        return self.source.tree

    @cached_property
    def _uses(self) -> dict[str, list[int]]:
        uses: dict[str, list[int]] = {}
        for node in self.nodes:
            if isinstance(node, ast.Name):
                uses.setdefault(node.id, []).append(node.lineno)
            elif isinstance(node, ast.arg):
                uses.setdefault(node.arg, []).append(node.lineno)
        return uses

    def visible(self, node: ast.AST) -> tuple[str, ...]:
        """Variables that ``node`` can read, nearest use first; names bound only later come last.

        Parameters, stored names and those of enclosing functions, lambdas and comprehensions;
        without ``self``, ``cls`` and ``_``.
        """
        kinds = (*_SCOPES, ast.Module, ast.ClassDef) if self.owner is None else _SCOPES
        homes: list[ast.AST] = [
            parent
            for parent in self.source.ancestors(node)
            if isinstance(parent, kinds) and parent in self._bound
        ]
        line = getattr(node, "lineno", 0)
        key = (homes[0] if homes else self.source.tree, line)
        known = self._visible.get(key)
        if known is None:
            known = self._visible[key] = self._ordered(homes, line)
        return known

    def _ordered(self, homes: list[ast.AST], line: int) -> tuple[str, ...]:
        ranked: dict[str, tuple[bool, int, int]] = {}
        for level, home in enumerate(homes):
            for name, first in self._bound[home].items():
                near = min(abs(each - line) for each in self._uses.get(name, [first]))
                ranked.setdefault(name, (first > line, near, level))
        return tuple(sorted(ranked, key=lambda name: ranked[name]))[:MAX_LISTED]

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Every variable of the function in order of binding, nested ones too."""
        return tuple(dict.fromkeys(name for names in self._bound.values() for name in names))

    @cached_property
    def self_name(self) -> str | None:
        """``self`` or ``cls`` as the method calls it; ``None`` outside methods."""
        owner = self.owner
        if owner is None or not isinstance(self.source.parent(owner), ast.ClassDef):
            return None
        static = any(_named(each, "staticmethod") for each in owner.decorator_list)
        first = [*owner.args.posonlyargs, *owner.args.args][:1]
        return first[0].arg if first and not static else None

    @cached_property
    def other_names(self) -> tuple[str, ...]:
        """Names that the function reads and does not bind: globals, imports, builtins."""
        own = set(self.variables) | _NOT_VARIABLES
        names = (node.id for node in self.nodes if isinstance(node, ast.Name))
        return tuple(dict.fromkeys(name for name in names if name not in own))

    @cached_property
    def called(self) -> tuple[str, ...]:
        """Plain names that are called, in order."""
        calls = (node.func for node in self.nodes if isinstance(node, ast.Call))
        return tuple(dict.fromkeys(func.id for func in calls if isinstance(func, ast.Name)))

    # -- expressions --------------------------------------------------------------------------

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """Dotted reads such as ``x.size`` or ``self.table``, not called ones."""
        called = {node.func for node in self.nodes if isinstance(node, ast.Call)}
        return self.texts(
            node
            for node in self.expressions
            if isinstance(node, ast.Attribute) and node not in called and _dotted(node)
        )

    @cached_property
    def self_attributes(self) -> tuple[str, ...]:
        """Attribute names read or written on ``self`` in the function."""
        name = self.self_name
        return tuple(
            dict.fromkeys(
                node.attr
                for node in self.nodes
                if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == name
            )
        )

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        """Tests and their clauses as written, at most 60 characters each."""
        found: list[ast.expr] = []
        for node in self.nodes:
            if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
                found.append(node.test)
            elif isinstance(node, ast.BoolOp):
                found.extend(node.values)
            elif isinstance(node, ast.comprehension):
                found.extend(node.ifs)
        return self.texts(each for each in found if not isinstance(each, ast.NamedExpr))

    @cached_property
    def strings(self) -> tuple[str, ...]:
        """String constants shorter than 40 characters."""
        return tuple(
            dict.fromkeys(
                node.value
                for node in self.expressions
                if isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and len(node.value) < 40
            )
        )

    @cached_property
    def numbers(self) -> tuple[int | float, ...]:
        """Numeric constants other than booleans."""
        values = (node.value for node in self.expressions if isinstance(node, ast.Constant))
        return tuple(
            dict.fromkeys(
                value
                for value in values
                if isinstance(value, int | float) and not isinstance(value, bool)
            )
        )

    @cached_property
    def small(self) -> dict[type[ast.expr], tuple[str, ...]]:
        """Expressions of at most 14 nodes by class, as one-line texts."""
        kinds: dict[type[ast.expr], list[ast.expr]] = {}
        for node in self.expressions:
            if isinstance(node, ast.Name | ast.Constant | ast.Starred | ast.JoinedStr):
                continue
            if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
                continue
            if size(node, 15) <= 14:
                kinds.setdefault(type(node), []).append(node)
        return {kind: self.texts(nodes) for kind, nodes in kinds.items()}

    @cached_property
    def places(self) -> tuple[str, ...]:
        """Subscripts and attributes that are assigned or read, as possible targets."""
        return self.texts(
            node
            for node in self.expressions
            if isinstance(node, ast.Subscript | ast.Attribute) and size(node, 9) <= 8
        )

    @cached_property
    def returned(self) -> tuple[str, ...]:
        """Short expressions that the function returns."""
        values = (node.value for node in self.nodes if isinstance(node, ast.Return))
        return self.texts((each for each in values if each is not None), 40)

    @cached_property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """Methods called per base, e.g. ``{"stack": ("append", "pop")}``."""
        found: dict[str, dict[str, None]] = {}
        for node in self.nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                base = self.source.segment(node.func.value)
                if len(base) <= 30 and "\n" not in base and _dotted(node.func.value):
                    found.setdefault(base, {}).setdefault(node.func.attr)
        return {base: tuple(names) for base, names in found.items()}

    @cached_property
    def simple_statements(self) -> tuple[ast.stmt, ...]:
        """One-line simple statements that could be copied elsewhere."""
        kinds = (ast.Assign, ast.AugAssign, ast.Expr, ast.Return, ast.Raise, ast.Continue)
        return tuple(
            node
            for node in self.nodes
            if isinstance(node, kinds)
            and node.lineno == node.end_lineno
            and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        )[:MAX_LISTED]

    @cached_property
    def is_generator(self) -> bool:
        """Whether the function yields."""
        return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in self.nodes)


def scope_of(source: SourceFile, node: ast.AST) -> Scope:
    """The scope of the outermost function that holds ``node``, remembered with the file."""
    owner = source.owner(node)
    key = ("scope", owner)
    scope = source.memo.get(key)
    if not isinstance(scope, Scope):
        scope = source.memo[key] = Scope(source, owner)
    return scope


def negation(source: SourceFile, node: ast.expr) -> str:
    """Source text of the opposite of a test, without a double ``not``."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return source.segment(node.operand)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        operator = NEGATED_COMPARE[COMPARE_TEXT[type(node.ops[0])]]
        left = source.fitted(node.left, COMPARE + 1)
        return f"{left} {operator} {source.fitted(node.comparators[0], COMPARE + 1)}"
    return f"not {source.fitted(node, NOT)}"


def size(node: ast.AST, limit: int = 1000) -> int:
    """Number of nodes of an expression (operators and contexts not counted), up to ``limit``."""
    count = 0
    stack = [node]
    while stack and count < limit:
        each = stack.pop()
        count += isinstance(each, ast.expr | ast.comprehension | ast.keyword)
        stack.extend(ast.iter_child_nodes(each))
    return count


def _binding(node: ast.AST) -> tuple[str | None, int]:
    if isinstance(node, ast.arg):
        return node.arg, node.lineno
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id, node.lineno
    if isinstance(node, ast.ExceptHandler) and node.name:
        return node.name, node.lineno
    if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
        return node.name, node.lineno
    return None, 0


def _dotted(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
