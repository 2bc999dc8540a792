"""Templates for what runs at definition: default arguments, decorators, missing super calls."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator

from meritree.swe.repair.templates.base import Site, template
from meritree.swe.repair.templates.draft import Draft, Raw, before, replace

_DEFAULTS = ("None", "[]", "{}", "()", "''", "0", "1", "True", "False")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@template("default_arg", 1, ast.expr)
def default_arg(site: Site) -> Iterator[Draft]:
    """Another default value of a parameter; those of equally named parameters of the file too."""
    for node in site.expressions(ast.expr):
        link = site.source.link(node)
        if not isinstance(link.parent, ast.arguments):
            continue
        name = _parameter(link.parent, node)
        own = site.text(node)
        same_name = _defaults_of(site, name)
        for text in dict.fromkeys((*same_name, *_DEFAULTS)):
            if text != own:
                yield replace(node, text, 1.5 if text in same_name else 1.0)


def _parameter(spec: ast.arguments, default: ast.expr) -> str:
    ordered = [*spec.posonlyargs, *spec.args]
    pairs = list(zip(reversed(ordered), reversed(spec.defaults), strict=False))
    pairs += [(a, d) for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if d]
    return next((each.arg for each, given in pairs if given is default), "")


def _defaults_of(site: Site, name: str) -> tuple[str, ...]:
    """Default texts of all parameters of this name in the file."""
    found: dict[str, None] = {}
    for function in site.source.functions:
        spec = function.args
        for default in (*spec.defaults, *(each for each in spec.kw_defaults if each)):
            if _parameter(spec, default) == name:
                text = site.text(default)
                if len(text) <= 30:
                    found.setdefault(text)
    return tuple(found)[:8]


@template("decorator", 0.3, *_FUNCTIONS)
def decorator(site: Site) -> Iterator[Draft]:
    """A decorator dropped, or one of the file's own and the built-in ones added."""
    source = site.source
    for node in site.statements(*_FUNCTIONS):
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        present = [site.text(each) for each in node.decorator_list]
        for at, each in enumerate(node.decorator_list):
            start = source.line_start(each.lineno)
            end = source.line_start((each.end_lineno or each.lineno) + 1)
            changed = copy.copy(node)
            changed.decorator_list = [e for i, e in enumerate(node.decorator_list) if i != at]
            yield Draft((Raw(node, start, end, "", {node: (changed,)}),), 1.0, 2.0)
        method = isinstance(source.parent(node), ast.ClassDef)
        own = ("property", "staticmethod", "classmethod") if method else ()
        position = source.line_start(source.first_line(node))
        for name in dict.fromkeys((*own, *_decorators_of(site))):
            if name not in present:
                changed = copy.copy(node)
                expression = ast.parse(name, mode="eval").body
                changed.decorator_list = [expression, *node.decorator_list]
                text = f"{source.indent(node)}@{name}{source.newline}"
                yield Draft((Raw(node, position, position, text, {node: (changed,)}),), 0.5, 2.0)


def _decorators_of(site: Site) -> list[str]:
    found: dict[str, None] = {}
    for function in site.source.functions:
        for each in function.decorator_list:
            text = site.text(each)
            if len(text) <= 40 and "\n" not in text:
                found.setdefault(text)
    return list(found)[:6]


@template("super_call", 0.5, ast.stmt)
def super_call(site: Site) -> Iterator[Draft]:
    """A missing ``super().method(...)`` with the method's own parameters, as its first step."""
    for statement in site.statements(ast.stmt):
        function = site.source.function_of(statement)
        if function is None or site.source.siblings(statement) is not function.body:
            continue
        if not isinstance(site.source.parent(function), ast.ClassDef):
            continue
        first = function.body[0]
        documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        if statement is not function.body[min(int(documented), len(function.body) - 1)]:
            continue
        if any(isinstance(each, ast.Name) and each.id == "super" for each in ast.walk(function)):
            continue
        names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)][1:]
        starred = [f"*{function.args.vararg.arg}"] if function.args.vararg else []
        starred += [f"**{function.args.kwarg.arg}"] if function.args.kwarg else []
        for given in dict.fromkeys((", ".join([*names, *starred]), ", ".join(starred), "")):
            line = f"super().{function.name}({given})"
            yield before(statement, (0, line), prior=1.0)
