"""Templates for exceptions: those the failing tests ask for, raised, translated or handled."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator

from meritree.swe.repair.templates.base import Site, template
from meritree.swe.repair.templates.clauses import rich_clauses
from meritree.swe.repair.templates.draft import Draft, before, keep, replace, rewrite
from meritree.swe.repair.templates.guards import read_names

_LOOKS_ERROR = re.compile(r"\w*(Error|Exception|Invalid|NotFound|Failure|Exit|Abort)\w*\Z")
_GUARDED = (
    ast.Assign, ast.AugAssign, ast.Expr, ast.Return, ast.For, ast.While, ast.If, ast.With,
)  # fmt: skip


def wanted(site: Site) -> tuple[str, ...]:
    """Exceptions that the failing tests name and this file can name too, as written here."""
    known = site.source.memo.get("wanted exceptions")
    if isinstance(known, tuple):
        return known
    imported = site.index.imported(site.source)
    here = {*imported, *site.index.module_names(site.source)}
    found: dict[str, None] = {}
    for name in (*site.index.tests.names, *site.index.tests.attributes):
        if not _LOOKS_ERROR.match(name):
            continue
        kind = getattr(builtins, name, None)
        if name in here or (isinstance(kind, type) and issubclass(kind, BaseException)):
            found.setdefault(name)
            continue
        pattern = re.compile(rf"\b(\w+)\.{name}\b")
        for module in dict.fromkeys(pattern.findall(site.source.text)):
            if module in imported:
                found.setdefault(f"{module}.{name}")
    answer = tuple(found)[:3]
    site.source.memo["wanted exceptions"] = answer
    return answer


def _calls(site: Site, kind: str) -> list[str]:
    """How the file makes an exception of this kind; with a plain message otherwise."""
    found: dict[str, None] = {}
    for node in ast.walk(site.source.tree):
        call = node.exc if isinstance(node, ast.Raise) else None
        if not isinstance(call, ast.Call) or call.keywords or ast.unparse(call.func) != kind:
            continue
        if all(isinstance(each, ast.Constant) for each in call.args):
            found.setdefault(ast.unparse(call))
    return [*list(found)[:2], f"{kind}('invalid value')", f"{kind}()"]


@template("raise_wanted", 1.5, ast.stmt)
def raise_wanted(site: Site) -> Iterator[Draft]:
    """The exception that the failing tests expect, raised when a value is not as it should be."""
    kinds = wanted(site)
    for statement in site.statements(*_GUARDED) if kinds else ():
        function = site.source.function_of(statement)
        if function is None:
            continue
        read = read_names(site, statement)
        start = 1.0 if statement in function.body[:3] else 0.7
        simple = [(text, 1.0) for n in read[:5] for text in (f"not {n}", f"{n} is None", n)]
        for rank, kind in enumerate(kinds):
            for made in _calls(site, kind)[:2]:
                for clause, prior in (*simple, *rich_clauses(site, statement, read)):
                    lines = ((0, f"if {clause}:"), (1, f"raise {made}"))
                    yield before(statement, *lines, prior=0.6 * prior * start / (1 + rank))


@template("raise_instead", 1.0, ast.stmt)
def raise_instead(site: Site) -> Iterator[Draft]:
    """A statement replaced by the wanted exception, or another exception of the same arguments."""
    for statement in site.statements(ast.Raise):
        what = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        for kind in wanted(site):
            if what is None:
                for made in _calls(site, kind)[:2]:
                    yield rewrite(statement, (0, f"raise {made}"), prior=1.5)
            elif site.text(what) != kind:
                yield replace(what, kind, 2.0)
        if statement.exc is not None and statement.cause is None:
            yield rewrite(statement, (0, f"{site.text(statement)} from None"), prior=0.3, size=1.0)
        yield rewrite(statement, (0, "raise"), prior=0.2, size=1.0)
    for plain in site.statements(ast.Return, ast.Pass, ast.Expr, ast.Assign):
        if site.source.function_of(plain) is not None:
            for kind in wanted(site):
                for made in _calls(site, kind)[:2]:
                    yield rewrite(plain, (0, f"raise {made}"), prior=0.6)


@template("translate", 1.0, ast.stmt)
def translate(site: Site) -> Iterator[Draft]:
    """What a statement raises in the failing tests, caught and raised as what they expect."""
    raised = site.evidence.raised[:2]
    own = {*site.index.imported(site.source), *site.index.module_names(site.source)}
    caught = [kind for kind in raised if hasattr(builtins, kind) or kind in own]
    for statement in site.statements(ast.Assign, ast.AugAssign, ast.Expr, ast.Return):
        if site.source.function_of(statement) is None:
            continue
        for kind in dict.fromkeys((*caught, "(TypeError, ValueError)", "Exception")):
            for new in wanted(site):
                if new != kind:
                    for made in _calls(site, new)[:2]:
                        head, tail = (0, f"except {kind}:"), (1, f"raise {made}")
                        pieces = ((0, "try:"), (1, keep(statement)), head, tail)
                        yield rewrite(statement, *pieces, prior=1.0 if kind in caught else 0.4)


@template("handler_body", 0.6, ast.stmt)
def handler_body(site: Site) -> Iterator[Draft]:
    """The body of a handler replaced: passed over, raised again, or a value returned."""
    for statement in site.statements(ast.Pass, ast.Raise, ast.Return, ast.Expr, ast.Assign):
        parent = site.source.parent(statement)
        if not isinstance(parent, ast.ExceptHandler) or len(parent.body) != 1:
            continue
        lines = ["pass", "raise"]
        if site.source.function_of(statement) is not None:
            lines += [
                f"return {each}"
                for each in ("None", "False", "True", *site.variables(statement)[:4])
            ]
        if site.source.in_loop(statement):
            lines += ["continue", "break"]
        for line in lines:
            yield rewrite(statement, (0, line), prior=0.6)
