"""Candidates that loop, die, fork, flood, lie or poison: each is survived and named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from small_repos import QUICK, Bench, write

SOURCE = """
    import os, sys, time, threading

    TABLE = {"a": 1, "b": 2}
    SEEN = []


    def price(key):
        return TABLE[key] * 3


    def total(keys):
        return sum(price(k) for k in keys)


    def note(x):
        SEEN.append(x)
        return len(SEEN)
"""
TESTS = """
    from shop import price, total

    def test_price():
        assert price("b") == 4

    def test_total():
        assert total(["a", "b"]) == 6

    def test_missing():
        import pytest
        with pytest.raises(KeyError):
            price("zzz")

    def test_of_table():
        import shop
        assert shop.TABLE["a"] == 1
"""
BODY = "return TABLE[key] * 3"
RIGHT = "return TABLE[key] * 2"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(write(tmp_path, {"shop.py": SOURCE, "test_shop.py": TESTS})) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("shop")
    with Bench(write(root, {"shop.py": SOURCE, "test_shop.py": TESTS})) as opened:
        yield opened


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("while True: pass", "timeout"),
        ("time.sleep(600)", "timeout"),
        ("while True:\n        try:\n            time.sleep(1)\n"
         "        except BaseException: pass", "timeout"),
        ("return len(bytearray(50 << 30))", "error"),
        ("return price(key)", "error"),
        ("os._exit(0)", "crashed"),
        ("os.abort()", "crashed"),
        ("sys.exit(0)", "error"),
        ("raise KeyboardInterrupt", "error"),
        ("os.fork(); return 0", "failed"),
        ("os.closerange(0, 4096)", "crashed"),
    ],
)  # fmt: skip
def test_a_candidate_that_misbehaves_is_named_and_the_next_one_is_judged_rightly(
    shared: Bench, body: str, status: str
) -> None:
    outcome = shared.try_("shop.py", (BODY, body))
    assert not outcome.passed_all
    assert {r.status for r in outcome.results.values()} == {status}
    after = shared.try_("shop.py", (BODY, f"{RIGHT} + len({body[:6]!r}) * 0"))
    assert after.passed_all


def test_output_without_end_is_swallowed(shared: Bench) -> None:
    outcome = shared.try_("shop.py", (BODY, "while True: print('x' * 1000)"))
    assert {r.status for r in outcome.results.values()} == {"timeout"}


def test_a_candidate_that_writes_results_to_every_descriptor_does_not_pass(shared: Bench) -> None:
    forged = (
        "import json, struct\n"
        "    data = json.dumps(['', {'results': [], 'regressions': [], 'ran': 9}]).encode()\n"
        "    for fd in range(3, 400):\n"
        "        try: os.write(fd, struct.pack('>I', len(data)) + data)\n"
        "        except OSError: pass\n"
        "    return 0"
    )
    outcome = shared.try_("shop.py", (BODY, forged))
    assert not outcome.passed_all
    assert shared.try_("shop.py", (BODY, "return 2 * TABLE[key]")).passed_all


def test_an_edit_that_writes_where_nobody_wrote_runs_in_a_process_of_its_own(bench: Bench) -> None:
    bench.try_("shop.py", (BODY, "return 0"))
    before = bench.evaluator.stats.forks
    bench.try_("shop.py", (BODY, "TABLE[key] = 7; return 0"))
    assert bench.evaluator.stats.forks > before
    assert bench.try_("shop.py", (BODY, RIGHT)).passed_all


def test_the_canary_catches_a_poisoned_table_and_the_lost_fix_is_amended(bench: Bench) -> None:
    # The write is hidden from the look at the edit's text, so it does reach the shared process.
    poison = 'vars(TABLE.__class__)["__init__"](TABLE, a=50, b=60) or 0'
    bench.try_("shop.py", (BODY, "return 0"))
    bench.try_("shop.py", (BODY, f"return {poison}"))
    fix = bench.try_("shop.py", (BODY, RIGHT))
    amended = list(fix.amended)
    for number in range(30):
        amended += bench.try_("shop.py", (BODY, f"return {number + 100}")).amended
    found = fix.passed_all or any(a.outcome.passed_all for a in amended)
    assert found
    assert bench.evaluator.stats.canary_failures >= 1
    assert bench.try_("shop.py", (BODY, "return TABLE[key] + TABLE[key]")).passed_all


def test_without_the_canary_nothing_is_run_on_the_original_code_again(tmp_path: Path) -> None:
    limits = replace(QUICK, canary_every=0)
    with Bench(write(tmp_path, {"shop.py": SOURCE, "test_shop.py": TESTS}), limits) as bench:
        for number in range(30):
            assert not bench.try_("shop.py", (BODY, f"return {number + 100}")).passed_all
        assert bench.try_("shop.py", (BODY, RIGHT)).passed_all
        assert bench.evaluator.stats.canaries == 0


def test_files_left_behind_are_removed(tmp_path: Path) -> None:
    source = """
        import os
        def size(name):
            return 0
    """
    tests = """
        import os
        from disk import size
        def test_size():
            assert not os.path.exists("left.txt"), "left"
            assert size("x") == 5
    """
    with Bench(write(tmp_path, {"disk.py": source, "test_disk.py": tests})) as bench:
        body = "return 0"
        bench.try_("disk.py", (body, "open('left.txt', 'w').write('x'); return 1"))
        assert bench.try_("disk.py", (body, "return 5")).passed_all
        assert not list(tmp_path.glob("left.txt"))


def test_a_regression_is_found_among_the_passing_tests(shared: Bench) -> None:
    outcome = shared.try_("shop.py", (BODY, "return TABLE.get(key, 0) * 2"))
    assert not outcome.passed_all
    assert outcome.regressions == ("test_shop.py::test_missing",)


def test_an_evaluator_replaced_after_many_candidates_goes_on(tmp_path: Path) -> None:
    from dataclasses import replace

    limits = replace(QUICK, candidates_per_process=10)
    root = write(tmp_path, {"shop.py": SOURCE, "test_shop.py": TESTS})
    with Bench(root, limits) as bench:
        for number in range(25):
            assert not bench.try_("shop.py", (BODY, f"return {number + 50}")).passed_all
        assert bench.evaluator.stats.restarts >= 2
        assert bench.try_("shop.py", (BODY, RIGHT)).passed_all
