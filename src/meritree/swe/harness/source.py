"""Where the functions of a source text are, and which of them two texts disagree about.

Pure text and syntax trees; runs nothing. A table made from one text is reused for texts that
differ from it inside one function only, so that large files cost little per candidate.
"""

from __future__ import annotations
import __future__

import ast
import functools
import types
from collections import OrderedDict
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .wire import common_prefix, common_suffix

_FEATURES = {name: getattr(__future__, name).compiler_flag for name in __future__.all_feature_names}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_RECENT = 10
_KEPT = 64


class Unit(NamedTuple):
    """One outermost function or method of a text.

    ``line`` is its first line (decorators included), ``headers`` are lines that recreate
    the classes and blocks around it, ``start:end`` its characters (whole lines).
    """

    name: str
    line: int
    start: int
    end: int
    headers: Tuple[str, ...]


class Table(NamedTuple):
    """All units of a text, in order, and the compiler flags of its ``__future__`` imports."""

    text: str
    units: Tuple[Unit, ...]
    flags: int


def build(text: str) -> Table:
    """Parse ``text``; raises SyntaxError or ValueError when it does not parse."""
    tree = ast.parse(text)
    units: List[Unit] = []
    if "\r" not in text:  # offsets below assume newlines as ``tokenize.open`` gives them
        lines = [line + "\n" for line in text.split("\n")]
        starts = [0]
        for line in lines:
            starts.append(min(starts[-1] + len(line), len(text)))
        _collect(tree, (), (), lines, starts, units)
    return Table(text, tuple(units), _future_flags(tree))


def _future_flags(tree: ast.Module) -> int:
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                flags |= _FEATURES.get(alias.name, 0)
    return flags


def _collect(
    node: Any,
    names: Tuple[str, ...],
    headers: Tuple[str, ...],
    lines: List[str],
    starts: List[int],
    units: List[Unit],
) -> None:
    for child in _statements(node):
        if isinstance(child, _FUNCTIONS):
            first = min([child.lineno] + [d.lineno for d in child.decorator_list])
            last = child.end_lineno or child.lineno
            indent = lines[first - 1][: len(lines[first - 1]) - len(lines[first - 1].lstrip())]
            own_lines = not lines[child.lineno - 1][len(indent) :].startswith(("class ", "if "))
            if own_lines and first > len(headers):
                units.append(
                    Unit(
                        ".".join((*names, child.name)),
                        first,
                        starts[first - 1],
                        starts[last],
                        headers,
                    )
                )
        elif isinstance(child, ast.ClassDef):
            header = _indent(lines, child.lineno) + "class %s:\n" % child.name
            _collect(child, (*names, child.name), (*headers, header), lines, starts, units)
        elif isinstance(child, (ast.If, ast.Try, ast.With, ast.For, ast.While)):
            header = _indent(lines, child.lineno) + "if 1:\n"
            _collect(child, names, (*headers, header), lines, starts, units)


def _indent(lines: List[str], number: int) -> str:
    line = lines[number - 1]
    return line[: len(line) - len(line.lstrip())]


def _statements(node: Any) -> Iterator[Any]:
    for field in ("body", "orelse", "finalbody"):
        for child in getattr(node, field, ()):
            yield child
    for handler in getattr(node, "handlers", ()):
        for child in handler.body:
            yield child


class Change(NamedTuple):
    """One function whose text differs between the original and a candidate."""

    old: Unit
    new: Unit
    old_text: str
    new_text: str


class Difference(NamedTuple):
    """What differs: functions only, or more than that (``beyond`` says what)."""

    changes: Tuple[Change, ...]
    beyond: str
    flags: int


