"""Expressions as text: precedence, parentheses, quoting, and equality of syntax trees.

Pure functions of syntax trees and strings; knows neither files nor templates.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

# Binding strength of an expression, weakest first (the order of the Python grammar).
NAMED, TUPLE, YIELD, TEST, OR, AND, NOT, COMPARE = range(8)
BIT_OR, BIT_XOR, BIT_AND, SHIFT, ARITH, TERM, FACTOR, POWER, AWAIT, ATOM = range(8, 18)

_BINARY: dict[type[ast.operator], int] = {
    ast.Add: ARITH,
    ast.Sub: ARITH,
    ast.Mult: TERM,
    ast.Div: TERM,
    ast.FloorDiv: TERM,
    ast.Mod: TERM,
    ast.MatMult: TERM,
    ast.LShift: SHIFT,
    ast.RShift: SHIFT,
    ast.BitOr: BIT_OR,
    ast.BitXor: BIT_XOR,
    ast.BitAnd: BIT_AND,
    ast.Pow: POWER,
}

BINARY_TEXT: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.MatMult: "@",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.BitAnd: "&",
    ast.Pow: "**",
}

COMPARE_TEXT: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}

NEGATED_COMPARE: dict[str, str] = {
    "<": ">=",
    "<=": ">",
    ">": "<=",
    ">=": "<",
    "==": "!=",
    "!=": "==",
    "is": "is not",
    "is not": "is",
    "in": "not in",
    "not in": "in",
}

PLACEHOLDER = "__kept_%d__"
_PLACEHOLDER_NAME = re.compile(r"__kept_(\d+)__\Z")
_OPERATOR_SCAN = re.compile(
    r"#[^\n\r]*|\bnot\s+in\b|\bis\s+not\b|\bis\b|\bin\b|\band\b|\bor\b|\bnot\b"
    r"|\*\*=?|//=?|<<=?|>>=?|[<>=!]=|[-+*/%@&|^]=?|[<>~=]"
)
_WEAKEST: dict[type[ast.expr], int] = {
    ast.NamedExpr: NAMED,
    ast.Yield: YIELD,
    ast.YieldFrom: YIELD,
    ast.IfExp: TEST,
    ast.Lambda: TEST,
    ast.Starred: TUPLE,
    ast.Compare: COMPARE,
    ast.Await: AWAIT,
}


def precedence(node: ast.expr) -> int:
    """Binding strength of ``node``; an unparenthesised tuple is assumed (``TUPLE``)."""
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)]
    if isinstance(node, ast.BoolOp):
        return OR if isinstance(node.op, ast.Or) else AND
    if isinstance(node, ast.UnaryOp):
        return NOT if isinstance(node.op, ast.Not) else FACTOR
    if isinstance(node, ast.Tuple):
        return TUPLE
    return _WEAKEST.get(type(node), ATOM)


def required(parent: ast.AST, field: str) -> int:
    """The weakest binding that an expression may have in ``field`` of ``parent`` unparenthesised.

    Conservative: a slot not listed asks for the strength of an ordinary test.
    """
    if isinstance(parent, ast.BinOp):
        own = _BINARY[type(parent.op)]
        if isinstance(parent.op, ast.Pow):
            return FACTOR if field == "right" else POWER + 1
        return own + 1 if field == "right" else own
    if isinstance(parent, ast.UnaryOp):
        return NOT if isinstance(parent.op, ast.Not) else FACTOR
    if isinstance(parent, ast.BoolOp):
        return (OR if isinstance(parent.op, ast.Or) else AND) + 1
    if isinstance(parent, ast.Compare):
        return COMPARE + 1
    if isinstance(parent, ast.Attribute | ast.Await):
        return ATOM
    if isinstance(parent, ast.Subscript):
        return ATOM if field == "value" else TEST
    if isinstance(parent, ast.Call):
        return ATOM if field == "func" else TEST
    if isinstance(parent, ast.Starred):
        return BIT_OR
    if isinstance(parent, ast.IfExp) and field in ("test", "body"):
        return OR
    if isinstance(parent, ast.comprehension):
        return OR
    if isinstance(parent, ast.Return | ast.Assign | ast.AugAssign | ast.Yield | ast.Expr):
        return TUPLE
    return TEST


def parenthesised(text: str) -> bool:
    """Whether one pair of parentheses encloses all of ``text`` (strings are not looked into)."""
    if not (text.startswith("(") and text.endswith(")")):
        return False
    depth = 0
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return position == len(text) - 1
    return False


def fit(text: str, node: ast.expr, need: int) -> str:
    """``text`` (the source of ``node``), in parentheses where a slot of strength ``need`` asks."""
    if precedence(node) >= need:
        return text
    if isinstance(node, ast.Tuple) and parenthesised(text):
        return text
    return f"({text})"


@lru_cache(maxsize=4096)
def expression(text: str) -> ast.expr | None:
    """The expression that ``text`` spells, or ``None`` when it is not one. Do not modify it."""
    try:
        return ast.parse(f"({text}\n)", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def block(text: str) -> list[ast.stmt] | None:
    """The statements that ``text`` spells (the first line may be indented), or ``None``."""
    try:
        if text[:1] in (" ", "\t"):
            whole = ast.parse("if 1:\n" + text).body
            return whole[0].body if len(whole) == 1 and isinstance(whole[0], ast.If) else None
        return ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def same(old: object, new: object, swaps: Mapping[ast.AST, Sequence[ast.AST]]) -> bool:
    """Whether the tree ``new`` equals ``old`` after replacing every key of ``swaps`` by its values.

    Positions, contexts and string prefixes are ignored. An expression is replaced by exactly
    one node, a statement by any number. A name ``__kept_3__`` inside a replacement stands for
    an original statement and is resolved by the caller (see ``fill``).
    """
    if isinstance(old, ast.AST):
        if swaps and old in swaps:
            replacement = swaps[old]
            rest = {key: value for key, value in swaps.items() if key is not old}
            return len(replacement) == 1 and same(replacement[0], new, rest)
        kind = type(old)
        if kind is not type(new):
            return False
        if kind is ast.Constant:
            return _same_constant(old, new)
        for field in kind._fields:
            if field in ("ctx", "type_comment", "kind"):
                continue
            left = getattr(old, field, None)
            right = getattr(new, field, None)
            if left is None or isinstance(left, str | int):
                if left != right:
                    return False
            elif not same(left, right, swaps):
                return False
        return True
    if isinstance(old, list):
        return isinstance(new, list) and _same_list(old, new, swaps)
    return old == new


def _same_list(
    old: list[object], new: list[object], swaps: Mapping[ast.AST, Sequence[ast.AST]]
) -> bool:
    if swaps and any(isinstance(item, ast.stmt) and item in swaps for item in old):
        pairs: list[tuple[object, bool]] = []
        for item in old:
            if isinstance(item, ast.stmt) and item in swaps:
                pairs.extend((each, True) for each in swaps[item])
            else:
                pairs.append((item, False))
        if len(pairs) != len(new):
            return False
        keys = {item for item in old if isinstance(item, ast.stmt) and item in swaps}
        rest = {key: value for key, value in swaps.items() if key not in keys}
        return all(
            same(item, other, _without(rest, item) if replaced else swaps)
            for (item, replaced), other in zip(pairs, new, strict=True)
        )
    return len(old) == len(new) and all(
        same(item, other, swaps) for item, other in zip(old, new, strict=True)
    )


def _without(
    swaps: Mapping[ast.AST, Sequence[ast.AST]], item: object
) -> Mapping[ast.AST, Sequence[ast.AST]]:
    """``swaps`` for a statement that is itself a replacement: it is not replaced again."""
    return {key: value for key, value in swaps.items() if key is not item}


def _same_constant(old: object, new: object) -> bool:
    assert isinstance(old, ast.Constant)
    assert isinstance(new, ast.Constant)
    if type(old.value) is not type(new.value):
        return False
    return old.value == new.value or repr(old.value) == repr(new.value)


def fill(statements: list[ast.stmt], kept: Sequence[Sequence[ast.stmt]]) -> list[ast.stmt]:
    """Replace every statement ``__kept_k__`` in freshly parsed ``statements`` by ``kept[k]``."""
    result: list[ast.stmt] = []
    for statement in statements:
        number = _placeholder(statement)
        if number is not None:
            result.extend(kept[number])
            continue
        for field in ("body", "orelse", "finalbody"):
            inner = getattr(statement, field, None)
            if isinstance(inner, list):
                setattr(statement, field, fill(inner, kept))
        for handler in getattr(statement, "handlers", ()):
            handler.body = fill(handler.body, kept)
        result.append(statement)
    return result


def _placeholder(statement: ast.stmt) -> int | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Name):
        found = _PLACEHOLDER_NAME.match(statement.value.id)
        return int(found.group(1)) if found else None
    return None


def find_operator(gap: str, operator: str) -> tuple[int, int] | None:
    """Where ``operator`` (``"<="``, ``"not in"``, ...) stands in the text between two operands."""
    for found in _OPERATOR_SCAN.finditer(gap):
        if not found.group().startswith("#") and " ".join(found.group().split()) == operator:
            return found.span()
    return None


def literal(value: object, quote: str = "'") -> str:
    """Source text of a constant; strings in the given quote style where that needs no escape."""
    text = repr(value)
    if isinstance(value, str) and text[:1] == "'" and quote == '"' and '"' not in text:
        return f'"{text[1:-1]}"'
    return text


def short(text: str, limit: int = 48) -> str:
    """``text`` on one line and cut to ``limit`` characters, for rationales."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
