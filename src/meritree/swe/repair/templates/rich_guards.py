"""Templates that put type tests, attributes and conditions of the file where a guard is missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import islice

from meritree.swe.repair.ast_text import AND, OR
from meritree.swe.repair.templates.base import Site, is_test, template
from meritree.swe.repair.templates.clauses import rich_clauses, types_near
from meritree.swe.repair.templates.draft import Draft, Raw, before, keep, replace, rewrite
from meritree.swe.repair.templates.guards import read_names, results

_SIMPLE = (ast.Assign, ast.AugAssign, ast.Expr, ast.Return, ast.Raise, ast.Delete)
_GUARDED = (*_SIMPLE, ast.For, ast.While, ast.If, ast.With)
_MAKERS = {"str": "encode", "bytes": "decode", "unicode": "encode", "basestring": "encode"}


def _read(site: Site, node: ast.expr) -> list[str]:
    used = dict.fromkeys(each.id for each in ast.walk(node) if isinstance(each, ast.Name))
    return [name for name in site.variables(node) if name in used]


@template("cond_extra", 1.5, ast.expr)
def cond_extra(site: Site) -> Iterator[Draft]:
    """A type test, an attribute or a condition of the file joined to a condition."""
    for test in site.tests():
        if isinstance(test, ast.Constant):
            continue
        own = {"and": site.source.fitted(test, AND + 1), "or": site.source.fitted(test, OR + 1)}
        for clause, prior in rich_clauses(site, test, _read(site, test)):
            if clause not in own["and"]:
                added = f"({clause})" if " or " in clause else clause
                yield replace(test, f"{own['and']} and {added}", prior)
                yield replace(test, f"{added} and {own['and']}", prior * 0.6)
                yield replace(test, f"{own['or']} or {clause}", prior * 0.7)
                yield replace(test, f"{clause} or {own['or']}", prior * 0.4)


def _truth(site: Site, node: ast.expr) -> bool:
    """Whether an expression that is no condition gives a truth value."""
    if is_test(site.source, node) or isinstance(site.source.parent(node), ast.BoolOp | ast.UnaryOp):
        return False
    if isinstance(node, ast.Compare | ast.BoolOp):
        return True
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not)
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id
        in ("isinstance", "issubclass", "hasattr", "bool", "any", "all", "callable")
    )


@template("truth_add", 1.2, ast.expr)
def truth_add(site: Site) -> Iterator[Draft]:
    """A clause joined to a truth value that is returned, stored or passed on."""
    for node in site.expressions(ast.expr):
        if not _truth(site, node):
            continue
        own = {"and": site.source.fitted(node, AND + 1), "or": site.source.fitted(node, OR + 1)}
        simple: list[tuple[str, float]] = []
        for name in site.variables(node)[:6]:
            texts = (name, f"not {name}", f"{name} is None", f"{name} is not None")
            simple += [(text, 0.9) for text in texts]
        for clause, prior in (*simple, *rich_clauses(site, node, _read(site, node))):
            added = f"({clause})" if " or " in clause else clause
            yield replace(node, f"{own['and']} and {added}", prior)
            yield replace(node, f"{added} and {own['and']}", prior * 0.8)
            yield replace(node, f"{own['or']} or {clause}", prior * 0.7)


@template("guard_rich", 0.8, ast.stmt)
def guard_rich(site: Site) -> Iterator[Draft]:
    """An early exit before a statement when a type, an attribute or the like says so."""
    for statement in site.statements(*_GUARDED):
        function = site.source.function_of(statement)
        loop = site.source.in_loop(statement)
        if function is None and not loop:
            continue
        exits: list[tuple[str, float]] = [("continue", 0.7), ("break", 0.4)] if loop else []
        if function is not None:
            start = statement in function.body[:3]
            own = [*site.scope(statement).returned[:3], *read_names(site, statement)[:2]]
            given = list(dict.fromkeys([*results(site, statement)[:5], *own]))
            exits += [(f"return {each}".rstrip(), 1.0 if start else 0.5) for each in given]
        for clause, prior in rich_clauses(site, statement, read_names(site, statement)):
            for line, weight in exits:
                lines = ((0, f"if {clause}:"), (1, line))
                yield before(statement, *lines, prior=0.6 * prior * weight)


@template("wrap_rich", 0.8, ast.stmt)
def wrap_rich(site: Site) -> Iterator[Draft]:
    """A statement executed only if a type, an attribute or the like says so."""
    for statement in site.statements(*_GUARDED):
        for clause, prior in rich_clauses(site, statement, read_names(site, statement)):
            pieces = ((0, f"if {clause}:"), (1, keep(statement)))
            yield rewrite(statement, *pieces, prior=0.6 * prior)


@template("normalise", 1.0, ast.stmt)
def normalise(site: Site) -> Iterator[Draft]:
    """A value of the wrong type, or a missing one, put right before a statement uses it."""
    for statement in site.statements(*_GUARDED):
        function = site.source.function_of(statement)
        if function is None:
            continue
        start = statement in function.body[:3]
        for rank, name in enumerate(read_names(site, statement)[:5]):
            for condition, value, prior in _repairs(site, statement, name):
                weight = prior * (1.0 if start else 0.7) * (1.0 if rank < 3 else 0.6)
                lines = ((0, f"if {condition}:"), (1, f"{name} = {value}"))
                yield before(statement, *lines, prior=weight)


def _repairs(site: Site, statement: ast.stmt, name: str) -> Iterator[tuple[str, str, float]]:
    empty = ("[]", "{}", "''", "0", "()", "False", "None")
    scope = site.scope(statement)
    given = [each for each in site.variables(statement)[:6] if each != name]
    given += [f"{scope.self_name}.{name}"] if scope.self_name else []
    known = site.evidence.particular
    given += [text for text in site.index.tests.strings[:2] if text not in known]
    for text in (*empty[:-1], *given):
        yield f"{name} is None", text, 0.7
        yield f"not {name}", text, 0.4
    yield f"callable({name})", f"{name}()", 0.4
    attributes = [f"{scope.self_name}.{each}" for each in scope.self_attributes[:4]]
    for text in dict.fromkeys((*scope.conditions[:3], *attributes)):
        yield text, f"list({name})", 0.3
    for kind in types_near(site)[:9]:
        yield f"not isinstance({name}, {kind})", f"{kind}({name})", 0.6
        if kind in _MAKERS:
            method = _MAKERS[kind]
            yield f"isinstance({name}, {kind})", f"{name}.{method}()", 0.7
            yield f"isinstance({name}, {kind})", f"{name}.{method}('utf-8')", 0.5
        for value in (f"[{name}]", f"({name},)", f"list({name})", f"tuple({name})"):
            yield f"isinstance({name}, {kind})", value, 0.4
            yield f"not isinstance({name}, {kind})", value, 0.4
        yield f"isinstance({name}, {kind})", f"str({name})", 0.3
        yield f"isinstance({name}, {kind})", "None", 0.2
    for clause, prior in islice(rich_clauses(site, statement, [name]), 30, 60):
        if "isinstance" not in clause:
            for value in (f"list({name})", f"str({name})", f"[{name}]", "None"):
                yield clause, value, 0.3 * prior


@template("branch_ins", 0.8, ast.If)
def branch_ins(site: Site) -> Iterator[Draft]:
    """A new first branch before an ``if``, which becomes its ``elif``."""
    for statement in site.statements(ast.If):
        source = site.source
        if source.is_elif(statement) or not source.own_lines(statement):
            continue
        actions = _actions(site, statement)
        white, unit = source.indent(statement), source.indent_unit(statement)
        start = source.span(statement)[0]
        read = read_names(site, statement)
        simple = [(text, 0.8) for name in read[:3] for text in (f"{name} is None", f"not {name}")]
        for clause, prior in (*simple, *islice(rich_clauses(site, statement, read), 60)):
            for action in actions:
                text = f"if {clause}:{source.newline}{white}{unit}{action}{source.newline}{white}el"
                made = ast.If(_expression(clause), [_action(action)], [statement])
                raw = Raw(statement, start, start, text, {statement: (made,)})
                yield Draft((raw,), prior * 0.5, 2.5)


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _action(text: str) -> ast.stmt:
    """A step as a tree; steps that only a function or loop allows are parsed in one."""
    function = ast.parse(f"def f():\n    {text}").body[0]
    assert isinstance(function, ast.FunctionDef)
    return function.body[0]


def _actions(site: Site, statement: ast.If) -> list[str]:
    """What the new branch may do: the other branches' steps and variants of them."""
    found: dict[str, None] = {}
    branch: ast.stmt | None = statement
    while isinstance(branch, ast.If):
        rest = branch.orelse
        for suite in (branch.body, [] if rest and site.source.is_elif(rest[0]) else rest):
            if len(suite) == 1 and isinstance(suite[0], _SIMPLE):
                text = site.text(suite[0])
                if "\n" not in text and len(text) <= 60:
                    found.setdefault(text)
                    found.update(dict.fromkeys(_variants(site, suite[0])))
        branch = rest[0] if rest and site.source.is_elif(rest[0]) else None
    found.setdefault("pass")
    return list(found)[:8]


