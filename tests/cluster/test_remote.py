"""Candidates judged on a cluster: the same answers, and a killed worker costs a retry."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from meritree.errors import BadInput
from meritree.run.journal import Journal
from meritree.swe.fix import fix
from meritree.swe.prepare import prepare
from meritree.swe.result import FixOptions
from meritree.swe.run_folder import create

pytestmark = pytest.mark.usefixtures("cluster")

CODE = """
def total(prices, discount):
    result = 0
    for price in prices:
        result += price
    if discount > 1:
        return result - discount
    return result + 1


def mean(prices):
    return total(prices, 0) / len(prices)
"""
TESTS = """
from shop import mean, total

def test_total():
    assert [total(p, 0) for p in ([], [1], [1, 2, 3], [-4, 4], [9])] == [0, 1, 6, 0, 9]
    assert [total(p, 1) for p in ([], [1], [1, 2, 3])] == [0, 1, 6]
    assert total([1, 2], -1) == 3
def test_discount(): assert [total(p, 2) for p in ([], [1, 2, 3], [5])] == [-2, 4, 3]
def test_mean(): assert mean([2, 4]) == 3
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "shop.py").write_text(CODE)
    (root / "test_shop.py").write_text(TESTS)
    return root


def options(shop: Path, name: str) -> FixOptions:
    return FixOptions(shop, budget_tests=60, out=shop.parent / name, sandbox="rlimits")


def steps(out: Path) -> list[tuple[str, object]]:
    """What was tried and what came of it, without times."""
    with Journal.open(out / "run.db") as journal:
        events = [(e.kind, dict(e.payload)) for e in journal.events()]
    kept = []
    for kind, payload in events:
        if kind in ("step", "alias", "exhausted"):
            kept.append((kind, payload))
        elif kind == "outcome":
            kept.append((kind, payload["estimate"]))
    return kept


def test_a_cluster_finds_the_same_tree_as_this_machine(shop: Path) -> None:
    here = fix(options(shop, "here"))
    there = fix(replace(options(shop, "there"), engine="ray"))
    assert here.status == there.status == "verified"
    assert there.candidates[0].patch == here.candidates[0].patch
    assert steps(shop.parent / "there") == steps(shop.parent / "here")


def test_a_killed_worker_costs_a_retry_and_nothing_else(shop: Path) -> None:
    asked = replace(options(shop, "run"), engine="ray")
    prepared = prepare(asked, create(asked), lambda _: None)
    try:
        local = prepared.evaluator()
        (tester,) = prepared.testers()
        first = tester.process()
        text = prepared.repository.sources["shop.py"]
        slow = {"shop.py": text.replace("result = 0", "import time; time.sleep(0.1); result = 0")}
        other = {"shop.py": text.replace("result + 1", "result")}

        def kill() -> None:
            time.sleep(0.05)
            os.kill(first, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        answers = [tester.evaluate(files) for files in (slow, other)]
        killer.join()
        assert tester.process() != first
        for files, answer in zip((slow, other), answers, strict=True):
            expected = local.evaluate(files)
            assert answer.passed_all == expected.passed_all
            assert {t: r.status for t, r in answer.results.items()} == {
                t: r.status for t, r in expected.results.items()
            }
    finally:
        prepared.close()


def test_an_unknown_engine_is_refused(shop: Path) -> None:
    with pytest.raises(BadInput, match="--engine slurm"):
        fix(replace(options(shop, "no"), engine="slurm"))
    assert not (shop.parent / "no").exists()
