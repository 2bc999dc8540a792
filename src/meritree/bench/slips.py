"""Tables and small parts shared by the kinds of slips."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from meritree.bench.scene import Scene
from meritree.swe.edits import Splice

Change = tuple[tuple[Splice, ...], str]
Kind = Callable[[Scene, ast.AST], Iterator[Change]]

SYMBOL: dict[type[ast.AST], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
}
BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
REVERSED = {
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
    "==": "!=",
    "!=": "==",
    "in": "not in",
    "not in": "in",
    "is": "is not",
    "is not": "is",
}
ARITHMETIC = {
    "+": "-",
    "-": "+",
    "*": "+",
    "/": "//",
    "//": "/",
    "%": "//",
    "**": "*",
    "&": "|",
    "|": "&",
    "^": "|",
    "<<": ">>",
    ">>": "<<",
}
CONFUSED = (
    ("append", "extend"),
    ("append", "insert"),
    ("pop", "popleft"),
    ("append", "appendleft"),
    ("find", "index"),
    ("find", "rfind"),
    ("split", "rsplit"),
    ("partition", "rpartition"),
    ("strip", "lstrip"),
    ("strip", "rstrip"),
    ("lower", "upper"),
    ("startswith", "endswith"),
    ("keys", "values"),
    ("values", "items"),
    ("update", "setdefault"),
    ("add", "discard"),
    ("match", "search"),
    ("union", "intersection"),
    ("get", "pop"),
    ("any", "all"),
    ("min", "max"),
    ("floor", "ceil"),
    ("isdigit", "isalpha"),
    ("isinstance", "issubclass"),
    ("sorted", "reversed"),
    ("list", "set"),
    ("int", "float"),
    ("repr", "str"),
)
EXCEPTIONS = {
    "KeyError": "IndexError",
    "IndexError": "KeyError",
    "ValueError": "TypeError",
    "TypeError": "ValueError",
    "AttributeError": "KeyError",
    "StopIteration": "IndexError",
    "OSError": "ValueError",
    "Exception": "ValueError",
    "UnicodeDecodeError": "UnicodeEncodeError",
    "UnicodeEncodeError": "UnicodeDecodeError",
}


def swapped(scene: Scene, left: ast.expr, right: ast.expr) -> tuple[Splice, ...]:
    return scene.replace(left, scene.source(right)), scene.replace(right, scene.source(left))


def other_values(node: ast.expr) -> tuple[str, ...]:
    if not isinstance(node, ast.Constant):
        return ()
    if isinstance(node.value, bool):
        return (str(not node.value),)
    if node.value is None:
        return ("0", "False", "''")
    if isinstance(node.value, int):
        return (str(node.value + 1), "None")
    if isinstance(node.value, str):
        return ("None", "' '") if node.value == "" else ("''",)
    return ()
