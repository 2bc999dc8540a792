"""The final check cannot be talked round: forged answers, patched runners, edited judges."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_repos import write

from meritree.errors import BadInput
from meritree.run.sandbox import choose
from meritree.swe.testing import TestSession
from meritree.swe.testing.touched import touched
from meritree.swe.testing.twin import sabotage_all, tampered, twins
from meritree.swe.testing.types import TestResult
from meritree.swe.verdict_attempts import VERDICT_ATTEMPTS, check_verdicts

TEXT = '''
import pytest

def test_plain():
    """Kept."""
    assert True

@pytest.mark.parametrize("n", [1, 2])
def test_many(n):
    return

@pytest.mark.xfail
def test_odd():
    assert False

@retried
def test_wrapped():
    assert True

class TestCase:
    def test_in_class(self):
        pytest.skip("no")
'''
FILES_OF = dict.fromkeys(
    ["t.py::test_plain", "t.py::test_many[1]", "t.py::test_odd", "t.py::test_wrapped",
     "t.py::TestCase::test_in_class", "t.py::TestCase::test_inherited"], "t.py",
)  # fmt: skip


def test_a_twin_fails_whatever_the_test_does_and_doubtful_tests_are_left_out() -> None:
    changed, reached = twins(FILES_OF, FILES_OF, {"t.py": TEXT}, "nonce-1")
    assert set(reached) == {"t.py::test_plain", "t.py::test_many[1]",
                            "t.py::TestCase::test_in_class"}  # fmt: skip
    tree = ast.parse(changed["t.py"])
    space: dict[str, object] = {}
    source = ast.unparse(tree).replace("@retried\n", "")
    exec(compile(source, "t.py", "exec"), space)
    for call in (
        space["test_plain"],
        lambda: space["test_many"](1),  # type: ignore[operator]
        lambda: space["TestCase"]().test_in_class(),
    ):  # type: ignore[operator]
        with pytest.raises(AssertionError, match="nonce-1"):
            call()  # type: ignore[operator]
    assert space["test_plain"].__doc__ == "Kept."


def test_texts_without_tests_have_no_twin() -> None:
    assert sabotage_all("x = 1\n", "n") is None
    assert sabotage_all("def (", "n") is None
    made = sabotage_all("class A:\n    def test_x(self):\n        pass\n", "nonce-2")
    assert made is not None
    assert "nonce-2" in made
    assert twins(["t.py::test_x"], {"t.py::test_x": "t.py"}, {"t.py": "def ("}, "n") == ({}, ())


def test_only_a_pass_betrays_a_forger() -> None:
    results = {"a": TestResult("a", "passed", 0, 1), "b": TestResult("b", "failed", 0, 0)}
    assert tampered(results, ["a", "b", "gone"]) == ("a",)


def test_judges_tests_and_configuration_are_told_apart() -> None:
    found = touched(
        ["a.py", "sub/conftest.py", "tests/helper.py", "tests/test_new.py", "setup.cfg", "x.pth"],
        {"tests/helper.py"},
    )
    assert found.judges == ("sub/conftest.py", "tests/helper.py")
    assert found.new_tests == ("tests/test_new.py",)
    assert found.configuration == ("setup.cfg", "x.pth")
    assert found.left_out == {"tests/test_new.py", "setup.cfg", "x.pth"}
    assert ["setup.cfg, x.pth" in note for note in found.notes] == [False, True]
    assert touched(["src/contest.py"], ()).notes == ()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestSession]:
    files = {
        "shop.py": "def price(n):\n    return n * 3\n",
        "test_shop.py": "from shop import price\n\ndef test_price():\n    assert price(2) == 4\n"
        "\ndef test_zero():\n    assert price(0) == 0\n",
        "setup.cfg": "[tool:pytest]\npython_functions = test_*\n",
    }
    root = write(tmp_path_factory.mktemp("final"), files)
    with TestSession.open(root) as opened:
        yield opened


def verdict_on(session: TestSession, files: dict[str, str]):  # type: ignore[no-untyped-def]
    targets, rest = ["test_shop.py::test_price"], ["test_shop.py::test_zero"]
    return session.final_check(session.setting.pristine, files, targets, rest, runs=1)


def test_an_honest_patch_is_verified_with_a_twin_in_the_background(session: TestSession) -> None:
    verdict = verdict_on(session, {"shop.py": "def price(n):\n    return n * 2\n"})
    assert verdict.verified, verdict.reason
    assert verdict.notes == ()


def test_configuration_of_a_patch_does_not_judge_it_and_is_named(session: TestSession) -> None:
    files = {"setup.cfg": "[tool:pytest]\npython_functions = nothing_*\n"}
    verdict = verdict_on(session, {**files, "shop.py": "def price(n):\n    return n * 2\n"})
    assert verdict.verified, verdict.reason
    assert verdict.notes == ("edits configuration, judged with the original: setup.cfg",)
    assert "test_price" in verdict_on(session, files).reason


@pytest.mark.parametrize("path", ["test_shop.py", "conftest.py", "deep/conftest.py"])
def test_a_patch_of_the_tests_that_judge_it_is_refused(session: TestSession, path: str) -> None:
    verdict = verdict_on(session, {path: "def test_price(): pass\n"})
    assert not verdict.verified
    assert path in verdict.reason


def test_tests_that_were_written_over_while_they_ran_are_noticed(session: TestSession) -> None:
    code = "def price(n):\n    open('test_shop.py', 'a').write('#')\n    return n * 2\n"
    verdict = verdict_on(session, {"shop.py": code})
    assert not verdict.verified
    assert "changed the test file test_shop.py" in verdict.reason


def test_patches_that_tamper_with_the_run_fool_a_bare_run_and_not_the_check() -> None:
    try:
        sandbox = choose("auto")
    except BadInput as error:
        pytest.skip(str(error))
    wanted = [
        a for a in VERDICT_ATTEMPTS if a.name in ("forge-answer", "patch-runner", "exit-zero")
    ]
    results = list(check_verdicts([sandbox], wanted))
    assert [(one.attempt, one.refused) for one in results] == [(a.name, True) for a in wanted]
    reasons = {one.attempt: one.reason for one in results}
    assert "made to fail" in reasons["forge-answer"]


def test_a_plain_command_that_is_ended_with_success_is_found_out(tmp_path: Path) -> None:
    from meritree.swe.testing.detect import parse_command

    files = {
        "shop.py": "def price(n):\n    return n * 3\n",
        "test_shop.py": "import unittest\nfrom shop import price\n\nclass T(unittest.TestCase):\n"
        "    def test_price(self):\n        self.assertEqual(price(2), 4)\n\n"
        "if __name__ == '__main__':\n    unittest.main()\n",
    }
    root = write(tmp_path, files)
    import sys

    command = parse_command(f"{sys.executable} test_shop.py", root)
    with TestSession.open(root, command) as opened:
        name = opened.collected
        forged = {"shop.py": "import os\nos._exit(0)\n"}
        assert opened.fresh_results(name, forged)[name[0]].status == "passed"
        verdict = opened.final_check(root, forged, name, [], runs=1)
        assert not verdict.verified
        assert "tampers" in verdict.reason
        honest = {"shop.py": "def price(n):\n    return n * 2\n"}
        assert opened.final_check(root, honest, name, [], runs=1).verified
