"""Templates for what small algorithms lack: a visited mark, a bound, a comparison, a term.

What fits where is read off the syntax (`roles`); nothing is run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import combinations

from meritree.swe.repair.ast_text import AND, ARITH, BINARY_TEXT, OR, POWER, TERM
from meritree.swe.repair.templates.arithmetic import countable
from meritree.swe.repair.templates.base import Site, template
from meritree.swe.repair.templates.draft import (
    Draft,
    Replace,
    after,
    before,
    keep,
    replace,
    rewrite,
)
from meritree.swe.repair.templates.roles import (
    CONTAINER,
    NUMBER,
    countability,
    kinds_made,
    roles_of,
)

_SIMPLE = (ast.Assign, ast.AugAssign, ast.Expr)
_ANY = (*_SIMPLE, ast.Return, ast.If, ast.For, ast.While, ast.Break, ast.Continue)
_GROWS = {"set": ("add",), "list": ("append",), "deque": ("append",), "Counter": ("update",)}
_NEAR = 8


def _of_kind(site: Site, node: ast.AST, kind: str, most: int = _NEAR) -> list[str]:
    """Variables that are used as ``kind`` or of which nothing is known, nearest first."""
    roles = roles_of(site.scope(node))
    names = [n for n in site.variables(node) if not roles.get(n) or kind in roles[n]]
    return names[:most]


@template("ins_member", 1.5, ast.stmt)
def ins_member(site: Site) -> Iterator[Draft]:
    """A value put into a set or list that the function made: ``seen.add(x)``."""
    for statement in site.statements(*_ANY):
        made = kinds_made(site.scope(statement))
        names = site.variables(statement)[:_NEAR]
        last = site.source.siblings(statement)[-1] is statement and isinstance(statement, _SIMPLE)
        used = site.scope(statement).methods
        for base, kind in made.items():
            for method in _GROWS.get(kind, ()):
                # A container that the function never fills lacks its statement.
                prior = 0.4 if method in used.get(base, ()) else 1.0
                for name in names:
                    if name != base:
                        weight = prior * (0.4 if name in made else 1.0)
                        line = (0, f"{base}.{method}({name})")
                        yield before(statement, line, prior=weight)
                        if last:
                            yield after(statement, line, prior=weight * 0.9)


@template("ins_update", 0.8, ast.stmt)
def ins_update(site: Site) -> Iterator[Draft]:
    """``v += w``, ``v -= w`` or ``v = w`` of numbers, before a statement or at a suite's end."""
    for statement in site.statements(*_ANY):
        names = _of_kind(site, statement, NUMBER, 6)
        bound = (n for n in site.scope(statement).nodes if isinstance(n, ast.Name))
        stored = {name.id for name in bound if isinstance(name.ctx, ast.Store)}
        last = site.source.siblings(statement)[-1] is statement and isinstance(
            statement, (*_SIMPLE, ast.If)
        )
        for left in names:
            share = 1.0 if left in stored else 0.5
            for right in names:
                if left == right:
                    continue
                for operator, prior in (("-=", 0.5), ("+=", 0.5), ("=", 0.6)):
                    line = (0, f"{left} {operator} {right}")
                    if last:
                        yield after(statement, line, prior=prior * share)
                    if operator != "=":
                        yield before(statement, line, prior=prior * 0.7 * share)


@template("extreme_of", 1.0, ast.Assign)
def extreme_of(site: Site) -> Iterator[Draft]:
    """``x = e`` becomes ``x = max(x, e)`` or ``x = min(x, e)``."""
    for statement in site.statements(ast.Assign):
        target = statement.targets[0]
        if len(statement.targets) > 1 or isinstance(target, ast.Tuple | ast.List):
            continue
        value, place = site.text(statement.value), site.text(target)
        if countable(site, statement.value):
            for function in ("max", "min"):
                yield replace(statement.value, f"{function}({place}, {value})")


@template("term_ins", 0.8, ast.expr)
def term_ins(site: Site) -> Iterator[Draft]:
    """The complement, the sign, a remainder or a quotient: ``1 - e``, ``-e``, ``e % v``."""
    for node in site.expressions(ast.Name, ast.Call, ast.Subscript, ast.Attribute, ast.BinOp):
        if not countable(site, node):
            continue
        factor = site.source.fitted(node, TERM)
        tight = site.source.fitted(node, TERM + 1)
        sure = countability(site.source, site.scope(node), node)
        yield replace(node, f"1 - {tight}", 0.8 * sure)
        yield replace(node, f"-{site.source.fitted(node, POWER)}", 0.8 * sure)
        for name in _of_kind(site, node, NUMBER, 5):
            if name != site.text(node):
                yield replace(node, f"{factor} % {name}", 0.4 * sure)
                yield replace(node, f"{factor} // {name}", 0.3 * sure)
                yield replace(node, f"{name} - {tight}", 0.4 * sure)
        for text in site.scope(node).small.get(ast.Subscript, ())[:8]:
            if text not in site.text(node) and ":" not in text:
                yield replace(node, f"{text} + {site.source.fitted(node, ARITH + 1)}", 0.25 * sure)
                yield replace(node, f"{factor} - {text}", 0.2 * sure)
        for text in site.scope(node).small.get(ast.Call, ()):
            if text.startswith("len(") and text not in site.text(node):
                yield replace(node, f"{factor} % {text}", 0.3 * sure)
                yield replace(node, f"{text} - {tight}", 0.4 * sure)


