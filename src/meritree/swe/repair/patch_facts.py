"""What a patch does to the code, read off the syntax trees before and after.

Counts nodes; judges nothing and knows neither tests nor templates.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_EXITS = (ast.Return, ast.Raise, ast.Break, ast.Continue)


@dataclass(frozen=True, slots=True)
class PatchFacts:
    """Differences between two versions of some files.

    Attributes:
        distance: syntax nodes (with their own content) removed plus added.
        removed_share: max(0, removed - added) / max(removed, added), in [0, 1].
        exits_added: more return, raise, break and continue statements than before.
        statements_removed: fewer statements than before.
        literal_returned: a constant is returned that was not returned there before.
        new_literals: source of constants that the changed code has and did not have.
        constant_condition: a condition is now a constant, or has a constant clause.
        attribute_dropped: fewer attribute accesses, and nothing else was added.
        call_dropped: fewer calls, and no attribute or call was added.
        swallowed: more exception types are caught.
        oddities: more expressions that nobody means, such as `x < x` (see `is_odd`); negative
            where there are fewer.
    """

    distance: int = 0
    removed_share: float = 0.0
    exits_added: int = 0
    statements_removed: int = 0
    literal_returned: bool = False
    new_literals: frozenset[str] = frozenset()
    constant_condition: bool = False
    attribute_dropped: bool = False
    call_dropped: bool = False
    swallowed: bool = False
    oddities: int = 0


def patch_facts(before: Mapping[str, str], after: Mapping[str, str]) -> PatchFacts:
    """Facts about the change from ``before`` to ``after`` (texts by path).

    Files that do not parse or did not change are left out; Python files only.
    """
    old: Counter[str] = Counter()
    new: Counter[str] = Counter()
    for path, text in after.items():
        was = before.get(path, "")
        if was != text and path.endswith((".py", ".pyi")):
            old.update(_content(was))
            new.update(_content(text))
    return _facts(old - new, new - old)


def _facts(removed: Counter[str], added: Counter[str]) -> PatchFacts:
    gone, came = _sum(removed, "node"), _sum(added, "node")
    attributes = _balance(removed, added, "node Attribute")
    calls = _balance(removed, added, "node Call")
    return PatchFacts(
        distance=gone + came,
        removed_share=max(0, gone - came) / max(1, gone, came),
        exits_added=max(0, -_balance(removed, added, "exit")),
        statements_removed=max(0, _balance(removed, added, "statement")),
        literal_returned=_sum(added, "return literal") > 0,
        new_literals=frozenset(key[8:] for key in added if key.startswith("literal ")),
        constant_condition=_sum(added, "constant condition") > 0,
        attribute_dropped=attributes > 0 and came <= gone and calls <= 0,
        call_dropped=calls > 0 and -attributes <= 0,
        swallowed=_sum(added, "caught") > _sum(removed, "caught"),
        oddities=-_balance(removed, added, "odd"),
    )


def _sum(counts: Counter[str], prefix: str) -> int:
    return sum(n for key, n in counts.items() if key == prefix or key.startswith(prefix + " "))


def _balance(removed: Counter[str], added: Counter[str], prefix: str) -> int:
    return _sum(removed, prefix) - _sum(added, prefix)


def _content(text: str) -> Iterator[str]:
    """Every node as a key that says what it is, and the facts that we look for."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # ValueError: null bytes
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.expr_context | ast.Load):
            continue
        yield f"node {type(node).__name__} {_own(node)}"
        yield from _marks(node)


def _own(node: ast.AST) -> str:
    """The node's own content, without its children."""
    return ",".join(
        str(value)
        for name, value in ast.iter_fields(node)
        if isinstance(value, str | int | float | bytes | complex) and name != "kind"
    )


