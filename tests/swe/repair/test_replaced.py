"""A tree made from another one is the tree that parsing gives, places included."""

from __future__ import annotations

import ast
import random
import re
from pathlib import Path

import pytest

from meritree.swe.repair import context, replaced
from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.replaced import with_one_function_replaced

FILES = [context.__file__, replaced.__file__, ast.__file__]
_EDITS = ((r"\b\w+\b", "renamed"), (r"\breturn\b", "raise"), (r"==", "!="), (r"\(", "(("),
          (r"\n +", "\n"), (r":\n", ": pass\n"), (r"$", "  # end"))  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_random_edits_give_the_parsed_tree_or_none(name: str) -> None:
    text = Path(name).read_text("utf-8")
    base, rng, used = SourceFile("a.py", text), random.Random(0), 0
    places = [(list(re.finditer(pattern, text, re.MULTILINE)), new) for pattern, new in _EDITS]
    for _ in range(60):
        found, new = rng.choice([each for each in places if each[0]])
        match = rng.choice(found)
        edited = text[: match.start()] + new + text[match.end() :]
        tree = with_one_function_replaced(base, edited)
        if tree is not None:
            used += 1
            whole = ast.parse(edited)
            assert ast.dump(tree, include_attributes=True) == ast.dump(
                whole, include_attributes=True
            )
    assert used >= 5


def test_a_state_made_from_another_one_has_its_own_places(tmp_path: Path) -> None:
    text = "class A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n"
    base = SourceFile("a.py", text)
    child = SourceFile("a.py", text.replace("return 1", "return 100"), base)
    assert child.tree.body[0] is not base.tree.body[0]
    (old,), (new,) = base.statements(3), child.statements(3)
    assert base.segment(old) == "return 1"
    assert child.segment(new) == "return 100"
    assert [n.name for n in child.functions] == ["f", "g"]
    assert child.functions[1] is base.functions[1]
    assert child.function_name(child.statements(6)[0]) == "A.g"


def test_an_edit_that_moves_lines_or_touches_import_time_code_is_parsed_whole() -> None:
    text = "X = 1\n\n\ndef f():\n    return X\n"
    base = SourceFile("a.py", text)
    assert with_one_function_replaced(base, text.replace("X = 1", "X = 2")) is None
    assert with_one_function_replaced(base, text.replace("return X", "X\n    return X")) is None
    assert with_one_function_replaced(base, text.replace("return X", "return (X")) is None
    assert with_one_function_replaced(base, text.replace("    return X", "return X")) is None
