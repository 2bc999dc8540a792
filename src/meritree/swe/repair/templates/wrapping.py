"""Templates that put calls as the file makes them, and other wholes, around an expression."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from meritree.swe.repair.ast_text import ATOM, BINARY_TEXT, OR, TERM
from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.templates.base import Site, is_called, is_test, template
from meritree.swe.repair.templates.calls import call_text
from meritree.swe.repair.templates.draft import Draft, replace

_VALUES = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.BinOp)
_FEW = 16


def _whole(site: Site, node: ast.expr) -> bool:
    """Whether an expression may be replaced by one around it."""
    parent = site.source.parent(node)
    if is_called(site, node) or isinstance(parent, ast.Expr | ast.JoinedStr | ast.Attribute):
        return False
    return not isinstance(parent, ast.Subscript) or site.source.link(node).field == "slice"


def _constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (
        isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node).isupper()
    )


def _calls_of_file(source: SourceFile) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Patterns ``f({}, 'x')`` and ``.m('x', 1)`` of the file's calls, commonest first."""
    known = source.memo.get("calls of file")
    if isinstance(known, tuple):
        return known
    functions: Counter[str] = Counter()
    methods: Counter[str] = Counter()
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        rest = [each.value for each in node.keywords] + node.args[1:]
        plain = all(_constant(each) for each in rest)
        words = [ast.unparse(each) for each in node.args]
        keywords = [f"{each.arg}={ast.unparse(each.value)}" for each in node.keywords if each.arg]
        name = ast.unparse(node.func)
        named = len(name) < 40 and name.count(".") <= 2 and name.replace(".", "").isidentifier()
        if named and plain and node.args and not isinstance(node.args[0], ast.Starred):
            functions[f"{name}({', '.join(['{}', *words[1:], *keywords])})"] += 1
        if isinstance(node.func, ast.Attribute) and plain and all(map(_constant, node.args[:1])):
            methods[f"{node.func.attr}({', '.join([*words, *keywords])})"] += 1
    found = (
        tuple(text for text, _ in functions.most_common(60) if len(text) <= 50),
        tuple(text for text, _ in methods.most_common(40) if len(text) <= 40),
    )
    source.memo["calls of file"] = found
    return found


def _functions_near(site: Site, node: ast.expr) -> tuple[str, ...]:
    """Call patterns that can be made at a place: imported names, the module's, those in use."""
    scope = site.scope(node)
    modules = {*site.index.imported(site.source), *site.index.module_names(site.source)}
    known = modules | set(scope.other_names) | ({scope.self_name} - {None})
    used = [
        text
        for text in _calls_of_file(site.source)[0]
        if text.partition("(")[0].partition(".")[0] in known
    ]
    imported = [
        f"{name}({{}})"
        for name, origin in site.index.imported(site.source).items()
        if origin.rpartition(".")[2] == name and (name.islower() or site.index.defines(name))
    ]
    return tuple(dict.fromkeys((*used[:_FEW], *imported[:_FEW])))


@template("wrap_near", 1.0, ast.expr)
def wrap_near(site: Site) -> Iterator[Draft]:
    """An expression inside a call as the file makes it: ``escape(e)``, ``to_bytes(e, 'ascii')``."""
    for node in site.expressions(*_VALUES):
        if not _whole(site, node):
            continue
        for rank, pattern in enumerate(_functions_near(site, node)):
            prior = 0.5 if rank < 8 else 0.3
            yield replace(node, pattern.replace("{}", site.text(node), 1), prior)


@template("method_near", 0.6, ast.expr)
def method_near(site: Site) -> Iterator[Draft]:
    """A method call as the file makes it, after an expression: ``e.replace('-', '_')``."""
    for node in site.expressions(ast.Name, ast.Attribute, ast.Call, ast.Subscript):
        if _whole(site, node):
            base = site.source.fitted(node, ATOM)
            for rank, text in enumerate(_calls_of_file(site.source)[1][:20]):
                yield replace(node, f"{base}.{text}", 0.4 if rank < 8 else 0.25)


