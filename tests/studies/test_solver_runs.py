"""Measured solver runs: real children under a CPU cap, and the stored file is sound."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from meritree.studies.value.solver_runs import random_3sat, random_knapsack, stored

SPIN = """
import json, math, time
from meritree.errors import BadInput
from meritree.studies.value.solver_runs import measure, run_capped

def spin(seconds):
    start = time.process_time()
    while time.process_time() - start < seconds:
        math.sqrt(2.0)

def wait_and_spin(seconds):
    time.sleep(0.5)
    spin(seconds)

def fail(_):
    raise ValueError("no")
"""


def in_fresh_process(code: str) -> Any:
    """What the code prints as JSON; apart, because a process with JAX's threads must not fork."""
    done = subprocess.run(
        [sys.executable, "-c", SPIN + code], capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout)


def test_a_run_reports_its_processor_time_and_not_its_waiting() -> None:
    seconds = in_fresh_process("print(json.dumps(run_capped(wait_and_spin, 0.05, cap=5.0)))")
    assert 0.05 <= seconds < 0.5


def test_a_run_that_reaches_its_cap_is_censored() -> None:
    assert in_fresh_process("print(json.dumps(run_capped(spin, 30.0, cap=0.1)))") is None


def test_a_solver_that_fails_is_an_error_and_no_time() -> None:
    message = in_fresh_process("""
try:
    run_capped(fail, None, cap=1.0)
except BadInput as error:
    print(json.dumps(str(error)))
""")
    assert "ended with status" in message


def test_all_solvers_see_the_same_instances_in_turn() -> None:
    seen, times = in_fresh_process("""
seen = []
family = measure("spin", {"a": spin, "b": spin}, [0.0, 5.0], 0.1, seen.append)
print(json.dumps([seen, dict(family.seconds)]))
""")
    assert seen == [0, 1]
    for first, second in (times["a"], times["b"]):
        assert first is not None
        assert second is None


def test_instances_depend_on_their_seed_alone() -> None:
    clauses = random_3sat(50, seed=1)
    assert clauses == random_3sat(50, seed=1) != random_3sat(50, seed=2)
    assert len(clauses) == 213
    assert all(len({abs(each) for each in clause}) == 3 for clause in clauses)
    knapsack = random_knapsack(10, 3, seed=1)
    assert knapsack == random_knapsack(10, 3, seed=1)
    assert all(sum(w) // 2 == c for w, c in zip(knapsack.weight, knapsack.capacity, strict=True))


def test_solvers_solve_what_they_are_given() -> None:
    pytest.importorskip("pysat")
    from meritree.studies.value.solver_runs import SAT_SOLVERS, sat_solver

    for name in SAT_SOLVERS:
        assert sat_solver(name)([[1, 2], [-1], [-2, 3]]) is True
        assert sat_solver(name)([[1], [-1]]) is False


def test_highs_finds_the_optimum_under_every_setting() -> None:
    pytest.importorskip("highspy")
    from meritree.studies.value.solver_runs import MILP_SETTINGS, highs_solver

    task = random_knapsack(9, 2, seed=3)
    best = max(
        sum(v for i, v in enumerate(task.value) if chosen >> i & 1)
        for chosen in range(2**9)
        if all(
            sum(w for i, w in enumerate(row) if chosen >> i & 1) <= limit
            for row, limit in zip(task.weight, task.capacity, strict=True)
        )
    )
    for options in MILP_SETTINGS.values():
        assert highs_solver(options)(task) == pytest.approx(best)


def test_the_stored_runs_are_complete_and_say_where_they_come_from() -> None:
    families, provenance = stored()
    assert {"command", "versions", "clock"} <= provenance.keys()
    for family in families:
        lengths = {len(times) for times in family.seconds.values()}
        assert len(lengths) == 1
        assert len(family.seconds) >= 5
        for times in family.seconds.values():
            assert all(t is None or 0.0 < t <= 1.05 * family.cap for t in times)
