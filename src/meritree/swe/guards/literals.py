"""The constants of failing tests: what they put in and what they expect to come out.

Reads syntax trees; runs nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_USUAL = 10  # whole numbers up to this size say nothing about where they come from
_TEXT = 3  # nor do shorter texts
_ASSERTIONS = ("assertEqual", "assertEquals", "assertAlmostEqual", "assertListEqual",
               "assertDictEqual", "assertTupleEqual", "assertSequenceEqual")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """Constants of the failing tests, as their `repr`.

    Attributes:
        inputs: given to calls, or listed as parameters of the test.
        expected: compared with a result, or listed as parameters of the test.
        compared: of these, the ones that are certainly a whole expected value: a side of an
            equality, a name or parameter that is one, or what the test runs reported.
    """

    inputs: frozenset[str] = field(default_factory=frozenset)
    expected: frozenset[str] = field(default_factory=frozenset)
    compared: frozenset[str] = field(default_factory=frozenset)


def seen_in_tests(
    texts: Mapping[str, str], targets: Iterable[str], outcomes: Iterable[str] = ()
) -> Seen:
    """The constants of the target tests.

    Args:
        texts: text of the test files by path.
        targets: test ids (``path::Class::name[parameters]``).
        outcomes: further expected values in source form, as the test runs reported them.
    """
    inputs: set[str] = set()
    expected = {repr(v) for v in map(_evaluated, outcomes) if v is not _NO}
    compared = set(expected)
    for path, names in _by_file(targets).items():
        try:
            tree = ast.parse(texts.get(path, ""))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in names:
                inputs |= set(_inputs(node))
                expected |= set(_expected(node))
                compared |= set(_compared(node))
    return Seen(frozenset(inputs), frozenset(expected), frozenset(compared))


def _by_file(targets: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for target in targets:
        path, *names = target.split("[")[0].split("::")
        if names:
            found.setdefault(path, set()).add(names[-1])
    return found


Function = ast.FunctionDef | ast.AsyncFunctionDef


def _inputs(function: Function) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            for argument in (*node.args, *(k.value for k in node.keywords)):
                yield from constants(argument)
        elif isinstance(node, ast.Assign):
            yield from constants(node.value)
    yield from _parameters(function)


def _expected(function: Function) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                yield from _whole(side)
        elif isinstance(node, ast.Call) and _name(node.func) in _ASSERTIONS:
            for argument in node.args[:2]:
                yield from _whole(argument)
        elif isinstance(node, ast.Assign):  # expected = [1, 2, 3]
            yield from _whole(node.value)
    yield from _parameters(function)


def _compared(function: Function) -> Iterator[str]:
    """Sides of equalities, and the constants of the names and parameters that stand there."""
    sides: list[ast.expr] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.Is):
            sides += [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and _name(node.func) in _ASSERTIONS:
            sides += node.args[:2]
    for side in sides:
        yield from _whole(side)
    names = {side.id for side in sides if isinstance(side, ast.Name)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and {_name(target) for target in node.targets} & names:
            yield from _whole(node.value)
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and _name(decorator.func) == "parametrize":
            yield from _columns(decorator, names)


def _columns(decorator: ast.Call, names: set[str]) -> Iterator[str]:
    """Constants that ``parametrize`` gives to some of the names."""
    if len(decorator.args) < 2 or not isinstance(decorator.args[1], ast.List | ast.Tuple):
        return
    given = constant(decorator.args[0])
    heads = given.split(",") if isinstance(given, str) else given
    if not isinstance(heads, list | tuple) or not all(isinstance(h, str) for h in heads):
        return
    for row in decorator.args[1].elts:
        cells = [row] if len(heads) == 1 else _cells(row)
        for head, cell in zip(heads, cells, strict=False):
            if head.strip() in names:
                yield from _whole(cell)


def _cells(row: ast.expr) -> list[ast.expr]:
    if isinstance(row, ast.Call):  # pytest.param(1, 2)
        return row.args
    return row.elts if isinstance(row, ast.Tuple | ast.List) else []


def _parameters(function: Function) -> Iterator[str]:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and _name(decorator.func) == "parametrize":
            for argument in decorator.args[1:]:
                yield from constants(argument)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _whole(node: ast.expr) -> Iterator[str]:
    value = constant(node)
    if value is not _NO:
        yield repr(value)


def constants(node: ast.expr) -> Iterator[str]:
    """A constant and all constants that it is made of."""
    yield from _whole(node)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        for part in node.elts:
            yield from constants(part)
    elif isinstance(node, ast.Dict):
        for part in (*(k for k in node.keys if k is not None), *node.values):
            yield from constants(part)
    elif isinstance(node, ast.Call):  # pytest.param(1, 2)
        for part in node.args:
            yield from constants(part)


class _No:
    """No constant (None is one)."""


_NO = _No()


def constant(node: ast.expr | None) -> Any:
    """The value of a constant expression, `_NO` for any other."""
    if node is None:
        return _NO
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _NO


def is_constant(node: ast.expr | None) -> bool:
    """Whether an expression is made of constants only."""
    return constant(node) is not _NO


def _evaluated(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _NO


def telling(value: Any) -> bool:
    """Whether a constant is too particular to stand in code by chance.

    Generic, and never called hard-coded: None, True, False, whole numbers from -10 to 10 and
    their halves, texts shorter than three letters, and containers of at most two such values.
    """
    if value is None or isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) > _USUAL
    if isinstance(value, float):
        return abs(value) > _USUAL or not (2 * value).is_integer()
    if isinstance(value, str | bytes):
        return len(value) >= _TEXT
    if isinstance(value, dict):
        return len(value) > 2 or any(telling(v) for pair in value.items() for v in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return len(value) > 2 or any(map(telling, value))
    return True