@template("call_with", 0.6, ast.Name, ast.Attribute)
def call_with(site: Site) -> Iterator[Draft]:
    """A name or attribute called with the parameters of the lambda around it, or a variable."""
    for node in site.expressions(ast.Name, ast.Attribute):
        if is_called(site, node) or isinstance(site.source.parent(node), ast.Attribute):
            continue
        inside = next((a for a in site.source.ancestors(node) if isinstance(a, ast.Lambda)), None)
        given = (
            [each.arg for each in (*inside.args.posonlyargs, *inside.args.args)] if inside else []
        )
        used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        texts = [", ".join(given), *given] if given else []
        texts += [name for name in site.variables(node)[:4] if name not in used]
        for rank, text in enumerate(dict.fromkeys(texts)):
            if text:
                yield replace(
                    node, f"{site.text(node)}({text})", 1.0 if inside and not rank else 0.4
                )


@template("regroup", 0.8, ast.BoolOp, ast.BinOp, ast.IfExp)
def regroup(site: Site) -> Iterator[Draft]:
    """Parentheses put elsewhere: ``a % b or c`` becomes ``a % (b or c)``."""
    for node in site.expressions(ast.BoolOp, ast.BinOp, ast.IfExp):
        left = node.values[0] if isinstance(node, ast.BoolOp) else None
        left = node.left if isinstance(node, ast.BinOp) else left
        left = node.body if isinstance(node, ast.IfExp) else left
        if not isinstance(left, ast.BinOp):
            continue
        head = site.source.fitted(left.left, TERM)
        tail = site.source.text[site.source.span(left.right)[0] : site.source.span(node)[1]]
        operator = BINARY_TEXT[type(left.op)]
        own = site.text(left)
        if own.endswith(")") and not site.text(left.right).endswith(")"):
            continue  # the operation is in parentheses: its end is not its operand's
        if tail.count("(") == tail.count(")"):
            yield replace(node, f"{head} {operator} ({tail})")


@template("ifexp_ins", 0.6, ast.expr)
def ifexp_ins(site: Site) -> Iterator[Draft]:
    """``e`` becomes ``e if condition else`` an empty value."""
    for node in site.expressions(*_VALUES):
        parent = site.source.parent(node)
        placed = isinstance(parent, ast.Assign | ast.Return | ast.Call | ast.keyword | ast.ListComp)
        if not placed or not _whole(site, node) or is_test(site.source, node):
            continue
        own = site.source.fitted(node, OR)
        inside = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        names = [name for name in site.variables(node) if name in inside][:3]
        names += [name for name in site.variables(node) if name not in inside][:4]
        for name in names:
            near = 1.0 if name in inside else 0.6
            for condition in (name, f"{name} is not None"):
                for other in ("None", "''", "[]", "0", *site.variables(node)[:2]):
                    yield replace(node, f"{own} if {condition} else {other}", 0.5 * near)
        for condition in site.scope(node).conditions[:5]:
            for other in ("None", "''"):
                yield replace(node, f"{own} if {condition} else {other}", 0.3)


@template("getattr_default", 0.4, ast.Attribute)
def getattr_default(site: Site) -> Iterator[Draft]:
    """``a.b`` becomes ``getattr(a, 'b', None)``."""
    for node in site.expressions(ast.Attribute):
        base = site.text(node.value)
        for default in ("None", "''", "False", "()", base):
            yield replace(node, f"getattr({base}, {node.attr!r}, {default})", 0.6)