@template("piece_ins", 0.8, ast.expr)
def piece_ins(site: Site) -> Iterator[Draft]:
    """A part joined before or after: ``[v] + e``, ``e + [v]``, ``"x" + e``."""
    for display in site.expressions(ast.List):
        if len(display.elts) == 1 and not isinstance(site.source.parent(display), ast.BinOp):
            for text in _lengths(site, display):
                yield replace(display, f"{site.text(display)} * {text}", 0.5)
    for node in site.expressions(ast.Name, ast.Call, ast.Subscript):
        parent = site.source.parent(node)
        joined = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Add)
        kept = isinstance(
            parent, ast.Assign | ast.Return | ast.Yield | ast.YieldFrom | ast.AugAssign
        ) or (
            isinstance(parent, ast.Call | ast.ListComp) and site.source.link(node).field != "func"
        )
        if not (joined or kept):
            continue
        own = site.source.fitted(node, ARITH)
        after_it = site.source.fitted(node, ARITH + 1)
        for name in site.variables(node)[:_NEAR]:
            if name != own:
                yield replace(node, f"[{name}] + {after_it}", 0.6)
                yield replace(node, f"{own} + [{name}]", 0.6)
        for value in site.scope(node).strings[:4]:
            if value:
                yield replace(node, f"{value!r} + {after_it}", 0.4)
                yield replace(node, f"{own} + {value!r}", 0.4)
        for text in site.scope(node).small.get(ast.Call, ())[:6]:
            if text not in own:
                yield replace(node, f"{own} + {text}", 0.3)


def _lengths(site: Site, node: ast.AST) -> Iterator[str]:
    for name in _of_kind(site, node, CONTAINER, 4):
        yield f"len({name})"
    for name in _of_kind(site, node, NUMBER, 4):
        yield name
        yield f"({name} + 1)"


def comparisons(site: Site, node: ast.AST, near: list[str]) -> Iterator[tuple[str, float]]:
    """Clauses that compare variables, those that are read near by first."""
    roles = roles_of(site.scope(node))
    numbers = _of_kind(site, node, NUMBER, 7)
    holders = [n for n in site.variables(node) if CONTAINER in roles.get(n, ())][:4]
    for name in numbers:
        weight = 1.0 if name in near else 0.4
        for text in ("> 0", ">= 0", "== 0", "!= 0", "> 1", "< 0"):
            yield f"{name} {text}", 0.5 * weight
        for holder in holders:
            yield f"{name} not in {holder}", 0.7 * weight
            yield f"{name} in {holder}", 0.5 * weight
            yield f"{name} < len({holder})", 0.6 * weight
            yield f"{name} == len({holder})", 0.4 * weight
        for other in numbers:
            if other != name:
                both = weight if other in near else 0.5 * weight
                if name < other:
                    yield f"{name} != {other}", 0.5 * both
                    yield f"{name} == {other}", 0.4 * both
                yield f"{name} < {other}", 0.5 * both
                yield f"{name} <= {other}", 0.5 * both


def _read(node: ast.AST) -> list[str]:
    return [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]


@template("cond_compare", 1.0, ast.expr)
def cond_compare(site: Site) -> Iterator[Draft]:
    """A comparison joined to a condition, before it (where it protects what follows) or after."""
    for test in site.tests():
        if isinstance(test, ast.Constant):
            absent = [f"{name} is not None" for name in site.variables(test)[:5]]
            for clause, prior in (*((text, 0.6) for text in absent), *comparisons(site, test, [])):
                yield replace(test, clause, prior)
            continue
        both = site.source.fitted(test, AND + 1)
        either = site.source.fitted(test, OR + 1)
        for clause, prior in comparisons(site, test, _read(test)):
            if clause not in both:
                yield replace(test, f"{clause} and {both}", prior)
                yield replace(test, f"{both} and {clause}", prior * 0.8)
                yield replace(test, f"{clause} or {either}", prior * 0.5)
                yield replace(test, f"{either} or {clause}", prior * 0.6)


