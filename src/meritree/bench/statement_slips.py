"""Slips of whole statements: something left out, misplaced, copied, or ended wrongly.

What programmers get wrong, without regard to what any repair policy can undo.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from meritree.bench.scene import Function, Scene
from meritree.bench.slips import ARITHMETIC, EXCEPTIONS, SYMBOL, Change, other_values, swapped
from meritree.swe.edits import Splice


def missing_guard(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A special case that ends early is not handled at all."""
    if isinstance(node, ast.If) and not node.orelse and len(node.body) <= 2:
        leaves = isinstance(node.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)
        if leaves and (splice := scene.delete(node)):
            yield (splice,), f"no case for `{scene.source(node.test)}`"


def missing_branch(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """The `else` (or `elif`) of a condition, or its condition, is left out."""
    if isinstance(node, ast.If) and node.orelse:
        if isinstance(node.orelse[0], ast.If) and not node.orelse[0].orelse:
            start, end = scene.span(node.orelse[0])
        else:
            start, end = scene.span(node.body[-1])[1], scene.span(node.orelse[-1])[1]
            yield (Splice(start, end, ""),), "the `else` is left out"
            return
        first, last = scene.line_bounds(start, end)
        yield (Splice(first, last, ""),), "the `elif` is left out"


def missing_statement(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A statement is left out."""
    kinds = (ast.Assign, ast.AugAssign, ast.Expr)
    if not (isinstance(node, kinds) and scene.is_simple(node) and scene.function(node)):
        return
    if splice := scene.delete(node):
        yield (splice,), f"`{scene.source(node).splitlines()[0]}` is left out"


def wrong_default(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A parameter's default is not what callers rely on."""
    if isinstance(node, Function):
        for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d)):
            for new in other_values(default):
                yield (scene.replace(default, new),), f"default {scene.source(default)} -> {new}"


def partial_return(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A function returns only part of its result, or parts in the wrong order."""
    if not isinstance(node, ast.Return) or node.value is None:
        return
    value = node.value
    if isinstance(value, ast.Tuple) and len(value.elts) == 2:
        yield swapped(scene, value.elts[0], value.elts[1]), "returned values change places"
    elif isinstance(value, ast.BinOp):
        for side in (value.left, value.right):
            yield (scene.replace(value, scene.source(side)),), "returns one side only"
    elif isinstance(value, ast.IfExp):
        yield (scene.replace(value, scene.source(value.body)),), "returns one case only"
    elif not isinstance(value, ast.Constant):
        start, end = scene.span(value)
        yield (Splice(start, end, "None"),), "the result is not returned"


def exception_type(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """The wrong exception is caught or raised."""
    named: list[ast.expr] = []
    if isinstance(node, ast.ExceptHandler) and node.type is not None:
        if isinstance(node.type, ast.Tuple) and len(node.type.elts) > 1:
            text = scene.source(node.type.elts[0])
            yield (scene.replace(node.type, text),), f"only `{text}` is caught"
        named.append(node.type)
    elif isinstance(node, ast.Raise) and node.exc is not None:
        named.append(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
    for name in named:
        if isinstance(name, ast.Name) and name.id in EXCEPTIONS:
            new = EXCEPTIONS[name.id]
            yield (scene.replace(name, new),), f"`{new}` in place of `{name.id}`"


def loop_control(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A loop goes on where it should end, ends where it should go on, or does neither."""
    if isinstance(node, ast.Break):
        yield (scene.replace(node, "continue"),), "`break` written as `continue`"
        yield (scene.replace(node, "pass"),), "`break` left out"
    elif isinstance(node, ast.Continue):
        yield (scene.replace(node, "break"),), "`continue` written as `break`"


def return_in_loop(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """The `return` behind a loop is indented into it, so the loop ends after one round."""
    if isinstance(node, ast.Return):
        block = scene.siblings(node)
        at = block.index(node)
        if at and isinstance(block[at - 1], ast.For) and not getattr(block[at - 1], "orelse", []):
            loop = block[at - 1]
            assert isinstance(loop, ast.For)
            column = loop.body[0].col_offset
            start, end = scene.span(node)
            first, _ = scene.line_bounds(start, end)
            if not scene.text[first:start].strip() and node.lineno == node.end_lineno:
                yield (Splice(first, start, " " * column),), "`return` indented into the loop"


def initial_value(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A variable starts from the wrong value."""
    if not isinstance(node, ast.Assign) or scene.function(node) is None:
        return
    if isinstance(node.value, ast.Constant) and isinstance(node.targets[0], ast.Name):
        for new in other_values(node.value):
            yield (scene.replace(node.value, new),), f"starts from {new}"


def accumulation(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """A running value is overwritten, or grows the wrong way."""
    if isinstance(node, ast.AugAssign):
        old = SYMBOL.get(type(node.op), "")
        for new in ("", ARITHMETIC.get(old)):
            if old and new is not None:
                splice = scene.between(node.target, node.value, f"{old}=", f"{new}=")
                if splice:
                    yield (splice,), f"`{old}=` written as `{new}=`"


def statement_order(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """Two neighbouring statements in the wrong order."""
    if isinstance(node, ast.stmt) and scene.is_simple(node) and scene.function(node):
        block = scene.siblings(node)
        at = block.index(node)
        if at + 1 < len(block) and scene.is_simple(block[at + 1]):
            after = block[at + 1]
            splices = (
                scene.replace(node, scene.source(after)),
                scene.replace(after, scene.source(node)),
            )
            yield splices, "two statements change places"


def copied_branch(scene: Scene, node: ast.AST) -> Iterator[Change]:
    """The `else` repeats the other branch: copied and not adapted."""
    if isinstance(node, ast.If) and len(node.body) == 1 and len(node.orelse) == 1:
        one, other = node.body[0], node.orelse[0]
        if scene.is_simple(one) and scene.is_simple(other):
            yield (scene.replace(other, scene.source(one)),), "`else` repeats the first branch"
            yield (scene.replace(one, scene.source(other)),), "`if` repeats the second branch"
