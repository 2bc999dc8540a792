"""What a repository, its failing tests and an issue text offer to edits: names and literals.

Reads source text only; project and third-party code is never imported.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from meritree.swe.repair.context import SourceFile, load
from meritree.swe.repair.evidence import QUOTED
from meritree.swe.repair.signatures import Signature, signatures_in

_DEFINITION = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)|^[ \t]*class[ \t]+(\w+)", re.M)
_ATTRIBUTE = re.compile(r"\.([A-Za-z_]\w*)")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_]\w*)*")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])")
_MANY = 400  # distinct ingredients of one kind kept per source


@dataclass(frozen=True, slots=True)
class Hints:
    """Names and literals of some text, commonest first; literals as source text."""

    strings: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    literals: tuple[str, ...] = ()  # bytes, tuples, lists, dictionaries
    names: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()

    @classmethod
    def of_source(cls, segments: Iterable[str]) -> Hints:
        """Ingredients of pieces of Python source; pieces that do not parse are tokenized."""
        counts: dict[str, Counter[str]] = {kind: Counter() for kind in cls.__slots__}
        for segment in segments:
            _count_segment(segment, counts)
        return cls(**{kind: _commonest(counter) for kind, counter in counts.items()})

    @classmethod
    def of_file(cls, source: SourceFile) -> Hints:
        """Ingredients of a whole parsed file, remembered with it."""
        known = source.memo.get("hints")
        if not isinstance(known, Hints):
            counts: dict[str, Counter[str]] = {kind: Counter() for kind in cls.__slots__}
            _count_file(source, counts)
            known = cls(**{kind: _commonest(counter) for kind, counter in counts.items()})
            source.memo["hints"] = known
        return known

    @classmethod
    def of_prose(cls, text: str) -> Hints:
        """Identifiers, quoted strings and numbers of an issue text."""
        quoted = Counter(
            next((group for group in match.groups() if group), "")
            for match in QUOTED.finditer(text)
        )
        dotted = [match.group() for match in _IDENTIFIER.finditer(text)]
        attributes = Counter(part for each in dotted for part in each.split(".")[1:])
        names = Counter(each for each in dotted if "_" in each or "." in each)
        words = Counter(each for each in quoted if each.isidentifier())
        return cls(
            strings=_commonest(Counter({repr(each): n for each, n in quoted.items()})),
            numbers=_commonest(Counter(match.group() for match in _NUMBER.finditer(text))),
            names=_commonest(names + words),
            attributes=_commonest(attributes + words),
            keywords=_commonest(words),
        )


def _commonest(counter: Counter[str]) -> tuple[str, ...]:
    return tuple(name for name, _ in counter.most_common(_MANY))


def _count_file(source: SourceFile, counts: dict[str, Counter[str]]) -> None:
    """Count piece by piece; most pieces are the same in all states of a file."""
    waiting: list[ast.AST] = list(reversed(source.tree.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ClassDef):
            waiting.extend(reversed(node.body))
            for part in (*node.decorator_list, *node.bases, *node.keywords):
                _count_node(part, counts)
            continue
        assert isinstance(node, ast.stmt)
        text = source.segment(node)
        piece = _PIECES.get(text)
        if piece is None:
            piece = {kind: Counter() for kind in counts}
            _count_node(node, piece)
            if len(_PIECES) >= _REMEMBERED:
                _PIECES.clear()
            _PIECES[text] = piece
        for kind, counter in piece.items():
            counts[kind].update(counter)


_PIECES: dict[str, dict[str, Counter[str]]] = {}
_REMEMBERED = 10_000


def _count_segment(segment: str, counts: dict[str, Counter[str]]) -> None:
    try:
        tree = ast.parse(inspect.cleandoc("\n" + segment))
    except (SyntaxError, ValueError):
        _count_tokens(segment, counts)
        return
    _count_node(tree, counts)


def _count_node(tree: ast.AST, counts: dict[str, Counter[str]]) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            _count_constant(node.value, counts)
        elif isinstance(node, ast.Tuple | ast.List | ast.Dict | ast.Set):
            text = ast.unparse(node)
            if len(text) <= 60 and _is_literal(node):
                counts["literals"][text] += 1
        elif isinstance(node, ast.Name):
            counts["names"][node.id] += 1
        elif isinstance(node, ast.Attribute):
            counts["attributes"][node.attr] += 1
        elif isinstance(node, ast.keyword) and node.arg:
            counts["keywords"][node.arg] += 1


def _count_constant(value: object, counts: dict[str, Counter[str]]) -> None:
    if isinstance(value, str):
        if len(value) < 60:
            counts["strings"][repr(value)] += 1
    elif isinstance(value, bytes):
        if len(value) < 60:
            counts["literals"][repr(value)] += 1
    elif isinstance(value, int | float) and not isinstance(value, bool):
        counts["numbers"][repr(value)] += 1


def _count_tokens(segment: str, counts: dict[str, Counter[str]]) -> None:
    previous = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(segment).readline):
            if token.type == tokenize.NAME:
                counts["attributes" if previous == "." else "names"][token.string] += 1
            elif token.type == tokenize.NUMBER:
                counts["numbers"][token.string] += 1
            elif token.type == tokenize.STRING and len(token.string) < 60:
                counts["strings"][token.string] += 1
            previous = token.string
    except (tokenize.TokenError, SyntaxError, UnicodeEncodeError):
        return  # what was read up to the fault counts


def _is_literal(node: ast.AST) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


class RepoIndex:
    """Names of a whole project, found lazily: building it is one regular-expression pass.

    Only files that a question needs are parsed (and kept, at most as many as there are).
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        tests: Hints | None = None,
        issue: Hints | None = None,
        installed: tuple[Path, ...] = (),
    ) -> None:
        """Index ``sources`` (path -> text of every project file that is not a test).

        Args:
            installed: folders with the third-party packages that the project imports.
        """
        self._sources = sources
        self.installed = installed
        self.tests = tests or Hints()
        self.issue = issue or Hints()
        self._signatures: dict[str, tuple[Signature, ...]] = {}

    def with_hints(self, tests: Iterable[str] = (), issue: str = "") -> RepoIndex:
        """This index together with the failing tests' source segments and an issue text."""
        hints = Hints.of_source(tests), Hints.of_prose(issue)
        known = RepoIndex(self._sources, *hints, self.installed)
        known.__dict__["_defined"] = self._defined
        known._signatures = self._signatures
        return known

    @cached_property
    def _defined(self) -> dict[str, list[str]]:
        """Function and class names -> paths of the files that define them."""
        found: dict[str, list[str]] = {}
        for path, text in self._sources.items():
            names = {first or second for first, second in _DEFINITION.findall(text)}
            for name in names:
                found.setdefault(name, []).append(path)
        return found

    def source(self, path: str) -> SourceFile | None:
        """The parsed file, ``None`` if it is unknown or cannot be parsed."""
        text = self._sources.get(path)
        return None if text is None else load(path, text)

    def defines(self, name: str) -> bool:
        """Whether some project file defines a function or class of this name."""
        return name in self._defined

    def signatures(self, name: str) -> tuple[Signature, ...]:
        """Signatures of all project functions, methods and constructors called ``name``."""
        known = self._signatures.get(name)
        if known is None:
            found: dict[tuple[str, ...], Signature] = {}
            for path in self._defined.get(name, ())[:12]:
                source = self.source(path)
                for signature in signatures_in(source, name) if source else ():
                    found.setdefault(signature.keywords, signature)
            known = self._signatures[name] = tuple(found.values())
        return known

    @cached_property
    def attributes(self) -> Counter[str]:
        """Attribute names written anywhere in the project, with the number of uses."""
        total: Counter[str] = Counter()
        for text in self._sources.values():
            total.update(_ATTRIBUTE.findall(text))
        return total

    # -- facts of one file, in any state of it ----------------------------------------------------

    def siblings(self, source: SourceFile) -> Hints:
        """Literals and names of the whole file that holds an edited function."""
        return Hints.of_file(source)

    def module_names(self, source: SourceFile) -> tuple[str, ...]:
        """Names bound at the top level of a file other than imports, in order."""
        known = source.memo.get("module_names")
        if not isinstance(known, tuple):
            known = source.memo["module_names"] = tuple(dict.fromkeys(_bound_on_top(source.tree)))
        return known

    def imported(self, source: SourceFile) -> Mapping[str, str]:
        """Local name -> dotted origin of everything a file imports, wherever it does."""
        known = source.memo.get("imported")
        if not isinstance(known, dict):
            known = source.memo["imported"] = dict(_imports(source))
        return known

    def class_attributes(self, node: ast.ClassDef, source: SourceFile) -> tuple[str, ...]:
        """Attributes and methods of a class, those inherited within the project included."""
        key = ("attributes", node)
        known = source.memo.get(key)
        if not isinstance(known, tuple):
            names: dict[str, None] = {}
            self._collect(node, source, names, 0)
            known = source.memo[key] = tuple(names)
        return known

    def _collect(
        self, node: ast.ClassDef, source: SourceFile, names: dict[str, None], depth: int
    ) -> None:
        names.update(dict.fromkeys(_attributes_of(node)))
        if depth >= 5:
            return
        for base in node.bases:
            name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
            for other, file in self.classes(name, source):
                if other is not node:
                    self._collect(other, file, names, depth + 1)

    def classes(
        self, name: str, near: SourceFile | None = None
    ) -> list[tuple[ast.ClassDef, SourceFile]]:
        """Project classes of this name; those of ``near`` alone if it defines one."""
        files = [near] if near is not None else []
        found = [(each, file) for file in files for each in _classes_in(file, name)]
        if not found:
            for path in self._defined.get(name, ())[:3]:
                other = self.source(path)
                if other is not None:
                    found.extend((each, other) for each in _classes_in(other, name))
        return found


