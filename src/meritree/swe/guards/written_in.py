"""Whole expected values that a patch writes into places where code gives values.

Compares two syntax trees; knows nothing about tests but the values that they compare with.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any

from meritree.swe.guards.literals import constant, is_constant, telling

_ALIKE = 0.5  # ratio of letters from which one text is a correction of another
_FILLED = ("append", "appendleft", "add", "insert", "get", "pop", "setdefault", "getattr", "next")

Place = tuple[str, Any, ast.expr]  # kind of place, value, expression


def written_in(old: ast.AST, new: ast.AST, compared: frozenset[str]) -> Iterator[tuple[str, int]]:
    """Code and line of every particular whole expected value that only the new tree gives.

    A value that the old tree gives somewhere is no news, and one that takes the place of a
    like constant (a number of a number, a text of a similar text) is a correction.

    Args:
        old, new: a file before and after the patch.
        compared: `repr` of the values that failing tests compare results with.
    """
    places = list(_given(new))
    if not any(repr(value) in compared and telling(value) for _, value, _ in places):
        return
    before = list(_given(old))
    known = {repr(value) for _, value, _ in before}
    gone = Counter((kind, repr(value)) for kind, value, _ in before)
    gone -= Counter((kind, repr(value)) for kind, value, _ in places)
    values = {repr(value): value for _, value, _ in before}
    for kind, value, node in places:
        if repr(value) not in compared or not telling(value) or repr(value) in known:
            continue
        fits = [k for k in gone if gone[k] > 0 and k[0] == kind and _alike(values[k[1]], value)]
        if fits:
            gone[fits[0]] -= 1
        else:
            yield " ".join(ast.unparse(node).split())[:100], node.lineno


def _given(tree: ast.AST) -> Iterator[Place]:
    """Constants in places where code gives a value, rather than asks for or works on one."""
    asked = {
        id(side)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
    }
    for node in ast.walk(tree):
        if id(node) not in asked:
            for kind, value in _parts(node):
                if is_constant(value):
                    yield kind, constant(value), value


def _parts(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Return(value=value) | ast.Yield(value=value) if value is not None:
            yield "return", value
        case ast.Lambda(body=value):
            yield "return", value
        case ast.Assign(value=value) | ast.NamedExpr(value=value):
            yield "assign", value
        case ast.AnnAssign(value=value) if value is not None:
            yield "assign", value
        case ast.IfExp(body=body, orelse=other):
            yield "branch", body
            yield "branch", other
        case ast.BoolOp(values=values):
            yield from (("operand", value) for value in values)
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            yield from (("element", part) for part in parts)
        case ast.Dict(values=values):
            yield from (("element", value) for value in values)
        case ast.arguments(defaults=defaults, kw_defaults=further):
            yield from (("default", value) for value in (*defaults, *further) if value is not None)
        case ast.Call(func=func, args=args):
            name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
            if name in _FILLED:
                yield from (("argument", value) for value in args)


def _alike(old: Any, new: Any) -> bool:
    """Whether one constant may be a correction of the other."""
    if isinstance(old, bool) or isinstance(new, bool) or old is None:
        return False
    if isinstance(old, int | float) and isinstance(new, int | float):
        return True
    if type(old) is not type(new):
        return False
    one, other = (v if isinstance(v, str | bytes) else repr(v)[1:-1] for v in (old, new))
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= _ALIKE
