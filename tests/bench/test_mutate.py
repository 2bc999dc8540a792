"""Fault injection: each kind makes the slip it is named for, and every fault is a program."""

from __future__ import annotations

import ast
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.bench.mutate import Mutation, apply, draw, draw_pair, is_other_program, mutations
from meritree.bench.mutation_kinds import KINDS
from meritree.errors import BadInput
from meritree.swe.edits import apply_splices

# kind -> (original, one faulty text that it must offer)
SLIPS = {
    "comparison_boundary": ("def f(a, b):\n    return a < b\n", "return a <= b"),
    "comparison_reversed": ("def f(a, b):\n    return a not in b\n", "return a in b"),
    "boolean_connective": ("def f(a, b):\n    return a and b\n", "return a or b"),
    "arithmetic_operator": ("def f(a, b):\n    return a // b\n", "return a / b"),
    "off_by_one": ("def f(a):\n    return range(len(a))\n", "return range(len(a) - 1)"),
    "wrong_variable": ("def f(a, b):\n    return a\n", "return b"),
    "wrong_target": ("def f(a):\n    b = a\n    return b\n", "    a = a\n"),
    "wrong_member": ("def f(a):\n    return a.find('x')\n", "return a.index('x')"),
    "swapped_arguments": ("def f(a, b):\n    return g(a, b)\n", "return g(b, a)"),
    "swapped_operands": ("def f(a, b):\n    return a - b\n", "return b - a"),
    "negation": ("def f(a):\n    return not a\n", "return (a)"),
    "condition_part": ("def f(a, b):\n    return a and b\n", "return (b)"),
    "missing_guard": (
        "def f(a):\n    if not a:\n        return 0\n    return a\n",
        "f(a):\n    return",
    ),
    "missing_branch": (
        "def f(a):\n    if a:\n        g()\n    else:\n        h()\n",
        "    if a:\n        g()\n",
    ),
    "missing_statement": ("def f(a):\n    a += 1\n    return a\n", "f(a):\n    return a"),
    "wrong_default": ("def f(a=None):\n    return a\n", "def f(a=0)"),
    "wrong_constant": ("def f():\n    return 'abc'\n", "return 'ab'"),
    "partial_return": ("def f(a, b):\n    return a, b\n", "return b, a"),
    "slice_bound": ("def f(a):\n    return a[1:]\n", "return a[:]"),
    "exception_type": ("def f():\n    raise KeyError('x')\n", "raise IndexError('x')"),
    "loop_control": ("def f(a):\n    for x in a:\n        break\n", "        continue"),
    "return_in_loop": (
        "def f(a):\n    for x in a:\n        g(x)\n    return a\n",
        "        g(x)\n        return a\n",
    ),
    "initial_value": ("def f():\n    n = 0\n    return n\n", "n = None"),
    "missing_call": ("def f(a):\n    return list(a)\n", "return (a)"),
    "missing_argument": ("def f(a):\n    return g(a, key=len)\n", "return g(a)"),
    "accumulation": ("def f(a):\n    a += 1\n    return a\n", "    a = 1\n"),
    "statement_order": ("def f(a):\n    a.x()\n    a.y()\n", "    a.y()\n    a.x()\n"),
    "copied_branch": (
        "def f(a):\n    if a:\n        return 1\n    else:\n        return 2\n",
        "    else:\n        return 1\n",
    ),
    "lost_delegation": ("def f(a):\n    yield from a\n", "    yield a\n"),
}
SAMPLE = '''"""Words."""


def longest(words, limit=3, *, keep=None):
    """Größe: the longest words."""
    best, count = [], 0
    if not words:
        return best
    for word in sorted(words, key=len):  # é
        if len(word) > limit and word != "ä":
            best.append(word.strip())
            count += 1
        elif keep:
            continue
    return best[1:], count - limit
'''


def texts_of(kind: str, text: str) -> list[str]:
    found = [m for m in mutations(text, "m.py") if m.kind == kind]
    return [apply_splices(text, m.splices) for m in found]


