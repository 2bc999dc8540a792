"""Comparison: equal budgets, resumable results, verdicts by hidden tests, paired figures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path

import pytest

from meritree.bench.compare import Attempt, Setting, Trial, compare, read_trials
from meritree.bench.outcome_cache import OutcomeCache
from meritree.bench.plot import draw_curves, solved_curves
from meritree.bench.repair import RepairBench, check, parse, run_repair_bench
from meritree.bench.tables import (
    correct,
    impatient,
    markdown,
    paired_difference,
    patient,
    share,
    summarise,
)
from meritree.bench.tasks import Fault, Task
from meritree.errors import BadInput, HarnessError
from meritree.swe.testing.types import Outcome

CODE = "def double(n):\n    return n * 2\n"
FAULTY = "def double(n):\n    return n + 2\n"
OVERFIT = "def double(n):\n    return 6 if n == 3 else n + 2\n"
TESTS = """from calc import double


def test_three():
    assert double(3) == 6


def test_five():
    assert double(5) == 10


def test_two():
    assert double(2) == 4
"""
AT = CODE.index("*")
TASK = Task(
    id="calc-1/single-000",
    package="calc",
    version="1",
    faults=(Fault("arithmetic_operator", "calc.py", 2, "double", "`*` written as `+`"),),
    edits={"calc.py": ((AT, AT + 1, "+"),)},
    diff="",
    shown=("test_calc.py::test_three",),
    held_out=("test_calc.py::test_five",),
    broken_before=(),
    seed=1,
)


def lay_out(_task: Task, root: Path) -> None:
    (root / "calc.py").write_text(CODE)
    (root / "test_calc.py").write_text(TESTS)
    (root / "pytest.ini").write_text("[pytest]\npythonpath = .\naddopts = -p no:cacheprovider\n")


@dataclass
class ListSolver:
    """Tries a fixed list of texts in an order that depends on strategy and seed."""

    calls: list[tuple[str, int]]
    texts: dict[str, tuple[str, ...]]
    broken: bool = False

    def open(self, repo: Path, task: Task) -> ListSolver:
        assert (repo / "calc.py").read_text() == FAULTY
        if self.broken:
            raise HarnessError("the harness died")
        return self

    def attempt(self, setting: Setting, seed: int, budget: int) -> Attempt:
        self.calls.append((setting.label, seed))
        started = time.monotonic()
        for spent, text in enumerate(self.texts[setting.strategy][:budget], 1):
            space: dict[str, Callable[[int], int]] = {}
            exec(text, space)
            if space["double"](3) == 6:
                return Attempt(spent, spent, {"calc.py": text}, time.monotonic() - started)
        return Attempt(None, budget, {}, time.monotonic() - started)

    def close(self) -> None:
        pass


def solver() -> ListSolver:
    return ListSolver(
        [],
        {
            "good": (FAULTY, CODE + "# comment\n"),
            "overfit": (OVERFIT,),
            "slow": (FAULTY,) * 9 + (CODE,),
        },
    )


SETTINGS = [Setting("good"), Setting("overfit"), Setting("slow")]


def run(results: Path, who: ListSolver, seeds: int = 2) -> tuple[Trial, ...]:
    return compare(
        [TASK], SETTINGS, seeds=range(seeds), budget=5, solver=who, lay_out=lay_out, results=results
    )


def test_patches_are_judged_by_what_the_search_could_not_see(tmp_path: Path) -> None:
    trials = {t.setting: t for t in run(tmp_path / "trials.jsonl", solver(), seeds=1)}
    good, overfit, slow = trials["good"], trials["overfit"], trials["slow"]
    assert (good.found_at, good.held_out, good.kept, good.original) == (2, True, True, True)
    assert good.correct
    assert (overfit.found_at, overfit.held_out, overfit.kept) == (1, False, False)
    assert not overfit.original
    assert not overfit.correct
    assert (slow.found_at, slow.evaluations, slow.held_out) == (None, 5, None)


def test_a_comparison_resumes_after_a_torn_line_without_repeating_work(tmp_path: Path) -> None:
    results = tmp_path / "trials.jsonl"
    whole = run(results, solver())
    lines = results.read_text().splitlines(keepends=True)
    results.write_text("".join(lines[:4]) + lines[4][:20])
    again = solver()
    assert [replace(t, seconds=0.0) for t in run(results, again)] == [
        replace(t, seconds=0.0) for t in whole
    ]
    assert len(again.calls) == 2
    assert len(read_trials(results)) == 6


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    import fcntl

    results = tmp_path / "trials.jsonl"
    with results.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="another process"):
            run(results, solver())


def test_a_task_that_cannot_be_opened_counts_as_unsolved_with_its_reason(tmp_path: Path) -> None:
    broken = replace(solver(), broken=True)
    trials = run(tmp_path / "trials.jsonl", broken)
    assert {t.error for t in trials} == {"the harness died"}
    assert not any(t.correct for t in trials)
    assert summarise(trials, "good", {})["settings"][0]["errors"] == 2


def test_a_file_that_is_no_results_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trials.jsonl").write_text('{"task": 1}\n')
    with pytest.raises(BadInput, match="not a results file"):
        run(tmp_path / "trials.jsonl", solver())


def trial(task: int, setting: str, seed: int, found_at: int | None, package: str = "p") -> Trial:
    return Trial(
        task=f"{package}/{task}",
        package=package,
        slips=1 + task % 2,
        setting=setting,
        seed=seed,
        budget=100,
        found_at=found_at,
        evaluations=found_at or 100,
        seconds=0.1,
        held_out=True if found_at else None,
        kept=True if found_at else None,
        original=False,
    )


def test_a_constant_advantage_has_a_difference_without_width() -> None:
    better = [trial(t, "a", s, 5) for t in range(6) for s in range(3)]
    worse = [trial(t, "b", s, None) for t in range(6) for s in range(3)]
    interval = paired_difference(better, worse, correct)
    assert (interval.mean, interval.low, interval.high) == (1.0, 1.0, 1.0)
    assert share(better, correct).n == 6  # tasks, not task-seed pairs
    with pytest.raises(BadInput, match="same tasks and seeds"):
        paired_difference(better, worse[1:], correct)


def test_the_table_puts_the_best_first_and_says_what_the_reference_is() -> None:
    trials = [trial(t, "a", 0, 5 if t < 2 else None) for t in range(4)]
    trials += [trial(t, "b", 0, 7 + t) for t in range(4)]
    summary = summarise(trials, "a", {"seeds": 1})
    lines = markdown(summary).splitlines()
    assert "minus a" in lines[0]
    assert lines[2].startswith("| b | 100.0 | 100.0 (100.0 to 100.0)")
    assert lines[3].startswith("| a | 50.0 ")
    assert "reference" in lines[3]
    assert summary["settings"][1]["median_found_at"] == 8.5
    with pytest.raises(BadInput, match="reference 'c' was not run"):
        summarise(trials, "c", {})


def test_a_search_is_worth_what_its_evaluations_leave_of_the_budget() -> None:
    early, late, never = trial(0, "a", 0, 10), trial(1, "a", 0, 90), trial(2, "a", 0, None)
    wrong = replace(trial(3, "a", 0, 1), kept=False)
    trials = [early, late, never, wrong]
    assert [patient(each) for each in trials] == pytest.approx([0.9, 0.1, 0.0, 0.0])
    assert [impatient(each) for each in trials] == pytest.approx([exp(-1), exp(-9), 0.0, 0.0])
    row = summarise(trials, "a", {})["settings"][0]
    assert row["patient"]["mean"] == pytest.approx(0.25)
    lines = markdown(summarise(trials, "a", {})).splitlines()
    assert lines[2].split("|")[8].strip() == "0.250"


def test_curves_count_finds_up_to_each_number_of_evaluations() -> None:
    trials = [trial(0, "a", 0, 3), trial(0, "a", 1, 30), trial(1, "a", 0, None)]
    assert solved_curves(trials, [1, 3, 30, 100]) == {
        "p/0": [0.0, 0.5, 1.0, 1.0],
        "p/1": [0.0, 0.0, 0.0, 0.0],
    }


def test_the_plot_is_written_as_a_png(tmp_path: Path) -> None:
    trials = [trial(t, name, 0, 3 + t) for t in range(5) for name in ("a", "b")]
    draw_curves(trials, tmp_path / "plots" / "solved.png", caption="Five tasks.")
    assert (tmp_path / "plots" / "solved.png").read_bytes().startswith(b"\x89PNG")


def test_outcomes_are_kept_per_task_and_tree_across_openings(tmp_path: Path) -> None:
    cache = OutcomeCache(tmp_path / "outcomes.db")
    outcome = Outcome(passed_all=False, ran=2, seconds=0.5)
    cache.for_task("one").put("aaaa", outcome)
    assert cache.for_task("two").get("aaaa") is None
    assert cache.for_task("one").get("bbbb") is None
    cache.close()
    again = OutcomeCache(tmp_path / "outcomes.db")
    assert again.for_task("one").get("aaaa") == outcome
    again.close()


def test_options_are_read_and_impossible_ones_refused_by_name() -> None:
    bench = parse(["--packages", "toolz,boltons", "--seeds", "3", "--strategies", "uct"])
    assert (bench.packages, bench.seeds, bench.strategies) == (("toolz", "boltons"), 3, ("uct",))
    assert [s.label for s in bench.settings] == ["best-first", "uct"]
    labels = {s.label for s in replace(bench, ablations=True).settings}
    assert {"best-first -near", "best-first -prior", "best-first -canary"} < labels
    with pytest.raises(BadInput, match="--strategies bfs: unknown"):
        check(RepairBench(strategies=("bfs",)))
    with pytest.raises(BadInput, match="--budget-tests 0"):
        check(RepairBench(budget_tests=0))


@dataclass
class NoSolver:
    """Finds nothing: the cheapest honest solver."""

    def open(self, repo: Path, task: Task) -> NoSolver:
        assert (repo / "conftest.py").is_file()
        return self

    def attempt(self, setting: Setting, seed: int, budget: int) -> Attempt:
        return Attempt(None, budget, {}, 0.0)

    def close(self) -> None:
        pass


def test_the_smoke_bench_runs_offline_on_the_bundled_sample(tmp_path: Path) -> None:
    bench = replace(parse(["--smoke", "--out", str(tmp_path / "out")]), faults=1)
    summary = run_repair_bench(bench, solver=NoSolver())
    out = tmp_path / "out"
    assert summary["provenance"]["tasks"] == 1
    assert summary == json.loads((out / "summary.json").read_text())
    assert "0.0 (0.0 to 0.0)" in (out / "table.md").read_text()
    assert (out / "solved.png").is_file()
    tasks = json.loads((out / "tasks.json").read_text())["tasks"]
    assert len(read_trials(out / "trials.jsonl")) == len(tasks) * 2 * 2