def _classes_in(source: SourceFile, name: str) -> list[ast.ClassDef]:
    known = source.memo.get("classes")
    if not isinstance(known, list):
        known = [node for node in source.all_statements if isinstance(node, ast.ClassDef)]
        source.memo["classes"] = known
    return [node for node in known if node.name == name]


def _attributes_of(node: ast.ClassDef) -> Iterator[str]:
    """Names bound in the class body and attributes stored on the first parameter of methods."""
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement.name
            first = [*statement.args.posonlyargs, *statement.args.args][:1]
            for each in ast.walk(statement) if first else ():
                if not (isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)):
                    continue
                if isinstance(each.value, ast.Name) and each.value.id == first[0].arg:
                    yield each.attr
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            yield from (each.id for each in targets if isinstance(each, ast.Name))


def _bound_on_top(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                yield from (each.id for each in ast.walk(target) if isinstance(each, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def _imports(source: SourceFile) -> Iterator[tuple[str, str]]:
    for node in source.all_statements:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    (alias.asname, alias.name)
                    if alias.asname
                    else (
                        alias.name.partition(".")[0],
                        alias.name.partition(".")[0],
                    )
                )
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            for alias in node.names:
                dot = "" if prefix.endswith(".") or not prefix else "."
                yield alias.asname or alias.name, f"{prefix}{dot}{alias.name}"


@lru_cache(maxsize=256)
def _attribute_counts(text: str) -> Counter[str]:
    return Counter(_ATTRIBUTE.findall(text))