def test_there_is_an_example_of_every_kind() -> None:
    assert SLIPS.keys() == KINDS.keys()
    assert len(KINDS) >= 12


@pytest.mark.parametrize("kind", sorted(SLIPS))
def test_each_kind_makes_the_slip_it_is_named_for(kind: str) -> None:
    text, faulty = SLIPS[kind]
    assert any(faulty in mutant for mutant in texts_of(kind, text)), texts_of(kind, text)


def test_every_mutation_of_a_text_with_umlauts_is_a_different_program_or_refused() -> None:
    pool = mutations(SAMPLE, "m.py")
    assert len({m.kind for m in pool}) >= 15
    changed = [apply({"m.py": SAMPLE}, [m]) for m in pool]
    kept = [c["m.py"] for c in changed if c is not None]
    assert len(kept) > 0.9 * len(pool)
    for text in kept:
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(SAMPLE))


def test_docstrings_and_annotations_are_left_alone() -> None:
    text = 'def f(a: "int" = 1) -> "str":\n    """Longer text."""\n    return a\n'
    for mutation in mutations(text, "m.py"):
        mutant = apply_splices(text, mutation.splices)
        assert '"""Longer text."""' in mutant
        assert 'a: "int"' in mutant
        assert '-> "str"' in mutant


def test_only_covered_lines_are_touched() -> None:
    text = "def f(a):\n    return a + 1\n\n\ndef g(a):\n    return a + 2\n"
    pool = mutations(text, "m.py", {6})
    assert pool
    assert {m.function for m in pool} == {"g"}
    assert mutations(text, "m.py", set()) == ()


def test_functions_have_dotted_names_and_inner_ones_count_to_the_outer() -> None:
    text = (
        "class A:\n    def f(self):\n        def g():\n            return 1 < 2\n        return g\n"
    )
    assert {m.function for m in mutations(text, "m.py") if m.kind == "comparison_boundary"} == {
        "A.f"
    }


def test_a_text_that_does_not_parse_is_refused_by_name_and_line() -> None:
    with pytest.raises(BadInput, match=r"bad\.py.*line 2"):
        mutations("x = 1\nif:\n", "bad.py")


def test_layout_is_no_other_program_and_neither_is_a_syntax_error() -> None:
    assert not is_other_program("x = 1\n", "x  =  1  # same\n")
    assert not is_other_program("x = 1\n", "x = = 1\n")
    assert not is_other_program("x = 1\n", "return 1\n")
    assert is_other_program("x = 1\n", "x = 2\n")


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_pair_lies_on_two_lines_and_both_slips_survive(seed: int) -> None:
    pool = mutations(SAMPLE, "m.py")
    pair = draw_pair(Random(seed), pool)
    if pair is None:
        return
    first, second = pair
    assert first.line != second.line
    changed = apply({"m.py": SAMPLE}, pair)
    if changed is not None:
        for alone in pair:
            single = apply({"m.py": SAMPLE}, [alone])
            assert single is None or single != changed


def test_a_draw_is_the_same_for_the_same_seed_and_never_a_used_one() -> None:
    pool = mutations(SAMPLE, "m.py")
    assert draw(Random(3), pool) == draw(Random(3), pool)
    used: list[Mutation] = []
    while (mutation := draw(Random(len(used)), pool, used)) is not None:
        assert mutation not in used
        used.append(mutation)
        if len(used) == len(pool):
            break
    assert len(used) == len(pool)
    assert draw(Random(1), pool, used) is None


def test_rare_kinds_are_drawn_as_often_as_frequent_ones() -> None:
    text = "def f(a, b, c, d):\n    return a < b\n"
    pool = [m for m in mutations(text, "m.py") if m.kind != "partial_return"]
    rng = Random(0)
    drawn = [draw(rng, pool) for _ in range(600)]
    kinds = {m.kind for m in pool}
    share = sum(m is not None and m.kind == "comparison_boundary" for m in drawn) / 600
    assert share == pytest.approx(1 / len(kinds), abs=0.07)
