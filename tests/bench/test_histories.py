"""Bug-fix histories: mining, rebuilding, judging and measuring, on a small real repository."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from meritree.bench import histories
from meritree.bench.histories import CaseRun, Settings, load_runs, measure, run_case, summary
from meritree.bench.history_cases import (
    Case,
    change_size,
    code_lines,
    load_cases,
    project_name,
    save_cases,
)
from meritree.bench.history_mining import Limits, collect, find_fixes, reproduce
from meritree.bench.judging import (
    changed_functions,
    compare_calls,
    judge,
    patched_texts,
    same_code,
    verdict_on_calls,
)
from meritree.bench.pytest_runs import run_tests
from meritree.errors import BadInput, MeritreeError
from meritree.swe.result import Candidate, FixOptions, FixResult
from meritree.value.estimate import Estimate

PYTHON = Path(sys.executable)
BUGGY = '''"""Prices."""


def clamp(value, low, high):
    """Keep a value between two bounds."""
    if value < low:
        return low
    if value > high:
        return low
    return value


def total(prices):
    return sum(prices)
'''
FIXED = BUGGY.replace(
    "    if value > high:\n        return low", "    if value > high:\n        return high"
)
OVERFIT = BUGGY.replace(
    "    if value > high:\n        return low", "    if value > high:\n        return 10"
)
EQUIVALENT = BUGGY.replace(
    "    if value > high:\n        return low", "    if high < value:\n        return high"
)
TESTS = """from prices import clamp, total


def test_low():
    assert clamp(-5, 0, 10) == 0
    assert clamp(-5, -2, 10) == -2


def test_inside():
    assert [clamp(n, 0, 10) for n in range(11)] == list(range(11))


def test_total():
    assert total([1, 2]) == 3
"""
FIX_TEST = """

def test_high():
    assert clamp(11, 0, 10) == 10
"""
LATER_TEST = """

def test_high_of_another_range():
    assert clamp(11, 0, 7) == 7
"""


@pytest.fixture(scope="module", autouse=True)
def _light_pytest() -> Iterator[None]:
    """Child processes need none of the plug-ins that happen to be installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        yield