def difference(old: Table, new: Table) -> Difference:
    """Compare a candidate's table with the original's."""
    names = [u.name for u in old.units]
    if names != [u.name for u in new.units]:
        return Difference((), "functions were added, removed or reordered", new.flags)
    changes = []
    old_at = new_at = 0
    for a, b in _together(old.units, new.units):
        if old.text[old_at : a.start] != new.text[new_at : b.start] or a.headers != b.headers:
            return Difference((), "code outside functions changed", new.flags)
        before, after = old.text[a.start : a.end], new.text[b.start : b.end]
        if before != after:
            changes.append(Change(a, b, before, after))
        old_at, new_at = a.end, b.end
    if old.text[old_at:] != new.text[new_at:]:
        return Difference((), "code outside functions changed", new.flags)
    return Difference(tuple(changes), "", new.flags)


def _together(a: Tuple[Unit, ...], b: Tuple[Unit, ...]) -> Iterator[Tuple[Unit, Unit]]:
    for i in range(len(a)):
        yield a[i], b[i]


class Tables:
    """Tables of one file's versions; the original is kept for ever, the rest for a while."""

    def __init__(self, original: str) -> None:
        self.original = build(original)
        self._known: "OrderedDict[str, Table]" = OrderedDict()

    def of(self, text: str) -> Table:
        """The table of ``text``; raises SyntaxError or ValueError when it does not parse."""
        if text == self.original.text:
            return self.original
        table = self._known.get(text)
        if table is None:
            table = self._derived(text) or build(text)
            self._known[text] = table
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return table

    def _derived(self, text: str) -> Optional[Table]:
        recent = list(self._known.values())[: -_RECENT - 1 : -1]
        for base in [self.original, *recent]:
            table = derive(base, text)
            if table is not None:
                return table
        return None


def derive(base: Table, text: str) -> Optional[Table]:
    """The table of ``text`` when it differs from ``base`` inside one function, else None."""
    start = common_prefix(base.text, text)
    limit = min(len(base.text), len(text)) - start
    tail = min(common_suffix(base.text, text), limit)
    stop = len(base.text) - tail
    delta = len(text) - len(base.text)
    for index, unit in enumerate(base.units):
        if unit.start <= start and stop <= unit.end:
            segment = text[unit.start : unit.end + delta]
            ends = segment.endswith("\n") or unit.end + delta == len(text)
            if not ends or not _is_one_function(unit, segment, base.flags):
                return None
            shift = segment.count("\n") - base.text.count("\n", unit.start, unit.end)
            units = list(base.units)
            units[index] = unit._replace(end=unit.end + delta)
            for later in range(index + 1, len(units)):
                u = units[later]
                units[later] = u._replace(
                    line=u.line + shift, start=u.start + delta, end=u.end + delta
                )
            return Table(text, tuple(units), base.flags)
    return None


def _is_one_function(unit: Unit, segment: str, flags: int) -> bool:
    try:
        tree = parse_unit(unit, segment, flags)
    except (SyntaxError, ValueError):
        return False
    body: List[Any] = tree.body
    for _ in unit.headers:
        if len(body) != 1 or isinstance(body[0], _FUNCTIONS):
            return False
        body = body[0].body
    if len(body) != 1 or not isinstance(body[0], _FUNCTIONS):
        return False
    node = body[0]
    first = min([node.lineno] + [d.lineno for d in node.decorator_list])
    last = unit.line + segment.rstrip("\n").count("\n")
    whole = not segment.endswith("\n\n") and node.end_lineno == last
    return node.name == unit.name.rsplit(".", 1)[-1] and first == unit.line and whole


def padded(unit: Unit, segment: str) -> str:
    """``segment`` inside its classes and blocks, on its true lines."""
    return "\n" * (unit.line - 1 - len(unit.headers)) + "".join(unit.headers) + segment


def parse_unit(unit: Unit, segment: str, flags: int) -> ast.Module:
    """The syntax tree of one function in its dummy surroundings; not to be modified."""
    return _parsed(padded(unit, segment), flags)


