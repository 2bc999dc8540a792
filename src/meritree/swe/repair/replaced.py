"""The syntax tree of a text from that of another one that differs in one function only.

Parsing a long file again for every state of it would cost more than running its tests. Knows
syntax trees and offsets; nothing about edits.
"""

from __future__ import annotations

import ast
import copy
from bisect import bisect_right
from typing import Protocol

from meritree.swe.harness.wire import common_prefix, common_suffix

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Parsed(Protocol):
    """A parsed text and its lines (1-based)."""

    text: str
    tree: ast.Module

    def line_at(self, offset: int) -> int: ...

    def line_start(self, line: int) -> int: ...

    def indent(self, statement: ast.stmt) -> str: ...

    @staticmethod
    def first_line(statement: ast.stmt) -> int: ...


def with_one_function_replaced(near: Parsed, text: str) -> ast.Module | None:
    """The tree of ``text``, sharing the nodes of ``near`` outside the function that differs.

    None unless the texts differ inside one function of a module or class, have as many lines,
    and the function is still one function.
    """
    old = near.text
    start = common_prefix(old, text)
    tail = min(common_suffix(old, text), min(len(old), len(text)) - start)
    chain = _around(near, near.line_at(start), near.line_at(len(old) - tail))
    if not chain:
        return None
    function = chain[-1]
    first, after = near.first_line(function), near.line_start((function.end_lineno or 0) + 1)
    begin = near.line_start(first)
    segment = text[begin : after + len(text) - len(old)]
    if _newlines(segment) != _newlines(old[begin:after]):
        return None
    headers = "".join(f"{near.indent(each)}class {each.name}:\n" for each in chain[:-1])
    try:
        body = ast.parse("\n" * (first - len(chain)) + headers + segment).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for _ in chain[:-1]:
        holder = body[0]
        if len(body) != 1 or not isinstance(holder, ast.ClassDef):
            return None
        body = holder.body
    if len(body) != 1 or type(body[0]) is not type(function):
        return None
    return _spliced(near.tree, chain, body[0])


def common_length(a: str, b: str) -> int:
    """How many characters two texts share at the beginning and the end."""
    return common_prefix(a, b) + common_suffix(a, b)


def _around(near: Parsed, first: int, last: int) -> list[Definition]:
    """Classes and the function that hold both lines, outermost first; empty if there are none."""
    chain: list[Definition] = []
    body = near.tree.body
    while True:
        at = bisect_right([near.first_line(each) for each in body], first) - 1
        node = body[at] if at >= 0 else None
        if not isinstance(node, Definition) or (node.end_lineno or 0) < last:
            return []
        chain.append(node)
        if not isinstance(node, ast.ClassDef):
            return chain
        body = node.body


def _spliced(tree: ast.Module, chain: list[Definition], function: ast.stmt) -> ast.Module:
    """``tree`` with the last node of ``chain`` replaced; shares everything else."""
    old: ast.stmt = chain[-1]
    new = function
    for holder in reversed(chain[:-1]):
        copied = copy.copy(holder)
        assert isinstance(copied, ast.ClassDef)
        copied.body = [new if each is old else each for each in holder.body]
        if holder.body[-1] is old:
            copied.end_lineno, copied.end_col_offset = new.end_lineno, new.end_col_offset
        old, new = holder, copied
    return ast.Module([new if each is old else each for each in tree.body], tree.type_ignores)


def _newlines(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")