def commit(repo: Path, message: str, **files: str) -> None:
    for name, text in files.items():
        (repo / name.replace("__", "/")).with_suffix(".py").write_text(text)
    who = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b.c"}
    who |= {k.replace("AUTHOR", "COMMITTER"): v for k, v in who.items()}
    for command in (["add", "-A"], ["commit", "-qm", message]):
        subprocess.run(["git", "-C", str(repo), *command], check=True, env={**os.environ, **who})


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a small fix, a large change, a test-less fix and a new feature."""
    root = tmp_path_factory.mktemp("mined") / "prices"
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    commit(root, "Start", prices=BUGGY, test_prices=TESTS)
    commit(root, "Fix clamp above the upper bound", prices=FIXED, test_prices=TESTS + FIX_TEST)
    large = FIXED + "".join(f"\n\ndef f{n}():\n    return {n}\n" for n in range(9))
    more = TESTS + FIX_TEST + LATER_TEST
    commit(root, "Fix everything else", prices=large, test_prices=more)
    commit(root, "Fix without a test", prices=large.replace("return 3", "return 4"))
    commit(root, "Add a feature", prices=large, test_prices=more + "\n# end\n")
    return root


@pytest.fixture(scope="module")
def case(repo: Path) -> Case:
    found = list(collect([repo], PYTHON, say=lambda _: None))
    assert len(found) == 1
    return found[0]


def test_only_the_small_fix_with_a_test_is_a_candidate(repo: Path) -> None:
    (found,) = find_fixes(repo)
    assert found.subject == "Fix clamp above the upper bound"
    assert (found.source, found.tests) == ("prices.py", ("test_prices.py",))
    assert (found.lines, found.hunks) == (2, 1)


def test_limits_decide_what_is_small(repo: Path) -> None:
    assert not list(find_fixes(repo, Limits(lines=1)))
    assert len(list(find_fixes(repo, Limits(lines=100, hunks=5)))) == 2


def test_a_case_names_what_fails_before_and_passes_after(case: Case) -> None:
    assert case.failing == ("test_prices.py::test_high",)
    assert case.passing == 3
    assert "-        return low\n+        return high\n" in case.diff


def test_materialising_gives_the_bug_with_the_fixing_commits_tests(
    case: Case, tmp_path: Path
) -> None:
    case.materialise(tmp_path / "bug")
    case.materialise(tmp_path / "fix", fixed=True)
    assert (tmp_path / "bug/prices.py").read_text() == BUGGY
    assert (tmp_path / "fix/prices.py").read_text() == FIXED
    assert (tmp_path / "bug/test_prices.py").read_text() == TESTS + FIX_TEST


def test_a_fix_whose_tests_pass_without_it_is_refused(repo: Path, case: Case) -> None:
    harmless = replace(case, parent=case.commit)
    assert reproduce(harmless, PYTHON) == "no test fails before and passes after"


def test_refused_commits_are_remembered_and_not_tried_again(repo: Path) -> None:
    (found,) = find_fixes(repo)
    assert not list(collect([repo], PYTHON, refused={found.commit: "x"}, say=lambda _: None))


def test_cases_survive_saving_and_loading(case: Case, tmp_path: Path) -> None:
    save_cases(tmp_path / "cases.json", [case])
    assert load_cases(tmp_path / "cases.json") == [case]


def test_a_file_that_is_no_list_of_cases_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cases.json").write_text("{")
    with pytest.raises(BadInput, match="not a list of cases"):
        load_cases(tmp_path / "cases.json")


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="git log failed"):
        list(find_fixes(tmp_path))


def test_the_part_of_a_case_depends_on_its_commit_alone(case: Case) -> None:
    parts = [replace(case, commit=f"{n:040x}").part for n in range(600)]
    assert 150 < parts.count("validation") < 250
    assert replace(case, name="other", repo="elsewhere").part == case.part


def test_comments_docstrings_annotations_and_layout_are_not_code() -> None:
    plain = "def f(a):\n    return a\n"
    dressed = 'def f(a: int) -> int:\n    "Doc."\n\n    return (a)  # why\n'
    assert code_lines(plain) == code_lines(dressed)
    assert code_lines("def f(:") is None
    assert change_size(["a", "b", "c"], ["a", "x", "c"]) == (2, 1)


@pytest.mark.parametrize(
    ("path", "name"), [("/a/tool", "tool"), ("/a/tool.git", "tool"), ("/a/me+tool/repo", "tool")]
)
def test_project_names_come_from_the_folder(path: str, name: str) -> None:
    assert project_name(Path(path)) == name


def test_a_run_that_hangs_is_ended_and_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "test_loop.py").write_text("def test_loop():\n    while True: pass\n")
    assert not run_tests(tmp_path, ["test_loop.py"], PYTHON, 3).ended


def test_a_source_folder_is_imported_from(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/thing.py").write_text("A = 1\n")
    (tmp_path / "test_thing.py").write_text("import thing\ndef test(): assert thing.A == 1\n")
    run = run_tests(tmp_path, ["test_thing.py"], PYTHON)
    assert run.outcomes == {"test_thing.py::test": "passed"}


def test_the_developers_own_code_is_equal(case: Case) -> None:
    dressed = FIXED.replace("return high", "return (high)  # the bound")
    assert judge(case, {"prices.py": dressed}, PYTHON).name == "equal"


def test_negated_operators_are_the_same_code() -> None:
    assert same_code("x = not a in b", "x = a not in b")
    assert not same_code("x = not a in b", "x = a in b")
    assert not same_code("x = not a < b", "x = a >= b")  # not the same for NaN


def test_a_patch_that_acts_alike_agrees(case: Case) -> None:
    verdict = judge(case, {"prices.py": EQUIVALENT}, PYTHON)
    assert (verdict.name, verdict.right) == ("agrees", True), verdict.why


def test_a_patch_that_a_later_test_refutes_differs(case: Case) -> None:
    verdict = judge(case, {"prices.py": OVERFIT}, PYTHON)
    assert verdict.name == "differs"
    assert "test_high_of_another_range" in verdict.why


def test_a_patch_that_only_varied_calls_refute_is_left_to_a_reader(case: Case) -> None:
    odd = FIXED.replace("return high", "return high if high > 1 else low")
    verdict = judge(case, {"prices.py": odd}, PYTHON)
    assert verdict.name in ("to-be-read", "differs"), verdict.why
    assert not verdict.right


def test_arguments_that_cannot_be_shown_are_compared(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(
        "class Half:\n    def __repr__(self):\n        return self.missing\n\n"
        "    def ready(self):\n        return True\n"
    )
    (tmp_path / "test_half.py").write_text(
        "from half import Half\n\n\ndef test():\n    Half().ready()\n"
    )
    wrong = (tmp_path / "half.py").read_text().replace("True", "False")
    job = {
        "path": str(tmp_path / "half.py"),
        "functions": ["Half.ready"],
        "versions": {"candidate": wrong, "bug": wrong},
        "seed": 0,
    }
    found = compare_calls(job, tmp_path, ["test_half.py"], PYTHON, 60.0)
    assert found is not None
    assert verdict_on_calls(found).name == "differs"


def test_a_recorded_difference_is_shown_though_many_varied_ones_came_first(tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text("def same(n):\n    return n\n")
    (tmp_path / "test_same.py").write_text(
        "from same import same\n\n\ndef test():\n    same(3)\n    same(4)\n"
    )
    job = {
        "path": str(tmp_path / "same.py"),
        "functions": ["same"],
        "versions": {
            "candidate": "def same(n):\n    return n if n == 3 else None\n",
            "bug": "def same(n):\n    return None\n",
        },
        "seed": 0,
    }
    found = compare_calls(job, tmp_path, ["test_same.py"], PYTHON, 60.0)
    assert found is not None
    assert found["counts"]["candidate"]["varied_differ"] > 5
    verdict = verdict_on_calls(found)
    assert verdict.name == "differs"
    assert "4" in verdict.why


def test_changed_functions_are_named_and_other_changes_noticed() -> None:
    assert changed_functions(BUGGY, FIXED) == {"clamp"}
    assert changed_functions(BUGGY, BUGGY + "\nX = 1\n") is None
    one, two = ("class A:\n    def f(self):\n        return " + n for n in "12")
    assert changed_functions(one, two) == {"A.f"}


def test_a_patch_is_applied_to_a_copy(case: Case, tmp_path: Path) -> None:
    folder = case.materialise(tmp_path / "bug")
    assert patched_texts(folder, case.diff, ["prices.py"]) == {"prices.py": FIXED}
    assert (folder / "prices.py").read_text() == BUGGY
    with pytest.raises(MeritreeError, match="does not apply"):
        patched_texts(case.materialise(tmp_path / "fix", fixed=True), case.diff, ["prices.py"])


def developer(case: Case, status: str = "verified") -> object:
    """A fixer that answers with the developer's patch and remembers what it was asked."""

    def fixer(options: FixOptions) -> FixResult:
        fixer.asked.append(options)  # type: ignore[attr-defined]
        candidate = Candidate(
            1, True, case.diff, ("prices.py",), ("return high",), Estimate(1.0), 3, 17
        )
        return FixResult(status, "done", (candidate,), evaluations=40, seconds=0.5)  # type: ignore[arg-type]

    fixer.asked = []  # type: ignore[attr-defined]
    return fixer


