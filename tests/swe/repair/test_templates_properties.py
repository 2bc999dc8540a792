"""On real source files every edit parses, changes the tree, and leaves the rest alone."""

from __future__ import annotations

import ast
import re
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meritree.swe.edits import Edit, apply_splices
from meritree.swe.repair.context import SourceFile
from meritree.swe.repair.evidence import Evidence
from meritree.swe.repair.ingredients import RepoIndex
from meritree.swe.repair.templates import TEMPLATES, propose

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
FILES = (
    "textwrap.py",
    "heapq.py",
    "bisect.py",
    "shlex.py",
    "queue.py",
    "fnmatch.py",
    "asyncio/locks.py",
)
EVIDENCE = Evidence(exceptions=(("KeyError", "'x'"),), expected=("None",))
_COMMENT_LINE = re.compile(r"^\s*#.*$", re.M)


def _source(name: str) -> SourceFile:
    return SourceFile(name, (LIBRARY / name).read_text(encoding="utf-8"))


SOURCES = {name: _source(name) for name in FILES}
INDEX = RepoIndex({name: source.text for name, source in SOURCES.items()})
DUMPS = {name: ast.dump(source.tree) for name, source in SOURCES.items()}
PLACES = [
    (name, line)
    for name, source in SOURCES.items()
    for line in range(1, source.line_count + 1)
    if source.expressions(line) or source.statements(line)
]


def _sample(data: st.DataObject) -> tuple[SourceFile, list[Edit]]:
    name, line = data.draw(st.sampled_from(PLACES))
    template = data.draw(st.sampled_from(sorted(TEMPLATES)))
    source = SOURCES[name]
    edits = list(propose(source, line, template, INDEX, EVIDENCE))
    return source, edits[:: max(1, len(edits) // 6)]


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_every_edit_compiles_differs_and_touches_only_its_statement(data: st.DataObject) -> None:
    source, edits = _sample(data)
    for edit in edits:
        new = apply_splices(source.text, edit.splices)
        compile(new, source.path, "exec")
        assert ast.dump(ast.parse(new)) != DUMPS[source.path]
        _outside_is_unchanged(source, edit, new)


def _outside_is_unchanged(source: SourceFile, edit: Edit, new: str) -> None:
    """Only top-level statements that hold a splice may differ; their count stays or grows."""
    changed = {source.line_at(each.start) for each in edit.splices}
    changed |= {source.line_at(max(each.start, each.end - 1)) for each in edit.splices}
    first, last = min(changed), max(changed)
    head = source.text[: source.line_start(first)]
    tail = source.text[source.line_start(last + 1) :]
    assert new.startswith(head)
    assert new.endswith(tail)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_comment_lines_survive_edits_of_expressions(data: st.DataObject) -> None:
    source, edits = _sample(data)
    for edit in edits:
        if edit.size == 1.0:
            new = apply_splices(source.text, edit.splices)
            old_comments = _COMMENT_LINE.findall(source.text)
            assert len(_COMMENT_LINE.findall(new)) >= len(old_comments) - 1


@pytest.mark.parametrize("name", FILES)
def test_proposals_are_deterministic(name: str) -> None:
    source = SOURCES[name]
    lines = [line for file, line in PLACES if file == name][::29]
    for line in lines:
        for template in ("var", "guard_ins", "attr", "ins_copy", "cond_add"):
            again = SourceFile(name, source.text)
            old = [each.splices for each in propose(source, line, template, INDEX, EVIDENCE)]
            new = [each.splices for each in propose(again, line, template, INDEX, EVIDENCE)]
            assert old == new
