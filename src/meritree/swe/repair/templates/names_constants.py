"""Templates for names and constants: other variables, literals and small expressions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from meritree.swe.repair.ast_text import literal
from meritree.swe.repair.templates.base import Site, is_called, is_test, template
from meritree.swe.repair.templates.draft import Draft, replace
from meritree.swe.repair.templates.roles import NUMBER, kind, likeness, roles_of
from meritree.swe.repair.templates.scope import size

_SIMPLE = (ast.Name, ast.Constant)


@template("var", 5, ast.Name)
def var(site: Site) -> Iterator[Draft]:
    """A name becomes another variable of the function, one that is used alike first."""
    for node in site.expressions(ast.Name):
        scope = site.scope(node)
        if node.id == scope.self_name:
            continue
        known = node.id in scope.variables
        for name in site.variables(node):
            if name != node.id:
                prior = 1.0 if known or not is_called(site, node) else 0.5
                yield replace(node, name, prior * likeness(site.source, scope, node, name))


@template("var_attr", 1.5, ast.Name, ast.Attribute)
def var_attr(site: Site) -> Iterator[Draft]:
    """``name`` becomes ``self.name`` and the reverse; the underscore form too."""
    for node in site.expressions(ast.Name):
        scope = site.scope(node)
        if scope.self_name is None or node.id == scope.self_name:
            continue
        known = _class_attributes(site, node)
        for name in _forms(node.id):
            if name in known:
                yield replace(node, f"{scope.self_name}.{name}", 2.0)
        others = [name for name in known if name not in _forms(node.id)]
        if not is_called(site, node):
            for name in others[:12]:
                yield replace(node, f"{scope.self_name}.{name}", 0.3)
    for attribute in site.expressions(ast.Attribute):
        scope = site.scope(attribute)
        if isinstance(attribute.value, ast.Name) and attribute.value.id == scope.self_name:
            for name in _forms(attribute.attr):
                if name in site.variables(attribute):
                    yield replace(attribute, name, 2.0)


def _forms(name: str) -> tuple[str, ...]:
    bare = name.lstrip("_")
    return (name, "_" + bare, bare) if name != bare else (name, "_" + name)


def _class_attributes(site: Site, node: ast.AST) -> tuple[str, ...]:
    """Attributes of ``self``: those of the function first, then of its class and its bases."""
    scope = site.scope(node)
    owner = scope.owner
    parent = site.source.class_of(owner) if owner is not None else None
    names = dict.fromkeys(scope.self_attributes)
    if parent is not None:
        names.update(dict.fromkeys(site.index.class_attributes(parent, site.source)))
    return tuple(names)


@template("missing_self", 0.8, ast.Name)
def missing_self(site: Site) -> Iterator[Draft]:
    """A global or unknown name that the class also has as an attribute gets its ``self.``."""
    for node in site.expressions(ast.Name):
        scope = site.scope(node)
        if scope.self_name is None or node.id in scope.variables or node.id == scope.self_name:
            continue
        if node.id in _class_attributes(site, node):
            yield replace(node, f"{scope.self_name}.{node.id}", 1.5)


@template("var_other", 0.4, ast.Name)
def var_other(site: Site) -> Iterator[Draft]:
    """A name becomes a global, import or builtin that the function uses, or a module's name."""
    for node in site.expressions(ast.Name):
        scope = site.scope(node)
        if node.id == scope.self_name:
            continue
        others = [name for name in scope.other_names if name != node.id]
        for name in others[:8]:
            yield replace(node, name)
        constants = site.index.module_names(site.source)
        near = [each for each in constants if each not in others and each != node.id]
        for name in near[:6] if node.id in constants or node.id.isupper() else ():
            yield replace(node, name, 0.5)


@template("const", 3, ast.Constant, ast.UnaryOp)
def const(site: Site) -> Iterator[Draft]:
    """Another boolean, number or ``None``; numbers of the function and of the failing tests."""
    for node in site.expressions(ast.Constant):
        value = node.value
        if isinstance(value, bool):
            yield replace(node, str(not value), 3.0)
            yield replace(node, "None", 0.3)
        elif isinstance(value, int | float):
            yield from _other_numbers(site, node, value)
        elif value is None:
            for text in ("0", "''", "False", "True", "[]", "{}", "()"):
                yield replace(node, text, 0.5)


