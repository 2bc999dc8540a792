"""Templates for comparisons, conditions and boolean operators."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from meritree.swe.repair.ast_text import (
    AND,
    COMPARE,
    COMPARE_TEXT,
    NEGATED_COMPARE,
    NOT,
    OR,
    find_operator,
    literal,
)
from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.templates.base import Site, template
from meritree.swe.repair.templates.draft import Draft, replace
from meritree.swe.repair.templates.roles import NUMBER, roles_of
from meritree.swe.repair.templates.scope import negation

NEIGHBOURS: dict[str, tuple[str, ...]] = {
    "<": ("<=", ">", ">=", "!=", "=="),
    "<=": ("<", ">=", ">", "==", "!="),
    ">": (">=", "<", "<=", "!=", "=="),
    ">=": (">", "<=", "<", "==", "!="),
    "==": ("!=", "<=", ">=", "<", ">", "in", "is"),
    "!=": ("==", "<", ">", "<=", ">=", "not in", "is not"),
    "is": ("is not", "=="),
    "is not": ("is", "!="),
    "in": ("not in", "=="),
    "not in": ("in", "!="),
}
_WIDE_VARIABLES = 10  # nearest variables used for clauses that the test does not mention
_TYPES = ("str", "bytes", "int", "float", "list", "tuple", "dict", "set")


def with_operator(
    source: SourceFile, node: ast.expr, left: ast.expr, right: ast.expr, old: str, new: str
) -> str | None:
    """Text of ``node`` with the operator between two of its operands exchanged."""
    start, end = source.span(node)
    gap_start, gap_end = source.span(left)[1], source.span(right)[0]
    found = find_operator(source.text[gap_start:gap_end], old)
    if found is None:
        return None
    begin, stop = gap_start + found[0], gap_start + found[1]
    padded = new
    if new[0].isalpha():
        padded = ("" if source.text[begin - 1].isspace() else " ") + new
        padded += "" if source.text[stop : stop + 1].isspace() else " "
    return source.text[start:begin] + padded + source.text[stop:end]


def _comparisons(site: Site) -> Iterator[tuple[ast.Compare, ast.expr, str, ast.expr]]:
    for node in site.expressions(ast.Compare):
        operands = [node.left, *node.comparators]
        for index, operator in enumerate(node.ops):
            yield node, operands[index], COMPARE_TEXT[type(operator)], operands[index + 1]


@template("cmp_op", 4, ast.Compare)
def cmp_op(site: Site) -> Iterator[Draft]:
    """Another comparison operator, neighbours first."""
    for node, left, old, right in _comparisons(site):
        for rank, new in enumerate(NEIGHBOURS[old]):
            text = with_operator(site.source, node, left, right, old, new)
            if text is not None:
                prior = 3.0 if rank == 0 else 1.5 if rank < 3 else 0.7
                yield replace(node, text, prior, f"`{old}` becomes `{new}`")


@template("cmp_op_const", 1.5, ast.Compare)
def cmp_op_const(site: Site) -> Iterator[Draft]:
    """Another operator together with an integer bound moved by one."""
    for node, left, old, right in _comparisons(site):
        if len(node.ops) > 1 or not isinstance(right, ast.Constant) or type(right.value) is not int:
            continue
        head = site.source.fitted(left, COMPARE + 1)
        for new in NEIGHBOURS[old][:4]:
            for value in (right.value + 1, right.value - 1):
                yield replace(node, f"{head} {new} {value}", 0.7)


@template("cmp_in", 0.3, ast.Compare)
def cmp_in(site: Site) -> Iterator[Draft]:
    """Equality with a string becomes membership in a tuple of two strings."""
    membership = {"==": "in", "!=": "not in"}
    for node, left, old, right in _comparisons(site):
        if len(node.ops) > 1 or old not in membership:
            continue
        if not isinstance(right, ast.Constant) or not isinstance(right.value, str):
            continue
        others = [literal(each) for each in site.scope(node).strings if each != right.value]
        others.extend(each for each in site.index.tests.strings[:6])
        for other in dict.fromkeys(others[:14]):
            text = f"{site.text(left)} {membership[old]} ({site.text(right)}, {other})"
            yield replace(node, text)


@template("bool_op", 2, ast.BoolOp)
def bool_op(site: Site) -> Iterator[Draft]:
    """``and`` becomes ``or`` and the reverse, everywhere in one operation."""
    for node in site.expressions(ast.BoolOp):
        new, need = ("or", OR + 1) if isinstance(node.op, ast.And) else ("and", AND + 1)
        parts = [site.source.fitted(each, max(need, COMPARE)) for each in node.values]
        yield replace(node, f" {new} ".join(parts), 1.5)
        if len(parts) > 2:
            old = "and" if new == "or" else "or"
            for index in range(1, len(parts)):
                left, right = parts[:index], parts[index:]
                groups = [f" {old} ".join(each) for each in (left, right)]
                yield replace(node, _join_groups(groups, new, (len(left), len(right))), 0.7)


def _join_groups(groups: list[str], operator: str, sizes: tuple[int, int]) -> str:
    wrapped = [f"({text})" if n > 1 else text for text, n in zip(groups, sizes, strict=True)]
    return f" {operator} ".join(wrapped)


@template("negate", 2, ast.expr)
def negate(site: Site) -> Iterator[Draft]:
    """The opposite of a whole condition, or of one of its clauses."""
    for test in site.tests():
        yield replace(test, negation(site.source, test))
    for node in site.expressions(ast.BoolOp):
        for clause in node.values:
            yield replace(clause, negation(site.source, clause), 0.7)


@template("drop_operand", 1.5, ast.BoolOp, ast.BinOp)
def drop_operand(site: Site) -> Iterator[Draft]:
    """One clause of a condition or one side of an operation goes away."""
    for node in site.expressions(ast.BoolOp):
        operator = " or " if isinstance(node.op, ast.Or) else " and "
        need = (OR if isinstance(node.op, ast.Or) else AND) + 1
        for index in range(len(node.values)):
            rest = [each for at, each in enumerate(node.values) if at != index]
            if len(rest) == 1:
                yield replace(node, site.text(rest[0]), 1.2)
            else:
                text = operator.join(site.source.fitted(each, need) for each in rest)
                yield replace(node, text, 1.2)
    for binary in site.expressions(ast.BinOp):
        yield replace(binary, site.text(binary.left))
        yield replace(binary, site.text(binary.right))


@template("cond_const", 0.4, ast.expr)
def cond_const(site: Site) -> Iterator[Draft]:
    """A condition that always or never holds."""
    for test in site.tests():
        yield replace(test, "True")
        yield replace(test, "False")


@template("cond_var", 0.8, ast.expr)
def cond_var(site: Site) -> Iterator[Draft]:
    """A variable alone as the condition."""
    for test in site.tests():
        prior = 2.0 if isinstance(test, ast.Constant) else 0.5
        for name in site.variables(test)[:20]:
            yield replace(test, name, prior)


@template("cond_add", 2.5, ast.expr)
def cond_add(site: Site) -> Iterator[Draft]:
    """A further clause joined to a condition with ``and`` or ``or``, before or after it."""
    for test in site.tests():
        if isinstance(test, ast.Constant):
            continue
        for clause, prior in _clauses(site, test):
            weak = " if " in clause or " or " in clause or "lambda" in clause
            for operator, need in (("and", AND + 1), ("or", OR + 1)):
                own = site.source.fitted(test, need)
                added = f"({clause})" if weak or (" and " in clause and need > AND) else clause
                yield replace(test, f"{own} {operator} {added}", prior)
                yield replace(test, f"{added} {operator} {own}", prior * 0.9)


def _clauses(site: Site, test: ast.expr) -> Iterator[tuple[str, float]]:
    read = dict.fromkeys(node.id for node in ast.walk(test) if isinstance(node, ast.Name))
    visible = site.variables(test)
    names = [name for name in visible if name in read]
    names += [name for name in visible if name not in read][:_WIDE_VARIABLES]
    roles = roles_of(site.scope(test))
    for name in names:
        yield name, 0.8
        yield f"not {name}", 0.8
        # A number that the function counts with is seldom None.
        weight = (1.0 if name in read else 0.5) * (0.4 if roles.get(name) == {NUMBER} else 1.0)
        yield f"{name} is None", 0.8 * weight
        yield f"{name} is not None", 0.8 * weight
    attributes = site.scope(test).texts(
        node for node in ast.walk(test) if isinstance(node, ast.Attribute)
    )
    for text in attributes[:4]:
        yield text, 0.7
        yield f"not {text}", 0.5
        yield f"{text} is None", 0.5
        yield f"{text} is not None", 0.6
    items = site.scope(test).texts(
        node for node in ast.walk(test) if isinstance(node, ast.Subscript)
    )
    for text in items[:4]:
        yield f"{text} is None", 0.6
        yield f"{text} is not None", 0.6
        yield text, 0.3
        yield f"not {text}", 0.3
    own = site.text(test)
    for condition in site.scope(test).conditions[:12]:
        if condition != own and condition not in names:
            yield condition, 0.5
            yield f"not ({condition})", 0.3


@template("drop_unary", 1, ast.UnaryOp)
def drop_unary(site: Site) -> Iterator[Draft]:
    """``-x``, ``~x`` or ``not x`` becomes ``x``."""
    for node in site.expressions(ast.UnaryOp):
        yield replace(node, site.text(node.operand))


@template("ifexp", 0.6, ast.IfExp)
def ifexp(site: Site) -> Iterator[Draft]:
    """One branch of a conditional expression, or its branches exchanged."""
    for node in site.expressions(ast.IfExp):
        body, test, other = (site.source.fitted(e, OR) for e in (node.body, node.test, node.orelse))
        yield replace(node, site.text(node.body), 0.8)
        yield replace(node, site.text(node.orelse), 0.8)
        yield replace(node, f"{other} if {test} else {body}", 0.8)


@template("drop_if", 0.6, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
def drop_if(site: Site) -> Iterator[Draft]:
    """A comprehension without one of its filters."""
    source = site.source
    for node in site.expressions(ast.expr):
        if not isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            continue
        start, end = source.span(node)
        for generator in node.generators:
            ends = [source.span(generator.iter)[1], *(source.span(e)[1] for e in generator.ifs)]
            for index in range(len(generator.ifs)):
                # A filter may be parenthesised: take brackets up to the next keyword along.
                stop = _behind(source.text, ends[index + 1], ends[index], end)
                begin = _behind(source.text, ends[index], start, end)
                yield replace(node, source.text[start:begin] + source.text[stop:end])


def _behind(text: str, position: int, start: int, end: int) -> int:
    """Position after the closing parentheses that belong to ``text[start:position]``."""
    depth = text.count("(", start, position) - text.count(")", start, position)
    while depth > 0 and position < end - 1 and text[position] in ") \t":
        depth -= text[position] == ")"
        position += 1
    return position


@template("none_test", 1.2, ast.expr)
def none_test(site: Site) -> Iterator[Draft]:
    """Truth of a value and comparison with ``None`` exchanged: ``x`` <-> ``x is not None``."""
    for node in site.expressions(ast.expr):
        link = site.source.link(node)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            right = node.comparators[0]
            if isinstance(right, ast.Constant) and right.value is None:
                kind = COMPARE_TEXT[type(node.ops[0])]
                left = site.source.fitted(node.left, NOT)
                yield replace(node, left if kind in ("is not", "!=") else f"not {left}")
            continue
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            if isinstance(node.operand, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
                yield replace(node, f"{site.text(node.operand)} is None")
            continue
        clause = isinstance(link.parent, ast.BoolOp)
        test = clause or any(node is each for each in site.tests())
        if test and isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            yield replace(node, f"{site.text(node)} is not None", 0.6 if clause else 1.0)


@template("or_to_none_test", 0.6, ast.BoolOp)
def or_to_none_test(site: Site) -> Iterator[Draft]:
    """``x or y`` becomes ``y if x is None else x`` (keeps falsy values)."""
    for node in site.expressions(ast.BoolOp):
        if isinstance(node.op, ast.Or) and len(node.values) == 2:
            left, right = (site.source.fitted(each, OR) for each in node.values)
            yield replace(node, f"{right} if {left} is None else {left}")


@template("isinstance_types", 0.6, ast.Call)
def isinstance_types(site: Site) -> Iterator[Draft]:
    """One type more, or one less, in an ``isinstance`` test."""
    for node in site.expressions(ast.Call):
        named = isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass")
        if not named or len(node.args) != 2:
            continue
        given = node.args[1]
        parts = given.elts if isinstance(given, ast.Tuple) else [given]
        texts = [site.text(each) for each in parts]
        for name in dict.fromkeys((*_types_around(site, node), *_TYPES)):
            if name not in texts:
                yield replace(given, f"({', '.join([*texts, name])})", 0.5)
        for index in range(len(texts) if len(texts) > 1 else 0):
            rest = [text for at, text in enumerate(texts) if at != index]
            yield replace(given, rest[0] if len(rest) == 1 else f"({', '.join(rest)})", 0.4)


def _types_around(site: Site, node: ast.AST) -> Iterator[str]:
    for other in site.scope(node).nodes:
        if not (isinstance(other, ast.Call) and isinstance(other.func, ast.Name)):
            continue
        if other.func.id == "isinstance" and len(other.args) == 2:
            types = other.args[1]
            for each in types.elts if isinstance(types, ast.Tuple) else [types]:
                yield site.text(each)


@template("chain_clause", 0.4, ast.BoolOp)
def chain_clause(site: Site) -> Iterator[Draft]:
    """Precedence of ``and``/``or`` changed by regrouping neighbouring clauses."""
    for node in site.expressions(ast.BoolOp):
        if not isinstance(node.op, ast.Or):
            continue
        for index, inner in enumerate(node.values):
            if not (isinstance(inner, ast.BoolOp) and len(node.values) == 2):
                continue
            other = site.source.fitted(node.values[1 - index], OR)
            parts = [site.source.fitted(each, AND + 1) for each in inner.values]
            if index == 0:
                yield replace(node, f"{' and '.join(parts[:-1])} and ({parts[-1]} or {other})")
            else:
                yield replace(node, f"({other} or {parts[0]}) and {' and '.join(parts[1:])}")


@template("cmp_chain", 0.4, ast.Compare)
def cmp_chain(site: Site) -> Iterator[Draft]:
    """A chained comparison loses one end: ``a < b < c`` becomes ``a < b`` or ``b < c``."""
    for node in site.expressions(ast.Compare):
        if len(node.ops) < 2:
            continue
        source = site.source
        end = source.span(node.comparators[-2])[1]
        start = source.span(node.comparators[0])[0]
        yield replace(node, source.text[source.span(node)[0] : end])
        yield replace(node, source.text[start : source.span(node)[1]])


assert set(NEIGHBOURS) == set(NEGATED_COMPARE)
