"""Slips inside expressions: names, operators, constants, arguments, conditions.

What programmers get wrong, without regard to what any repair policy can undo.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from meritree.bench.scene import Scene
from meritree.bench.slips import (
    ARITHMETIC,
    BOUNDARY,
    CONFUSED,
    REVERSED,
    SYMBOL,
    Change,
    other_values,
    swapped,
)
from meritree.swe.edits import Splice


def comparison_boundary(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """The boundary case falls on the wrong side."""
    yield from _compared(scene, node, BOUNDARY)


def comparison_reversed(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """The comparison says the opposite."""
    yield from _compared(scene, node, REVERSED)


def _compared(scene: Scene, node: ast.AST, table: dict[str, str]) -> Iterator[Change]:
    if not isinstance(node, ast.Compare):
        return
    sides = [node.left, *node.comparators]
    for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
        old = SYMBOL[type(operator)]
        if old in table and (splice := scene.between(left, right, old, table[old])):
            yield (splice,), f"`{old}` written as `{table[old]}`"


def boolean_connective(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """`and` for `or`, or the other way round."""
    if isinstance(node, ast.BoolOp) and len(node.values) == 2:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        if splice := scene.between(node.values[0], node.values[1], old, new):
            yield (splice,), f"`{old}` written as `{new}`"


def arithmetic_operator(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """The wrong arithmetic or bit operator."""
    if isinstance(node, ast.BinOp) and not isinstance(node.left, ast.Constant | ast.JoinedStr):
        old = SYMBOL.get(type(node.op), "")
        new = ARITHMETIC.get(old)
        if new and (splice := scene.between(node.left, node.right, old, new)):
            yield (splice,), f"`{old}` written as `{new}`"


def off_by_one(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A count or position that is one too high or too low."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        for value in (node.value + 1, node.value - 1):
            if 0 <= value < 10_000:
                yield (scene.replace(node, str(value)),), f"{node.value} written as {value}"
    elif _callee_name(node) in ("len", "range") and isinstance(node, ast.Call) and node.args:
        target = node if _callee_name(node) == "len" else node.args[-1]
        text = scene.source(target)
        yield (scene.replace(target, f"{text} - 1"),), f"`{text}` is one too low"


def wrong_variable(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """Another variable of the same function is read."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        function = scene.function(node)
        if function is None or _callee(scene, node):
            return
        names = scene.locals_of(function)
        if node.id in names:
            for other in names:
                if other != node.id:
                    yield (scene.replace(node, other),), f"`{other}` in place of `{node.id}`"


