"""Templates that insert, copy, delete, move and re-indent statements."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator

from meritree.swe.repair.ast_text import TUPLE
from meritree.swe.repair.templates.base import Site, template
from meritree.swe.repair.templates.draft import Draft, Keep, Raw, Rewrite, after, before, rewrite
from meritree.swe.repair.templates.realise import reindented
from meritree.swe.repair.templates.roles import NUMBER, alike, roles_of
from meritree.swe.repair.templates.scope import size

SIMPLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return, ast.Raise, ast.Delete)
_ANY = (
    *SIMPLE,
    ast.If,
    ast.For,
    ast.While,
    ast.With,
    ast.Try,
    ast.Pass,
    ast.Break,
    ast.Continue,
    ast.Assert,
)


@template("ins_assign", 0.8, ast.stmt)
def ins_assign(site: Site) -> Iterator[Draft]:
    """``v = w`` before a statement, for two variables of the function."""
    for statement in site.statements(*_ANY):
        names = site.variables(statement)[:8]
        scope = site.scope(statement)
        for left in names:
            for right in (*names, "None", "0", "[]", "''"):
                if left != right:
                    weight = alike(scope, left, right) if right in names else 0.6
                    yield before(statement, (0, f"{left} = {right}"), prior=0.5 * weight)
        if scope.self_name == "self":
            for name in scope.self_attributes[:6]:
                for right in names[:4]:
                    yield before(statement, (0, f"self.{name} = {right}"), prior=0.3)


@template("ins_aug", 0.5, ast.stmt)
def ins_aug(site: Site) -> Iterator[Draft]:
    """``v += 1`` or ``v -= 1`` before or after a statement."""
    for statement in site.statements(*_ANY):
        roles = roles_of(site.scope(statement))
        for name in site.variables(statement)[:12]:
            weight = 1.0 if NUMBER in roles.get(name, {NUMBER}) else 0.05
            yield before(statement, (0, f"{name} += 1"), prior=0.6 * weight)
            yield before(statement, (0, f"{name} -= 1"), prior=0.3 * weight)
            if isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr):
                yield after(statement, (0, f"{name} += 1"), prior=0.4 * weight)


@template("ins_call", 1, ast.stmt)
def ins_call(site: Site) -> Iterator[Draft]:
    """``base.method(v)`` or ``base.method()`` before a statement; ``x = f(x)`` too."""
    for statement in site.statements(*_ANY):
        scope = site.scope(statement)
        names = site.variables(statement)[:8]
        for base, methods in list(scope.methods.items())[:8]:
            more = [each for each in methods if each in ("append", "add", "pop", "update")]
            for method in dict.fromkeys((*methods[:4], *more)):
                yield before(statement, (0, f"{base}.{method}()"), prior=0.5)
                for name in names:
                    if name != base:
                        yield before(statement, (0, f"{base}.{method}({name})"), prior=1.0)
        for function in scope.called[:6]:
            for name in names[:4]:
                yield before(statement, (0, f"{name} = {function}({name})"), prior=0.4)


@template("ins_copy", 0.8, ast.stmt)
def ins_copy(site: Site) -> Iterator[Draft]:
    """A simple statement of the function copied before or after another."""
    for statement in site.statements(*_ANY):
        own = site.text(statement)
        for other in site.scope(statement).simple_statements:
            text = site.text(other)
            if text == own or other is statement:
                continue
            if isinstance(other, ast.Continue) and not site.source.in_loop(statement):
                continue
            prior = 0.3 if isinstance(other, ast.Return | ast.Raise | ast.Continue) else 0.5
            yield before(statement, (0, text), prior=prior)
            if isinstance(statement, SIMPLE) and not isinstance(statement, ast.Return | ast.Raise):
                yield after(statement, (0, text), prior=prior * 0.8)


@template("del_stmt", 0.7, ast.stmt)
def del_stmt(site: Site) -> Iterator[Draft]:
    """A statement removed."""
    for statement in site.statements(*_ANY):
        if not isinstance(statement, ast.Pass):
            compound = not isinstance(statement, (*SIMPLE, ast.Break, ast.Continue, ast.Assert))
            yield rewrite(statement, prior=0.5 if compound else 1.0)


@template("swap_stmt", 0.8, ast.stmt)
def swap_stmt(site: Site) -> Iterator[Draft]:
    """A statement exchanged with the next one."""
    for statement in site.statements(*_ANY):
        follower = _next(site, statement)
        if follower is not None:
            pieces = ((0, Keep((follower,))), (0, Keep((statement,))))
            yield Draft((Rewrite(statement, follower, pieces),), 1.0, 2.0)


def _next(site: Site, statement: ast.stmt) -> ast.stmt | None:
    suite = site.source.siblings(statement)
    at = suite.index(statement) + 1
    return suite[at] if at < len(suite) else None


@template("unwrap_if", 0.5, ast.If, ast.With, ast.Try)
def unwrap_if(site: Site) -> Iterator[Draft]:
    """The suite of a compound statement without its head; or the ``else`` suite alone."""
    for statement in site.statements(ast.stmt):
        if isinstance(statement, ast.If | ast.With | ast.Try):
            yield rewrite(statement, (0, Keep(tuple(statement.body))))
            orelse = getattr(statement, "orelse", [])
            if orelse and not site.source.is_elif(orelse[0]):
                yield rewrite(statement, (0, Keep(tuple(orelse))), prior=0.6)


@template("swap_branches", 0.6, ast.If)
def swap_branches(site: Site) -> Iterator[Draft]:
    """The suites of ``if`` and ``else`` exchanged."""
    for statement in site.statements(ast.If):
        body, other = statement.body, statement.orelse
        if other and not site.source.is_elif(other[0]):
            changes = (
                Rewrite(body[0], body[-1], ((0, Keep(tuple(other))),)),
                Rewrite(other[0], other[-1], ((0, Keep(tuple(body))),)),
            )
            yield Draft(changes, 1.0, 2.0)


@template("drop_else", 0.5, ast.If, ast.For, ast.While)
def drop_else(site: Site) -> Iterator[Draft]:
    """A compound statement without its ``else`` suite."""
    for statement in site.statements(ast.stmt):
        if isinstance(statement, ast.If | ast.For | ast.While) and statement.orelse:
            if site.source.is_elif(statement) or not site.source.own_lines(statement):
                continue
            start = site.source.line_start((statement.body[-1].end_lineno or 0) + 1)
            end = site.source.line_start((statement.end_lineno or 0) + 1)
            shorter = copy.copy(statement)
            shorter.orelse = []
            swaps: dict[ast.AST, tuple[ast.AST, ...]] = {statement: (shorter,)}
            yield Draft((Raw(statement, start, end, "", swaps),), 1.0, 2.0)


@template("dedent", 0.7, ast.stmt)
def dedent(site: Site) -> Iterator[Draft]:
    """The last statement of a suite moved out of it."""
    for statement in site.statements(*_ANY):
        parent = site.source.parent(statement)
        if not isinstance(parent, ast.If | ast.For | ast.While | ast.With):
            continue
        other = list(getattr(parent, "orelse", []))
        suite = other or parent.body
        if site.source.is_elif(parent) or suite[-1] is not statement or len(suite) < 2:
            continue
        if other and site.source.is_elif(other[0]):
            continue
        jumps = any(isinstance(each, ast.Break | ast.Continue) for each in ast.walk(statement))
        if jumps and isinstance(parent, ast.For | ast.While):
            continue  # outside its loop
        if site.source.own_lines(statement):
            shorter = copy.copy(parent)
            setattr(shorter, "orelse" if other else "body", suite[:-1])
            swaps: dict[ast.AST, tuple[ast.AST, ...]] = {parent: (shorter, statement)}
            yield _moved(site, statement, site.source.indent(parent), swaps)


@template("indent", 0.7, ast.stmt)
def indent(site: Site) -> Iterator[Draft]:
    """A statement moved into the suite of the compound statement before it."""
    for statement in site.statements(*_ANY):
        suite = site.source.siblings(statement)
        at = suite.index(statement)
        if at == 0 or not site.source.own_lines(statement):
            continue
        above = suite[at - 1]
        if isinstance(above, ast.If | ast.For | ast.While | ast.With):
            if getattr(above, "orelse", []) or not site.source.own_lines(above.body[-1]):
                continue
            longer = copy.copy(above)
            longer.body = [*above.body, statement]
            swaps: dict[ast.AST, tuple[ast.AST, ...]] = {above: (longer,), statement: ()}
            yield _moved(site, statement, site.source.indent(above.body[-1]), swaps)


def _moved(
    site: Site, statement: ast.stmt, white: str, swaps: dict[ast.AST, tuple[ast.AST, ...]]
) -> Draft:
    source = site.source
    start = source.line_start(source.first_line(statement))
    end = source.line_start((statement.end_lineno or 0) + 1)
    text = reindented(source, (statement,), white)
    if end == len(source.text) and not source.text.endswith(("\n", "\r")):
        text = text.rstrip("\r\n")
    return Draft((Raw(statement, start, end, text, swaps),), 1.0, 2.0)


@template("else_ins", 0.6, ast.stmt)
def else_ins(site: Site) -> Iterator[Draft]:
    """The statement after an ``if`` becomes its ``else`` suite."""
    for statement in site.statements(*_ANY):
        suite = site.source.siblings(statement)
        at = suite.index(statement)
        above = suite[at - 1] if at else None
        if not isinstance(above, ast.If) or above.orelse or not site.source.own_lines(statement):
            continue
        unit = site.source.indent_unit(above)
        white = site.source.indent(above)
        longer = copy.copy(above)
        longer.orelse = [statement]
        swaps: dict[ast.AST, tuple[ast.AST, ...]] = {above: (longer,), statement: ()}
        draft = _moved(site, statement, white + unit, swaps)
        raw = draft.changes[0]
        assert isinstance(raw, Raw)
        text = f"{white}else:{site.source.newline}{raw.text}"
        yield Draft((Raw(statement, raw.start, raw.end, text, swaps),), 1.0, 2.0)


@template("call_to_assign", 0.3, ast.Expr)
def call_to_assign(site: Site) -> Iterator[Draft]:
    """``x.m(a)`` becomes ``x = x.m(a)`` or ``x = a``; ``f(x)`` becomes ``x = f(x)``."""
    for statement in site.statements(ast.Expr):
        call = statement.value
        if not isinstance(call, ast.Call):
            continue
        if isinstance(call.func, ast.Attribute) and isinstance(
            call.func.value, ast.Name | ast.Attribute
        ):
            base = site.text(call.func.value)
            yield rewrite(statement, (0, f"{base} = {site.text(call)}"), size=1.0)
            if len(call.args) == 1:
                text = f"{base} = {site.source.fitted(call.args[0], TUPLE)}"
                yield rewrite(statement, (0, text), size=1.0)
        for each in call.args[:3]:
            if isinstance(each, ast.Name | ast.Attribute) and size(each) < 4:
                text = f"{site.text(each)} = {site.text(call)}"
                yield rewrite(statement, (0, text), prior=0.7, size=1.0)


@template("if_to_while", 0.4, ast.If, ast.While)
def if_to_while(site: Site) -> Iterator[Draft]:
    """``if`` becomes ``while`` and the reverse."""
    for statement in site.statements(ast.stmt):
        if not isinstance(statement, ast.If | ast.While) or site.source.is_elif(statement):
            continue
        start = site.source.span(statement)[0]
        old, new = ("if", "while") if isinstance(statement, ast.If) else ("while", "if")
        kind = ast.While if isinstance(statement, ast.If) else ast.If
        other = kind(test=statement.test, body=statement.body, orelse=statement.orelse)
        jumps = any(isinstance(each, ast.Break | ast.Continue) for each in ast.walk(statement))
        if not site.source.own_lines(statement) or (new == "if" and jumps):
            continue
        raw = Raw(statement, start, start + len(old), new, {statement: (other,)})
        yield Draft((raw,), 1.0, 1.0)