@template("affix_tuple", 1.0, ast.Call)
def affix_tuple(site: Site) -> Iterator[Draft]:
    """One more prefix or suffix: ``s.startswith('a')`` becomes ``s.startswith(('a', 'b'))``."""
    for node in site.expressions(ast.Call):
        named = isinstance(node.func, ast.Attribute) and node.func.attr in (
            "startswith",
            "endswith",
        )
        if not named or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        own = site.text(node.args[0])
        marks = dict.fromkeys(
            repr(mark)
            for text in site.index.tests.strings[:12]
            if text[:1] in "'\""
            for mark in (text[1:2], text[-2:-1])
            if mark and mark not in "'\"\\"
        )
        for text in (
            *marks,
            *site.index.tests.strings[:8],
            *map(repr, site.scope(node).strings[:8]),
        ):
            if text != own:
                yield replace(node.args[0], f"({own}, {text})", 0.5)


@template("pass_names", 1.0, ast.Call)
def pass_names(site: Site) -> Iterator[Draft]:
    """Parameters handed on by their own names: ``g(x)`` becomes ``g(x, key=key)``, or several."""
    for node in site.expressions(ast.Call):
        given = {each.arg for each in node.keywords}
        given |= {each.id for each in node.args if isinstance(each, ast.Name)}
        function = site.source.function_of(node)
        if function is None or any(each.arg is None for each in node.keywords):
            continue
        spec = function.args
        own = [each.arg for each in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]
        own = [name for name in own if name not in given and name != site.scope(node).self_name]
        for name in own[:8]:
            yield replace(node, call_text(site, node, added=f"{name}={name}"), 0.6)
        for at in range(len(own[:6]) - 1):
            pair = f"{own[at]}={own[at]}, {own[at + 1]}={own[at + 1]}"
            yield replace(node, call_text(site, node, added=pair), 0.3)
        starred = [f"*{spec.vararg.arg}"] if spec.vararg else []
        starred += [f"**{spec.kwarg.arg}"] if spec.kwarg else []
        for text in dict.fromkeys((*starred, ", ".join(starred))):
            if text:
                yield replace(node, call_text(site, node, added=text), 0.8)


@template("pass_attributes", 0.8, ast.Call)
def pass_attributes(site: Site) -> Iterator[Draft]:
    """An attribute handed on by its own name, where others are: ``g(a=self.a, b=self.b)``."""
    for node in site.expressions(ast.Call):
        own = site.scope(node).self_name
        pairs = [(each.arg, site.text(each.value)) for each in node.keywords if each.arg]
        owner = site.scope(node).owner
        parent = site.source.class_of(owner) if owner is not None else None
        if own is None or parent is None or not any(v == f"{own}.{k}" for k, v in pairs):
            continue
        given = {name for name, _ in pairs}
        for name in site.index.class_attributes(parent, site.source)[:40]:
            if name not in given and not site.index.signatures(name):
                yield replace(node, call_text(site, node, added=f"{name}={own}.{name}"), 0.6)


@template("kw_elsewhere", 0.8, ast.Call)
def kw_elsewhere(site: Site) -> Iterator[Draft]:
    """Keywords that other calls of the same callee in the file give, and common ones."""
    common = {"open": ("encoding='utf-8'",), "dumps": ("ensure_ascii=False", "default=str")}
    for node in site.expressions(ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        given = {each.arg for each in node.keywords}
        for text in (*_keywords_of_file(site.source).get(name, ()), *common.get(name, ())):
            if text.partition("=")[0] not in given:
                yield replace(node, call_text(site, node, added=text), 0.8)


def _keywords_of_file(source: SourceFile) -> dict[str, tuple[str, ...]]:
    known = source.memo.get("keywords of file")
    if isinstance(known, dict):
        return known
    counts: dict[str, Counter[str]] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            for each in node.keywords:
                text = f"{each.arg}={ast.unparse(each.value)}"
                if each.arg and len(text) <= 50:
                    counts.setdefault(name, Counter())[text] += 1
    found = {name: tuple(t for t, _ in c.most_common(8)) for name, c in counts.items()}
    source.memo["keywords of file"] = found
    return found