@template("filter_ins", 0.6, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
def filter_ins(site: Site) -> Iterator[Draft]:
    """A comprehension that has no filter gets one."""
    for node in site.expressions(ast.expr):
        if not isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            continue
        last = node.generators[-1]
        if last.ifs or isinstance(last.iter, ast.IfExp | ast.Lambda):
            continue
        start, end = site.source.span(node)
        stop = site.source.span(last.iter)[1]
        if site.source.text[stop:end].strip() not in ("]", "}", ")", ""):
            continue
        own = _read(last.target)
        simple = [(text, 1.0) for name in own for text in (name, f"not {name}")]
        simple += [(f"{name} is not None", 0.7) for name in own]
        for clause, prior in (*simple, *comparisons(site, last.target, own)):
            if any(name in clause.split() for name in own):
                text = site.source.text
                yield replace(node, f"{text[start:stop]} if {clause}{text[stop:end]}", prior)


@template("flat_sum", 0.5, ast.BinOp)
def flat_sum(site: Site) -> Iterator[Draft]:
    """``a + b // c`` becomes ``(a + b) // c``; two neighbouring operators change places."""
    for node in site.expressions(ast.BinOp):
        outer, right, left = BINARY_TEXT[type(node.op)], node.right, node.left
        if isinstance(right, ast.BinOp):
            inner = BINARY_TEXT[type(right.op)]
            first, second = site.source.fitted(left, TERM), site.source.fitted(right.left, POWER)
            rest = site.source.fitted(right.right, POWER)
            if outer in "+-":
                yield replace(node, f"({site.text(left)} {outer} {second}) {inner} {rest}")
            if inner != outer:
                yield replace(node, f"{first} {inner} {second} {outer} {rest}", 0.6)
        if isinstance(left, ast.BinOp) and BINARY_TEXT[type(left.op)] != outer:
            parts = [site.source.fitted(e, POWER) for e in (left.left, left.right, right)]
            inner = BINARY_TEXT[type(left.op)]
            yield replace(node, f"{parts[0]} {outer} {parts[1]} {inner} {parts[2]}", 0.6)


@template("exchange", 0.8, ast.Assign)
def exchange(site: Site) -> Iterator[Draft]:
    """The two sides of an assignment of one name to another exchanged."""
    for statement in site.statements(ast.Assign):
        places = (ast.Name, ast.Subscript, ast.Attribute)
        sides = (statement.targets[0], statement.value)
        if len(statement.targets) == 1 and all(isinstance(each, places) for each in sides):
            text = f"{site.text(sides[1])} = {site.text(sides[0])}"
            yield rewrite(statement, (0, text), size=1.0)


@template("swap_names", 0.8, ast.stmt)
def swap_names(site: Site) -> Iterator[Draft]:
    """Two variables exchanged in an expression: ``a[i][j]`` becomes ``a[j][i]``."""
    for whole in site.expressions(ast.Subscript, ast.Call, ast.BinOp, ast.Compare):
        parent = site.source.parent(whole)
        if isinstance(whole, ast.Subscript) and isinstance(parent, ast.Subscript):
            continue  # part of a chain
        visible = set(site.variables(whole))
        roles = roles_of(site.scope(whole))
        places: dict[str, list[ast.Name]] = {}
        for node in ast.walk(whole):
            if isinstance(node, ast.Name) and node.id in visible and len(places) < 7:
                places.setdefault(node.id, []).append(node)
        for first, second in combinations(places, 2):
            known, other = roles.get(first, set()), roles.get(second, set())
            alike = not known or not other or bool(known & other)
            changes = [Replace(node, second) for node in places[first]]
            changes += [Replace(node, first) for node in places[second]]
            yield Draft(tuple(changes), 1.0 if alike else 0.3, 1.5)


@template("else_add", 0.5, ast.If)
def else_add(site: Site) -> Iterator[Draft]:
    """An ``if`` gets an ``else`` that does to a variable what its own suite does."""
    for statement in site.statements(ast.If):
        last = statement.body[-1]
        if statement.orelse or site.source.is_elif(statement):
            continue
        texts: dict[str, None] = {}
        names = site.variables(statement)[:6]
        if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
            if len(last.value.args) == 1 and isinstance(last.value.func, ast.Attribute):
                callee = site.text(last.value.func)
                texts.update(dict.fromkeys(f"{callee}({name})" for name in names))
        elif isinstance(last, ast.Assign | ast.AugAssign):
            target = last.targets[0] if isinstance(last, ast.Assign) else last.target
            sign = "=" if isinstance(last, ast.Assign) else "+="
            values = (*names, "0", "1", "None")
            texts.update(dict.fromkeys(f"{site.text(target)} {sign} {each}" for each in values))
        for text in texts:
            head = f"if {site.text(statement.test)}:"
            pieces = ((0, head), (1, keep(*statement.body)), (0, "else:"), (1, text))
            yield rewrite(statement, *pieces, prior=0.5)
