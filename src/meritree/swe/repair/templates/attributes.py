"""Templates for attributes: other attributes, of objects and of modules; missing calls."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from meritree.swe.repair.ast_text import ATOM
from meritree.swe.repair.signatures import stdlib_attributes, stdlib_constants
from meritree.swe.repair.templates.base import Site, is_called, template
from meritree.swe.repair.templates.calls import confused
from meritree.swe.repair.templates.draft import Draft, replace

_BARE_CALL = re.compile(r"\b(\w+)\(\)")


@template("attr_family", 2, ast.Attribute)
def attr_family(site: Site) -> Iterator[Draft]:
    """Another attribute that is easily confused with the one read."""
    for node in site.expressions(ast.Attribute):
        if not is_called(site, node):
            base = site.source.fitted(node.value, ATOM)
            for name in confused(node.attr):
                yield replace(node, f"{base}.{name}", 1.5)


@template("attr", 1.5, ast.Attribute)
def attr(site: Site) -> Iterator[Draft]:
    """One of the 15 attribute names of file and project that look most like the one written."""
    for node in site.expressions(ast.Attribute):
        base = site.source.fitted(node.value, ATOM)
        for name, ratio in _alike(site, node):
            yield replace(node, f"{base}.{name}", 0.2 + ratio)


def _alike(site: Site, node: ast.Attribute) -> list[tuple[str, float]]:
    base = node.value.id if isinstance(node.value, ast.Name) else ""
    key = ("alike", node.attr, base, site.source.class_of(node) if base else None)
    known = site.source.memo.get(key)
    if not isinstance(known, list):
        known = site.source.memo[key] = _closest(site, node)
    return known


def _closest(site: Site, node: ast.Attribute) -> list[tuple[str, float]]:
    names = set(_file_attributes(site))
    names.update(name for name in site.index.tests.attributes[:60])
    names.update(name for name in site.index.issue.attributes[:30])
    if isinstance(node.value, ast.Name):
        scope = site.scope(node)
        owner = scope.owner
        parent = site.source.class_of(owner) if owner is not None else None
        if parent is not None and node.value.id == scope.self_name:
            names.update(site.index.class_attributes(parent, site.source))
        module = site.index.imported(site.source).get(node.value.id, "")
        names.update(stdlib_attributes(module))
    close: list[tuple[float, str]] = []
    matcher = SequenceMatcher(None, "", node.attr)
    for name in names - {node.attr}:
        matcher.set_seq1(name)
        if matcher.real_quick_ratio() > 0.3 and matcher.quick_ratio() > 0.3:
            close.append((-matcher.ratio(), name))
    return [(name, -ratio) for ratio, name in sorted(close)[:15]]


def _file_attributes(site: Site) -> list[str]:
    known = site.source.memo.get("attribute_names")
    if not isinstance(known, list):
        nodes = (
            node
            for line in range(1, site.source.line_count + 1)
            for node in site.source.expressions(line)
        )
        known = sorted({node.attr for node in nodes if isinstance(node, ast.Attribute)})
        site.source.memo["attribute_names"] = known
    return known


@template("module_attr", 0.5, ast.Constant, ast.Name)
def module_attr(site: Site) -> Iterator[Draft]:
    """A literal or a name becomes an attribute of an imported standard library module."""
    imported = site.index.imported(site.source)
    for node in site.expressions(ast.expr):
        if isinstance(node, ast.Name):
            wanted = node.id
        elif _literal(node):
            assert isinstance(node, ast.Constant)
            wanted = str(node.value)
        else:
            continue
        for local, origin in list(imported.items())[:20]:
            for name, prior in _module_choices(site, origin, local, node, wanted)[:6]:
                yield replace(node, f"{local}.{name}", prior)


def _literal(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str | int | float)
        and not isinstance(node.value, bool)
    )


def _module_choices(
    site: Site, origin: str, local: str, node: ast.expr, wanted: str
) -> list[tuple[str, float]]:
    """Attributes to offer: those of the same value, those of the same type that the file uses."""
    if isinstance(node, ast.Name):
        return [(wanted, 1.0)] if wanted in stdlib_attributes(origin) else []
    assert isinstance(node, ast.Constant)
    key = ("module choices", local, type(node.value), node.value)
    known = site.source.memo.get(key)
    if not isinstance(known, list):
        used = set(_file_attributes(site))
        alike = {
            name: value
            for name, value in stdlib_constants(origin).items()
            if type(value) is type(node.value)
        }
        equal = [name for name, value in alike.items() if value == node.value]
        known = [(name, 1.0) for name in equal]
        known += [(name, 0.4) for name in alike if name in used and name not in equal]
        known += [(name, 0.2) for name in alike if name not in used and name not in equal]
        site.source.memo[key] = known
    return known


@template("drop_attr", 0.7, ast.Attribute)
def drop_attr(site: Site) -> Iterator[Draft]:
    """``a.b`` becomes ``a``, ``a.b.c`` becomes ``a.c``; also in what is called."""
    for node in site.expressions(ast.Attribute):
        if not is_called(site, node):
            yield replace(node, site.text(node.value), 0.8)
        if isinstance(node.value, ast.Attribute):
            base = site.source.fitted(node.value.value, ATOM)
            yield replace(node, f"{base}.{node.attr}", 0.6)


@template("add_call", 0.6, ast.Name, ast.Attribute)
def add_call(site: Site) -> Iterator[Draft]:
    """A missing ``()`` after a name that is called elsewhere in file or project."""
    for node in site.expressions(ast.expr):
        if not isinstance(node, ast.Attribute | ast.Name) or is_called(site, node):
            continue
        if isinstance(site.source.parent(node), ast.Attribute):
            continue
        name = node.attr if isinstance(node, ast.Attribute) else node.id
        if name in _called_bare(site) or site.index.defines(name):
            yield replace(node, f"{site.text(node)}()")


def _called_bare(site: Site) -> frozenset[str]:
    """Names called without arguments somewhere in the file."""
    known = site.source.memo.get("called bare")
    if not isinstance(known, frozenset):
        known = frozenset(_BARE_CALL.findall(site.source.text))
        site.source.memo["called bare"] = known
    return known
