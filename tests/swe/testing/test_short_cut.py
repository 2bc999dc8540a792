"""Candidates are judged by few tests without hooks, and yet as fresh processes judge them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_repos import QUICK, Bench, write

CODE = """
    CALLS = []

    def twice(n):
        return n * 3

    def half(n):
        return n // 3
"""
TESTS = """
    import unittest, warnings
    import pytest
    from code_ import half, twice

    @pytest.fixture
    def torn():
        yield 1
        assert twice(1) == 2, "torn down"

    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_value(n):
        assert twice(n) == 2 * n

    def test_teardown(torn):
        assert torn == 1

    def test_raises():
        if twice(1) != 2:
            raise [KeyError("a"), ValueError("b"), IndexError("d")][twice(1) % 3]

    def test_skips_itself():
        if twice(1) == 4:
            pytest.skip("not now")
        assert twice(1) == 2

    def test_expects_to_fail(request):
        if twice(1) == 4:
            request.node.add_marker(pytest.mark.xfail)
        assert twice(1) == 2

    def test_imperative():
        if twice(1) == 4:
            pytest.xfail("as expected")
        assert twice(1) == 2

    def test_warns():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if twice(1) != 2:
                warnings.warn(f"wrong {twice(1)}")

    class Case(unittest.TestCase):
        def setUp(self):
            self.one = twice(1)

        def test_equal(self):
            self.assertEqual(self.one, 2)

        def test_parts(self):
            for n in range(3):
                with self.subTest(n=n):
                    self.assertEqual(twice(n), 2 * n)

        def test_skip(self):
            if self.one == 4:
                self.skipTest("not now")
            self.assertEqual(self.one, 2)

    def test_half():
        assert half(4) == 2

    def test_half_of_zero():
        assert half(0) == 0
"""
ALL = replace(QUICK, target_cap=50)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    root = tmp_path_factory.mktemp("short")
    return Bench(write(root, {"code_.py": CODE, "test_code.py": TESTS}), ALL)


@pytest.mark.parametrize("body", ["return n * 4", "return n + 1", "raise LookupError(n)"])
def test_every_kind_of_test_gives_what_a_fresh_process_gives(bench: Bench, body: str) -> None:
    outcome = bench.try_("code_.py", ("return n * 3", body))
    text = (bench.root / "code_.py").read_text().replace("return n * 3", body)
    fresh = bench.session.fresh_results(list(outcome.results), {"code_.py": text})
    assert len(outcome.results) == len(bench.baseline.failing) - 1  # all but that of half
    for test, result in outcome.results.items():
        assert (result.status, result.signature) == (fresh[test].status, fresh[test].signature)


def test_a_fix_is_confirmed_and_a_partial_one_keeps_the_process(bench: Bench) -> None:
    before = bench.evaluator.stats.canary_failures
    partial = bench.try_("code_.py", ("return n * 3", "return n * 2"))
    assert not partial.passed_all
    failing = [test for test, result in partial.results.items() if not result.ok]
    assert failing == ["test_code.py::test_half"]
    assert bench.evaluator.stats.canary_failures == before
    fixed = ("return n * 3", "return n * 2"), ("return n // 3", "return n // 2")
    assert bench.try_("code_.py", *fixed).passed_all


def test_targets_that_cannot_notice_are_spared(bench: Bench) -> None:
    outcome = bench.try_("code_.py", ("return n // 3", "return n // 4 + 4"))
    assert set(outcome.results) == {"test_code.py::test_half"}


def test_a_candidate_that_changes_nothing_runs_two_targets(bench: Bench) -> None:
    outcome = bench.try_("code_.py", ("return n * 3", "return 3 * n"))
    assert outcome.ran == 2


def test_hooks_of_the_repository_are_called(tmp_path: Path) -> None:
    conftest = """
        import pytest
        import code_

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_call(item):
            code_.CALLS.append(item.name)
            result = yield
            code_.CALLS.pop()
            return result
    """
    tests = """
        import code_
        def test_twice():
            assert code_.CALLS == ["test_twice"]
            assert code_.twice(2) == 4
        def test_half():
            assert code_.CALLS == ["test_half"]
            assert code_.half(0) == 0
    """
    files = {"code_.py": CODE, "conftest.py": conftest, "test_code.py": tests}
    with Bench(write(tmp_path, files)) as opened:
        wrong = opened.try_("code_.py", ("return n * 3", "return n * 5"))
        assert [r.actual for r in wrong.results.values()] == ["10"]
        assert opened.try_("code_.py", ("return n * 3", "return n * 2")).passed_all


def test_guards_are_the_tests_that_enter_the_changed_function(tmp_path: Path) -> None:
    tests = """
        from code_ import half, twice
        def test_twice(): assert twice(2) == 4
        def test_zero(): assert twice(0) == 0
        def test_half(): assert half(0) == 0
        def test_half_of_one(): assert half(1) == 0
    """
    root = write(tmp_path, {"code_.py": CODE, "test_code.py": tests})
    with Bench(root, replace(QUICK, traced_passing=1)) as opened:
        assert len(opened.coverage.functions) == 2
        outcome = opened.try_("code_.py", ("return n * 3", "return n * 2"))
        assert outcome.passed_all
        assert outcome.ran == 2  # the target and the one guard, in a process of their own
