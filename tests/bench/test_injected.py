"""Tasks by fault injection, on a small package with real test runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.bench.injected import Subject, examine, find_task, generate, split
from meritree.bench.layout_run import run_suite
from meritree.bench.packages import Package
from meritree.bench.tasks import Task, inject, list_hash, load, save, unhide
from meritree.errors import BadInput

PACKAGE = Package(name="calc", version="1", sha256="", code=("calc.py",), tests=("test_calc.py",))
CODE = """def clamp(value, low, high):
    if value < low:
        return low
    if value > high:
        return high
    return value


def total(values, start=0):
    result = start
    for value in values:
        result += value
    return result


def never_run(a, b):
    return a + b
"""
TESTS = """import pytest

from calc import clamp, total


@pytest.mark.parametrize("value", range(-3, 9))
def test_clamp(value):
    assert clamp(value, 0, 5) == min(max(value, 0), 5)


@pytest.mark.parametrize("n", range(5))
def test_total(n):
    assert total(range(n)) == n * (n - 1) // 2


@pytest.mark.parametrize("n", range(4))
def test_total_from(n):
    assert total(range(n), 7) == 7 + n * (n - 1) // 2


def test_broken_before():
    assert total([1]) == 2
"""


def write(_package: Package, root: Path) -> None:
    (root / "calc.py").write_text(CODE)
    (root / "test_calc.py").write_text(TESTS)
    (root / "pytest.ini").write_text("[pytest]\npythonpath = .\naddopts = -p no:cacheprovider\n")


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    root = tmp_path_factory.mktemp("calc")
    write(PACKAGE, root)
    yield examine(PACKAGE, root)
    assert (root / "calc.py").read_text() == CODE  # every trial was taken back


def test_only_code_that_tests_run_is_mutated(subject: Subject) -> None:
    assert {m.function for m in subject.pool} == {"clamp", "total"}
    assert len(subject.passing) == 21
    assert subject.broken == ("test_calc.py::test_broken_before",)


def test_a_task_fails_exactly_where_it_says(subject: Subject, tmp_path: Path) -> None:
    task = find_task(subject, Random(1), "single-000", 1, 1)
    assert task is not None
    assert len(task.shown) >= len(task.held_out)
    write(PACKAGE, tmp_path)
    inject(task, tmp_path)
    seen = run_suite(tmp_path, seconds=60)
    assert seen is not None
    assert seen.with_status("failed") == set(task.shown)
    assert not set(seen.outcomes) & {*task.held_out, *task.broken_before}
    for test in task.held_out:
        assert test not in (tmp_path / "conftest.py").read_text()
    text = (tmp_path / "test_calc.py").read_text()
    for test in task.hidden:
        if "[" not in test:
            assert f"def {test.split('::')[-1]}(" not in text
    assert text.count("\n") == (subject.root / "test_calc.py").read_text().count("\n")
    unhide(tmp_path, subject.root, task.hidden)
    assert (tmp_path / "test_calc.py").read_text() == (subject.root / "test_calc.py").read_text()
    everything = run_suite(tmp_path, seconds=60)
    assert everything is not None
    hidden = {*task.held_out, *task.broken_before}
    assert everything.with_status("failed") == {*task.shown, *hidden}


def test_each_slip_of_a_two_slip_task_alone_leaves_a_shown_test_failing(
    subject: Subject, tmp_path: Path
) -> None:
    task = find_task(subject, Random(4), "double-000", 2, 1)
    assert task is not None
    assert len(task.faults) == 2
    (splices,) = task.edits.values()
    assert len(splices) == 2  # this draw: one splice a slip
    for number, splice in enumerate(splices):
        root = tmp_path / str(number)
        root.mkdir()
        write(PACKAGE, root)
        inject(replace(task, edits={"calc.py": (splice,)}), root)
        run = run_suite(root, seconds=60)
        assert run is not None
        assert run.with_status("failed") & set(task.shown)


def test_the_list_is_the_same_again_resumes_and_survives_a_torn_line(tmp_path: Path) -> None:
    def make(progress: Path) -> tuple[Task, ...]:
        return generate(
            [PACKAGE], singles=2, doubles=0, seed=5, progress_file=progress, lay_out_with=write
        )

    first = make(tmp_path / "one.jsonl")
    assert len(first) >= 1
    lines = (tmp_path / "one.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 2
    torn = tmp_path / "two.jsonl"
    torn.write_text(lines[0] + lines[1][: len(lines[1]) // 2])
    assert make(torn) == first
    assert make(torn) == first  # all slots known: nothing is run
    save(first, tmp_path / "tasks.json", about={"seed": 5})
    assert load(tmp_path / "tasks.json") == first
    assert list_hash(load(tmp_path / "tasks.json")) == list_hash(first)


@given(st.lists(st.integers(0, 50), min_size=1, unique=True), st.integers(0, 99), st.data())
def test_a_split_keeps_all_tests_once_and_shows_the_larger_half(
    numbers: list[int], seed: int, data: st.DataObject
) -> None:
    failing = [f"test_{n}" for n in numbers]
    keep = data.draw(st.lists(st.sampled_from(failing), max_size=2, unique=True))
    shown, held_out = split(failing, Random(seed), keep)
    assert sorted((*shown, *held_out)) == sorted(failing)
    assert set(keep) <= set(shown)
    assert len(shown) == max(len(keep), (len(failing) + 1) // 2)


def test_a_suite_that_hangs_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "test_hang.py").write_text("def test_hang():\n    while True:\n        pass\n")
    assert run_suite(tmp_path, seconds=2.0) is None


def test_a_package_whose_tests_cannot_be_collected_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test_calc.py").write_text("import no_such_module\n")
    with pytest.raises(BadInput, match="calc-1: its tests cannot be run"):
        examine(PACKAGE, tmp_path)


def test_a_task_for_another_layout_is_refused(subject: Subject, tmp_path: Path) -> None:
    task = find_task(subject, Random(1), "single-000", 1, 1)
    assert task is not None
    shutil.rmtree(tmp_path, ignore_errors=True)
    tmp_path.mkdir()
    with pytest.raises(BadInput, match=r"no calc\.py"):
        inject(task, tmp_path)


def test_files_that_are_no_task_list_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    with pytest.raises(BadInput, match="no readable task list"):
        load(path)
    path.write_text(json.dumps({"format": 99, "tasks": []}))
    with pytest.raises(BadInput, match="not a task list of format"):
        load(path)
    with pytest.raises(BadInput, match="not a benchmark task"):
        Task.from_json({"id": "x"})
