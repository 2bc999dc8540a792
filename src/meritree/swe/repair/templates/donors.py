"""Templates that take whole statements and values from elsewhere in the class or the file."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.templates.base import Site, template
from meritree.swe.repair.templates.clauses import names_in
from meritree.swe.repair.templates.draft import Draft, after, before, replace

_SIMPLE = (ast.Assign, ast.AugAssign, ast.Expr, ast.Return)
_ANY = (*_SIMPLE, ast.Raise, ast.If, ast.For, ast.While, ast.With, ast.Try)
_MOST = 24


def _statements_of_file(source: SourceFile) -> tuple[tuple[str, str], ...]:
    """(text, function) of short one-line statements of all functions, in order."""
    known = source.memo.get("statements of file")
    if isinstance(known, tuple):
        return known
    found: dict[str, str] = {}
    for function in source.functions:
        for node in ast.walk(function):
            if isinstance(node, _SIMPLE) and node.lineno == node.end_lineno:
                if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call):
                    continue
                text = source.segment(node)
                if len(text) <= 70:
                    found.setdefault(text, function.name)
    answer = tuple(found.items())
    source.memo["statements of file"] = answer
    return answer


def _known(site: Site, node: ast.AST) -> set[str]:
    scope = site.scope(node)
    known = {*site.variables(node), *site.index.module_names(site.source)}
    known |= set(site.index.imported(site.source))
    return known | {scope.self_name} if scope.self_name else known


@template("ins_donor", 0.6, ast.stmt)
def ins_donor(site: Site) -> Iterator[Draft]:
    """A statement of another function inserted where all its names exist."""
    for statement in site.statements(*_ANY):
        function = site.source.function_of(statement)
        if function is None:
            continue
        known, near = _known(site, statement), set(site.variables(statement)[:8])
        last = site.source.siblings(statement)[-1] is statement
        count = 0
        for text, home in _statements_of_file(site.source):
            stored, _, value = text.partition(" = ")
            names = names_in(value or stored)
            if text.startswith("return") and not last:
                continue
            if home == function.name or not names <= known | {"return"}:
                continue
            prior = 0.6 if names & near else 0.4
            yield before(statement, (0, text), prior=prior)
            if not isinstance(statement, ast.Return | ast.Raise):
                yield after(statement, (0, text), prior=prior * 0.9)
            count += 1
            if count == _MOST:
                break


@template("ins_attribute", 0.6, ast.stmt)
def ins_attribute(site: Site) -> Iterator[Draft]:
    """An attribute of the object set to an empty value, or one object's to another's."""
    for statement in site.statements(*_ANY):
        scope = site.scope(statement)
        if scope.self_name != "self":
            continue
        owner = scope.owner
        parent = site.source.class_of(owner) if owner is not None else None
        if parent is None:
            continue
        last = site.source.siblings(statement)[-1] is statement
        for name in site.index.class_attributes(parent, site.source)[:20]:
            if not name.startswith("__") and not site.index.signatures(name):
                for value in ("None", "[]", "{}", "0", "False", "True", "''"):
                    line = (0, f"self.{name} = {value}")
                    yield before(statement, line, prior=0.4)
                    if last and not isinstance(statement, ast.Return | ast.Raise):
                        yield after(statement, line, prior=0.5)


@template("value_donor", 1.0, ast.Assign, ast.Return, ast.AugAssign)
def value_donor(site: Site) -> Iterator[Draft]:
    """Another value stored or returned: one that the file gives to the same name or place."""
    for statement in site.statements(ast.stmt):
        if not isinstance(statement, ast.Assign | ast.Return | ast.AugAssign):
            continue
        value = statement.value
        if value is None:
            continue
        own = site.text(value)
        key = "return" if isinstance(statement, ast.Return) else _target(statement)
        known = _known(site, statement)
        for rank, text in enumerate(_values_of_file(site.source).get(key, ())):
            if text != own and names_in(text) <= known:
                yield replace(value, text, 0.8 if rank < 4 else 0.5)


def _target(statement: ast.Assign | ast.AugAssign) -> str:
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    return target.attr if isinstance(target, ast.Attribute) else ast.unparse(target)


def _values_of_file(source: SourceFile) -> dict[str, tuple[str, ...]]:
    """Short values by what they are stored in (the attribute's or variable's name) or returned."""
    known = source.memo.get("values of file")
    if isinstance(known, dict):
        return known
    counts: dict[str, Counter[str]] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assign | ast.Return) and node.value is not None:
            key = "return" if isinstance(node, ast.Return) else _target(node)
            text = ast.unparse(node.value)
            if len(text) <= 60 and "\n" not in text:
                counts.setdefault(key, Counter())[text] += 1
    found = {key: tuple(t for t, _ in c.most_common(12)) for key, c in counts.items()}
    source.memo["values of file"] = found
    return found


@template("part_swap", 0.8, ast.expr)
def part_swap(site: Site) -> Iterator[Draft]:
    """A literal becomes an expression of the function; an expression of one kind another's."""
    for node in site.expressions(
        ast.List, ast.Dict, ast.Constant, ast.Attribute, ast.Subscript, ast.Call
    ):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 20:
            continue
        parent = site.source.parent(node)
        if not isinstance(parent, ast.Assign | ast.Return | ast.keyword | ast.Call | ast.Compare):
            continue
        if isinstance(parent, ast.Call) and node is parent.func:
            continue
        small = site.scope(node).small
        own = site.text(node)
        kinds = (ast.Call, ast.Attribute, ast.Subscript, ast.BinOp)
        for kind in kinds:
            if type(node) is not kind:
                for text in small.get(kind, ())[:10]:
                    if text != own:
                        yield replace(node, text, 0.4)


