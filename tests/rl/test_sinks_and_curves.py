"""Numbers of a run reach files and figures whole, also after a run was resumed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from meritree.errors import BadInput
from meritree.rl.curves import band, carried, draw_curves
from meritree.rl.sinks import Bar, Lines, WandB, all_of


def test_a_resumed_run_writes_no_window_twice_and_half_a_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log.jsonl"
    sink = Lines(path)
    sink(1, 3, {"return": 1.0, "loss": float("nan")})
    with path.open("a") as file:
        file.write('{"window": 2, "ret')
    again = Lines(path)
    for done in (1, 2, 3):
        again(done, 3, {"return": float(done)})
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["window"] for row in rows] == [1, 2, 3]
    assert rows[0] == {"window": 1, "return": 1.0, "loss": None}


def test_every_sink_is_told_and_a_bar_shows_the_numbers(tmp_path: Path) -> None:
    with Bar("corridor") as bar:
        all_of(bar, Lines(tmp_path / "log.jsonl"))(2, 4, {"return": 0.5})
        assert bar._bar.tasks[0].completed == 2
        assert "return 0.5" in bar._bar.tasks[0].fields["numbers"]
    assert json.loads((tmp_path / "log.jsonl").read_text())["return"] == 0.5
    with pytest.raises(BadInput, match=r"wandb\.init"):
        WandB("run")


def test_a_window_without_an_episode_takes_the_number_before_it() -> None:
    values = np.asarray([[np.nan, 1.0, np.nan, 3.0]])
    np.testing.assert_array_equal(carried(values), [[1.0, 1.0, 1.0, 3.0]])
    with pytest.raises(BadInput, match="no finite number"):
        carried(np.full((1, 2), np.nan))


def test_equal_runs_have_no_band_and_unequal_ones_have_one_around_the_mean() -> None:
    mean, low, high = band(np.ones((4, 2)))
    assert (low == mean).all()
    assert (high == mean).all()
    mean, low, high = band(np.arange(8.0).reshape(4, 2))
    assert (low < mean).all()
    assert (mean < high).all()


def test_curves_are_drawn_with_a_caption() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    log = {"return": np.arange(6.0).reshape(2, 3), "steps": np.arange(3)}
    assert "mean over 2 runs" in draw_curves(figure.subplots(), {"DQN": log})
    with pytest.raises(BadInput, match="no 'score'; it has return, steps"):
        draw_curves(figure.subplots(), {"DQN": log}, "score")