def wrong_target(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A result is stored under another variable's name."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        function = scene.function(node)
        if function is not None and isinstance(scene.parents[node], ast.Assign):
            for other in scene.locals_of(function):
                if other != node.id:
                    yield (scene.replace(node, other),), f"stored in `{other}`, not `{node.id}`"


def wrong_member(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """Another attribute, method or function with a name or a meaning that is near."""
    if isinstance(node, ast.Attribute):
        start, end = scene.span(node)
        name = node.attr
        others = {a for pair in CONFUSED if name in pair for a in pair}
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            others |= _own_attributes(scene, node, called=_callee(scene, node))
        for other in sorted(others - {name}):
            splice = Splice(end - len(name), end, other)
            if scene.text[end - len(name) : end] == name and start < splice.start:
                yield (splice,), f"`.{other}` in place of `.{name}`"
    elif isinstance(node, ast.Name) and _callee(scene, node):
        for other in sorted({a for pair in CONFUSED if node.id in pair for a in pair}):
            if other != node.id:
                yield (scene.replace(node, other),), f"`{other}` in place of `{node.id}`"


def _own_attributes(scene: Scene, node: ast.AST, *, called: bool) -> set[str]:
    current: ast.AST | None = node
    while current is not None and not isinstance(current, ast.ClassDef):
        current = scene.parents.get(current)
    if current is None:
        return set()
    return {
        other.attr
        for other in ast.walk(current)
        if isinstance(other, ast.Attribute)
        and isinstance(other.value, ast.Name)
        and other.value.id == "self"
        and _callee(scene, other) == called
    }


def swapped_arguments(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """Two neighbouring positional arguments in the wrong order."""
    if isinstance(node, ast.Call):
        for left, right in zip(node.args, node.args[1:], strict=False):
            if not isinstance(left, ast.Starred) and not isinstance(right, ast.Starred):
                yield swapped(scene, left, right), "two arguments change places"


def swapped_operands(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """The operands of an operation that is not symmetric in the wrong order."""
    if isinstance(node, ast.BinOp) and isinstance(
        node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Mod | ast.Add
    ):
        atoms = (ast.Name, ast.Attribute, ast.Call, ast.Subscript)
        if isinstance(node.left, atoms) and isinstance(node.right, atoms):
            yield swapped(scene, node.left, node.right), "two operands change places"


def negation(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A `not` is forgotten, or a condition is the wrong way round."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        text = scene.source(node.operand)
        yield (scene.replace(node, f"({text})"),), "`not` left out"
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        test = node.test
        if isinstance(test, ast.Name | ast.Call | ast.Attribute):
            yield (scene.replace(test, f"not {scene.source(test)}"),), "condition inverted"


def condition_part(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A condition lacks one of its parts: too wide or too narrow."""
    if isinstance(node, ast.BoolOp):
        word = " and " if isinstance(node.op, ast.And) else " or "
        for left_out in node.values:
            kept = [f"({scene.source(v)})" for v in node.values if v is not left_out]
            text = word.join(kept)
            joined = f"({text})" if len(kept) > 1 else text
            yield (scene.replace(node, joined),), f"condition lacks `{scene.source(left_out)}`"


def wrong_constant(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A literal with a slip: a truth value, a sign, a letter."""
    if not isinstance(node, ast.Constant) or scene.is_docstring(node):
        return
    if isinstance(node.value, bool) or node.value is None:
        for new in other_values(node):
            yield (scene.replace(node, new),), f"{node.value} written as {new}"
    elif isinstance(node.value, int | float) and node.value > 1:
        for new in (f"-{node.value!r}", repr(node.value * 10)):
            yield (scene.replace(node, f"({new})"),), f"{node.value!r} written as {new}"
    elif isinstance(node.value, str) and _plain_string(scene, node):
        for value in dict.fromkeys((node.value[:-1], node.value[1:], node.value.swapcase())):
            if value != node.value:
                yield (scene.replace(node, repr(value)),), f"{node.value!r} written as {value!r}"


def _plain_string(scene: Scene, node: ast.Constant) -> bool:
    text = scene.source(node)
    return 2 < len(text) <= 32 and text[:1] in "'\"" and not text.startswith(("'''", '"""'))


def _callee_name(node: ast.AST) -> str:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id
    return ""


def _callee(scene: Scene, node: ast.AST) -> bool:
    parent = scene.parents.get(node)
    return isinstance(parent, ast.Call) and parent.func is node


def slice_bound(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A slice begins or ends at the wrong place."""
    if isinstance(node, ast.Slice):
        for bound, name in ((node.lower, "lower"), (node.upper, "upper")):
            if bound is not None:
                text = scene.source(bound)
                yield (scene.replace(bound, ""),), f"slice without its {name} bound"
                if not isinstance(bound, ast.Constant):
                    yield (scene.replace(bound, f"{text} + 1"),), f"{name} bound one too high"


def missing_call(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A conversion, copy or clean-up around a value is left out."""
    if not isinstance(node, ast.Call) or isinstance(scene.parents[node], ast.Expr):
        return
    if isinstance(node.func, ast.Name) and len(node.args) == 1 and not node.keywords:
        if not isinstance(node.args[0], ast.Starred | ast.GeneratorExp):
            text = scene.source(node.args[0])
            yield (scene.replace(node, f"({text})"),), f"no `{node.func.id}()` around `{text}`"
    elif isinstance(node.func, ast.Attribute) and not node.args and not node.keywords:
        text = scene.source(node.func.value)
        yield (scene.replace(node, text),), f"no `.{node.func.attr}()` on `{text}`"


def missing_argument(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """The last argument of a call is left out."""
    if isinstance(node, ast.Call) and len(node.args) + len(node.keywords) >= 2:
        parts = sorted([*node.args, *(k.value for k in node.keywords)], key=scene.span)
        start, end = scene.span(parts[-2])[1], scene.span(parts[-1])[1]
        if "#" not in scene.text[start:end]:
            yield (Splice(start, end, ""),), f"argument `{scene.source(parts[-1])}` left out"


def lost_delegation(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """`yield` for `yield from`, or a generator's value that is computed and not yielded."""
    if isinstance(node, ast.YieldFrom):
        yield (scene.replace(node, f"yield {scene.source(node.value)}"),), "`from` left out"
