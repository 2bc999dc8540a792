"""What variables of a function are used as: containers, numbers; read off the syntax alone.

A wrong name is mostly a name of the same kind. No types are inferred, nothing is run.
"""

from __future__ import annotations

import ast

from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.templates.scope import Scope

CONTAINER, NUMBER = "container", "number"
LIKE, UNKNOWN, UNLIKE, LATER = 1.0, 0.7, 0.35, 0.2
_TAKES_CONTAINER = frozenset(
    {"all", "any", "dict", "enumerate", "iter", "len", "list", "max", "min", "reversed", "set"}
    | {"sorted", "sum", "tuple", "zip"}
)
_MAKES_CONTAINER = (
    ast.List,
    ast.ListComp,
    ast.Dict,
    ast.DictComp,
    ast.Set,
    ast.SetComp,
    ast.Tuple,
)
_OF_CONTAINERS = frozenset(
    {"add", "append", "appendleft", "extend", "get", "insert", "items", "join", "keys", "pop"}
    | {"popleft", "remove", "setdefault", "sort", "split", "startswith", "strip", "update"}
    | {"values", "isalpha", "isdigit", "lower", "upper", "index", "count", "find"}
)
_MADE_BY = {
    **dict.fromkeys(("set", "list", "dict", "deque", "tuple", "sorted", "Counter"), CONTAINER),
    "len": NUMBER,
}
_ORDERING = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def likeness(source: SourceFile, scope: Scope, node: ast.Name, name: str) -> float:
    """How well variable ``name`` fits where ``node`` stands, in (0, 1].

    `LIKE` if it is used as what stands there, `UNLIKE` if only as something else, `UNKNOWN` if
    one of the two is not known, `LATER` if the loop over ``node`` is what binds it.
    """
    loop = source.parent(node)
    while isinstance(loop, ast.Call):  # enumerate(node), range(len(node))
        loop = source.parent(loop)
    if isinstance(loop, ast.For | ast.AsyncFor) and not _inside(loop.target, node):
        targets = {each.id for each in ast.walk(loop.target) if isinstance(each, ast.Name)}
        if name in targets:
            return LATER
    roles = roles_of(scope)
    wanted = _role(source, node)
    own = {wanted} if wanted else roles.get(node.id, set())
    other = roles.get(name, set())
    if not own or not other:
        return UNKNOWN
    return LIKE if own & other else UNLIKE


_COUNTS = frozenset({"abs", "divmod", "int", "len", "max", "min", "ord", "pow", "round", "sum"})
_NO_NUMBER = frozenset(
    {"all", "any", "bytes", "chr", "dict", "enumerate", "isinstance", "iter", "list", "range"}
    | {"repr", "reversed", "set", "sorted", "str", "tuple", "zip"}
)


def kind(source: SourceFile, scope: Scope, node: ast.expr) -> str:
    """`NUMBER` or `CONTAINER` where the syntax leaves little doubt, else empty."""
    if isinstance(node, ast.Name):
        roles = roles_of(scope).get(node.id, set())
        return next(iter(roles)) if len(roles) == 1 else ""
    if isinstance(node, ast.Constant):
        return NUMBER if type(node.value) in (int, float) else ""
    if isinstance(node, ast.BinOp):
        sides = {kind(source, scope, node.left), kind(source, scope, node.right)}
        if CONTAINER in sides:
            return CONTAINER
        return NUMBER if NUMBER in sides and not isinstance(node.op, ast.Add) else ""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = node.func.id
        return NUMBER if name in _COUNTS else CONTAINER if name in _NO_NUMBER else ""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        return CONTAINER
    return CONTAINER if isinstance(node, (*_MAKES_CONTAINER, ast.JoinedStr)) else ""


def fits(
    source: SourceFile, scope: Scope, node: ast.expr, wanted: str, other: float = 0.1
) -> float:
    """1 where an expression may be ``wanted`` (a kind), ``other`` where it is the other one."""
    found = kind(source, scope, node)
    return other if found and found != wanted else 1.0


def alike(scope: Scope, first: str, second: str, other: float = 0.3) -> float:
    """1 where two variables may be of one kind, ``other`` where they are not."""
    one, two = roles_of(scope).get(first, set()), roles_of(scope).get(second, set())
    return 1.0 if not one or not two or one & two else other


