"""Ingredients come from the project, the failing tests and the issue; nothing is imported."""
# ruff: noqa: E501 - one example, one line

from __future__ import annotations

import sys

from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.evidence import Evidence
from meritree.swe.repair.ingredients import Hints, RepoIndex
from meritree.swe.repair.signatures import stdlib_attributes, stdlib_constants, stdlib_signature
from meritree.swe.repair.templates.scope import scope_of

BASE = "class Base:\n    limit = 3\n    def __init__(self, size, *, deep=False):\n        self.size = size\n"
CHILD = "from base import Base\nimport os.path as p\nTOP = 1\nclass Child(Base):\n    def go(self):\n        return self.size\n"


def test_signatures_are_found_by_name_across_files() -> None:
    index = RepoIndex({"base.py": BASE, "child.py": CHILD})
    (constructor,) = index.signatures("Base")
    assert constructor.positional == ("size",)
    assert constructor.keywords == ("size", "deep")
    assert constructor.defaults == {"deep": "False"}
    assert index.signatures("missing") == ()


def test_attributes_are_inherited_within_the_project() -> None:
    index = RepoIndex({"base.py": BASE, "child.py": CHILD})
    source = SourceFile("child.py", CHILD)
    ((node, _),) = index.classes("Child")
    assert set(index.class_attributes(node, source)) == {"go", "limit", "__init__", "size"}


def test_imports_and_module_names_of_a_file() -> None:
    index = RepoIndex({})
    source = SourceFile("child.py", CHILD)
    assert index.imported(source) == {"Base": "base.Base", "p": "os.path"}
    assert index.module_names(source) == ("TOP", "Child")


def test_a_broken_file_does_not_stop_the_index() -> None:
    index = RepoIndex({"bad.py": "def f(:\n", "base.py": BASE})
    assert index.defines("f")
    assert index.signatures("f") == ()
    assert index.signatures("Base") != ()


def test_hints_of_tests_hold_literals_names_and_keywords() -> None:
    hints = Hints.of_source(["    assert f('x', k=2).go == (1, 'y')\n", "x = [1,"])
    assert "'x'" in hints.strings
    assert "2" in hints.numbers
    assert "(1, 'y')" in hints.literals
    assert "go" in hints.attributes
    assert "k" in hints.keywords
    assert "x" in hints.names


def test_hints_of_an_issue_hold_quoted_names_and_numbers() -> None:
    hints = Hints.of_prose("Calling `foo.bar_baz` with 'q' gives 42")
    assert "bar_baz" in hints.attributes
    assert "'q'" in hints.strings
    assert hints.numbers == ("42",)


def test_evidence_names_what_was_raised_and_quoted() -> None:
    evidence = Evidence((("pkg.Odd", "no attribute 'x'"), ("AssertionError", "1 == 2")))
    assert evidence.raised == ("Odd",)
    assert evidence.quoted() == ("x",)


def test_the_standard_library_is_known_and_nothing_else_is_imported() -> None:
    before = set(sys.modules)
    assert stdlib_attributes("no_such_project") == ()
    assert stdlib_signature("no_such_project", "f") is None
    assert set(sys.modules) == before
    assert "sep" in stdlib_constants("os")
    signature = stdlib_signature("json", "dumps")
    assert signature is not None
    assert "sort_keys" in signature.keywords


def test_variables_are_those_in_scope_nearest_first() -> None:
    text = "def f(a, b):\n    c = [x for x in a]\n    g = lambda y: y + b\n    return c\n"
    source = SourceFile("m.py", text)
    inside = next(node for node in source.expressions(3) if type(node).__name__ == "BinOp")
    visible = scope_of(source, inside).visible(inside)
    assert set(visible) == {"a", "b", "c", "g", "y"}
    assert visible[:3] != ("a", "b", "c")
    last = source.expressions(4)[0]
    assert scope_of(source, last).visible(last)[0] == "c"
    assert "x" not in scope_of(source, last).visible(last)
