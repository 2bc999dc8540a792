"""Templates for arithmetic: operators, off-by-one, order of operands, augmented assignment."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from meritree.swe.repair.ast_text import (
    ARITH,
    ATOM,
    BINARY_TEXT,
    COMPARE,
    COMPARE_TEXT,
    POWER,
    TERM,
    find_operator,
)
from meritree.swe.repair.templates.base import Site, is_test, template
from meritree.swe.repair.templates.comparison_logic import with_operator
from meritree.swe.repair.templates.draft import Draft, Replace, replace, rewrite
from meritree.swe.repair.templates.roles import NUMBER, countability, roles_of

FAMILIES: tuple[tuple[str, ...], ...] = (
    ("+", "-", "*", "//", "/", "%", "**"),
    ("&", "|", "^"),
    ("<<", ">>"),
)
_CLOSE = {("+", "-"), ("-", "+"), ("/", "//"), ("//", "/"), ("<<", ">>"), (">>", "<<")}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NOT_NUMBERS = (
    ast.JoinedStr,
    ast.List,
    ast.Dict,
    ast.Set,
    ast.Tuple,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
    ast.Lambda,
    ast.Compare,
    ast.BoolOp,
    ast.Starred,
    ast.Slice,
    ast.NamedExpr,
    ast.Yield,
    ast.YieldFrom,
    ast.Await,
    ast.Constant,  # constants have templates of their own
    ast.UnaryOp,
)
_NEAR_VARIABLES = 10


def siblings_of(operator: str) -> Iterator[tuple[str, float]]:
    """Other operators of the same family with their priors."""
    for family in FAMILIES:
        if operator in family:
            for new in family:
                if new != operator:
                    close = (operator, new) in _CLOSE or operator in "&|^"
                    yield new, 2.0 if close else 0.5


@template("bin_op", 2, ast.BinOp)
def bin_op(site: Site) -> Iterator[Draft]:
    """Another binary operator of the same family."""
    for node in site.expressions(ast.BinOp):
        if _formats(node):
            continue
        old = BINARY_TEXT[type(node.op)]
        for new, prior in siblings_of(old):
            text = with_operator(site.source, node, node.left, node.right, old, new)
            if text is not None:
                yield replace(node, text, prior, f"`{old}` becomes `{new}`")


def _formats(node: ast.BinOp) -> bool:
    """``"..." % x`` formats text."""
    return isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)


@template("aug_op", 2, ast.AugAssign)
def aug_op(site: Site) -> Iterator[Draft]:
    """Another operator in an augmented assignment."""
    for node in site.statements(ast.AugAssign):
        target, value = site.text(node.target), site.text(node.value)
        for new, prior in siblings_of(BINARY_TEXT[type(node.op)]):
            yield rewrite(node, (0, f"{target} {new}= {value}"), prior=prior, size=1.0)


@template("off_by_one", 3, ast.expr)
def off_by_one(site: Site) -> Iterator[Draft]:
    """One more or one less than an expression that may be a number."""
    for node in site.expressions(ast.expr):
        if not countable(site, node) or _moved_already(site, node):
            continue
        prior = 1.5 if _counting_place(site, node) else 0.8
        prior *= countability(site.source, site.scope(node), node)
        text = site.source.fitted(node, ARITH)
        if _ends_in_one(node):
            assert isinstance(node, ast.BinOp)
            yield replace(node, site.text(node.left), prior)
            opposite = "-" if isinstance(node.op, ast.Add) else "+"
            left = site.source.fitted(node.left, ARITH)
            yield replace(node, f"{left} {opposite} 1", prior)
            amount = "+" if opposite == "-" else "-"
            yield replace(node, f"{left} {amount} 2", prior * 0.5)
            continue
        yield replace(node, f"{text} + 1", prior)
        yield replace(node, f"{text} - 1", prior)


def _ends_in_one(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add | ast.Sub)
        and isinstance(node.right, ast.Constant)
        and node.right.value == 1
    )


def _moved_already(site: Site, node: ast.expr) -> bool:
    """``x`` in ``x + 1``: what is added to it is changed there."""
    parent = site.source.parent(node)
    return isinstance(parent, ast.expr) and _ends_in_one(parent)


def countable(site: Site, node: ast.expr) -> bool:
    """Whether adding one to ``node`` could make sense where it stands."""
    parent = site.source.parent(node)
    negated = isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not)
    if is_test(site.source, node) or negated or isinstance(parent, ast.BoolOp):
        return False  # a truth value: one more would be a constant condition in disguise
    if isinstance(node, _NOT_NUMBERS):
        return False
    link = site.source.link(node)
    if isinstance(link.parent, ast.Attribute | ast.Await | ast.Starred | ast.Expr | ast.withitem):
        return False
    if isinstance(link.parent, ast.Call) and link.field == "func":
        return False
    if isinstance(link.parent, ast.For | ast.comprehension | ast.Raise | ast.ClassDef):
        return False
    if isinstance(link.parent, ast.Subscript) and link.field == "value":
        return False
    return not (isinstance(node, ast.BinOp) and _formats(node))


def _counting_place(site: Site, node: ast.expr) -> bool:
    """Index, slice bound, argument, or operand: the places where off-by-one faults live."""
    link = site.source.link(node)
    parent = link.parent
    if isinstance(parent, ast.Subscript):
        return link.field == "slice"
    return isinstance(parent, ast.Slice | ast.Call | ast.Compare | ast.BinOp)


@template("arith_ins", 1.2, ast.expr)
def arith_ins(site: Site) -> Iterator[Draft]:
    """A variable added to, subtracted from or multiplied with an expression."""
    for node in site.expressions(ast.Name, ast.Call, ast.Subscript, ast.Attribute, ast.BinOp):
        if not countable(site, node) or _moved_already(site, node):
            continue
        text = site.source.fitted(node, ARITH)
        factor = site.source.fitted(node, TERM)
        base = site.source.fitted(node, POWER + 1)
        own = site.text(node)
        sure = countability(site.source, site.scope(node), node)
        roles = roles_of(site.scope(node))
        for name in site.variables(node)[:_NEAR_VARIABLES]:
            if name == own:
                continue
            number = sure * (1.0 if NUMBER in roles.get(name, {NUMBER}) else 0.2)
            yield replace(node, f"{text} - {name}", 0.5 * number)
            yield replace(node, f"{text} + {name}", 0.5 * max(number, 0.4))
            # The same for numbers, not for texts and lists.
            other = 0.15 if number >= 0.7 else 0.3
            yield replace(node, f"{name} + {text if '-' not in text else factor}", other)
            yield replace(node, f"{factor} * {name}", 0.2 * number)
        yield replace(node, f"{base} ** 2", 0.3 * sure)
        yield replace(node, f"{factor} * 2", 0.2 * sure)
    for array in site.expressions(ast.List, ast.ListComp):
        link = site.source.link(array)
        if isinstance(link.parent, ast.BinOp | ast.For | ast.comprehension):
            continue
        for name in site.variables(array)[:_NEAR_VARIABLES]:
            yield replace(array, f"{name} + {site.text(array)}", 0.6)
            yield replace(array, f"{site.text(array)} + {name}", 0.7)


@template("minmax", 0.8, ast.expr)
def minmax(site: Site) -> Iterator[Draft]:
    """An expression bounded by a variable or by zero, or its absolute value."""
    for node in site.expressions(ast.Name, ast.Call, ast.Subscript, ast.Attribute, ast.BinOp):
        if not countable(site, node):
            continue
        text = site.text(node)
        sure = countability(site.source, site.scope(node), node)
        roles = roles_of(site.scope(node))
        # An absolute value is one of a difference.
        difference = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)
        yield replace(node, f"max(0, {text})", 0.6 * sure)
        yield replace(node, f"abs({text})", (0.9 if difference else 0.3) * sure)
        for name in site.variables(node)[:6]:
            if name != text:
                number = sure * (1.0 if NUMBER in roles.get(name, {NUMBER}) else 0.2)
                yield replace(node, f"max({name}, {text})", 0.4 * number)
                yield replace(node, f"min({name}, {text})", 0.4 * number)
        for other in site.scope(node).small.get(ast.Subscript, ())[:5]:
            if other not in text and ":" not in other:
                yield replace(node, f"max({other}, {text})", 0.3 * sure)
                yield replace(node, f"min({other}, {text})", 0.3 * sure)


@template("swap_operands", 1.5, ast.BinOp, ast.Compare)
def swap_operands(site: Site) -> Iterator[Draft]:
    """Operands of a binary operation or of an ordering comparison exchanged."""
    for node in site.expressions(ast.BinOp):
        if _formats(node):
            continue
        prior = 0.2 if isinstance(node.op, ast.Mult | ast.BitAnd | ast.BitOr | ast.BitXor) else 1.0
        yield Draft(_exchange(site, node.left, node.right), prior)
    for comparison in site.expressions(ast.Compare):
        kind = COMPARE_TEXT[type(comparison.ops[0])]
        if len(comparison.ops) == 1 and kind in (*_MIRRORED, "in", "not in"):
            prior = 1.0 if kind in _MIRRORED else 0.5
            yield Draft(_exchange(site, comparison.left, comparison.comparators[0]), prior)


def _exchange(site: Site, left: ast.expr, right: ast.expr) -> tuple[Replace, Replace]:
    return Replace(left, site.text(right)), Replace(right, site.text(left))


@template("reassoc", 0.4, ast.BinOp)
def reassoc(site: Site) -> Iterator[Draft]:
    """``(a op b) op2 c`` becomes ``a op (b op2 c)`` and the reverse."""
    for node in site.expressions(ast.BinOp):
        outer = BINARY_TEXT[type(node.op)]
        if isinstance(node.left, ast.BinOp):
            inner = node.left
            a, b, c = (site.source.fitted(e, ATOM) for e in (inner.left, inner.right, node.right))
            yield replace(node, f"{a} {BINARY_TEXT[type(inner.op)]} ({b} {outer} {c})")
        if isinstance(node.right, ast.BinOp):
            inner = node.right
            a, b, c = (site.source.fitted(e, ATOM) for e in (node.left, inner.left, inner.right))
            yield replace(node, f"({a} {outer} {b}) {BINARY_TEXT[type(inner.op)]} {c}")


@template("aug_assign", 0.4, ast.AugAssign)
def aug_assign(site: Site) -> Iterator[Draft]:
    """``x op= e`` becomes ``x = e``."""
    for node in site.statements(ast.AugAssign):
        text = f"{site.text(node.target)} = {site.text(node.value)}"
        yield rewrite(node, (0, text), size=1.0)


@template("assign_aug", 0.6, ast.Assign)
def assign_aug(site: Site) -> Iterator[Draft]:
    """``x = e`` becomes ``x += e`` or ``x -= e``."""
    for node in site.statements(ast.Assign):
        if len(node.targets) == 1 and not isinstance(node.targets[0], ast.Tuple | ast.List):
            for operator, prior in (("+=", 1.0), ("-=", 0.7), ("*=", 0.2), ("|=", 0.2)):
                text = f"{site.text(node.targets[0])} {operator} {site.text(node.value)}"
                yield rewrite(node, (0, text), prior=prior, size=1.0)


@template("len_minus_one", 0.8, ast.Call)
def len_minus_one(site: Site) -> Iterator[Draft]:
    """``len(x)`` becomes ``len(x) - 1``, ``x`` a sequence index ``-1`` its end."""
    for node in site.expressions(ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id == "len" and len(node.args) == 1:
            yield replace(node, f"{site.text(node)} - 1")
            yield replace(node, f"{site.text(node)} // 2", 0.3)


@template("int_division", 0.5, ast.BinOp, ast.Call)
def int_division(site: Site) -> Iterator[Draft]:
    """Rounding added to a quotient or taken away from a rounded value."""
    for node in site.expressions(ast.BinOp):
        if isinstance(node.op, ast.Div):
            yield replace(node, f"int({site.text(node)})", 0.6)
            yield replace(node, f"round({site.text(node)})", 0.4)
        elif isinstance(node.op, ast.FloorDiv):
            left = site.source.fitted(node.left, TERM)
            right = site.source.fitted(node.right, POWER)
            yield replace(node, f"-(-{left} // {right})", 0.5)
    for call in site.expressions(ast.Call):
        rounds = isinstance(call.func, ast.Name) and call.func.id in ("int", "round", "float")
        if rounds and len(call.args) == 1 and not call.keywords:
            yield replace(call, site.text(call.args[0]), 0.5)


@template("power_order", 0.3, ast.UnaryOp)
def power_order(site: Site) -> Iterator[Draft]:
    """A sign moved inside or outside of its operand: ``-a + b`` becomes ``-(a + b)``."""
    for node in site.expressions(ast.UnaryOp):
        parent = site.source.parent(node)
        if isinstance(node.op, ast.USub) and isinstance(parent, ast.BinOp) and parent.left is node:
            operand = site.text(node.operand)
            operator = BINARY_TEXT[type(parent.op)]
            right = site.source.fitted(parent.right, ATOM)
            yield replace(parent, f"-({operand} {operator} {right})")


assert find_operator("  <= ", "<=") == (2, 4)
assert COMPARE < ARITH