def _other_numbers(site: Site, node: ast.Constant, value: int | float) -> Iterator[Draft]:
    parent = site.source.parent(node)
    signed = isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.USub)
    seen = {value}
    for new, prior in ((value + 1, 2.0), (value - 1, 2.0), (0, 1.0), (1, 1.0), (-1, 1.0), (2, 1.0)):
        if new not in seen and not (signed and new < 0):
            seen.add(new)
            yield replace(node, repr(new), prior)
    if value and not signed:
        yield replace(node, repr(-value), 1.0)
    if signed and isinstance(parent, ast.UnaryOp):
        yield replace(parent, repr(value), 1.0)
        yield replace(parent, "0", 1.0)
    for text, prior in _numbers(site, node):
        yield replace(node, text, prior)
    if isinstance(value, int) and value > 2:
        yield replace(node, repr(value * 10), 0.2)
        yield replace(node, repr(value // 2), 0.2)
        yield replace(node, repr(value * 2), 0.2)
    yield replace(node, "None", 0.3)


def _numbers(site: Site, node: ast.AST) -> Iterator[tuple[str, float]]:
    """Numbers met elsewhere, as source text, each with the prior of using it."""
    found: dict[str, float] = {}
    for text in [each for each in site.evidence.expected if _is_number(each)][:4]:
        found.setdefault(text, 0.6)
    for number in site.scope(node).numbers[:10]:
        found.setdefault(repr(number), 0.5)
    for text in site.index.siblings(site.source).numbers[:10]:
        found.setdefault(text, 0.3)
    for text in (*site.index.tests.numbers[:12], *site.index.issue.numbers[:8]):
        found.setdefault(text, 0.3)
    yield from found.items()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@template("const_var", 1, ast.Constant)
def const_var(site: Site) -> Iterator[Draft]:
    """A constant becomes a variable."""
    for node in site.expressions(ast.Constant):
        if not _plain(site, node):
            continue
        prior = 0.7 if not isinstance(node.value, str | bytes) else 0.3
        names = site.variables(node)[:16]
        roles = roles_of(site.scope(node))
        for rank, name in enumerate(names):
            other = type(node.value) is int and NUMBER not in roles.get(name, {NUMBER})
            yield replace(node, name, prior * (1.0 if rank < 8 else 0.7) * (0.3 if other else 1.0))
        if type(node.value) is int:
            for name in [each for each in names if NUMBER not in roles.get(each, ())][:6]:
                yield replace(node, f"len({name})", 0.4)


def _plain(site: Site, node: ast.Constant) -> bool:
    return not isinstance(site.source.parent(node), ast.JoinedStr) and node.value is not Ellipsis


@template("const_str", 0.5, ast.Constant)
def const_str(site: Site) -> Iterator[Draft]:
    """Another string or bytes constant: of the function, its siblings, the tests, the issue."""
    for node in site.expressions(ast.Constant):
        if not isinstance(node.value, str | bytes) or not _plain(site, node):
            continue
        if len(node.value) >= 60:
            continue
        quote = '"' if site.text(node).lstrip("rRbBuU")[:1] == '"' else "'"
        kind = bytes if isinstance(node.value, bytes) else str
        seen = {literal(node.value, quote)}
        for text, prior in _strings(site, node, kind, quote):
            if text not in seen:
                seen.add(text)
                yield replace(node, text, prior)


def _alike(value: object, text: str) -> bool:
    matcher = SequenceMatcher(None, repr(value)[1:-1], text[1:-1], autojunk=False)
    return matcher.ratio() >= 0.5


def _strings(
    site: Site, node: ast.Constant, kind: type[str] | type[bytes], quote: str
) -> Iterator[tuple[str, float]]:
    yield literal(kind(), quote), 0.4
    if kind is bytes:
        for text in (*site.index.siblings(site.source).literals, *site.index.tests.literals)[:20]:
            if text.startswith("b"):
                yield text, 0.4
        return
    for value in site.scope(node).strings[:20]:
        yield literal(value, quote), 1.0
    for text in site.evidence.expected:
        if text[:1] in "'\"" and len(text) < 60:
            # As a correction of a like text; else it would be the answer to the test.
            yield text, 0.8 if _alike(node.value, text) else 0.1
    for hints, prior in ((site.index.siblings(site.source), 0.3), (site.index.tests, 0.4)):
        for text in hints.strings[:12]:
            yield text, prior if text not in site.evidence.particular else 0.1
    for text in site.index.issue.strings[:8]:
        yield text, 0.4
    if isinstance(node.value, str) and node.value:
        for value in dict.fromkeys((node.value.lower(), node.value.upper(), node.value.strip())):
            yield literal(value, quote), 0.3
        yield literal(node.value + " ", quote), 0.1
        yield literal(node.value + "\n", quote), 0.1


@template("expr_to_var", 1.2, ast.expr)
def expr_to_var(site: Site) -> Iterator[Draft]:
    """An expression becomes a variable."""
    for node in site.expressions(ast.expr):
        if isinstance(node, (*_SIMPLE, ast.Starred, ast.Slice, ast.JoinedStr)):
            continue
        if size(node, 32) > 30 or is_called(site, node):
            continue
        prior = 0.1 if is_test(site.source, node) else 0.5
        scope = site.scope(node)
        roles, found = roles_of(scope), kind(site.source, scope, node)
        for name in site.variables(node)[:16]:
            other = found and found not in roles.get(name, {found})
            yield replace(node, name, prior * (0.3 if other else 1.0))


@template("ingredient", 1, ast.expr)
def ingredient(site: Site) -> Iterator[Draft]:
    """An expression becomes another of the same kind from the function."""
    for node in site.expressions(ast.expr):
        scope = site.scope(node)
        if isinstance(node, ast.Name):
            if node.id == scope.self_name or is_called(site, node):
                continue
            for kind in (ast.Subscript, ast.Attribute):
                for text in scope.small.get(kind, ())[:12]:
                    yield replace(node, text, 0.3)
            for text in scope.small.get(ast.Call, ())[:20]:
                if re.search(rf"[(, ]{re.escape(node.id)}[),]", text):
                    yield replace(node, text, 0.5)  # the function's own way to treat it
        elif not isinstance(node, ast.Constant | ast.Starred | ast.Slice):
            own = site.text(node)
            for text in scope.small.get(type(node), ())[:20]:
                if text != own:
                    yield replace(node, text, 0.4)


@template("target", 1, ast.Assign, ast.AugAssign, ast.expr)
def target(site: Site) -> Iterator[Draft]:
    """Another place is assigned; never an attribute of an imported module."""
    for node in site.targets():
        link = site.source.link(node)
        if not isinstance(link.parent, ast.Assign | ast.AugAssign | ast.Tuple | ast.List):
            continue
        if isinstance(node, ast.Tuple | ast.List | ast.Starred):
            continue
        scope = site.scope(node)
        modules = site.index.imported(site.source)
        own = site.text(node)
        for text in scope.places[:20]:
            if text != own and text.partition(".")[0].partition("[")[0] not in modules:
                yield replace(node, text, 0.6)
        for name in site.variables(node)[:12]:
            if name != own:
                yield replace(node, name, 0.4 if isinstance(node, ast.Name) else 0.3)


@template("bytes_str", 0.4, ast.Constant)
def bytes_str(site: Site) -> Iterator[Draft]:
    """A string literal becomes bytes and the reverse."""
    for node in site.expressions(ast.Constant):
        text = site.text(node)
        if not _plain(site, node) or len(text) > 60:
            continue
        if isinstance(node.value, str) and node.value.isascii() and text[:1] in "'\"":
            yield replace(node, "b" + text)
        elif isinstance(node.value, bytes) and text[:1] == "b":
            yield replace(node, text[1:])
