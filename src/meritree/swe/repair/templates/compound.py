"""Templates of two coordinated changes: renames, equal operators, moves between calls, pairs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from meritree.swe.repair.ast_text import BINARY_TEXT, COMPARE_TEXT
from meritree.swe.repair.templates.arithmetic import siblings_of
from meritree.swe.repair.templates.base import Site, template
from meritree.swe.repair.templates.calls import call_text
from meritree.swe.repair.templates.comparison_logic import NEIGHBOURS, with_operator
from meritree.swe.repair.templates.draft import Draft, Replace, Rewrite, keep
from meritree.swe.repair.templates.guards import read_names
from meritree.swe.repair.templates.scope import negation

_PAIRS = 60  # coordinated edits of one kind on one line


@template("rename_all", 0.5, ast.stmt)
def rename_all(site: Site) -> Iterator[Draft]:
    """A variable renamed at every place of one statement that reads it (two or more)."""
    for statement in site.statements(ast.stmt):
        places: dict[str, list[ast.Name]] = {}
        for node in _heads(site, statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                places.setdefault(node.id, []).append(node)
        visible = site.variables(statement)
        for name, nodes in places.items():
            if len(nodes) < 2 or name == site.scope(statement).self_name:
                continue
            for other in visible[:12]:
                if other != name:
                    changes = tuple(Replace(node, other) for node in nodes)
                    yield Draft(changes, 0.5, 1.5, f"`{name}` becomes `{other}` in the statement")


def _heads(site: Site, statement: ast.stmt) -> list[ast.expr]:
    """Editable expressions of a statement, not those of statements inside it."""
    first, last = site.source.first_line(statement), statement.end_lineno or statement.lineno
    body = getattr(statement, "body", None)
    if isinstance(body, list) and body:
        last = max(statement.lineno, body[0].lineno - 1)
    found = [node for line in range(first, last + 1) for node in site.source.expressions(line)]
    return [node for node in found if site.source.statement_of(node) is statement]


@template("attr_all", 0.4, ast.stmt)
def attr_all(site: Site) -> Iterator[Draft]:
    """An attribute read twice in a statement becomes another of the same function in both."""
    for statement in site.statements(ast.stmt):
        places: dict[str, list[ast.Attribute]] = {}
        for node in _heads(site, statement):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                places.setdefault(site.text(node), []).append(node)
        for text, nodes in places.items():
            if len(nodes) < 2:
                continue
            for other in (*site.scope(statement).attributes[:12], *site.variables(statement)[:6]):
                if other != text:
                    yield Draft(tuple(Replace(node, other) for node in nodes), 0.4, 1.5)


@template("operators_all", 0.4, ast.stmt)
def operators_all(site: Site) -> Iterator[Draft]:
    """The same operator changed at all its places in a statement (two or more)."""
    for statement in site.statements(ast.stmt):
        nodes = _heads(site, statement)
        compared: dict[str, list[ast.Compare]] = {}
        binary: dict[str, list[ast.BinOp]] = {}
        for node in nodes:
            if isinstance(node, ast.Compare) and len(node.ops) == 1:
                compared.setdefault(COMPARE_TEXT[type(node.ops[0])], []).append(node)
            elif isinstance(node, ast.BinOp):
                binary.setdefault(BINARY_TEXT[type(node.op)], []).append(node)
        for old, pairs in compared.items():
            for new in NEIGHBOURS[old][:3] if len(pairs) > 1 else ():
                texts = [
                    with_operator(site.source, each, each.left, each.comparators[0], old, new)
                    for each in pairs
                ]
                yield from _together(pairs, texts)
        for old, sums in binary.items():
            for new, _ in siblings_of(old) if len(sums) > 1 else ():
                texts = [
                    with_operator(site.source, each, each.left, each.right, old, new)
                    for each in sums
                ]
                yield from _together(sums, texts)


def _together(
    nodes: list[ast.Compare] | list[ast.BinOp], texts: list[str | None]
) -> Iterator[Draft]:
    changes = [
        Replace(node, text) for node, text in zip(nodes, texts, strict=True) if text is not None
    ]
    if len(changes) == len(nodes):
        yield Draft(tuple(changes), 0.6, 1.5)


@template("arg_move", 0.5, ast.Call)
def arg_move(site: Site) -> Iterator[Draft]:
    """An argument moved from an inner call to the call around it, or the other way."""
    for outer in site.expressions(ast.Call):
        for inner in outer.args:
            if not isinstance(inner, ast.Call):
                continue
            for moved in (*inner.args, *inner.keywords):
                text = _argument(site, moved)
                reduced = call_text(site, inner, moved)
                whole = call_text(site, outer, added=text).replace(site.text(inner), reduced, 1)
                yield Draft((Replace(outer, whole),), 0.6, 1.5)
            for moved in (*outer.args, *outer.keywords):
                if moved is not inner:
                    text = _argument(site, moved)
                    grown = call_text(site, inner, added=text)
                    less = call_text(site, outer, moved)
                    whole = less.replace(site.text(inner), grown, 1)
                    yield Draft((Replace(outer, whole),), 0.6, 1.5)


def _argument(site: Site, node: ast.AST) -> str:
    if isinstance(node, ast.expr):
        return site.text(node)
    assert isinstance(node, ast.keyword)
    value = site.text(node.value)
    return f"{node.arg}={value}" if node.arg else f"**{value}"


@template("cond_and_result", 0.4, ast.If)
def cond_and_result(site: Site) -> Iterator[Draft]:
    """A condition changed together with the value returned or assigned under it."""
    for statement in site.statements(ast.If):
        first = statement.body[0]
        value = first.value if isinstance(first, ast.Return | ast.Assign) else None
        if value is None:
            continue
        tests = [negation(site.source, statement.test)]
        if isinstance(statement.test, ast.Compare) and len(statement.test.ops) == 1:
            old = COMPARE_TEXT[type(statement.test.ops[0])]
            left, right = statement.test.left, statement.test.comparators[0]
            for new in NEIGHBOURS[old][:2]:
                text = with_operator(site.source, statement.test, left, right, old, new)
                tests += [text] if text else []
        results = [*site.evidence.usual[:2], "None", "True", "False", "0"]
        results += [*site.variables(first)[:6], *site.scope(first).returned[:4]]
        for test in dict.fromkeys(tests):
            for result in dict.fromkeys(results):
                if result != site.text(value):
                    changes = Replace(statement.test, test), Replace(value, result)
                    yield Draft(changes, 0.4, 2.0)


@template("guard_and_return", 0.3, ast.Return)
def guard_and_return(site: Site) -> Iterator[Draft]:
    """A guard before a return that itself gives something else."""
    for statement in site.statements(ast.Return):
        if statement.value is None or site.source.function_of(statement) is None:
            continue
        names = read_names(site, statement)[:3]
        own = site.text(statement.value)
        others = [text for text in (*site.variables(statement)[:6], "None", "0") if text != own]
        for name in names:
            for other in others:
                pieces = ((0, f"if {name}:"), (1, keep(statement)), (0, f"return {other}"))
                yield Draft((Rewrite(statement, statement, pieces),), 0.5, 2.5)


@template("default_and_guard", 0.4, ast.expr)
def default_and_guard(site: Site) -> Iterator[Draft]:
    """A mutable default becomes ``None``, and the function fills it in."""
    for node in site.expressions(ast.List, ast.Dict, ast.Set, ast.Call):
        spec = site.source.link(node).parent
        if not isinstance(spec, ast.arguments):
            continue
        function = site.source.parent(spec)
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        ordered = [*spec.posonlyargs, *spec.args]
        pairs = zip(reversed(ordered), reversed(spec.defaults), strict=False)
        name = next((each.arg for each, given in pairs if given is node), "")
        body = function.body
        first = body[1] if ast.get_docstring(function) is not None and len(body) > 1 else body[0]
        if name:
            lines = ((0, f"if {name} is None:"), (1, f"{name} = {site.text(node)}"))
            guard = Rewrite(first, first, (*lines, (0, keep(first))))
            yield Draft((Replace(node, "None"), guard), 1.0, 2.5)
