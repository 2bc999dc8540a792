"""Templates for subscripts, slices, tuples, lists and dictionaries."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from meritree.swe.repair.ast_text import ATOM, BIT_OR, literal
from meritree.swe.repair.templates.base import Site, template
from meritree.swe.repair.templates.draft import Draft, Replace, replace
from meritree.swe.repair.templates.roles import CONTAINER, NUMBER, fits, roles_of

_FIELD = re.compile(r"\{(\d*)([^{}]*)\}")


def _base(site: Site, node: ast.Subscript) -> str:
    return site.source.fitted(node.value, ATOM)


@template("slice", 1, ast.Subscript)
def slice_(site: Site) -> Iterator[Draft]:
    """A bound of a slice dropped, set, or moved by one."""
    for node in site.expressions(ast.Subscript):
        if not isinstance(node.slice, ast.Slice):
            continue
        bounds = [node.slice.lower, node.slice.upper, node.slice.step]
        texts = ["" if each is None else site.text(each) for each in bounds]
        for at in (0, 1):
            options = ["", "-1", "1"] + [f"{texts[at]} + 1", f"{texts[at]} - 1"] * bool(texts[at])
            for text in (*options, *site.variables(node)[:8]):
                if text != texts[at]:
                    yield replace(node, _sliced(_base(site, node), texts, at, text))
        yield replace(node, _sliced(_base(site, node), texts, 2, "" if texts[2] else "-1"), 0.4)


def _sliced(base: str, texts: list[str], at: int, text: str) -> str:
    parts = [text if index == at else each for index, each in enumerate(texts)]
    return f"{base}[{parts[0]}:{parts[1]}{':' + parts[2] if parts[2] else ''}]"


@template("slice_ins", 1, ast.expr)
def slice_ins(site: Site) -> Iterator[Draft]:
    """An expression becomes a slice of itself."""
    for node in site.expressions(ast.Name, ast.Attribute, ast.Call, ast.Subscript):
        link = site.source.link(node)
        if isinstance(link.parent, ast.Attribute | ast.Expr) or link.field == "func":
            continue
        base = site.source.fitted(node, ATOM)
        scope = site.scope(node)
        sure = fits(site.source, scope, node, CONTAINER, 0.05)
        for part, prior in (("1:", 1.0), (":-1", 0.8), ("::-1", 0.4), (":", 0.4)):
            yield replace(node, f"{base}[{part}]", prior * sure)
        roles = roles_of(scope)
        for name in site.variables(node)[:6]:
            if name != base:
                number = sure * (1.0 if NUMBER in roles.get(name, {NUMBER}) else 0.1)
                yield replace(node, f"{base}[{name}:]", 0.5 * number)
                yield replace(node, f"{base}[:{name}]", 0.5 * number)
    for display in site.expressions(ast.ListComp):
        yield replace(display, f"{site.text(display)}[::-1]", 0.4)


@template("index_ins", 0.4, ast.expr)
def index_ins(site: Site) -> Iterator[Draft]:
    """An expression becomes one of its items."""
    for node in site.expressions(ast.Name, ast.Attribute, ast.Call, ast.Subscript):
        link = site.source.link(node)
        if isinstance(link.parent, ast.Attribute | ast.Expr) or link.field == "func":
            continue
        base = site.source.fitted(node, ATOM)
        for index in ("0", "1", "-1", *site.variables(node)[:6]):
            if index != base:
                sure = fits(site.source, site.scope(node), node, CONTAINER, 0.05)
                yield replace(node, f"{base}[{index}]", 0.5 * sure)


@template("drop_slice", 0.6, ast.Subscript)
def drop_slice(site: Site) -> Iterator[Draft]:
    """``x[a:b]`` becomes ``x``."""
    for node in site.expressions(ast.Subscript):
        if isinstance(node.slice, ast.Slice):
            yield replace(node, site.text(node.value))


@template("drop_index", 0.4, ast.Subscript)
def drop_index(site: Site) -> Iterator[Draft]:
    """``x[k]`` becomes ``x``."""
    for node in site.expressions(ast.Subscript):
        if not isinstance(node.slice, ast.Slice):
            yield replace(node, site.text(node.value))


@template("index_get", 0.4, ast.Subscript, ast.Call)
def index_get(site: Site) -> Iterator[Draft]:
    """``x[k]`` becomes ``x.get(k)`` or ``x.get(k, default)``, and the reverse."""
    for node in site.expressions(ast.Subscript):
        if isinstance(node.slice, ast.Slice | ast.Tuple):
            continue
        base, key = _base(site, node), site.text(node.slice)
        yield replace(node, f"{base}.get({key})")
        for default in ("0", "''", "[]", "{}", "False", "()", *site.variables(node)[:4]):
            yield replace(node, f"{base}.get({key}, {default})", 0.4)
    for call in site.expressions(ast.Call):
        if not (isinstance(call.func, ast.Attribute) and call.func.attr in ("get", "pop")):
            continue
        base = site.source.fitted(call.func.value, ATOM)
        if len(call.args) == 1 and not call.keywords:
            key = site.text(call.args[0])
            for default in ("None", "0", "''", "[]", "{}", "False", *site.variables(call)[:4]):
                yield replace(call, f"{base}.{call.func.attr}({key}, {default})", 0.5)
        if call.args:
            yield replace(call, f"{base}[{site.text(call.args[0])}]", 0.5)


@template("swap_tuple", 1.5, ast.Tuple, ast.List)
def swap_tuple(site: Site) -> Iterator[Draft]:
    """Two neighbouring elements exchanged, also among assignment targets."""
    for node in site.source.expressions(site.line):
        if not isinstance(node, ast.Tuple | ast.List):
            continue
        for first, second in zip(node.elts[:6], node.elts[1:7], strict=False):
            changes = Replace(first, site.text(second)), Replace(second, site.text(first))
            yield Draft(changes)


@template("list_wrap", 0.7, ast.expr)
def list_wrap(site: Site) -> Iterator[Draft]:
    """``e`` becomes ``[e]`` or ``(e,)``."""
    for node in site.expressions(ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant):
        link = site.source.link(node)
        callee = isinstance(link.parent, ast.Call) and link.field == "func"
        if not callee and not isinstance(link.parent, ast.Attribute | ast.Expr | ast.JoinedStr):
            yield replace(node, f"[{site.text(node)}]")
            yield replace(node, f"({site.text(node)},)", 0.5)


@template("list_unwrap", 0.4, ast.List, ast.Tuple, ast.Set)
def list_unwrap(site: Site) -> Iterator[Draft]:
    """``[e]`` becomes ``e``; another kind of brackets."""
    for node in site.displays():
        texts = ", ".join(site.text(each) for each in node.elts)
        if len(node.elts) == 1:
            yield replace(node, site.text(node.elts[0]))
        if not isinstance(node, ast.List):
            yield replace(node, f"[{texts}]", 0.4)
        if not isinstance(node, ast.Tuple):
            yield replace(node, f"({texts}{',' if len(node.elts) == 1 else ''})", 0.4)
        if node.elts and not isinstance(node, ast.Set):
            yield replace(node, f"{{{texts}}}", 0.2)


@template("list_fill", 0.8, ast.List, ast.Dict, ast.Tuple)
def list_fill(site: Site) -> Iterator[Draft]:
    """An empty list gets a first element, or becomes a variable."""
    for node in site.expressions(ast.List):
        if node.elts:
            continue
        yield replace(node, "[0]", 0.8)
        yield replace(node, "[[]]", 0.6)
        yield replace(node, "['']", 0.4)
        for name in site.variables(node)[:12]:
            yield replace(node, f"[{name}]")
            yield replace(node, name, 0.6)


@template("element_add", 0.6, ast.Tuple, ast.List, ast.Set)
def element_add(site: Site) -> Iterator[Draft]:
    """A literal of siblings, failing tests or issue, or a variable, added to a display."""
    for node in site.displays():
        if not node.elts or isinstance(site.source.parent(node), ast.Subscript):
            continue
        own = [site.text(each) for each in node.elts]
        brackets = "()" if isinstance(node, ast.Tuple) else "[]"
        if isinstance(node, ast.Set):
            brackets = "{}"
        for text, prior in _elements(site, node):
            if text not in own:
                yield replace(node, f"{brackets[0]}{', '.join([*own, text])}{brackets[1]}", prior)


def _elements(site: Site, node: ast.Tuple | ast.List | ast.Set) -> Iterator[tuple[str, float]]:
    first = node.elts[0]
    tests, issue, near = site.index.tests, site.index.issue, site.index.siblings(site.source)
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        for hints, prior in ((issue, 0.8), (tests, 0.8), (near, 0.3)):
            for text in hints.strings[:16]:
                yield text, prior if text not in site.evidence.particular else 0.1
        yield from ((literal(each), 0.5) for each in site.scope(node).strings[:10])
    elif isinstance(first, ast.Constant) and isinstance(first.value, int | float):
        for hints, prior in ((issue, 0.8), (tests, 0.8), (near, 0.3)):
            yield from ((text, prior) for text in hints.numbers[:12])
    else:
        yield from ((name, 0.4) for name in site.variables(node)[:10])
        if isinstance(first, ast.Name) and first.id not in site.variables(node):
            others = (*site.scope(node).other_names[:8], *tests.names[:8])
            yield from ((name, 0.4) for name in others)


@template("element_drop", 0.5, ast.Tuple, ast.List, ast.Set, ast.Dict)
def element_drop(site: Site) -> Iterator[Draft]:
    """One element less in a display, one entry less in a dictionary."""
    for node in site.displays():
        if not 2 <= len(node.elts) <= 12:
            continue
        for at in range(len(node.elts)):
            rest = [site.text(each) for index, each in enumerate(node.elts) if index != at]
            text = ", ".join(rest)
            if isinstance(node, ast.Tuple):
                yield replace(node, f"({text}{',' if len(rest) == 1 else ''})")
            else:
                yield replace(node, f"[{text}]" if isinstance(node, ast.List) else f"{{{text}}}")


@template("dict_entry", 0.5, ast.Dict)
def dict_entry(site: Site) -> Iterator[Draft]:
    """An entry added to a dictionary: a string of tests or issue with a value like the others."""
    for node in site.expressions(ast.Dict):
        if not node.values or len(node.values) > 30:
            continue
        pairs = [
            f"{site.text(key)}: {site.text(value)}"
            if key
            else f"**{site.source.fitted(value, BIT_OR)}"
            for key, value in zip(node.keys, node.values, strict=True)
        ]
        for at in range(min(len(pairs), 10)):
            rest = [pair for index, pair in enumerate(pairs) if index != at]
            yield replace(node, f"{{{', '.join(rest)}}}", 0.3)
        values = dict.fromkeys(site.text(each) for each in node.values[:4])
        for key in (*site.index.issue.strings[:4], *site.index.tests.strings[:8]):
            for value in values:
                yield replace(node, f"{{{', '.join([*pairs, f'{key}: {value}'])}}}", 0.4)


@template("copy_before", 0.6, ast.expr)
def copy_before(site: Site) -> Iterator[Draft]:
    """A copy in place of the object itself: ``list(x)``, ``dict(x)``, ``x.copy()``."""
    for node in site.expressions(ast.Name, ast.Attribute, ast.Subscript):
        link = site.source.link(node)
        stored = isinstance(link.parent, ast.Assign | ast.Return | ast.For | ast.comprehension)
        passed = isinstance(link.parent, ast.Call) and link.field == "args"
        if stored or passed:
            text = site.text(node)
            for copied in (f"list({text})", f"{text}.copy()", f"dict({text})", f"set({text})"):
                yield replace(node, copied, 0.8 if stored else 0.4)


@template("format_index", 0.8, ast.Constant)
def format_index(site: Site) -> Iterator[Draft]:
    """Another position in a format string."""
    for node in site.expressions(ast.Constant):
        parent = site.source.parent(node)
        called = isinstance(parent, ast.Attribute) and parent.attr == "format"
        if not (isinstance(node.value, str) and called):
            continue
        text = site.text(node)
        for found in _FIELD.finditer(text):
            if found.group(1):
                number = int(found.group(1))
                for new in (number + 1, number - 1):
                    if new >= 0:
                        start, end = found.span(1)
                        yield replace(node, text[:start] + str(new) + text[end:])
