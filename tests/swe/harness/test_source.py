"""Tables of functions: what is found, and that deriving one gives what parsing gives."""

from __future__ import annotations

import ast
import itertools
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.swe.harness import source

TEXT = '''\
from __future__ import annotations

import functools


def first(a):
    """Doc."""
    return a + 1


class A:
    x = 1

    @property
    def value(self):
        def inner():
            return 2
        return inner()

    class B:
        def deep(self):
            return """
text at the margin
"""


if A:
    def branch(): return 3
last = 4
'''


def test_units_are_the_outermost_functions_with_decorators() -> None:
    table = source.build(TEXT)
    assert [u.name for u in table.units] == ["first", "A.value", "A.B.deep", "branch"]
    assert [u.line for u in table.units] == [6, 14, 21, 28]
    assert TEXT[table.units[1].start : table.units[1].end].startswith("    @property")


def test_every_unit_compiles_alone_with_its_true_lines() -> None:
    table = source.build(TEXT)
    for unit in table.units:
        segment = TEXT[unit.start : unit.end]
        code = source.function_code(
            unit, source.parse_unit(unit, segment, table.flags), "f", table.flags
        )
        assert code.co_firstlineno == unit.line
        assert code.co_qualname == unit.name


@given(st.data())
def test_a_derived_table_equals_the_parsed_one(data: st.DataObject) -> None:
    lines = TEXT.splitlines(True)
    number = data.draw(st.integers(0, len(lines) - 1))
    new = data.draw(
        st.sampled_from(["", "        pass\n", "    y = 0\n", lines[number] * 2, "z\n"])
    )
    text = "".join([*lines[:number], new, *lines[number + 1 :]])
    derived = source.derive(source.build(TEXT), text)
    if derived is not None:
        assert derived == source.build(text)


def test_a_change_inside_a_function_is_told_from_one_outside() -> None:
    old = source.build(TEXT)
    inside = source.difference(old, source.build(TEXT.replace("a + 1", "a + 2")))
    assert [c.old.name for c in inside.changes] == ["first"]
    assert not inside.beyond
    outside = source.difference(old, source.build(TEXT.replace("x = 1", "x = 2")))
    assert outside.beyond
    renamed = source.difference(old, source.build(TEXT.replace("def first", "def fist")))
    assert "removed" in renamed.beyond


@pytest.mark.parametrize(
    ("old", "new", "more"),
    [
        ("x = a", "x = b", False),
        ("self.x = a", "self.x = b", False),
        ("x = a", "self.x = a", True),
        ("x = a", "a[0] = x", True),
        ("x = a", "global x", True),
        ("a.append(1)", "a.append(2)", False),
        ("pass", "a.append(2)", True),
        ("x = a", "del a[0]", True),
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "y = b.c\n    {}\n    b.d = y", "if y:\n        {}\n    z = 1"]
)
def test_new_writes_are_noticed(old: str, new: str, more: bool, around: str) -> None:
    texts = [f"def f(a, b):\n    {around.format(each)}\n" for each in (old, new)]
    nodes = [ast.parse("\n" * 4 + text).body[0] for text in texts]
    assert source.writes_more(nodes[0], nodes[1], texts[0], texts[1], (5, 5)) is more


def test_the_harness_is_python_3_8_and_imports_nothing_of_meritree() -> None:
    folder = Path(source.__file__).parent
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            roots = {name.split(".")[0] for name in names}
            allowed = {"pytest", "_pytest", "hypothesis", *sys.stdlib_module_names}
            assert roots <= allowed, (path.name, roots)


def test_long_files_are_tabled_by_lines_that_python_counts() -> None:
    text = "x = '\x0c\x1c'\n" + "".join(
        f"def f{n}():\n    return {n}\n" for n in itertools.islice(itertools.count(), 50)
    )
    assert [u.line for u in source.build(text).units] == list(range(2, 102, 2))