def test_a_run_is_limited_to_the_cases_tests_and_judged(case: Case) -> None:
    fixer = developer(case)
    run = run_case(case, Settings(PYTHON, budget_tests=99), 3, fixer)  # type: ignore[arg-type]
    (asked,) = fixer.asked  # type: ignore[attr-defined]
    assert (asked.failing_tests, asked.seed, asked.budget_tests) == (case.failing, 3, 99)
    assert asked.test_command.endswith("test_prices.py")
    assert (run.verdict, run.found_after, run.rate) == ("equal", 17, 80.0)
    assert run.any_right


def test_an_error_of_fix_is_a_result(case: Case) -> None:
    def fixer(options: FixOptions) -> FixResult:
        raise BadInput("no tests")

    run = run_case(case, Settings(PYTHON), 0, fixer)
    assert (run.status, run.plausible) == ("error", False)
    assert "no tests" in run.message


def test_a_stopped_measurement_continues_where_it_was(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    def fake(case: Case, settings: Settings, seed: int) -> CaseRun:
        ran.append(seed)
        return CaseRun(case.name, seed, "not-found", evaluations=5)

    monkeypatch.setattr(histories, "run_case", fake)
    settings = Settings(PYTHON, seeds=(0, 1))
    assert len(measure([case], settings, tmp_path, lambda _: None)) == 2
    with (tmp_path / "runs.jsonl").open("a") as stream:
        stream.write('{"case": "cut o')
    again = measure([case], replace(settings, seeds=(0, 1, 2)), tmp_path, lambda _: None)
    assert (ran, len(again)) == ([0, 1, 2], 3)
    assert len(load_runs(tmp_path / "runs.jsonl")) == 3


def test_an_interrupted_run_is_no_result(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = CaseRun(case.name, 0, "interrupted")
    monkeypatch.setattr(histories, "run_case", lambda *_: stopped)
    with pytest.raises(KeyboardInterrupt):
        measure([case], Settings(PYTHON), tmp_path, lambda _: None)
    assert not load_runs(tmp_path / "runs.jsonl")


def test_runs_with_other_settings_are_not_mixed(case: Case, tmp_path: Path) -> None:
    measure([], Settings(PYTHON), tmp_path)
    with pytest.raises(BadInput, match="budget_tests"):
        measure([], Settings(PYTHON, budget_tests=7), tmp_path)


def test_the_summary_counts_and_brackets() -> None:
    runs = [
        CaseRun(
            "a", 0, "verified", "equal", any_right=True, found_after=8, evaluations=200, rate=10
        ),
        CaseRun("b", 0, "verified", "differs", found_after=100, evaluations=300, rate=30),
        CaseRun("c", 0, "not-found"),
    ]
    figures = summary(runs)
    assert (figures["plausible"], figures["right"], figures["differs"]) == (2, 1, 1)
    assert figures["median_evaluations_to_find"] == 54
    assert figures["found_within"] == {10: 1, 50: 1, 200: 2, 1000: 2, 2000: 2}
    low, high = figures["right_interval"]
    assert 0 < low < 1 / 3 < high < 1


def test_the_command_line_goes_on_with_the_list_it_has(
    repo: Path, case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_cases(tmp_path / "cases.json", [case])
    arguments = ["--cases", str(tmp_path / "cases.json"), "--repo", str(repo), "--part", "all"]
    assert histories.main(arguments) == 0
    assert "1 cases in" in capsys.readouterr().out
    assert load_cases(tmp_path / "cases.json") == [case]
