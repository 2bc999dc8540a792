"""Text of expressions: precedence, operators, and equality of trees under replacement."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.swe.repair.ast_text import (
    ATOM,
    block,
    expression,
    find_operator,
    fit,
    literal,
    parenthesised,
    precedence,
    required,
    same,
)

EXPRESSIONS = ["a", "a + b", "a * b", "-a", "a ** b", "not a", "a or b", "a and b", "a < b"]
EXPRESSIONS += ["a if b else c", "lambda: a", "a | b", "a << b", "f(a)", "a.b", "a[0]", "(a, b)"]


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(EXPRESSIONS), st.booleans())
def test_parentheses_are_given_where_the_grammar_needs_them(
    outer: str, inner: str, right: bool
) -> None:
    tree = expression(outer)
    part = expression(inner)
    assert tree is not None
    assert part is not None
    if not isinstance(tree, ast.BinOp):
        return
    field = "right" if right else "left"
    text = fit(inner, part, required(tree, field))
    other = ast.unparse(tree.left if right else tree.right)
    operator = outer.split()[1]
    whole = expression(f"{other} {operator} {text}" if right else f"{text} {operator} {other}")
    assert whole is not None
    assert same(getattr(whole, field), part, {})


@pytest.mark.parametrize(
    ("gap", "operator", "found"),
    [
        (" < ", "<", (1, 2)),
        (" # < \n <= ", "<=", (7, 9)),
        (") not  in (", "not in", (2, 9)),
        ("**", "*", None),
        (" is ", "is not", None),
    ],
)
def test_operators_are_found_outside_of_comments(
    gap: str, operator: str, found: tuple[int, int] | None
) -> None:
    assert find_operator(gap, operator) == found


def test_trees_are_the_same_whatever_their_positions() -> None:
    left, right = block("x = ( 1+2 )\n"), block("x = 1 + 2\n")
    assert same(left, right, {})
    assert not same(left, block("x = 1 + 2.0\n"), {})
    assert not same(block("x = 1\n"), block("x = True\n"), {})


def test_replaced_statements_compare_as_their_replacements() -> None:
    old, new = block("a()\nb()\n"), block("b()\na()\n")
    assert old is not None
    assert new is not None
    assert not same(old, new, {})
    assert same(old, new, {old[0]: [old[1]], old[1]: [old[0]]})
    assert same(old, block("b()\n"), {old[0]: []})


def test_only_one_enclosing_pair_counts_as_parenthesised() -> None:
    assert parenthesised("(a, b)")
    assert not parenthesised("(a), (b)")
    assert not parenthesised("a")


@given(st.text(max_size=12), st.sampled_from(["'", '"']))
def test_literals_evaluate_to_their_value(value: str, quote: str) -> None:
    assert ast.literal_eval(literal(value, quote)) == value


def test_atoms_bind_strongest() -> None:
    tree = expression("f(a).b[0]")
    assert tree is not None
    assert precedence(tree) == ATOM
    assert expression("a +") is None
    assert block("if x:\n") is None
