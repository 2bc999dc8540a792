"""Sessions on repositories of every make: what is collected, what fails, what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from small_repos import QUICK, Bench, write

from meritree.errors import BadInput
from meritree.run.sandbox import choose
from meritree.swe.targets import outcomes
from meritree.swe.testing import Evaluator, TestSession, detect_command, parse_command
from meritree.swe.testing import session as session_module

CODE = "def half(n):\n    return n // 3\n"


def test_a_unittest_repository_is_run_and_graded(tmp_path: Path) -> None:
    tests = """
        import unittest
        from half import half

        class HalfTest(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                cls.n = 10

            def test_half(self):
                self.assertEqual(half(self.n), 5)

            def test_zero(self):
                self.assertEqual(half(0), 0)

            @unittest.skip("not now")
            def test_skipped(self):
                self.fail()
    """
    with Bench(write(tmp_path, {"half.py": CODE, "tests/test_half.py": tests})) as bench:
        assert bench.session.command.kind == "unittest"
        (failing,) = bench.baseline.failing
        result = bench.baseline.results[failing]
        assert (result.status, result.actual, result.expected) == ("failed", "3", "5")
        assert len(bench.baseline.passing) == 1
        assert bench.try_("half.py", ("// 3", "// 2")).passed_all


def test_a_source_layout_is_importable_without_installation(tmp_path: Path) -> None:
    files = {
        "src/pkg/__init__.py": "",
        "src/pkg/half.py": CODE,
        "tests/test_half.py": "from pkg.half import half\ndef test(): assert half(4) == 2\n",
        "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-n 4 --cov=pkg -q -ra'\n",
    }
    with Bench(write(tmp_path, files)) as bench:
        assert bench.coverage.lines["tests/test_half.py::test"] == {
            "src/pkg/half.py": frozenset({2})
        }
        assert bench.coverage.import_lines["src/pkg/half.py"] == frozenset({1})
        assert bench.try_("src/pkg/half.py", ("// 3", "// 2")).passed_all


def test_parameters_fixtures_and_expected_failures_take_part(tmp_path: Path) -> None:
    tests = """
        import pytest
        from half import half

        @pytest.fixture(scope="session")
        def base():
            return [0]

        @pytest.fixture(scope="module", autouse=True)
        def grown(base):
            base.append(1)
            yield base
            base.pop()

        @pytest.fixture
        def broken():
            raise OSError("no such place")

        @pytest.mark.parametrize(("n", "want"), [(0, 0), (4, 2), (10, 5)])
        def test_half(n, want, base):
            assert base == [0, 1]
            assert half(n) == want

        @pytest.mark.xfail
        def test_expected():
            assert half(1) == 7

        @pytest.mark.xfail(strict=True)
        def test_unexpected():
            assert True

        def test_error(broken):
            pass

        def test_near():
            assert half(9.0) == pytest.approx(4.0)

        @pytest.fixture
        def asserting():
            assert half(4) == 3

        def test_fixture(asserting):
            pass

        @pytest.fixture
        def failing_at_the_end():
            yield
            raise OSError("afterwards")

        def test_after(failing_at_the_end):
            pass

        def test_body():
            assert {}["nothing"]

        class TestIn:
            def test_tmp(self, tmp_path, capsys):
                print("x")
                assert capsys.readouterr().out == "x\\n"
    """
    root = write(tmp_path, {"half.py": CODE, "test_half.py": tests})
    with TestSession.open(root, limits=QUICK) as session:
        results = session.baseline().results
    status = {name.split("::", 1)[1]: r.status for name, r in results.items()}
    assert status == {
        "test_half[0-0]": "passed",
        "test_half[4-2]": "failed",
        "test_half[10-5]": "failed",
        "test_expected": "skipped",
        "test_unexpected": "failed",
        "test_error": "error",
        "test_fixture": "failed",
        "test_after": "error",
        "test_body": "error",
        "test_near": "failed",
        "TestIn::test_tmp": "passed",
    }
    near = results["test_half.py::test_near"]
    assert near.expected == "4.0"
    assert near.similarity == pytest.approx(0.9 / (1 + 0.6931471805599453))
    assert results["test_half.py::test_error"].exception == "OSError"
    told = {one.id.split("::", 1)[1]: one for one in outcomes(results, "pytest")}
    assert told["test_body"].status == "failed"  # what pytest says of a test's own body
    assert told["test_body"].message == "KeyError: 'nothing'"
    assert {told[f"test_{name}"].status for name in ("error", "fixture", "after")} == {"error"}
    assert told["test_near"].status == "failed"
    unittests = {one.id.split("::", 1)[1]: one.status for one in outcomes(results, "unittest")}
    assert (unittests["test_body"], unittests["test_near"]) == ("error", "failed")


def test_files_that_cannot_be_imported_are_named_with_their_line(tmp_path: Path) -> None:
    files = {
        "half.py": CODE,
        "bad.py": "x = 1\nimport nowhere_at_all\n",
        "test_half.py": "from half import half\ndef test(): assert half(4) == 2\n",
        "test_bad.py": "import bad\ndef test(): pass\n",
        "test_syntax.py": "def test(:\n    pass\n",
    }
    with TestSession.open(write(tmp_path, files), limits=QUICK) as session:
        errors = {e.path: e for e in session.collection_errors}
        assert session.collected == ("test_half.py::test",)
    assert errors["test_bad.py"].exception == "ModuleNotFoundError"
    assert (errors["test_bad.py"].file, errors["test_bad.py"].line) == ("bad.py", 2)
    assert "nowhere_at_all" in errors["test_bad.py"].message
    assert (errors["test_syntax.py"].exception, errors["test_syntax.py"].line) == ("SyntaxError", 1)


def test_flaky_tests_are_told_from_failing_ones(tmp_path: Path) -> None:
    counter = tmp_path / "count"
    tests = f"""
        import os
        def test_sometimes():
            path = {str(counter)!r}
            n = int(open(path).read()) if os.path.exists(path) else 0
            open(path, "w").write(str(n + 1))
            assert n > 0
        def test_never():
            assert False
    """
    root = write(tmp_path / "repo", {"test_a.py": tests})
    with TestSession.open(root, limits=QUICK) as session:
        baseline = session.baseline()
    assert baseline.flaky == ("test_a.py::test_sometimes",)
    assert baseline.failing == ("test_a.py::test_never",)


def test_hanging_hungry_and_dying_tests_are_named_and_the_rest_still_runs(tmp_path: Path) -> None:
    from dataclasses import replace

    tests = """
        import os
        def test_first(): pass
        def test_hangs():
            while True: pass
        def test_eats():
            x = bytearray(200 << 30)
        def test_dies():
            os._exit(3)
        def test_last(): pass
    """
    limits = replace(QUICK, baseline_seconds=0.5)
    with TestSession.open(write(tmp_path, {"test_a.py": tests}), limits=limits) as session:
        baseline = session.baseline()
    found = {i.split("::")[1]: (r.status, r.exception) for i, r in baseline.results.items()}
    assert found["test_first"][0] == found["test_last"][0] == "passed"
    assert found["test_hangs"][0] == "timeout"
    assert found["test_eats"] == ("error", "MemoryError")
    assert found["test_dies"][0] == "crashed"


def test_hanging_targets_are_found_without_waiting_the_whole_limit_for_each(tmp_path: Path) -> None:
    """The limits are CPU time, so what they were can be read off the hanging loops themselves."""
    from dataclasses import replace

    code = "def count(n):\n    while n:\n        n -= 0\n    return 0\n"
    tests = """
        from count import count
        def test_0(): assert count(0) == 0
        def test_1(): assert count(1) == 0
        def test_2(): assert count(2) == 0
        def test_3(): assert count(3) == 0
    """
    files = {"count.py": code, "test_count.py": tests}
    limits = replace(QUICK, baseline_seconds=3.0)
    with Bench(write(tmp_path, files), limits) as bench:
        assert [i.split("::")[1] for i in bench.baseline.failing] == ["test_1", "test_2", "test_3"]
        assert bench.baseline.flaky == bench.baseline.unstable == ()
        assert all(bench.evaluator.limit(t) < 1.0 for t in bench.baseline.failing)
        (path,) = {p for lines in bench.coverage.lines.values() for p in lines}
        assert bench.coverage.lines["test_count.py::test_1"][path] >= {2, 3}
        still = bench.try_("count.py", ("n -= 0", "n += 0"))
        assert {r.status for r in still.results.values()} == {"timeout"}
        assert bench.try_("count.py", ("n -= 0", "n -= 1")).passed_all


def test_a_test_that_waits_gets_more_wall_time_than_processor_time(tmp_path: Path) -> None:
    from dataclasses import replace

    tests = "import time\ndef test_waits(): time.sleep(0.6)\ndef test_fails(): assert False\n"
    limits = replace(QUICK, baseline_seconds=0.3)
    with TestSession.open(write(tmp_path, {"test_a.py": tests}), limits=limits) as session:
        assert session.baseline().passing == ("test_a.py::test_waits",)


def test_the_final_verdict_comes_from_fresh_copies_and_original_tests(tmp_path: Path) -> None:
    tests = """
        from half import half
        def test(): assert half(4) == 2
        def test_0(): assert half(0) == 0
    """
    root = write(tmp_path, {"half.py": CODE, "test_half.py": tests})
    with TestSession.open(root, limits=QUICK) as session:
        baseline = session.baseline()
        check = session.final_check
        good = check(root, {"half.py": CODE.replace("3", "2")}, baseline.failing, baseline.passing)
        assert good.verified
        assert len(good.runs) == 2
        bad = check(
            root, {"half.py": "def half(n): return 2\n"}, baseline.failing, baseline.passing
        )
        assert not bad.verified
        assert bad.broken == ("test_half.py::test_0",)
        broken = check(root, {"half.py": "import nowhere\n"}, baseline.failing, baseline.passing)
        assert not broken.verified
        cheat = check(root, {"test_half.py": "def test(): pass\n"}, baseline.failing, ())
        assert not cheat.verified
        assert "test files" in cheat.reason


def test_any_other_command_is_judged_by_its_exit_code(tmp_path: Path) -> None:
    script = "from half import half\nassert half(4) == 2, 'wrong'\n"
    root = write(tmp_path, {"half.py": CODE, "check.py": script})
    command = parse_command(f"{sys.executable} check.py", root)
    assert command.kind == "plain"
    with TestSession.open(root, command, limits=QUICK) as session:
        baseline = session.baseline()
        (failing,) = baseline.failing
        assert baseline.results[failing].exception == "AssertionError"
        assert baseline.results[failing].frames[-1].path == "check.py"
        coverage = session.coverage(baseline.failing, ())
        with Evaluator(session, baseline.failing, (), coverage) as evaluator:
            outcome = evaluator.evaluate({"half.py": CODE.replace("3", "2")})
            assert outcome.passed_all
            assert outcome.how == "fresh"


def test_the_copy_in_the_repository_must_be_the_one_imported(tmp_path: Path) -> None:
    installed = tmp_path / "elsewhere"
    write(installed, {"half.py": CODE})
    files = {
        "half.py": CODE,
        "conftest.py": f"import sys\nsys.path.insert(0, {str(installed)!r})\n",
        "tests/test_half.py": "from half import half\ndef test(): assert half(4) == 2\n",
    }
    with pytest.raises(BadInput, match="half from"):
        TestSession.open(write(tmp_path / "repo", files), limits=QUICK)


def test_a_folder_without_tests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no tests found"):
        detect_command(write(tmp_path, {"half.py": CODE}))


@pytest.mark.parametrize(
    ("text", "kind", "arguments"),
    [
        ("pytest tests -k 'a or b' -n 4", "pytest", ("tests", "-k", "a or b")),
        ("python -m pytest -x -q tests/test_a.py::test", "pytest", ("tests/test_a.py::test",)),
        (
            "python -m unittest discover -s tests",
            "unittest",
            ("tests", "-o", "python_files=test*.py"),
        ),
        ("make test", "plain", ("make", "test")),
    ],
)  # fmt: skip
def test_test_commands_are_understood(
    tmp_path: Path, text: str, kind: str, arguments: tuple[str, ...]
) -> None:
    command = parse_command(text, tmp_path)
    assert (command.kind, command.arguments) == (kind, arguments)


def test_an_empty_or_unbalanced_command_is_refused(tmp_path: Path) -> None:
    for text in ("", "pytest 'tests"):
        with pytest.raises(BadInput, match="--test"):
            parse_command(text, tmp_path)


def test_a_program_that_tests_start_sees_the_candidate(tmp_path: Path) -> None:
    tests = """
        import subprocess, sys
        def test():
            code = "from half import half; print(half(4))"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            assert done.stdout == "2\\n"
            import half
    """
    with Bench(write(tmp_path, {"half.py": CODE, "test_half.py": tests})) as bench:
        assert bench.try_("half.py", ("// 3", "// 2")).passed_all


def test_async_and_doctest_items_run(tmp_path: Path) -> None:
    code = 'def half(n):\n    """\n    >>> half(4)\n    2\n    """\n    return n // 3\n'
    files = {"half.py": code, "pytest.ini": "[pytest]\naddopts = --doctest-modules\n"}
    with Bench(write(tmp_path, files)) as bench:
        (failing,) = bench.baseline.failing
        assert bench.baseline.results[failing].expected == "'2\\n'"
        assert bench.try_("half.py", ("// 3", "// 2")).passed_all


UNITTESTS = """
    import unittest
    from half import half

    class HalfTest(unittest.TestCase):
        def test_half(self):
            self.assertEqual(half(10), 5)
        def test_zero(self):
            self.assertEqual(half(0), 0)
"""


def bare_python(folder: Path) -> Path:
    """An interpreter with nothing installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


def test_an_interpreter_without_pytest_is_lent_ours(tmp_path: Path) -> None:
    python = bare_python(tmp_path / "bare")
    root = write(tmp_path / "repo", {"half.py": CODE, "test_half.py": UNITTESTS})
    with TestSession.open(root, python=python, sandbox=choose("auto"), limits=QUICK) as session:
        assert not session.notes
        assert [i.rsplit("::")[-1] for i in session.collected] == ["test_half", "test_zero"]
        baseline = session.baseline()
        coverage = session.coverage(baseline.failing, ())
        with Evaluator(session, baseline.failing, (), coverage) as evaluator:
            outcome = evaluator.evaluate({"half.py": CODE.replace("3", "2")})
            assert outcome.passed_all
            assert outcome.how == "hot"
    alone = subprocess.run([python, "-I", "-c", "import pytest"], capture_output=True, check=False)
    assert alone.returncode != 0


def test_unittest_runs_as_one_program_where_our_pytest_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "lend_pytest", lambda *_: None)
    python = bare_python(tmp_path / "bare")
    root = write(tmp_path / "repo", {"half.py": CODE, "test_half.py": UNITTESTS})
    with TestSession.open(root, python=python, limits=QUICK) as session:
        assert "no pytest" in session.notes[0]
        baseline = session.baseline()
        (failing,) = baseline.failing
        assert baseline.results[failing].exception == "AssertionError"
        assert {f.path for f in baseline.results[failing].frames} >= {"test_half.py"}
        coverage = session.coverage(baseline.failing, ())
        assert coverage.lines[failing]["half.py"] == {1, 2}
        with Evaluator(session, baseline.failing, (), coverage) as evaluator:
            assert not evaluator.evaluate({"half.py": "def half(n):\n    return 5\n"}).passed_all
            assert evaluator.evaluate({"half.py": CODE.replace("3", "2")}).passed_all
    write(root, {"test_half.py": "from half import half\ndef test(): assert half(4) == 2\n"})
    with pytest.raises(BadInput, match="pip install pytest"):
        TestSession.open(root, python=python, limits=QUICK)


def test_what_runs_once_in_a_process_is_not_the_failing_tests_own(tmp_path: Path) -> None:
    files = {
        "late.py": """
            MADE = {}

            def table():
                if not MADE:
                    MADE["x"] = 1
                return MADE

            def right():
                return table()["x"]

            def wrong():
                return table()["x"] + 1
            """,
        "test_late.py": """
            from late import right, wrong

            def test_wrong():
                assert wrong() == 1

            def test_right():
                assert right() == 1
            """,
    }
    with TestSession.open(write(tmp_path, files), limits=QUICK) as session:
        baseline = session.baseline()
        coverage = session.coverage(baseline.failing, baseline.passing)
    (failing,), (passing,) = baseline.failing, baseline.passing
    line = next(n for n, t in enumerate(files["late.py"].split("\n"), 1) if '["x"] = 1' in t)
    assert line in coverage.lines[passing]["late.py"]
    assert line not in coverage.lines[failing]["late.py"]
