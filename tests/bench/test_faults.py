"""Crashes, bad disks and many small repairs, as `benchmarks/faults.py` and `soak.py` make them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from meritree.bench.faults import Row, spread
from meritree.bench.soak import Sample, growth, left_behind, slope
from meritree.run import fault_points

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def measured(tmp_path: Path, script: str, *options: object) -> dict[str, Any]:
    """What a benchmark writes; in a process of its own, because it forks."""
    out = tmp_path / "result.json"
    command = [sys.executable, str(BENCHMARKS / script), "--out", str(out), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return result


def test_more_than_two_hundred_faults_lose_no_acknowledged_event_and_change_no_tree(
    tmp_path: Path,
) -> None:
    memory = Path("/dev/shm")  # kills are alike on any disk, and this one does not wait
    folder = memory if os.access(memory, os.W_OK) else tmp_path
    result = measured(tmp_path, "faults.py", "--points", 220, "--fixes", 0, "--folder", folder)
    rows = {row["fault"]: row for row in result["rows"]}
    for row in rows.values():
        assert row["survived"] == row["points"], row
        assert row["lost"] == row["different"] == 0, row
        assert row["points"] or row["note"].startswith("not made"), row
    kills = rows["kill -9 at an event boundary"]
    assert kills["struck"] == kills["points"] >= 200
    for fault in ("kill -9 again while resuming", "full disk: no file may grow further"):
        assert rows[fault]["struck"] == rows[fault]["points"], fault
    torn = rows["torn write: killed inside a write, at a byte of the file"]
    assert torn["struck"] == torn["points"]
    damaged = [row for fault, row in rows.items() if fault.startswith("bad disk")]
    assert sum(row["refused"] for row in damaged) > 0


@pytest.mark.parametrize(
    ("options", "statuses"),
    [
        (("--tasks", 3, "--first", 7), {"verified", "already-passing"}),
        (("--tasks", 10, "--plain"), {"verified", "already-passing", "no-judge"}),
    ],
    ids=["interrupted, untidy and idle tasks", "many tasks judged by an exit code"],
)
def test_small_repairs_in_one_process_leave_nothing_behind(
    options: tuple[object, ...], statuses: set[str], tmp_path: Path
) -> None:
    result = measured(tmp_path, "soak.py", "--every", 3, *options)
    assert result["tasks"] == sum(result["statuses"].values()) == options[1]
    assert set(result["statuses"]) >= statuses
    assert set(result["left_behind"].values()) == {0}
    descriptors = [sample["descriptors"] for sample in result["samples"]]
    assert max(descriptors) <= result["start"]["descriptors"] + 2
    assert descriptors[-1] <= descriptors[0]


def test_a_fault_point_is_only_struck_when_asked_for_by_name() -> None:
    code = (
        "from meritree.run.fault_points import pass_by\n"
        "for _ in range(3):\n    pass_by('append.begun')\n    print('passed', flush=True)\n"
    )

    def outcome(asked: str) -> tuple[int, int]:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, fault_points.VARIABLE: asked},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.count("passed")

    assert outcome("append.begun:2") == (-9, 1)
    for other in ("append.committed:1", "append.begun:4", "append.begun", "nonsense:1", ""):
        assert outcome(other) == (0, 3)


def test_a_row_tells_survival_from_loss_difference_and_refusal() -> None:
    row = Row("x")
    row.count(struck=True, lost=0, same=True)
    row.count(struck=True, lost=2, same=True)
    row.count(struck=True, lost=0, same=False)
    row.count(struck=False, lost=0, same=False, refused=True)
    assert (row.points, row.struck, row.survived) == (4, 3, 2)
    assert (row.lost, row.different, row.refused) == (2, 1, 1)
    assert list(spread(range(10), 4)) == [0, 2, 5, 7]
    assert list(spread(range(3), 4)) == [0, 1, 2]


def test_growth_is_seen_and_a_level_line_has_none() -> None:
    at = list(range(0, 2000, 20))
    noise = [500.0 * Random(n).uniform(-1, 1) for n in range(100)]
    grows = slope(at, [1000 + 7 * x + e for x, e in zip(at, noise, strict=True)])
    assert grows.low > 6500
    assert grows.high < 7500
    level = slope(at, noise)
    assert level.low < 0 < level.high


def sample(tasks: int, **changed: int) -> Sample:
    plain = dict.fromkeys(("sockets", "processes", "temporary", "kept", "shared"), 0)
    plain |= {"rss": 10**7, "descriptors": 5, "threads": 1, "mounts": 0}
    return Sample(tasks, float(tasks), **{**plain, **changed})


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"processes": 1}, "processes"), ({"temporary": 2}, "temporary files"),
        ({"mounts": 1}, "mounts"), ({"sockets": 1}, "sockets"), ({"threads": 4}, "threads"),
    ],
)  # fmt: skip
def test_what_is_left_behind_is_named(changed: dict[str, int], name: str) -> None:
    left = left_behind(sample(0), sample(10, **changed), parallel=2)
    assert {key for key, count in left.items() if count} == {name}


def test_a_leak_of_descriptors_shows_as_growth_and_too_few_samples_say_nothing() -> None:
    samples = [sample(20 * n, descriptors=5 + n) for n in range(40)]
    assert growth(samples)["descriptors"]["low"] > 40
    assert growth(samples[:5]) == {}
