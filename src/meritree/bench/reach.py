"""Is the developer's fix among the edits that the policy proposes, and at which place?

Runs no test: the function that the developer changed is taken as known, so the figure says
what templates, ingredients and priors can do, apart from localisation and execution.
"""

from __future__ import annotations

import ast
import difflib
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from meritree.bench.history_cases import Case, git, normalised, show
from meritree.bench.judging import canonical
from meritree.errors import BadInput
from meritree.swe.edits import Edit, apply_splices
from meritree.swe.repair.ast_text import block
from meritree.swe.repair.context import load
from meritree.swe.repair.evidence import Evidence
from meritree.swe.repair.ingredients import RepoIndex
from meritree.swe.repair.policy import RepairPolicy
from meritree.swe.repair.priors import FailureSigns, shipped
from meritree.swe.repair.shape import file_shape
from meritree.swe.repair.suspicion import LineSuspicion, Suspicion
from meritree.swe.repair.templates import TEMPLATES, EditCatalogue
from meritree.swe.repository import is_subject_path

_WORD = re.compile(r"\w+")
_PREFIXES = ("f", "r", "b", "u")  # a string in pieces may have them once or before each


@dataclass(frozen=True, slots=True)
class Reach:
    """Where the developer's fix stands.

    Attributes:
        case: name of the case.
        templates: templates that make exactly the developer's code in one edit.
        place: 1-based place among the edits of the changed function, all lines equally
            suspicious; None when it does not come within ``seen``.
        seen: edits looked at.
        why: why no edit can be it, when that is known without looking.
    """

    case: str
    templates: tuple[str, ...] = ()
    place: int | None = None
    seen: int = 0
    why: str = ""


class Target:
    """The developer's change of one file, and a cheap test whether an edit makes it."""

    def __init__(self, before: str, after: str) -> None:
        """
        Raises:
            BadInput: one of the texts is not Python, or no code differs.
        """
        old, new = _elements(before), _elements(after)
        if old is None or new is None:
            raise BadInput("not Python for this interpreter")
        keys = [each.key for each in old], [each.key for each in new]
        changes = [
            code
            for code in difflib.SequenceMatcher(None, *keys, autojunk=False).get_opcodes()
            if code[0] != "equal"
        ]
        if not changes:
            raise BadInput("no code differs")
        i1, i2, j1, j2 = changes[0][1], changes[-1][2], changes[0][3], changes[-1][4]
        self.added_only = i1 == i2
        self.first = old[i1].first if i1 < i2 else 0
        self.last = old[i2 - 1].last if i1 < i2 else 0
        self.wanted = tuple(each.key for each in new[j1:j2])
        self.before = before
        self._delta = _delta(_words(before, unparsed=True), _words(after, unparsed=True))

    def made_by(self, edit: Edit) -> bool:
        """Whether the edited file has the developer's code (comments and layout apart)."""
        source = load("", self.before)
        if source is None or self.added_only:
            return False
        start, end = source.line_start(self.first), source.line_start(self.last + 1)
        if edit.splices[0].start < start or edit.splices[-1].end > end:
            return False
        if self._change(edit) != self._delta:
            return False  # cheap: the words of the code differ
        text = apply_splices(self.before, edit.splices)
        part = text[start : end + len(text) - len(self.before)]
        statements = block(part)
        if statements is None:
            return False
        return tuple(each.key for each in _expanded(statements)) == self.wanted

    def _change(self, edit: Edit) -> dict[str, int]:
        """Words that an edit adds and takes away, read off around its splices."""
        old: Counter[str] = Counter()
        new: Counter[str] = Counter()
        for splice in edit.splices:
            start, end = splice.start, splice.end
            while start and _WORD.match(self.before[start - 1]):
                start -= 1
            while end < len(self.before) and _WORD.match(self.before[end]):
                end += 1
            head, tail = self.before[start : splice.start], self.before[splice.end : end]
            old.update(_words(self.before[start:end]))
            new.update(_words(head + splice.replacement + tail))
        return _delta(old, new)

    def lines(self) -> list[int]:
        """Lines of the changed functions; of the changed statements at import level."""
        shape = file_shape(self.before)
        inside = [n for n in shape.code_lines if self.first <= n <= self.last]
        names = {shape.function(n) for n in inside} - {""}
        return [n for n in shape.code_lines if n in inside or shape.function(n) in names]

    def places(self, after: str) -> list[int]:
        """Lines at and next to the textual change, where its edit is probably anchored."""
        old, new = self.before.split("\n"), after.split("\n")
        codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        changed = [(c[1], c[2]) for c in codes if c[0] != "equal"]
        wanted = {n for a, b in changed for n in range(a - 1, b + 3)}
        starts = {file_shape(self.before).start(n) for n in wanted if n > 0}
        return [n for n in self.lines() if n in wanted or n in starts]


@dataclass(frozen=True, slots=True)
class _Element:
    first: int
    last: int
    key: str


