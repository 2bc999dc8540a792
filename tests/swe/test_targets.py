"""Which failing tests a run must mend, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from meritree.errors import BadInput
from meritree.swe import prepare
from meritree.swe.result import FixOptions
from meritree.swe.run_folder import create
from meritree.swe.targets import choose_targets, named
from meritree.swe.testing import Baseline, TestCommand, TestLimits, TestResult, TestSession
from meritree.swe.testing.types import Frame
from meritree.swe.wording import counted, passing

TESTS = (
    "tests/test_price.py::TestPrice::test_two",
    "tests/test_price.py::test_five[5-6]",
    "tests/test_cart.py::test_total",
    "tests/test_cart.py::test_empty",
)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("test_twoo", "did you mean tests/test_price.py::TestPrice::test_two"),
        ("tests/test_price.py::test_fiv", "did you mean tests/test_price.py::test_five[5-6]"),
        ("cart.py::empty", "did you mean tests/test_cart.py::test_empty"),
        ("nosuch", f"there are 4, among them {TESTS[0]}, {TESTS[1]}, {TESTS[2]}; leave --failing"),
    ],
)
def test_an_unknown_failing_test_is_answered_with_near_names_or_with_what_there_is(
    name: str, said: str
) -> None:
    with pytest.raises(BadInput) as refused:
        named([name], TESTS)
    assert f"--failing {name}: no such test; " in str(refused.value)
    assert said in str(refused.value)


def test_of_a_few_tests_all_are_listed() -> None:
    with pytest.raises(BadInput, match=r"there is t.py::test_a$"):
        named(["nosuch"], ["t.py::test_a"])
    with pytest.raises(BadInput, match=r"there are t.py::test_a, t.py::test_b$"):
        named(["nosuch"], ["t.py::test_a", "t.py::test_b"])


def test_a_named_test_that_passes_while_others_fail_is_not_nothing_to_fix() -> None:
    results = {
        "t.py::test_a": TestResult("t.py::test_a", "passed"),
        **{f"t.py::test_{n}": TestResult(f"t.py::test_{n}", "failed") for n in "bcde"},
    }
    session = cast("TestSession", SimpleNamespace(collected=tuple(results), collection_errors=()))
    baseline = Baseline(results, ())
    with pytest.raises(BadInput) as refused:
        choose_targets(session, baseline, FixOptions(Path("x"), failing_tests=("test_a",)), ())
    assert str(refused.value) == (
        "--failing: 1 named test passes already; failing now: t.py::test_b, t.py::test_c, "
        "t.py::test_d and 1 more; name one of these, or leave --failing out"
    )


def test_a_test_that_hangs_by_itself_is_left_out_by_name() -> None:
    hangs = TestResult(
        "t.py::test_loop", "timeout", message="10 s", frames=(Frame("t.py", 9, "test_loop"),)
    )
    deep = replace(
        hangs, id="t.py::test_deep", frames=(*hangs.frames, Frame("price.py", 2, "price"))
    )
    results = (
        hangs,
        deep,
        TestResult("t.py::test_two", "failed"),
        TestResult("t.py::ok", "passed"),
    )
    session = SimpleNamespace(
        collected=[r.id for r in results], collection_errors=(), test_files=("t.py",),
        command=TestCommand("pytest"),
    )  # fmt: skip
    found = choose_targets(
        cast(TestSession, session), Baseline({r.id: r for r in results}), FixOptions(Path()), ()
    )
    assert found == (
        ("t.py::test_deep", "t.py::test_two"),
        ("t.py::test_loop hangs (10 s) before it reaches the repository's code",),
    )


def test_a_test_that_is_left_out_stands_among_the_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "TestLimits", lambda: TestLimits(baseline_seconds=0.5))
    (tmp_path / "price.py").write_text("def price(n):\n    return n - 1\n")
    (tmp_path / "test_price.py").write_text(
        "from price import price\n\n\ndef test_two():\n    assert price(2) == 3\n\n\n"
        "def test_loop():\n    while True:\n        pass\n"
    )
    said: list[str] = []
    options = FixOptions(tmp_path, out=tmp_path / "run", sandbox="rlimits")
    ready = prepare.prepare(
        options, create(options), lambda progress: said.append(progress.message)
    )
    ready.close()
    assert ready.targets == ("test_price.py::test_two",)
    assert any("left out" in w and "test_price.py::test_loop hangs" in w for w in ready.warnings)
    assert said[-2:] == ["running 2 tests", "tracing 1 failing test"]


def test_one_thing_is_one_thing() -> None:
    assert counted(1, "patch", "patches") == "1 patch"
    assert counted(0, "patch", "patches") == "0 patches"
    assert passing(1, "target test") == "1 target test passes"
    assert passing(2, "other", "still ") == "2 others still pass"