def _variants(site: Site, action: ast.stmt) -> Iterator[str]:
    if isinstance(action, ast.Return):
        yield from (f"return {name}" for name in site.variables(action)[:3])
        yield "return None"
    elif isinstance(action, ast.Assign) and len(action.targets) == 1:
        target = site.text(action.targets[0])
        for text in (*site.evidence.usual[:1], "None", "''", *site.variables(action)[:2]):
            if len(text) <= 40:
                yield f"{target} = {text}"


@template("elif_again", 1.2, ast.If)
def elif_again(site: Site) -> Iterator[Draft]:
    """A further branch after one, which asks the same of another literal or type."""
    for statement in site.statements(ast.If):
        source = site.source
        last = statement.body[-1]
        if not source.own_lines(last) or last.lineno == statement.lineno:
            continue
        head: ast.AST = statement
        while isinstance(head, ast.If) and source.is_elif(head):
            head = source.link(head).parent
        assert isinstance(head, ast.If)
        white, unit = source.indent(head), source.indent_unit(head)
        end = source.span(last)[1]
        for clause, prior in _asked_again(site, statement.test):
            for rank, action in enumerate(_actions(site, head)):
                text = f"{source.newline}{white}elif {clause}:{source.newline}{white}{unit}{action}"
                made = ast.If(_expression(clause), [_action(action)], statement.orelse)
                whole = ast.If(statement.test, statement.body, [made])
                raw = Raw(statement, end, end, text, {statement: (whole,)})
                yield Draft((raw,), prior * (1.0 if rank < 4 else 0.7), 2.5)