def _words(text: str, *, unparsed: bool = False) -> Counter[str]:
    """Words of a text; of the code alone, without comments and docstrings, if ``unparsed``."""
    if unparsed:
        tree = normalised(text)
        text = "" if tree is None else ast.unparse(tree)
    return Counter(_WORD.findall(text))


def _delta(old: Counter[str], new: Counter[str]) -> dict[str, int]:
    changed = {word: new[word] - old[word] for word in old | new if new[word] != old[word]}
    return {word: n for word, n in changed.items() if word not in _PREFIXES}


def _elements(text: str) -> list[_Element] | None:
    tree = normalised(text)
    return None if tree is None else list(_expanded(tree.body))


def _expanded(body: Sequence[ast.stmt]) -> Iterator[_Element]:
    """Statements of a module, with those of its classes one by one."""
    for node in body:
        first = min([node.lineno, *(e.lineno for e in getattr(node, "decorator_list", []))])
        if isinstance(node, ast.ClassDef):
            head = ast.ClassDef(node.name, node.bases, node.keywords, [], node.decorator_list)
            yield _Element(first, first, _key(head))
            yield from _expanded(node.body)
        else:
            yield _Element(first, node.end_lineno or node.lineno, _key(node))


def _key(node: ast.stmt) -> str:
    tree = normalised(ast.unparse(ast.fix_missing_locations(ast.Module([node], []))))
    return "" if tree is None else ast.dump(canonical(tree))


def reach(
    case: Case,
    *,
    most: int = 2000,
    evidence: Evidence | None = None,
    signs: FailureSigns | None = None,
) -> Reach:
    """Look for the developer's fix among the edits of the function that it changed."""
    before, after = case.buggy_text(), case.developer_text()
    try:
        target = Target(before, after)
    except BadInput as problem:
        return Reach(case.name, why=str(problem))
    if target.added_only:
        return Reach(case.name, why="adds a definition")
    sources = {**_sources(case), case.source: before}
    index = RepoIndex(sources).with_hints(_test_segments(case))
    catalogue = EditCatalogue(index, evidence or Evidence())
    makers = tuple(_makers(catalogue, case.source, target, after))
    if not makers:
        return Reach(case.name, why="no template makes it")
    place, seen = _place(catalogue, sources, case.source, target, most, signs)
    return Reach(case.name, makers, place, seen)


def _makers(catalogue: EditCatalogue, path: str, target: Target, after: str) -> Iterator[str]:
    for name in TEMPLATES:
        edits = (
            edit
            for line in target.places(after)
            for edit in catalogue.edits(path, target.before, line, name)
        )
        if any(target.made_by(edit) for edit in edits):
            yield name


def _place(
    catalogue: EditCatalogue,
    sources: Mapping[str, str],
    path: str,
    target: Target,
    most: int,
    signs: FailureSigns | None,
) -> tuple[int | None, int]:
    shape = file_shape(target.before)
    lines = tuple(
        LineSuspicion(path, n, 0.3 if shape.is_header(n) else 1.0, 1.0, shape.function(n))
        for n in target.lines()
    )
    policy = RepairPolicy(
        catalogue,
        {path: sources[path]},
        Suspicion(lines, len(lines)),
        shipped(catalogue.templates),
        signs=signs,
    )
    for count in range(1, most + 1):
        proposal = policy.propose({}, "")
        if proposal is None:
            return None, count - 1
        if target.made_by(proposal.edit):
            return count, count
    return None, most


def _sources(case: Case) -> dict[str, str]:
    """Every source file of the fixing commit, by path."""
    names = git(Path(case.repo), "ls-tree", "-r", "--name-only", "-z", case.commit).split("\0")
    wanted = [name for name in names if name.endswith(".py") and is_subject_path(name)]
    asked = "".join(f"{case.commit}:{name}\n" for name in wanted)
    answer = subprocess.run(
        ["git", "-C", case.repo, "cat-file", "--batch"],
        input=asked.encode(),
        capture_output=True,
        check=False,
    ).stdout
    found: dict[str, str] = {}
    at = 0
    for name in wanted:
        end = answer.index(b"\n", at)
        head = answer[at:end].split()
        if len(head) != 3:
            at = end + 1
            continue
        size = int(head[2])
        found[name] = answer[end + 1 : end + 1 + size].decode("utf-8", "replace")
        at = end + 1 + size + 1
    return found


def _test_segments(case: Case) -> list[str]:
    """Test functions that the fixing commit added or changed: what its failing tests are."""
    segments: list[str] = []
    for path in case.tests:
        try:
            new = show(Path(case.repo), f"{case.commit}:{path}").decode("utf-8", "replace")
        except BadInput:
            continue
        try:
            old = show(Path(case.repo), f"{case.parent}:{path}").decode("utf-8", "replace")
        except BadInput:
            old = ""
        source = load(path, new)
        for node in source.functions if source else ():
            text = source.segment(node) if source else ""
            if node.name.startswith("test") and text not in old:
                segments.append(text)
    return segments[:20]


__all__ = ["Reach", "Target", "reach"]
