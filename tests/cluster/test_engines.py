"""Engines give the same answers, whoever works, and survive workers that die."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_work import killed_always, killed_once, refuses_two, square

from meritree.errors import BadInput
from meritree.run.engines import Engine, Here, Processes, Ray, WorkerLost, make_engine

KINDS = ["here", "processes", "ray"]


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "ray":
        request.getfixturevalue("cluster")
        return Ray(2)
    return Here() if request.param == "here" else Processes(2)


@pytest.mark.parametrize("engine", KINDS, indirect=True)
def test_every_engine_gives_the_same_answers(engine: Engine) -> None:
    assert sorted(engine.each(square, range(7))) == [(i, i * i) for i in range(7)]
    assert list(engine.each(square, [])) == []


@pytest.mark.parametrize("engine", KINDS, indirect=True)
def test_what_the_work_raises_is_raised(engine: Engine) -> None:
    with pytest.raises(BadInput, match="two is refused"):
        list(engine.each(refuses_two, range(4)))


@pytest.mark.parametrize("engine", KINDS[1:], indirect=True)
def test_a_killed_worker_costs_a_retry_and_nothing_else(engine: Engine, tmp_path: Path) -> None:
    tasks = [(str(tmp_path), x) for x in range(6)]
    assert sorted(engine.each(killed_once, tasks)) == [(i, i * i) for i in range(6)]
    assert (tmp_path / "begun-3").exists()


@pytest.mark.parametrize("engine", KINDS[1:], indirect=True)
def test_a_task_that_always_kills_is_named(engine: Engine) -> None:
    with pytest.raises(WorkerLost, match="task 3"):
        list(engine.each(killed_always, range(4)))


def test_impossible_engines_are_refused() -> None:
    with pytest.raises(BadInput, match="choose local or ray"):
        make_engine("slurm", 1)
    with pytest.raises(BadInput, match="--workers 0"):
        make_engine("local", 0)
    assert make_engine("local", 1) == Here()
