"""Templates for return, yield, break and continue."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from meritree.swe.repair.templates.base import Site, template
from meritree.swe.repair.templates.draft import Draft, after, replace, rewrite


@template("ret_replace", 1.5, ast.Return)
def ret_replace(site: Site) -> Iterator[Draft]:
    """Another value returned: a usual expected one first, constants, variables, expressions."""
    for statement in site.statements(ast.Return):
        own = "" if statement.value is None else site.text(statement.value)
        for text, prior in _values(site, statement, own):
            if text != own:
                yield rewrite(statement, (0, f"return {text}"), prior=prior, size=1.0)


def _values(site: Site, statement: ast.Return, own: str) -> Iterator[tuple[str, float]]:
    for texts, prior in ((site.evidence.usual, 1.5), (site.evidence.particular, 0.1)):
        yield from ((text, prior) for text in texts[:3] if len(text) <= 60)
    for text in ("None", "True", "False", "0", "1", "[]", "''", "{}", "()"):
        yield text, 0.5
    names = site.variables(statement)[:12]
    for name in names:
        yield name, 0.8
        yield f"[{name}]", 0.4
        yield f"not {name}", 0.3
        yield f"{name} == 0", 0.3
    scope = site.scope(statement)
    if scope.self_name == "self":
        yield "self", 0.4
        yield from ((f"self.{name}", 0.4) for name in scope.self_attributes[:8])
    for small in scope.small.values():
        yield from ((text, 0.3) for text in small[:10])
    for text in scope.returned[:8]:
        yield text, 0.5
    if own:
        for name in names[:6]:
            yield f"{own}, {name}", 0.3


@template("ret_wrap", 0.4, ast.Expr)
def ret_wrap(site: Site) -> Iterator[Draft]:
    """A call whose value is thrown away is returned."""
    for statement in site.statements(ast.Expr):
        called = isinstance(statement.value, ast.Call | ast.Await)
        if called and site.source.function_of(statement) is not None:
            yield rewrite(statement, (0, f"return {site.text(statement.value)}"), size=1.0)


@template("ret_ins", 0.8, ast.stmt)
def ret_ins(site: Site) -> Iterator[Draft]:
    """A missing ``return`` at the end of a suite."""
    for statement in site.statements(ast.Assign, ast.AugAssign, ast.Expr, ast.If, ast.For):
        function = site.source.function_of(statement)
        if function is None or site.source.siblings(statement)[-1] is not statement:
            continue
        scope = site.scope(statement)
        if scope.is_generator:
            yield after(statement, (0, "return"), prior=0.5)
            continue
        last = function.body[-1] is statement
        choices = [*scope.visible(statement)[:8], "None", "True", "False"]
        choices += ["self"] if scope.self_name == "self" else []
        for name in choices:
            yield after(statement, (0, f"return {name}"), prior=1.0 if last else 0.4)


@template("yield_kind", 0.6, ast.Yield, ast.YieldFrom)
def yield_kind(site: Site) -> Iterator[Draft]:
    """``yield`` becomes ``yield from`` and the reverse."""
    for node in site.expressions(ast.Yield):
        if node.value is not None:
            yield replace(node, f"yield from {site.text(node.value)}")
    for other in site.expressions(ast.YieldFrom):
        yield replace(other, f"yield {site.text(other.value)}")


@template("loop_ctl", 0.7, ast.Break, ast.Continue, ast.Return, ast.Pass)
def loop_ctl(site: Site) -> Iterator[Draft]:
    """``break`` <-> ``continue``, or ``return``; ``pass`` becomes one of them."""
    for statement in site.statements(ast.stmt):
        if not isinstance(statement, ast.Break | ast.Continue | ast.Return | ast.Pass):
            continue
        words = []
        if site.source.in_loop(statement):
            words += [("break", 1.0), ("continue", 1.0)]
        if site.source.function_of(statement) is not None and not isinstance(statement, ast.Return):
            words += [("return", 0.4)]
        own = site.text(statement)
        for word, prior in words:
            if word != own:
                factor = 0.4 if isinstance(statement, ast.Return) else 1.0
                yield rewrite(statement, (0, word), prior=prior * factor, size=1.0)