@template("self_part", 1.0, ast.Name)
def self_part(site: Site) -> Iterator[Draft]:
    """The object passed on becomes one of its attributes; a class named in itself, its own."""
    for node in site.expressions(ast.Name):
        scope = site.scope(node)
        owner = scope.owner
        parent = site.source.class_of(owner) if owner is not None else None
        if scope.self_name is None or parent is None:
            continue
        above = site.source.parent(node)
        if node.id == scope.self_name and not isinstance(above, ast.Attribute):
            attributes = (*scope.self_attributes, *site.index.class_attributes(parent, site.source))
            for name in dict.fromkeys(attributes):
                yield replace(node, f"{scope.self_name}.{name}", 0.5)
        if node.id == parent.name:
            own = "cls" if scope.self_name == "cls" else f"{scope.self_name}.__class__"
            yield replace(node, own, 1.0)
            if own != "cls":
                yield replace(node, f"type({scope.self_name})", 1.0)


@template("clause_again", 0.8, ast.expr)
def clause_again(site: Site) -> Iterator[Draft]:
    """A clause about a literal said again of another: ``a == 'x'`` -> ``a == 'x' or a == 'y'``."""
    for node in site.expressions(ast.Compare, ast.Call):
        parent = site.source.parent(node)
        whole = node in list(site.tests()) or isinstance(parent, ast.BoolOp | ast.Return)
        inner = [each for each in ast.walk(node) if isinstance(each, ast.Constant)]
        if not whole or len(inner) != 1 or not isinstance(inner[0].value, str):
            continue
        own, literal = site.text(node), site.text(inner[0])
        if own.count(literal) != 1:
            continue
        tests = site.index.tests
        heads = [repr(k[: k.index("_") + 1]) for k in tests.keywords[:8] if "_" in k[1:]]
        for text in dict.fromkeys((*tests.strings[:10], *heads, *map(repr, tests.keywords[:6]))):
            if text != literal:
                for joint in ("or", "and"):
                    added = f"{own} {joint} {own.replace(literal, text)}"
                    inside = isinstance(parent, ast.BoolOp)
                    prior = (0.6 if joint == "or" else 0.2) * _similar(literal, text)
                    yield replace(node, f"({added})" if inside else added, prior)


def _similar(one: str, other: str) -> float:
    """How alike two quoted literals are built: marks at their ends, and their lengths."""
    same_end = one[-2:-1] == other[-2:-1] or (one[-2:-1].isalnum() and other[-2:-1].isalnum())
    same_start = one[1:2].isalnum() == other[1:2].isalnum()
    near = abs(len(one) - len(other)) <= 3
    return (1.0 if same_end else 0.6) * (1.0 if same_start else 0.6) * (1.0 if near else 0.7)
