"""The benchmark of classic programs, on a checkout of our own with the same layout."""

from __future__ import annotations

import sys
from hashlib import sha1
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meritree.bench import quixbugs
from meritree.bench.pytest_runs import run_tests
from meritree.bench.quixbugs import ProgramRun, agreement, materialise, run_program, summary
from meritree.bench.quixbugs_inputs import GENERATORS, Node, arguments, equal, plain
from meritree.errors import BadInput
from meritree.swe.git_diff import FileVersion, file_patch
from meritree.swe.result import Candidate, FixOptions, FixResult
from meritree.value.estimate import Estimate

# Our own tiny stand-in for one program, its reference and its test.
REFERENCE = "def sieve(max):\n    return [n for n in range(2, max + 1) if prime(n)]\n"
PRIME = "\n\ndef prime(n):\n    return all(n % d for d in range(2, n))\n"
BUG = REFERENCE.replace("max + 1", "max")
TEST = """import pytest
from load_testdata import load
from python_programs.sieve import sieve


@pytest.mark.parametrize("given,expected", load("sieve"))
def test_sieve(given, expected):
    assert sieve(*given) == expected
"""
LOAD = """import json
from pathlib import Path


def load(name):
    table = Path(__file__).parent / ".." / "json_testcases" / f"{name}.json"
    return [json.loads(row) for row in table.read_text().splitlines()]
"""


@pytest.fixture(autouse=True)
def _light_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes need none of the plug-ins that happen to be installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    files = {
        "python_programs/sieve.py": BUG + PRIME,
        "correct_python_programs/sieve.py": REFERENCE + PRIME,
        "python_testcases/test_sieve.py": TEST,
        "python_testcases/load_testdata.py": LOAD,
        "python_testcases/node.py": "",
        "json_testcases/sieve.json": "[[1], []]\n[[4], [2, 3]]\n[[5], [2, 3, 5]]\n",
        "conftest.py": "",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a QuixBugs checkout"):
        quixbugs.programs(tmp_path)


def test_a_program_becomes_a_repository_whose_tests_show_the_bug(
    data: Path, tmp_path: Path
) -> None:
    assert quixbugs.programs(data) == ["sieve"]
    folder = materialise(data, "sieve", tmp_path / "one")
    run = run_tests(folder, ["tests"], Path(sys.executable))
    assert sorted(run.outcomes.values()) == ["failed", "passed", "passed"]


def test_agreement_tells_reference_bug_exception_and_endless_loop_apart(data: Path) -> None:
    assert agreement(data, "sieve", REFERENCE + PRIME) == 1.0
    assert 0 < agreement(data, "sieve", BUG + PRIME) < 0.9  # type: ignore[operator]
    assert agreement(data, "sieve", "def sieve(max):\n    raise ValueError\n") == 0.0
    assert agreement(data, "sieve", "def sieve(max):\n    while True: pass\n") == 0.0
    assert agreement(data, "sieve", "import sys\ndef sieve(max):\n    sys.exit(0)\n") is None


def patch(new: str) -> str:
    path = "python_programs/sieve.py"
    old, changed = (
        FileVersion(0o100644, sha1(text.encode()).hexdigest(), text.encode())
        for text in (BUG + PRIME, new)
    )
    return file_patch(path, old, changed)


def answer(*found: tuple[int, int, str]) -> FixResult:
    candidates = tuple(
        Candidate(rank, True, patch(text), ("python_programs/sieve.py",), (), Estimate(1.0), 1, n)
        for rank, n, text in found
    )
    return FixResult("verified", "", candidates, evaluations=500, seconds=2.0)


def test_the_best_ranked_patch_of_each_checkpoint_is_judged(data: Path) -> None:
    right, wrong = REFERENCE + PRIME, BUG.replace("max)", "max + (max == 5))") + PRIME

    def fixer(options: FixOptions) -> FixResult:
        return answer((1, 600, right), (2, 50, wrong))

    run = run_program(data, "sieve", 0, {"budget_tests": 1000}, fixer)
    assert run.plausible == {"200": True, "1000": True}
    assert run.correct == {"200": False, "1000": True}
    assert run.found_after == 50


def test_no_patch_is_neither_plausible_nor_correct(data: Path) -> None:
    def fixer(options: FixOptions) -> FixResult:
        return FixResult("not-found", "", evaluations=1000, seconds=9.0)

    run = run_program(data, "sieve", 0, {}, fixer)
    assert not any((*run.plausible.values(), *run.correct.values()))


def test_the_summary_shows_counts_per_seed_and_no_program() -> None:
    yes, no = {"200": True, "1000": True}, {"200": False, "1000": False}
    runs = [
        ProgramRun("sieve", 0, "verified", yes, yes, 100, 10, 1.0),
        ProgramRun("sieve", 1, "not-found", no, no, 1000, 0, 4.0),
    ]
    table = summary(runs)
    assert table["seed 0"]["correct @1000"] == 1
    assert table["seed 1"]["correct @1000"] == 0
    assert table["all seeds"]["plausible @200"] == 1
    assert table["evaluations per second, sum by sum"] == 220.0
    assert "sieve" not in str(table)


@pytest.mark.parametrize("program", sorted(GENERATORS))
def test_inputs_are_the_same_for_the_same_seed_and_vary(program: str) -> None:
    def text(seed: int) -> list[str]:
        return [repr(plain(arguments(program, seed, n))) for n in range(40)]

    assert text(0) == text(0)
    assert len(set(text(0))) > 5


def test_there_is_a_generator_for_each_of_the_forty_programs() -> None:
    assert len(GENERATORS) == 40


@given(st.integers())
def test_generated_structures_keep_their_programs_preconditions(seed: int) -> None:
    r = Random(seed)
    values, k = GENERATORS["kheapsort"](r)
    place = {id(value): i for i, value in enumerate(values)}
    ordered = sorted(values)
    assert all(abs(ordered.index(v) - place[id(v)]) <= k or values.count(v) > 1 for v in values)
    (digits,) = GENERATORS["next_palindrome"](r)
    assert digits == digits[::-1]
    assert digits
    text, columns = GENERATORS["wrap"](r)
    assert all(len(word) < columns for word in text.split(" "))
    (nodes,) = GENERATORS["topological_ordering"](r)
    assert all(a.value < b.value for a in nodes for b in a.outgoing_nodes)


def test_results_are_compared_by_value_kind_and_tolerance() -> None:
    assert equal(plain(iter_numbers()), [0, 1, 2])
    assert equal({"a": [1.0]}, {"a": [1.0 + 1e-12]})
    assert equal(float("inf"), float("inf"))
    assert not equal(True, 1)
    assert not equal([1], [1, 2])
    assert equal(plain(Node(1, Node(2))), ("node", [1, 2]))


def iter_numbers():  # type: ignore[no-untyped-def]
    yield from range(3)
