"""Drafts: what a template wants changed, in terms of nodes; not yet text, not yet checked.

A template never computes offsets or parentheses: ``realise.py`` turns drafts into edits.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Replace:
    """An expression is replaced by the expression that ``text`` spells."""

    node: ast.expr
    text: str


@dataclass(frozen=True, slots=True)
class Keep:
    """A run of sibling statements kept as written (moved or re-indented as a whole)."""

    statements: tuple[ast.stmt, ...]


Piece = tuple[int, str | Keep]  # extra levels of indentation, then source or kept statements


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A run of sibling statements ``first..last`` becomes ``pieces`` (nothing = deleted)."""

    first: ast.stmt
    last: ast.stmt
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Raw:
    """Text of ``statement``'s surroundings is replaced; ``swaps`` says what the tree becomes."""

    statement: ast.stmt
    start: int
    end: int
    text: str
    swaps: Mapping[ast.AST, Sequence[ast.AST]] = field(default_factory=dict)


Change = Replace | Rewrite | Raw


@dataclass(frozen=True, slots=True)
class Draft:
    """Changes that belong together, with the weight of this edit inside its template."""

    changes: tuple[Change, ...]
    prior: float = 1.0
    size: float = 1.0
    rationale: str = ""


def replace(node: ast.expr, text: str, prior: float = 1.0, rationale: str = "") -> Draft:
    """A draft that replaces one expression."""
    return Draft((Replace(node, text),), prior, 1.0, rationale)


def keep(*statements: ast.stmt) -> Keep:
    """The sibling statements from the first to the last, as one piece."""
    return Keep(statements)


def rewrite(
    statement: ast.stmt, *pieces: Piece, prior: float = 1.0, size: float = 2.0, rationale: str = ""
) -> Draft:
    """A draft that turns one statement into ``pieces``."""
    return Draft((Rewrite(statement, statement, pieces),), prior, size, rationale)


def before(
    statement: ast.stmt, *lines: Piece, prior: float = 1.0, size: float = 2.0, rationale: str = ""
) -> Draft:
    """A draft that inserts lines before ``statement``."""
    return rewrite(
        statement, *lines, (0, keep(statement)), prior=prior, size=size, rationale=rationale
    )


def after(
    statement: ast.stmt, *lines: Piece, prior: float = 1.0, size: float = 2.0, rationale: str = ""
) -> Draft:
    """A draft that inserts lines after ``statement``."""
    return rewrite(
        statement, (0, keep(statement)), *lines, prior=prior, size=size, rationale=rationale
    )
