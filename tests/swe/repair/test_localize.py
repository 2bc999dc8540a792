from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from meritree.swe.repair.localize import localize, ochiai
from meritree.swe.repair.suspicion import CoveredTest, Suspicion
from meritree.swe.traceback_text import Frame

TEXT = """LIMIT = 3
OTHER = 4


def shared(x):
    return x


def price(n, rate=2):
    if n > LIMIT:
        n = n * rate
    else:
        n = n + 1
    return shared(n)


def stock(n):
    return shared(n)
"""
SOURCES = {"shop.py": TEXT}


def run(name: str, failed: bool, lines: set[int], **more: object) -> CoveredTest:
    return CoveredTest(name, failed, {"shop.py": frozenset(lines)}, **more)  # type: ignore[arg-type]


FAILS = run("f", True, {6, 10, 11, 14})
PASSES = run("p", False, {6, 18})


def test_ochiai_has_its_closed_form() -> None:
    assert ochiai(2, 2, 4) == 2 / math.sqrt(4 * 4)
    assert ochiai(3, 0, 3) == 1.0
    assert ochiai(0, 5, 3) == 0.0
    assert ochiai(1, 1, 0) == 0.0


def test_lines_only_the_failing_test_runs_come_before_shared_ones() -> None:
    found = localize(SOURCES, [FAILS, PASSES])
    score = {item.line: item.score for item in found.lines}
    assert score[10] == score[11] == score[14] == 1.0
    assert score[6] == 1 / math.sqrt(2)
    assert {item.line for item in found.lines[:3]} == {10, 11, 14}


def test_a_branch_never_taken_next_to_suspicious_code_is_suspected_too() -> None:
    found = localize(SOURCES, [FAILS, PASSES])
    assert 0 < found.factor("shop.py", 13) < found.factor("shop.py", 11)


def test_a_constant_that_a_suspicious_function_reads_beats_one_that_it_does_not() -> None:
    found = localize(SOURCES, [FAILS, PASSES], imported={"shop.py": {1, 2}})
    assert found.factor("shop.py", 1) > found.factor("shop.py", 2) > 0


def test_the_last_project_frame_comes_first_and_says_so() -> None:
    frames = (Frame("tests/test_shop.py", 3, "test"), Frame("shop.py", 14, "price"))
    found = localize(SOURCES, [replace(FAILS, frames=(*frames, Frame("lib.py", 1, "g"))), PASSES])
    assert found.lines[0].line == 14
    assert "last project frame" in found.lines[0].reasons


def test_traceback_lines_count_as_run_even_when_the_trace_was_lost() -> None:
    test = CoveredTest("f", True, {}, (Frame("shop.py", 11, "price"),))
    found = localize(SOURCES, [test])
    assert found.lines[0].line == 11
    assert found.factor("shop.py", 14) > found.factor("shop.py", 18)


def test_without_any_test_the_traceback_of_an_issue_localises() -> None:
    issue = 'Traceback:\n  File "/x/shop.py", line 11, in price\n    n = n * rate\nTypeError: no'
    found = localize(SOURCES, [], issue=issue)
    assert found.lines[0].line == 11


def test_a_name_in_the_issue_is_enough_to_localise() -> None:
    found = localize(SOURCES, [], issue="Calling `stock(3)` gives a wrong number.")
    assert found.lines[0].function == "stock"


def test_the_function_called_in_the_failed_assertion_breaks_a_tie() -> None:
    both = run("f", True, {6, 10, 11, 14, 18}, asserted="assert stock(3) == 4")
    found = localize(SOURCES, [both])
    assert found.lines[0].function == "stock"
    assert any("assertion calls stock" in reason for reason in found.lines[0].reasons)


def key(found: Suspicion) -> list[tuple[str, int, float]]:
    return [(item.path, item.line, item.factor) for item in found.lines]


covered = st.sets(st.sampled_from([6, 10, 11, 13, 14, 18]), min_size=1)


@given(st.lists(covered, min_size=1, max_size=4), st.lists(covered, max_size=4), st.randoms())
def test_names_and_order_of_tests_do_not_matter(
    failing: list[set[int]], passing: list[set[int]], random: object
) -> None:
    tests = [run(f"f{i}", True, lines) for i, lines in enumerate(failing)]
    tests += [run(f"p{i}", False, lines) for i, lines in enumerate(passing)]
    renamed = [replace(test, id=f"other{i}") for i, test in enumerate(tests)]
    random.shuffle(renamed)  # type: ignore[attr-defined]
    assert key(localize(SOURCES, tests)) == key(localize(SOURCES, renamed))


@given(st.integers(0, 20))
def test_passing_tests_that_run_nothing_suspicious_change_nothing(extra: int) -> None:
    idle = [CoveredTest(f"i{i}", False, {"elsewhere.py": {1}}) for i in range(extra)]
    assert key(localize(SOURCES, [FAILS, PASSES, *idle])) == key(localize(SOURCES, [FAILS, PASSES]))


@given(st.integers(0, 99))
def test_the_seed_moves_exact_ties_only(seed: int) -> None:
    usual = {(item.line, item.factor) for item in localize(SOURCES, [FAILS, PASSES]).lines}
    found = localize(SOURCES, [FAILS, PASSES], seed=seed)
    assert {(item.line, item.factor) for item in found.lines} == usual
    factors = [item.factor for item in found.lines]
    assert factors == sorted(factors, reverse=True)


def test_the_head_keeps_whole_functions_and_the_rest_falls_but_stays() -> None:
    body = "".join(f"    x = {i}\n" for i in range(40))
    text = "".join(f"def f{k}(x):\n{body}    return x\n\n\n" for k in range(3))
    lines = set(range(1, text.count("\n")))
    tests = [CoveredTest("f", True, {"m.py": lines})]
    full = localize({"m.py": text}, tests, head=1000)
    cut = localize({"m.py": text}, tests, head=10)
    assert len(cut.lines) == len(full.lines)
    assert cut.head >= 10
    head_functions = {item.function for item in cut.lines[: cut.head]}
    assert not head_functions & {item.function for item in cut.lines[cut.head :]} - {""}


def test_a_file_that_does_not_parse_is_left_out_without_an_error() -> None:
    found = localize({"bad.py": "def ("}, [CoveredTest("f", True, {"bad.py": {1}})])
    assert found.lines == ()


def test_the_last_frame_of_an_exception_is_suspected_though_most_passing_tests_run_it() -> None:
    many = [run(f"p{n}", False, {6, 14}) for n in range(60)]
    way = (Frame("shop.py", 14, "price"), Frame("shop.py", 6, "shared"))
    fails = run("f", True, {6, 10, 14}, frames=way)
    found = localize(SOURCES, [fails, *many])
    assert found.lines[0].line in (6, 10)
    assert found.factor("shop.py", 6) > 0.9
    assert 0.4 < found.factor("shop.py", 14) < found.factor("shop.py", 6)


def test_functions_named_like_the_failing_test_come_first_among_equals() -> None:
    fails = CoveredTest("t.py::test_stock_of_nothing", True, {"shop.py": {6, 14, 18}})
    found = localize(SOURCES, [fails])
    assert found.lines[0].function == "stock"
    assert found.factor("shop.py", 18) == 3.0 * found.factor("shop.py", 14)