def _asked_again(site: Site, test: ast.expr) -> Iterator[tuple[str, float]]:
    """The clauses of a condition with another literal or type in them."""
    for clause in test.values if isinstance(test, ast.BoolOp) else [test]:
        own = site.text(clause)
        texts = [each for each in ast.walk(clause) if isinstance(each, ast.Constant)]
        if len(texts) == 1 and isinstance(texts[0].value, str):
            literal = site.text(texts[0])
            for other in literals_like(site, clause):
                if own.count(literal) == 1 and other != literal:
                    yield own.replace(literal, other), 0.5
        elif isinstance(clause, ast.Call) and site.text(clause.func) == "isinstance":
            for kind in types_near(site)[:5]:
                yield f"isinstance({site.text(clause.args[0])}, {kind})", 0.5


def literals_like(site: Site, clause: ast.expr) -> list[str]:
    """What the failing tests offer for the string in a clause; ends where it asks for an end."""
    strings = [text for text in site.index.tests.strings[:10] if text[:1] in "'\""]
    method = clause.func if isinstance(clause, ast.Call) else None
    if not isinstance(method, ast.Attribute) or method.attr not in ("startswith", "endswith"):
        return [text for text in strings if text not in site.evidence.particular][:8]
    sizes = (1, 2, 3)
    words = [text[1:-1] for text in strings if "\\" not in text]
    first = method.attr == "startswith"
    ends = [word[:n] if first else word[-n:] for n in sizes for word in words if len(word) > n]
    return list(dict.fromkeys(map(repr, ends)))[:12]