@functools.lru_cache(maxsize=16)
def _parsed(text: str, flags: int) -> ast.Module:
    tree = compile(text, "<candidate>", "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return tree


def function_node(unit: Unit, tree: ast.Module) -> Any:
    """The function's node in the tree of ``parse_unit``."""
    body: List[Any] = tree.body
    for _ in unit.headers:
        body = body[0].body
    return body[0]


def function_code(unit: Unit, tree: ast.Module, filename: str, flags: int) -> types.CodeType:
    """Compile the tree of ``parse_unit`` and take the function's code object out of it."""
    module = compile(tree, filename, "exec", flags, dont_inherit=True)
    name = unit.name.rsplit(".", 1)[-1]
    found = _find(module, unit.name.split("."), name)
    if found is None:
        raise ValueError("no code object for %s" % unit.name)
    return found


def _find(code: types.CodeType, names: List[str], name: str) -> Optional[types.CodeType]:
    for const in code.co_consts:
        if not isinstance(const, types.CodeType):
            continue
        if const.co_name.startswith("<generic parameters"):
            inner = _find(const, names, name)
            if inner is not None:
                return inner
        elif const.co_name == names[0]:
            return const if len(names) == 1 else _find(const, names[1:], name)
    return None


_MUTATORS = frozenset(
    (
        *("append", "extend", "insert", "pop", "popitem", "remove", "clear", "update", "add"),
        *("setdefault", "discard", "sort", "reverse", "appendleft", "popleft", "extendleft"),
        *("write", "put", "__setitem__", "__delitem__", "__setattr__"),
    )
)


def writes(nodes: List[Any]) -> Dict[str, int]:
    """Every place outside its own names that a function may write to, with counts."""
    found: Dict[str, int] = {}

    def note(kind: str, what: Any) -> None:
        key = kind + ast.dump(what) if isinstance(what, ast.AST) else kind + str(what)
        found[key] = found.get(key, 0) + 1

    waiting = list(nodes)
    while waiting:
        child = waiting.pop()
        kind = type(child)
        if kind is ast.Attribute or kind is ast.Subscript:
            if type(child.ctx) is not ast.Load:
                note("store ", child)
        elif kind is ast.Global or kind is ast.Nonlocal:
            for name in child.names:
                note("declare ", name)
        elif kind is ast.Call:
            called = child.func
            if isinstance(called, ast.Attribute) and called.attr in _MUTATORS:
                note("mutate ", called)
            elif isinstance(called, ast.Name) and called.id in ("setattr", "delattr", "exec"):
                note("call ", called)
        elif kind is ast.AugAssign and isinstance(child.target, ast.Name):
            note("augment ", child.target)  # x += y changes a list that others may hold
        waiting.extend(ast.iter_child_nodes(child))
    return found


def writes_more(old: Any, new: Any, old_text: str, new_text: str, lines: Tuple[int, int]) -> bool:
    """Whether ``new`` may write to a place that ``old`` does not, or not as often.

    Statements that both texts share at the beginning and the end are not looked into.

    Args:
        lines: the first lines of the two texts, as their nodes count.
    """
    start = common_prefix(old_text, new_text)
    tail = min(common_suffix(old_text, new_text), min(len(old_text), len(new_text)) - start)
    first = old_text.count("\n", 0, start)
    known = writes(_between(old, lines[0], first, old_text.count("\n", 0, len(old_text) - tail)))
    last = new_text.count("\n", 0, len(new_text) - tail)
    found = writes(_between(new, lines[1], first, last))
    return any(count > known.get(key, 0) for key, count in found.items())


def _between(node: Any, line: int, first: int, last: int) -> List[Any]:
    """Statements of a function that reach into the lines ``first`` to ``last`` of its text."""
    inside = [
        child
        for child in node.body
        if child.end_lineno - line >= first
        and min([child.lineno] + [d.lineno for d in getattr(child, "decorator_list", ())]) - line
        <= last
    ]
    return [*inside, node.args, *node.decorator_list]
