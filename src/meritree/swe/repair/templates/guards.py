"""Templates that insert or wrap guards: early returns, conditional execution, try blocks."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from meritree.swe.repair.templates.base import Site, template
from meritree.swe.repair.templates.draft import Draft, before, keep, replace, rewrite

EXCEPTIONS = (
    "Exception",
    "ValueError",
    "TypeError",
    "KeyError",
    "IndexError",
    "AttributeError",
    "OSError",
)
_MOVABLE = (
    ast.Assign,
    ast.AugAssign,
    ast.AnnAssign,
    ast.Expr,
    ast.Return,
    ast.Raise,
    ast.For,
    ast.While,
    ast.If,
    ast.With,
    ast.Delete,
    ast.Assert,
)


def read_names(site: Site, statement: ast.stmt) -> list[str]:
    """Variables used in the head of a statement; the target of ``x *= y`` counts as read."""
    roots: list[ast.AST] = [statement]
    if isinstance(statement, ast.For | ast.AsyncFor):
        roots = [statement.iter]
    elif isinstance(statement, ast.If | ast.While):
        roots = [statement.test]
    elif isinstance(statement, ast.With):
        roots = [each.context_expr for each in statement.items]
    names: dict[str, None] = {}
    for root in roots:
        for node in ast.walk(root):
            augmented = isinstance(statement, ast.AugAssign) and node is statement.target
            if isinstance(node, ast.Name) and (augmented or isinstance(node.ctx, ast.Load)):
                names.setdefault(node.id)
    visible = site.variables(statement)
    return [name for name in visible if name in names]


def _attributes(site: Site, statement: ast.stmt) -> list[str]:
    own = site.text(statement)
    return [text for text in site.scope(statement).attributes if text in own][:4]


def results(site: Site, statement: ast.stmt) -> list[str]:
    """What an early return may give: a usual value that is expected first, then common ones."""
    scope = site.scope(statement)
    if scope.is_generator:
        return [""]
    evidence = site.evidence
    usual, particular = (
        [each for each in found if len(each) <= 40][:2]
        for found in (evidence.usual, evidence.particular)
    )
    common = ["None", "[]", "0", "False", "True", "''", "{}"]
    names = [*scope.visible(statement)[:6]]
    if scope.self_name == "self":
        names.append("self")
    return list(dict.fromkeys([*usual, *common, *scope.returned[:4], *names, *particular]))


def _conditions(site: Site, statement: ast.stmt) -> Iterator[tuple[str, float]]:
    names = read_names(site, statement)
    far = [name for name in site.variables(statement) if name not in names][:3]
    for name in [*names[:6], *far]:
        weight = 1.0 if name in names else 0.5
        yield f"not {name}", weight
        yield f"{name} is None", weight
    for text in _attributes(site, statement):
        yield f"not {text}", 0.3
        yield f"{text} is None", 0.3


@template("guard_ins", 1.5, ast.stmt)
def guard_ins(site: Site) -> Iterator[Draft]:
    """An early exit before a statement when a value is missing."""
    for statement in site.statements(*_MOVABLE):
        function = site.source.function_of(statement)
        loop = site.source.in_loop(statement)
        if function is None and not loop:
            continue
        start = function is not None and statement in function.body[:3]
        for condition, weight in _conditions(site, statement):
            if loop:
                for word, prior in (("continue", 0.6), ("break", 0.4)):
                    lines = ((0, f"if {condition}:"), (1, word))
                    yield before(statement, *lines, prior=prior * weight)
            if function is None:
                continue
            for rank, result in enumerate(results(site, statement)):
                prior = (1.0 if start else 0.4) * (1.0 if rank < 3 else 0.6) * weight
                if result in site.evidence.usual:
                    prior *= 2.0
                elif result in site.evidence.particular:
                    prior *= 0.2
                line = f"return {result}".rstrip()
                yield before(statement, (0, f"if {condition}:"), (1, line), prior=prior)


@template("early_return", 0.6, ast.stmt)
def early_return(site: Site) -> Iterator[Draft]:
    """An exit before a statement under a condition found elsewhere in the function."""
    for statement in site.statements(*_MOVABLE):
        if site.source.function_of(statement) is None:
            continue
        for condition in site.scope(statement).conditions[:8]:
            given = [*site.scope(statement).returned[:3], *results(site, statement)[:4]]
            for result in dict.fromkeys(given):
                line = f"return {result}".rstrip()
                yield before(statement, (0, f"if {condition}:"), (1, line), prior=0.3)


@template("guard_stmt", 1.2, ast.stmt)
def guard_stmt(site: Site) -> Iterator[Draft]:
    """A statement executed only under a condition."""
    for statement in site.statements(*_MOVABLE):
        factor = 0.6 if isinstance(statement, ast.Return) else 1.0
        names = read_names(site, statement)
        stored = [
            node.id
            for node in ast.walk(statement)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]
        far = [name for name in site.variables(statement) if name not in names][:4]
        for name in [*names[:8], *far]:
            weight = factor * (1.0 if name in names else 0.4)
            yield _wrapped(statement, name, 1.0 * weight)
            yield _wrapped(statement, f"{name} is not None", 0.8 * weight)
            yield _wrapped(statement, f"not {name}", 0.5 * weight)
            if name in stored or name in far:
                yield _wrapped(statement, f"{name} is None", 0.5 * weight)
        for text in _attributes(site, statement):
            yield _wrapped(statement, text, 0.8 * factor)
            yield _wrapped(statement, f"{text} is not None", 0.6 * factor)
        for condition in site.scope(statement).conditions[:8]:
            yield _wrapped(statement, condition, 0.3 * factor)


def _wrapped(statement: ast.stmt, condition: str, prior: float) -> Draft:
    return rewrite(statement, (0, f"if {condition}:"), (1, keep(statement)), prior=prior)


@template("try_wrap", 0.3, ast.stmt)
def try_wrap(site: Site) -> Iterator[Draft]:
    """A statement whose exception is caught; the one raised by the failing tests first."""
    raised = site.evidence.raised
    for statement in site.statements(ast.Assign, ast.AugAssign, ast.Expr, ast.Return):
        risky = (ast.Call, ast.Subscript, ast.Attribute, ast.BinOp)
        if not any(isinstance(node, risky) for node in ast.walk(statement)):
            continue
        inside = site.source.function_of(statement) is not None
        for kind in dict.fromkeys((*raised, *EXCEPTIONS)):
            prior = 1.5 if kind in raised else 0.5
            handlers = ["pass"]
            if inside:
                given = results(site, statement)[:2]
                handlers += [f"return {each}".rstrip() for each in given]
            if site.source.in_loop(statement):
                handlers.append("continue")
            for rank, handler in enumerate(handlers):
                pieces = ((0, "try:"), (1, keep(statement)), (0, f"except {kind}:"), (1, handler))
                yield rewrite(statement, *pieces, prior=prior if rank == 0 else prior * 0.6)


@template("except_widen", 1, ast.Try)
def except_widen(site: Site) -> Iterator[Draft]:
    """One exception type more in a handler; the one raised by the failing tests first."""
    raised = site.evidence.raised
    for statement in site.statements(ast.Try):
        for handler in statement.handlers:
            if handler.type is None:
                continue
            given = handler.type
            types = given.elts if isinstance(given, ast.Tuple) else [given]
            texts = [site.text(each) for each in types]
            for kind in dict.fromkeys((*raised, *EXCEPTIONS)):
                if kind not in texts:
                    text = f"({', '.join([*texts, kind])})"
                    yield replace(given, text, 2.0 if kind in raised else 1.0)
                    yield replace(given, kind, 0.5 if kind in raised else 0.2)


@template("raise_ins", 0.5, ast.stmt)
def raise_ins(site: Site) -> Iterator[Draft]:
    """A new exception raised before a statement when a value is missing or of the wrong kind."""
    kinds = list(dict.fromkeys((*_raised_in_file(site), "ValueError", "TypeError")))[:5]
    for statement in site.statements(*_MOVABLE):
        function = site.source.function_of(statement)
        if function is None:
            continue
        conditions = [text for text, weight in _conditions(site, statement) if weight >= 1.0][:6]
        conditions += site.scope(statement).conditions[:3]
        for condition in conditions:
            for kind in kinds:
                line = f"raise {kind}({function.name!r})"
                yield before(statement, (0, f"if {condition}:"), (1, line), prior=0.4)


def _raised_in_file(site: Site) -> list[str]:
    known = site.source.memo.get("raised")
    if not isinstance(known, list):
        names: dict[str, None] = {}
        for node in site.source.all_statements:
            if isinstance(node, ast.Raise):
                what = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
                if isinstance(what, ast.Name):
                    names.setdefault(what.id)
        known = site.source.memo["raised"] = list(names)
    return known


@template("raise_return", 0.6, ast.Raise, ast.Return)
def raise_return(site: Site) -> Iterator[Draft]:
    """``raise`` becomes ``return`` and the reverse; another kind of exception."""
    for statement in site.statements(ast.Raise):
        if site.source.function_of(statement) is not None:
            for result in results(site, statement)[:6]:
                yield rewrite(statement, (0, f"return {result}".rstrip()), prior=0.5, size=1.0)
        what = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        if isinstance(what, ast.Name):
            for kind in dict.fromkeys((*_raised_in_file(site), *EXCEPTIONS[1:])):
                if kind != what.id:
                    yield replace(what, kind, 0.6)
    for returned in site.statements(ast.Return):
        for kind in dict.fromkeys((*_raised_in_file(site)[:4], "ValueError")):
            yield rewrite(returned, (0, f"raise {kind}()"), prior=0.3)
        if isinstance(returned.value, ast.Call):
            yield rewrite(returned, (0, f"raise {site.text(returned.value)}"), prior=0.3)