def countability(source: SourceFile, scope: Scope, node: ast.expr) -> float:
    """How likely an expression is a number, in (0, 1], as far as the syntax tells."""
    if isinstance(node, ast.Name):
        roles = roles_of(scope).get(node.id, set())
        return 1.0 if NUMBER in roles else 0.7 if not roles else 0.1
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = node.func.id
        return 1.0 if name in _COUNTS else 0.05 if name in _NO_NUMBER else 0.7
    if isinstance(node, ast.Subscript):
        return 0.1 if isinstance(node.slice, ast.Slice) else 0.8
    return 0.8 if isinstance(node, ast.BinOp) else 0.6


def roles_of(scope: Scope) -> dict[str, set[str]]:
    """Roles of every name of a function, remembered with its file."""
    source = scope.source
    key = ("roles", scope.owner)
    known = source.memo.get(key)
    if isinstance(known, dict):
        return known
    roles: dict[str, set[str]] = {}
    for node in scope.nodes:
        if isinstance(node, ast.Name):
            role = _role(source, node)
            if role:
                roles.setdefault(node.id, set()).add(role)
        elif isinstance(node, ast.For | ast.comprehension):
            for name in _counters(node):
                roles.setdefault(name, set()).add(NUMBER)
        elif isinstance(node, ast.Assign):
            made = _made(node.value)
            for target in node.targets if made else ():
                if isinstance(target, ast.Name):
                    roles.setdefault(target.id, set()).add(made)
    source.memo[key] = roles
    return roles


def _counters(loop: ast.For | ast.comprehension) -> list[str]:
    """Names that a loop makes numbers: over ``range``, or the first ones of ``enumerate``."""
    source, target = loop.iter, loop.target
    if not (isinstance(source, ast.Call) and isinstance(source.func, ast.Name)):
        return []
    if source.func.id == "enumerate" and isinstance(target, ast.Tuple):
        target = target.elts[0]
    elif source.func.id != "range":
        return []
    return [target.id] if isinstance(target, ast.Name) else []


def kinds_made(scope: Scope) -> dict[str, str]:
    """Variables to which the function assigns a new set, list or other container, by its class."""
    found: dict[str, str] = {}
    for node in scope.nodes:
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1):
            continue
        target, value = node.targets[0], node.value
        kind = ""
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            kind = value.func.id
        elif isinstance(value, ast.List | ast.ListComp):
            kind = "list"
        elif isinstance(value, ast.Set | ast.SetComp):
            kind = "set"
        if isinstance(target, ast.Name) and kind in ("list", "set", "deque", "Counter"):
            found.setdefault(target.id, kind)
    return found


def _made(value: ast.expr) -> str:
    if isinstance(value, _MAKES_CONTAINER):
        return CONTAINER
    if isinstance(value, ast.BinOp) and isinstance(value.left, _MAKES_CONTAINER):
        return CONTAINER
    if isinstance(value, ast.Constant) and type(value.value) in (int, float):
        return NUMBER
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return _MADE_BY.get(value.func.id, "")
    return ""


def _role(source: SourceFile, node: ast.Name) -> str:
    """What the syntax around a name takes it for; empty when it says nothing."""
    parent, field = source.link(node).parent, source.link(node).field
    if isinstance(parent, ast.For | ast.AsyncFor | ast.comprehension):
        return CONTAINER if field == "iter" else ""
    if isinstance(parent, ast.Subscript):
        return CONTAINER if field == "value" else ""  # an index or a key
    if isinstance(parent, ast.Slice):
        return NUMBER
    if isinstance(parent, ast.Attribute):
        return CONTAINER if parent.attr in _OF_CONTAINERS else ""
    if isinstance(parent, ast.Call):
        function = parent.func
        if field == "args" and isinstance(function, ast.Name):
            if function.id in _TAKES_CONTAINER and len(parent.args) == 1:
                return CONTAINER
            return NUMBER if function.id == "range" else ""
        return ""
    if isinstance(parent, ast.Compare):
        if field == "comparators" and isinstance(parent.ops[0], ast.In | ast.NotIn):
            return CONTAINER
        return NUMBER if isinstance(parent.ops[0], _ORDERING) else ""
    if isinstance(parent, ast.AugAssign) and field == "target":
        value = parent.value
        return NUMBER if isinstance(value, ast.Constant) and type(value.value) is int else ""
    if isinstance(parent, ast.BinOp):
        listed = isinstance(parent.left, _MAKES_CONTAINER) and isinstance(parent.op, ast.Add)
        return CONTAINER if listed else NUMBER
    return NUMBER if isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.USub) else ""


def _inside(root: ast.AST, node: ast.AST) -> bool:
    return any(each is node for each in ast.walk(root))
