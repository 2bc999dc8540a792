"""Edits respect layout: tabs, CRLF, one-line suites, comments, strings, non-ASCII text."""
# ruff: noqa: E501 - one example, one line

from __future__ import annotations

import pytest

from meritree.swe.edits import apply_splices
from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.templates import TEMPLATES, EditCatalogue, propose


def results(text: str, line: int, template: str) -> list[str]:
    edits = propose(SourceFile("m.py", text), line, template)
    return [apply_splices(text, edit.splices) for edit in edits]


LAYOUTS: list[tuple[str, str, str, int, str, str]] = [
    ("tabs", "guard_stmt", "def f(x):\n\tx.go()\n", 2, "\tx.go()", "\tif x:\n\t\tx.go()"),
    ("CRLF", "del_stmt", "def f(x):\r\n    g()\r\n    h()\r\n", 2, "    g()\r\n", ""),
    (
        "CRLF insert",
        "guard_stmt",
        "def f(x):\r\n    x.go()\r\n",
        2,
        "    x.go()",
        "    if x:\r\n        x.go()",
    ),
    ("no final newline", "del_stmt", "def f(x):\n    g()", 2, "g()", "pass"),
    (
        "one-line suite",
        "guard_stmt",
        "def f(x): x.go()  # c\n",
        1,
        " x.go()",
        "\n    if x:\n        x.go()",
    ),
    ("one-line return", "ret_replace", "def f(x):\n    if x: return 1\n", 2, "return 1", "return x"),
    ("semicolons", "del_stmt", "def f(x):\n    g(); h()\n", 2, "g(); h()", "pass; h()"),
    ("elif", "negate", "if a:\n    b()\nelif c:\n    d()\n", 3, "elif c", "elif not c"),
    ("non-ASCII before", "cmp_op", "é = 'ß' if ü < 1 else 'ä'\n", 1, "ü < 1", "ü <= 1"),
    ("comment kept", "cmp_op", "x = (a  # a < b\n     < b)  # c\n", 1, "     < b", "     <= b"),
    ("f-string", "var", "def f(a, b):\n    return f'{a} x'\n", 2, "{a}", "{b}"),
    ("parentheses added", "var", "def f(a, b):\n    return -(a)\n", 2, "(a)", "(b)"),
    ("walrus", "negate", "if (n := f()):\n    pass\n", 1, "(n := f())", "(not (n := f()))"),
    ("match guard", "cmp_op", "match a:\n    case b if b < 1:\n        pass\n", 2, "b < 1", "b <= 1"),
    ("async", "guard_stmt", "async def f(x):\n    await x\n", 2, "    await x", "    if x:\n        await x"),
    ("generator argument", "expr_to_var", "def f(a):\n    return g(x for x in a)\n", 2, "(x for x in a)", "(a)"),
    ("decorated", "del_stmt", "def f():\n    g()\n    @d\n    def h(): ...\n", 2, "    g()\n", ""),
]  # fmt: skip


@pytest.mark.parametrize("case", LAYOUTS, ids=[case[0] for case in LAYOUTS])
def test_layout_is_kept(case: tuple[str, str, str, int, str, str]) -> None:
    _, template, text, line, old, new = case
    assert text.count(old) == 1
    assert text.replace(old, new) in results(text, line, template)


def test_multi_line_strings_keep_their_white_space_when_wrapped() -> None:
    text = 'def f(x):\n    x.go("""a\n  b\n""")\n'
    assert 'def f(x):\n    if x:\n        x.go("""a\n  b\n""")\n' in results(text, 2, "guard_stmt")


@pytest.mark.parametrize(
    "line",
    [
        '    """Documentation 1."""',
        "    global x",
        "    import os",
    ],
)
def test_some_lines_are_never_edited_in_place(line: str) -> None:
    text = f"def f(a, b):\n{line}\n    return a\n"
    for name in ("const", "const_str", "var", "del_stmt", "guard_stmt", "bytes_str", "ingredient"):
        assert results(text, 2, name) == []


def test_annotations_are_never_edited() -> None:
    text = "def f(a: list[int], b: 'x' = 1) -> dict[str, int]:\n    return a\n"
    for name in TEMPLATES:
        for result in results(text, 1, name):
            assert "a: list[int], b: 'x' = " in result
            assert "-> dict[str, int]:" in result


def test_text_that_cannot_be_parsed_has_no_edits() -> None:
    assert list(EditCatalogue().edits("m.py", "def f(:\n", 1, "cmp_op")) == []


def test_an_attribute_of_a_module_is_never_assigned() -> None:
    text = "import m\ndef f(a):\n    a = m.x\n    a = 1\n"
    assert all("m.x = 1" not in result for result in results(text, 4, "target"))


def test_if_becomes_while_but_a_loop_with_break_does_not_become_if() -> None:
    assert results("while a:\n    break\n", 1, "if_to_while") == []


def test_augmented_target_is_guarded() -> None:
    text = "def f(x, y):\n    x *= 2\n"
    assert "def f(x, y):\n    if x is not None:\n        x *= 2\n" in results(text, 2, "guard_stmt")
