"""Seeded faults: every place where a kind of slip could happen, and a fair draw among them.

Knows syntax trees and text, not tests: whether a fault is noticed is for `injected` to find.
"""

from __future__ import annotations

import ast
import warnings
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from meritree.bench.mutation_kinds import KINDS
from meritree.bench.scene import Scene
from meritree.errors import BadInput
from meritree.swe.edits import Splice, apply_splices


@dataclass(frozen=True, slots=True)
class Mutation:
    """One slip at one place of one file.

    Attributes:
        kind: name in `KINDS`.
        path: the file.
        line: 1-based line where it begins.
        function: dotted name of the outermost function; empty for import-time code.
        splices: what changes, in the original text.
        words: the slip in words.
    """

    kind: str
    path: str
    line: int
    function: str
    splices: tuple[Splice, ...]
    words: str

    @property
    def span(self) -> tuple[int, int]:
        """First and last offset touched."""
        return self.splices[0].start, self.splices[-1].end


def mutations(text: str, path: str, lines: Collection[int] | None = None) -> tuple[Mutation, ...]:
    """Every possible mutation of a file, in the order of the text.

    Args:
        text: the file.
        path: its name, for the result.
        lines: only statements that begin on one of these lines (covered by tests);
            None for all.

    Raises:
        BadInput: the text does not parse.
    """
    try:
        scene = Scene(text)
    except SyntaxError as error:
        raise BadInput(
            f"{path}: cannot inject faults, syntax error on line {error.lineno}"
        ) from error
    found: dict[tuple[Splice, ...], Mutation] = {}
    for node in scene.nodes():
        statement = scene.statement(node)
        if statement is None or _is_type_only(scene, node):
            continue
        line = getattr(node, "lineno", statement.lineno)
        if lines is not None and not (line in lines or statement.lineno in lines):
            continue
        for kind, changes in KINDS.items():
            for splices, words in changes(scene, node):
                ordered = tuple(sorted(splices, key=lambda s: s.start))
                function = scene.dotted_function(node)
                found.setdefault(ordered, Mutation(kind, path, line, function, ordered, words))
    return tuple(sorted(found.values(), key=lambda m: (m.span, m.kind, m.splices[0].replacement)))


def apply(texts: Mapping[str, str], faults: Sequence[Mutation]) -> dict[str, str] | None:
    """The files that faults change, mutated; None where that gives no other valid program.

    Faults of one file must not overlap. Raises `MeritreeError` if they do.
    """
    by_path: dict[str, list[Splice]] = defaultdict(list)
    for fault in faults:
        by_path[fault.path].extend(fault.splices)
    changed = {
        path: apply_splices(texts[path], tuple(sorted(splices, key=lambda s: s.start)))
        for path, splices in by_path.items()
    }
    if all(is_other_program(texts[path], text) for path, text in changed.items()):
        return changed
    return None


def is_other_program(old: str, new: str) -> bool:
    """Whether ``new`` compiles and differs from ``old`` in more than layout and comments."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # `1 is x` is a slip like any other
            tree = ast.parse(new)
            compile(tree, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return ast.dump(tree) != ast.dump(ast.parse(old))


def draw(rng: Random, pool: Sequence[Mutation], used: Collection[Mutation] = ()) -> Mutation | None:
    """One mutation: first a kind, each as likely, then a place of that kind."""
    by_kind: dict[str, list[Mutation]] = defaultdict(list)
    for mutation in pool:
        if mutation not in used:
            by_kind[mutation.kind].append(mutation)
    if not by_kind:
        return None
    return rng.choice(by_kind[rng.choice(sorted(by_kind))])


def draw_pair(
    rng: Random, pool: Sequence[Mutation], used: Collection[Mutation] = ()
) -> tuple[Mutation, Mutation] | None:
    """Two mutations on different lines of one file.

    Half of the draws take both from one function, the others from two functions.
    """
    first = draw(rng, pool, used)
    if first is None:
        return None
    same = rng.random() < 0.5
    others = [
        m
        for m in pool
        if m.path == first.path
        and (m.function == first.function) is same
        and abs(m.line - first.line) >= 1
        and _apart(m, first)
    ]
    second = draw(rng, others, used)
    if second is None:
        return None
    pair = sorted((first, second), key=lambda m: m.span)
    return pair[0], pair[1]


def _apart(one: Mutation, other: Mutation) -> bool:
    return one.span[1] < other.span[0] or other.span[1] < one.span[0]


def _is_type_only(scene: Scene, node: ast.AST) -> bool:
    """Annotations and `if TYPE_CHECKING` are never run; f-string parts have no own text."""
    child, current = node, scene.parents.get(node)
    while current is not None:
        if isinstance(current, ast.JoinedStr):
            return True
        if isinstance(current, ast.arg | ast.AnnAssign) and child is current.annotation:
            return True
        if isinstance(current, ast.FunctionDef | ast.AsyncFunctionDef) and child is current.returns:
            return True
        child, current = current, scene.parents.get(current)
    return False
