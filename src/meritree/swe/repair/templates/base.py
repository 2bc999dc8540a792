"""Templates: a name, a weight, and a generator of drafts for one line.

Families register their templates here; this module knows none of them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from meritree.swe.edits import Edit
from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.evidence import Evidence
from meritree.swe.repair.ingredients import RepoIndex
from meritree.swe.repair.templates.draft import Draft
from meritree.swe.repair.templates.realise import realise
from meritree.swe.repair.templates.scope import Scope, scope_of

MAX_DRAFTS = 600  # drafts taken from one template on one line; no template comes near it
Node = TypeVar("Node", bound=ast.AST)
NO_INDEX = RepoIndex({})
NO_EVIDENCE = Evidence()


@dataclass(frozen=True)
class Site:
    """One line of a file, with everything a template may look at."""

    source: SourceFile
    line: int
    index: RepoIndex = field(default_factory=lambda: NO_INDEX)
    evidence: Evidence = NO_EVIDENCE

    def expressions(self, *kinds: type[Node]) -> Iterator[Node]:
        """Editable expressions of these classes that start on the line and are read."""
        for node in self.source.expressions(self.line):
            if isinstance(node, kinds) and not isinstance(
                getattr(node, "ctx", None), ast.Store | ast.Del
            ):
                yield node

    def displays(self) -> Iterator[ast.Tuple | ast.List | ast.Set]:
        """Editable tuple, list and set displays that start on the line and are read."""
        for node in self.expressions(ast.expr):
            if isinstance(node, ast.Tuple | ast.List | ast.Set):
                yield node

    def targets(self) -> Iterator[ast.expr]:
        """Editable assignment targets that start on the line."""
        for node in self.source.expressions(self.line):
            if isinstance(getattr(node, "ctx", None), ast.Store):
                yield node

    def statements(self, *kinds: type[Node]) -> Iterator[Node]:
        """Statements of these classes that start on the line; documentation strings excluded."""
        for node in self.source.statements(self.line):
            if isinstance(node, kinds or ast.stmt):
                documentation = (
                    isinstance(node, ast.Expr)
                    and isinstance(node.value, ast.Constant)
                    and isinstance(node.value.value, str | bytes)
                )
                if not documentation:
                    yield node  # type: ignore[misc]

    def tests(self) -> Iterator[ast.expr]:
        """Conditions (of if, while, assert, conditional expressions, filters) on the line."""
        for node in self.expressions(ast.expr):
            if is_test(self.source, node):
                yield node

    def scope(self, node: ast.AST) -> Scope:
        """Ingredients of the outermost function around ``node``."""
        return scope_of(self.source, node)

    def variables(self, node: ast.AST) -> tuple[str, ...]:
        """Variables that can be read at ``node``, nearest first."""
        return self.scope(node).visible(node)

    def text(self, node: ast.expr | ast.stmt) -> str:
        """Source text of ``node`` as written."""
        return self.source.segment(node)


Propose = Callable[[Site], Iterator[Draft]]


@dataclass(frozen=True)
class Template:
    """One kind of edit.

    Attributes:
        name: its name in the catalogue.
        weight: how often it should be tried relative to other templates, > 0.
        kinds: syntax nodes one of which must start on a line for it to have anything there.
        drafts: generates unchecked drafts for a line.
    """

    name: str
    weight: float
    kinds: tuple[type[ast.AST], ...]
    drafts: Propose

    def applies(self, site: Site) -> bool:
        """Whether a line has a node of ``kinds`` (cheap, may promise too much)."""
        nodes: list[ast.AST] = [*site.source.expressions(site.line)]
        nodes.extend(site.source.statements(site.line))
        return any(isinstance(node, self.kinds) for node in nodes)

    def ordered(self, site: Site) -> list[Draft]:
        """Unchecked drafts on a line, highest prior first."""
        if not self.applies(site):
            return []
        drafts = list(islice(self.drafts(site), MAX_DRAFTS))
        drafts.sort(key=lambda draft: -draft.prior)
        return drafts

    def propose(self, site: Site) -> Iterator[Edit]:
        """Checked edits on a line, highest prior first, no resulting text twice."""
        seen: set[object] = set()
        for draft in self.ordered(site):
            edit = realise(site.source, draft, self.name, site.line)
            if edit is not None and edit.splices not in seen:
                seen.add(edit.splices)
                yield edit


TEMPLATES: dict[str, Template] = {}


def template(name: str, weight: float, *kinds: type[ast.AST]) -> Callable[[Propose], Propose]:
    """Register the decorated generator under ``name``."""

    def register(drafts: Propose) -> Propose:
        assert name not in TEMPLATES, name
        TEMPLATES[name] = Template(name, weight, kinds, drafts)
        return drafts

    return register


def is_test(source: SourceFile, node: ast.expr) -> bool:
    """Whether ``node`` is a whole condition."""
    link = source.link(node)
    if isinstance(link.parent, ast.If | ast.While | ast.Assert | ast.IfExp):
        return link.field == "test"
    if isinstance(link.parent, ast.match_case):
        return link.field == "guard"
    return isinstance(link.parent, ast.comprehension) and link.field == "ifs"


def is_called(site: Site, node: ast.expr) -> bool:
    """Whether ``node`` is what a call calls."""
    link = site.source.link(node)
    return isinstance(link.parent, ast.Call) and link.field == "func"
