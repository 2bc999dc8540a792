"""A file cut into places, with what each defines and calls.

Python is read by its syntax tree; any other file, and Python that does not parse, in windows of
lines. Knows nothing of queries.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from posixpath import splitext

from meritree.swe.retrieval.data import Place
from meritree.swe.retrieval.words import parts, words

WINDOW = 60  # lines of a window; it ends earlier at a blank line where there is one
_NAMED = 3  # a place's name and path count as if they stood there so often
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Piece:
    """One place with what a search needs to know of it.

    Attributes:
        text: its own lines (a class without its methods, a module without its functions).
        calls: names that it calls, by their last part.
    """

    place: Place
    text: str
    calls: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FileIndex:
    """One file, ready to be searched; equal texts give equal indexes.

    Attributes:
        pieces: its places, in the order of the file.
        postings: word -> (place number, how often).
        lengths: words of each place.
        defines: last part of a name -> numbers of the places that define it.
        calls: name -> numbers of the places that call it.
        parsed: whether it was read as Python.
    """

    path: str
    pieces: tuple[Piece, ...]
    postings: Mapping[str, tuple[tuple[int, int], ...]]
    lengths: tuple[int, ...]
    defines: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    calls: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    parsed: bool = False

    def at(self, line: int) -> int | None:
        """Number of the innermost place that holds ``line``, None outside of all."""
        inside = [
            (p.place.end - p.place.start, i)
            for i, p in enumerate(self.pieces)
            if p.place.start <= line <= p.place.end
        ]
        return min(inside)[1] if inside else None


@lru_cache(maxsize=4096)  # states of a search share most of their files, and come back to them
def index_file(path: str, text: str) -> FileIndex:
    """Cut a file and count its words. Any text is accepted."""
    python = path.endswith((".py", ".pyi"))
    tree = _tree(text) if python else None
    pieces = tuple(_python(path, text, tree) if tree is not None else _windows(path, text))
    postings: dict[str, list[tuple[int, int]]] = {}
    lengths = []
    for number, piece in enumerate(pieces):
        counts = Counter(words(piece.text))
        for word in _names(piece.place):
            counts[word] += _NAMED
        lengths.append(counts.total())
        for word, count in counts.items():
            postings.setdefault(word, []).append((number, count))
    return FileIndex(
        path,
        pieces,
        {word: tuple(found) for word, found in postings.items()},
        tuple(lengths),
        _grouped((p.place.symbol.rpartition(".")[2], i) for i, p in enumerate(pieces)),
        _grouped((name, i) for i, p in enumerate(pieces) for name in sorted(p.calls)),
        tree is not None,
    )


def _names(place: Place) -> Iterator[str]:
    """Words of the place's own name and of its path, without the ending."""
    for name in place.symbol.split("."):
        yield from parts(name)
    yield from words(splitext(place.path)[0])


def _grouped(pairs: Iterator[tuple[str, int]]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for name, number in pairs:
        if name:
            found.setdefault(name, []).append(number)
    return {name: tuple(numbers) for name, numbers in found.items()}


def _tree(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the code that is read, not of ours
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _python(path: str, text: str, tree: ast.Module) -> Iterator[Piece]:
    # As the parser counts them: other marks of a line's end are none to Python.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found = list(_definitions(tree, ""))
    taken: set[int] = set()
    for symbol, node in found:
        start, end = _span(node)
        own = set(range(start, end + 1))
        if isinstance(node, ast.ClassDef):
            for _, inner in _definitions(node, ""):
                low, high = _span(inner)
                own -= set(range(low, high + 1))
            calls = _calls(node, inside=False)
        else:
            calls = _calls(node, inside=True)
        taken |= set(range(start, end + 1))
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        place = Place(path, symbol, kind, start, end)  # type: ignore[arg-type]
        yield Piece(place, _kept(lines, own), calls)
    rest = set(range(1, len(lines) + 1)) - taken
    kept = _kept(lines, rest)
    if kept.strip() or not found:
        calls = _calls(tree, inside=False)
        yield Piece(Place(path, "", "module", 1, len(lines)), kept, calls)


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Definition]]:
    """Functions and classes outside of functions, also below ``if`` and ``try``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield prefix + child.name, child
            yield from _definitions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _definitions(child, prefix)


def _span(node: Definition) -> tuple[int, int]:
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    return first, node.end_lineno or node.lineno


def _calls(node: ast.AST, *, inside: bool) -> frozenset[str]:
    """Last parts of the names called in ``node``; without ``inside``, not in its definitions."""
    names: set[str] = set()
    todo = list(ast.iter_child_nodes(node))
    while todo:
        one = todo.pop()
        if not inside and isinstance(one, Definition):
            todo.extend(one.decorator_list)
            continue
        if isinstance(one, ast.Call):
            if isinstance(one.func, ast.Name):
                names.add(one.func.id)
            elif isinstance(one.func, ast.Attribute):
                names.add(one.func.attr)
        todo.extend(ast.iter_child_nodes(one))
    return frozenset(names)


def _kept(lines: Sequence[str], numbers: set[int]) -> str:
    return "\n".join(lines[n - 1] for n in sorted(numbers) if n <= len(lines))


def _windows(path: str, text: str) -> Iterator[Piece]:
    lines = text.split("\n")
    start = 0
    while start < len(lines):
        end = min(start + WINDOW, len(lines))
        if end < len(lines):
            blank = [n for n in range(start + WINDOW // 2, end) if not lines[n].strip()]
            end = blank[-1] + 1 if blank else end
        own = "\n".join(lines[start:end])
        if own.strip() or len(lines) <= WINDOW:
            yield Piece(Place(path, "", "text", start + 1, end), own)
        start = end
