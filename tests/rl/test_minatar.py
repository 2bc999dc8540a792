"""What the studies on MinAtar share: kept runs, relative gains, learners."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meritree.errors import BadInput
from meritree.studies.registry import study_named
from meritree.studies.rl.minatar import (
    GAMES,
    LATE,
    LEARNERS,
    WHOLE,
    Gain,
    Trained,
    kept,
    relative_gain,
)
from meritree.studies.rows import Rows, SeedRow

STUDIES = ("hl-gauss", "i-qn", "reward-shift", "dvw", "c51", "soft-moe")
ONE = Trained((0.0, 1.0, 2.0, 3.0, 6.0), 1.5, "abc")


def test_a_finished_run_is_read_and_not_trained_again(tmp_path: Path) -> None:
    trained: list[int] = []

    def train() -> Trained:
        trained.append(1)
        return ONE

    place = tmp_path / "deep" / "run.json"
    assert kept(place, train, {"game": "Breakout"}) == ONE
    assert kept(place, train, {"game": "Breakout"}) == ONE
    assert trained == [1]
    assert json.loads(place.read_text("utf-8"))["game"] == "Breakout"
    assert [path.name for path in place.parent.iterdir()] == ["run.json"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"returns": 3, "cpu_s": 1, "commit": ""}'])
def test_a_broken_file_is_trained_anew(tmp_path: Path, text: str) -> None:
    place = tmp_path / "run.json"
    place.write_text(text, "utf-8")
    assert kept(place, lambda: ONE, {}) == ONE
    assert json.loads(place.read_text("utf-8"))["returns"] == list(ONE.returns)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(BadInput, match="cannot keep a finished run"):
        kept(tmp_path / "file" / "run.json", lambda: ONE, {})


def test_a_run_gives_its_mean_and_that_of_its_last_fifth() -> None:
    rows = {row.metric: row.value for row in ONE.rows("DQN", "Breakout")}
    assert rows[WHOLE] == pytest.approx(2.4)
    assert rows[LATE] == 6.0


def rows_of(**games: list[tuple[float, float]]) -> Rows:
    """(of the learner, of DQN) for each seed of each game."""
    return Rows.of(
        SeedRow(seed, name, game, WHOLE, value)
        for game, pairs in games.items()
        for seed, pair in enumerate(pairs)
        for name, value in zip(("new", "DQN"), pair, strict=True)
    )


def test_differences_of_a_game_are_shares_of_the_mean_there() -> None:
    small = [(0.3, 0.1), (0.4, 0.2), (0.35, 0.15)]
    large = [(100 * a, 100 * b) for a, b in small]
    one = relative_gain(rows_of(A=small), WHOLE, "new", "DQN")
    both = relative_gain(rows_of(A=small, B=large), WHOLE, "new", "DQN")
    assert one.mean == pytest.approx(0.2 / 0.25)
    assert both.mean == pytest.approx(one.mean)


def test_where_neither_gains_anything_the_difference_is_nothing() -> None:
    assert relative_gain(rows_of(A=[(0.0, 0.0)] * 3), WHOLE, "new", "DQN").mean == 0.0


@pytest.mark.parametrize(
    ("pairs", "outcome"),
    [
        ([(2.0, 1.0), (2.1, 1.0), (1.9, 1.0)], "holds"),
        ([(1.0, 2.0), (1.0, 2.1), (1.0, 1.9)], "does not hold"),
        ([(2.0, 1.0), (1.0, 2.0), (1.5, 1.4)], "inconclusive"),
        ([(2.0, 1.0), (2.0, 1.0)], "inconclusive"),
    ],
)
def test_a_gain_holds_only_with_its_whole_interval(
    pairs: list[tuple[float, float]], outcome: str
) -> None:
    finding = Gain("more", WHOLE, "new", "DQN")(rows_of(Breakout=pairs))
    assert finding.outcome == outcome
    assert "Breakout" in finding.figures


@pytest.mark.parametrize("name", STUDIES)
def test_the_six_studies_measure_learners_of_games_that_exist(name: str) -> None:
    study = study_named(name).at("minatar")
    size = study.scales["minatar"]
    assert set(size.settings["games"]) <= set(GAMES)
    assert size.seeds >= 5
    assert {check.system for check in study.checks} <= set(LEARNERS)  # type: ignore[attr-defined]
    assert {check.than for check in study.checks} <= set(LEARNERS)  # type: ignore[attr-defined]
