"""Templates of coordinated changes across one function: a replacement made at all its places,
a clause exchanged together with its operator, an item taken another way with what catches it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from meritree.swe.repair.ast_text import AND, ATOM, COMPARE_TEXT, OR, literal
from meritree.swe.repair.templates.base import Site, template
from meritree.swe.repair.templates.calls import confused
from meritree.swe.repair.templates.clauses import conditions_of_file, names_in
from meritree.swe.repair.templates.comparison_logic import NEIGHBOURS, with_operator
from meritree.swe.repair.templates.draft import Draft, Replace, replace
from meritree.swe.repair.templates.roles import likeness

_GROUPS = 12  # repeated parts of a function that start on one line
_OTHERS = 6  # what each of them may become


@template("replace_all", 0.5, ast.expr)
def replace_all(site: Site) -> Iterator[Draft]:
    """The same name, attribute, method, constant or operator changed in all its statements."""
    count = 0
    for group in _repeated(site):
        if group[0].lineno != site.line:
            continue
        for texts, prior in _others(site, group):
            changes = [Replace(node, text) for node, text in zip(group, texts, strict=True)]
            yield Draft(tuple(changes), prior, 1.5)
        count += 1
        if count == _GROUPS:
            return


def _repeated(site: Site) -> list[list[ast.expr]]:
    """Equal parts of the function around the line, in at least two statements, 2 to 5 of each."""
    first = next(site.expressions(ast.expr), None)
    if first is None:
        return []
    scope = site.scope(first)
    if scope.owner is None:
        return []
    key = ("repeated", scope.owner)
    known = site.source.memo.get(key)
    if not isinstance(known, list):
        groups: dict[tuple[str, str], list[ast.expr]] = {}
        for node in scope.expressions:
            for kind in _kinds(site, node):
                groups.setdefault(kind, []).append(node)
        known = site.source.memo[key] = [
            nodes
            for nodes in groups.values()
            if 2 <= len(nodes) <= 5 and len({site.source.statement_of(n) for n in nodes}) > 1
        ]
    return known


def _kinds(site: Site, node: ast.expr) -> Iterator[tuple[str, str]]:
    """What makes ``node`` equal to another, for each way in which both could change."""
    match node:
        case ast.Name(ctx=ast.Load(), id=name) if name != site.scope(node).self_name:
            yield "name", name
        case ast.Attribute(ctx=ast.Load(), attr=attr):
            link = site.source.link(node)
            if isinstance(link.parent, ast.Call) and link.field == "func":
                yield "method", attr
            else:
                yield "attribute", site.text(node)
        case ast.Constant(value=str() | bytes() as value) if 0 < len(value) < 40:
            if not isinstance(site.source.parent(node), ast.JoinedStr | ast.Expr):
                yield "text", repr(value)
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            yield "number", repr(value)
        case ast.Compare(ops=[operator]):
            yield "operator", COMPARE_TEXT[type(operator)]


def _others(site: Site, group: list[ast.expr]) -> Iterator[tuple[list[str], float]]:
    """Replacements for every place of a group, with their weights."""
    node, many = group[0], len(group)
    scope = site.scope(node)
    match node:
        case ast.Name(id=name):
            for other in [v for v in scope.variables if v != name][:_OTHERS]:
                yield [other] * many, 0.6 * likeness(site.source, scope, node, other)
            yield from (([other] * many, 0.6) for other in confused(name))
        case ast.Attribute(attr=attr, value=value):
            bases = [
                site.source.fitted(n.value, ATOM) for n in group if isinstance(n, ast.Attribute)
            ]
            own = site.text(node)
            near = [
                t for t in scope.attributes if t != own and t.startswith(f"{site.text(value)}.")
            ]
            names = [*confused(attr), *(text.rpartition(".")[2] for text in near)]
            for other in list(dict.fromkeys(names))[:_OTHERS]:
                yield [f"{base}.{other}" for base in bases], 0.6
        case ast.Constant(value=str() as text):
            for other in [t for t in scope.strings if t != text][:_OTHERS]:
                yield [literal(other, "'")] * many, 0.4
        case ast.Constant(value=int() as number):
            yield [repr(number + 1)] * many, 0.6
            if number > 0:
                yield [repr(number - 1)] * many, 0.6
        case ast.Compare(ops=[operator]):
            old = COMPARE_TEXT[type(operator)]
            pairs = [n for n in group if isinstance(n, ast.Compare)]
            for new in NEIGHBOURS[old][:2]:
                texts = [
                    with_operator(site.source, n, n.left, n.comparators[0], old, new) for n in pairs
                ]
                whole = [text for text in texts if text is not None]
                if len(whole) == many:
                    yield whole, 0.6


@template("clause_swap", 0.6, ast.expr)
def clause_swap(site: Site) -> Iterator[Draft]:
    """A clause becomes another one, with the same operator around it or with the other."""
    for test in site.tests():
        if not isinstance(test, ast.BoolOp):
            for clause, prior in _clauses(site, test, test):
                yield replace(test, clause, 0.5 * prior)
            continue
        same = isinstance(test.op, ast.And)
        for at, old in enumerate(test.values[:4]):
            for clause, prior in _clauses(site, test, old):
                for conjunction, weight in ((same, 1.0), (not same, 0.6)):
                    need = AND + 1 if conjunction else OR + 1
                    parts = [site.source.fitted(each, need) for each in test.values]
                    parts[at] = f"({clause})" if " and " in clause or " or " in clause else clause
                    yield replace(
                        test, (" and " if conjunction else " or ").join(parts), prior * weight
                    )


def _clauses(site: Site, test: ast.expr, old: ast.expr) -> Iterator[tuple[str, float]]:
    """Simple clauses about the names near a condition, those of the function and of the file."""
    read = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    visible = site.variables(test)
    found: dict[str, float] = {}
    for rank, name in enumerate(sorted(visible[:10], key=lambda each: each not in read)):
        weight = 1.0 if rank < 4 else 0.6
        for text in (f"{name} is None", f"{name} is not None", name, f"not {name}"):
            found.setdefault(text, 0.6 * weight)
    own = site.text(test)
    for text in site.scope(test).conditions[:10]:
        if text not in own:
            found.setdefault(text, 0.5)
    known = {*visible, site.scope(test).self_name}
    for text in conditions_of_file(site.source)[:40]:
        if text not in own and names_in(text) and names_in(text) <= known:
            found.setdefault(text, 0.35)
    found.pop(site.text(old), None)
    yield from found.items()


@template("next_iter", 0.5, ast.Subscript)
def next_iter(site: Site) -> Iterator[Draft]:
    """``x[0]`` becomes ``next(iter(x))``, and what a handler around it catches fits."""
    for node in site.expressions(ast.Subscript):
        if not isinstance(node.slice, ast.Constant) or node.slice.value != 0:
            continue
        base = site.text(node.value)
        first = Replace(node, f"next(iter({base}))")
        caught = [
            handler.type
            for parent in site.source.ancestors(node)
            if isinstance(parent, ast.Try)
            for handler in parent.handlers
            if isinstance(handler.type, ast.Name) and handler.type.id == "IndexError"
        ]
        if caught:
            yield Draft((first, Replace(caught[0], "StopIteration")), 1.5, 1.5)
        yield Draft((first,), 1.0)
        yield replace(node, f"next(iter({base}), None)", 0.8)