def _marks(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.stmt):
        yield "statement"
    if isinstance(node, _EXITS):
        yield "exit"
    if isinstance(node, ast.Constant):
        yield f"literal {node.value!r}"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        yield f"literal {ast.unparse(node)}"
    if isinstance(node, ast.Return) and node.value is not None and _constant(node.value):
        yield f"return literal {ast.unparse(node.value)}"
    if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
        yield from _conditions(node.test)
    if isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield from _conditions(test)
    for _ in range(is_odd(node)):
        yield "odd"
    if isinstance(node, ast.ExceptHandler):
        for name in _caught(node):
            yield f"caught {name}"


def is_odd(node: ast.AST) -> bool:
    """Whether an expression or statement is one that nobody means.

    Something compared with itself, taken from itself or given to itself; a clause twice; two
    constants compared; a constant on the left of a comparison or of a remainder; and what does
    nothing: 0 added, times 1, `or False`, `and True`, a choice between equals, `not not`.
    """
    return _does_nothing(node) or _is_strange(node)


def _does_nothing(node: ast.AST) -> bool:
    match node:
        case ast.AugAssign(op=op, value=right) | ast.BinOp(op=op, right=right):
            left = getattr(node, "left", None)  # an augmented target is no constant
            added = isinstance(op, ast.Add) and (_is(left, 0) or _is(right, 0))
            taken = isinstance(op, ast.Sub) and _is(right, 0)
            times = isinstance(op, ast.Mult) and (_is(left, 1) or _is(right, 1))
            return added or taken or times or (isinstance(op, ast.Div | ast.Pow) and _is(right, 1))
        case ast.BoolOp(op=op, values=values):
            idle = isinstance(op, ast.And)
            return any(isinstance(v, ast.Constant) and v.value is idle for v in values)
        case ast.IfExp(body=body, orelse=orelse):
            return _same(body, orelse)
        case ast.UnaryOp(op=ast.Not(), operand=ast.UnaryOp(op=ast.Not())):
            return True
    return False


def _is(node: ast.expr | None, number: int) -> bool:
    return isinstance(node, ast.Constant) and node.value == number


def _is_strange(node: ast.AST) -> bool:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return (isinstance(left, ast.Constant) and not isinstance(op, ast.In | ast.NotIn)) or (
                not isinstance(left, ast.Call) and _same(left, right)
            )
        case ast.BoolOp(values=values):
            return len({ast.dump(value) for value in values}) < len(values)
        case ast.Assign(targets=[target], value=value):
            return ast.unparse(target) == ast.unparse(value)
        case ast.BinOp(left=left, op=ast.Mod() | ast.FloorDiv(), right=right):
            return _same(left, right) or (isinstance(left, ast.Constant) and _whole(left))
        case ast.BinOp(left=left, op=ast.Sub() | ast.Div() | ast.BitXor(), right=right):
            return _same(left, right)
        case ast.Call(func=ast.Attribute(value=owner), args=[only]):
            return _same(owner, only)
        case ast.UnaryOp(op=ast.USub(), operand=ast.UnaryOp()):
            return True
    return False


def _same(one: ast.expr, other: ast.expr) -> bool:
    return ast.dump(one) == ast.dump(other)


def _whole(constant: ast.Constant) -> bool:
    return isinstance(constant.value, int)


def _conditions(test: ast.expr) -> Iterator[str]:
    clauses = test.values if isinstance(test, ast.BoolOp) else [test]
    for clause in clauses:
        if _constant(clause):
            yield f"constant condition {ast.unparse(clause)}"


def _constant(node: ast.expr) -> bool:
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return not node.elts
    if isinstance(node, ast.Dict):
        return not node.keys
    if isinstance(node, ast.UnaryOp):
        return _constant(node.operand)
    return isinstance(node, ast.Constant)


def _caught(handler: ast.ExceptHandler) -> tuple[str, ...]:
    kind = handler.type
    if kind is None:
        return ("BaseException",)
    parts = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return tuple(ast.unparse(part) for part in parts)
