"""Studies run, stop, go on, are stored and compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from meritree.errors import BadInput
from meritree.studies import runner
from meritree.studies.checks import Bound
from meritree.studies.figure import draw
from meritree.studies.page import page
from meritree.studies.result import Result, differences, figure_name, store, table
from meritree.studies.runner import run
from meritree.studies.study import Further, Row, Scale, Settings, Study


class Stop(Exception):
    """Stands for Ctrl-C."""


def test_a_run_has_every_seed_and_a_verdict(tiny: Study) -> None:
    result = run(tiny, "smoke")
    assert result.rows.seeds == (0, 1, 2, 3)
    assert [finding.outcome for finding in result.findings] == ["holds", "holds"]
    assert result.verdict == "holds"


def test_the_same_seeds_give_the_same_rows(tiny: Study) -> None:
    assert run(tiny, "smoke").rows == run(tiny, "smoke").rows


def test_progress_counts_the_seeds(tiny: Study) -> None:
    told: list[tuple[int, int]] = []
    run(tiny, "smoke", progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_interrupted_run_goes_on_where_it_stood(tiny: Study, tmp_path: Path) -> None:
    def stopping(done: int, total: int) -> None:
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        run(tiny, "smoke", out=tmp_path, progress=stopping)
    told: list[int] = []
    result = run(tiny, "smoke", out=tmp_path, progress=lambda done, total: told.append(done))
    assert told[0] == 2
    assert result.rows == run(tiny, "smoke").rows


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("rows", [None, "", '{"price": 3}\n', "half a li"])
def test_a_folder_that_no_study_made_is_refused_and_left_as_it_is(
    tiny: Study, tmp_path: Path, rows: str | None, anew: bool
) -> None:
    mine = {"result.json": "mine"} | ({} if rows is None else {"rows.jsonl": rows})
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match="no study made it; give a new or empty folder"):
        run(tiny, "smoke", out=tmp_path, anew=anew)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == mine


def test_a_folder_of_a_run_that_stopped_early_is_taken(tiny: Study, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("")
    run(tiny, "smoke", out=tmp_path)
    (tmp_path / "rows.jsonl").replace(tmp_path / "rows.jsonl.old")  # stopped as it began anew
    assert run(tiny, "smoke", out=tmp_path).rows.seeds == (0, 1, 2, 3)


def test_half_a_line_of_a_killed_run_is_measured_again(tiny: Study, tmp_path: Path) -> None:
    whole = run(tiny, "smoke", out=tmp_path)
    file = tmp_path / "rows.jsonl"
    file.write_text(file.read_text("utf-8")[:-40], "utf-8")
    told: list[int] = []
    again = run(tiny, "smoke", out=tmp_path, progress=lambda done, total: told.append(done))
    assert told[0] == 3
    assert again.rows == whole.rows
    assert run(tiny, "smoke", out=tmp_path).rows == whole.rows


def test_kept_rows_name_the_commit_that_measured_them(
    tiny: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "commit", lambda: "first")
    run(tiny, "smoke", seeds=2, out=tmp_path)
    monkeypatch.setattr(runner, "commit", lambda: "second")
    assert run(tiny, "smoke", seeds=2, out=tmp_path).provenance.commit == "first"
    assert run(tiny, "smoke", out=tmp_path).provenance.commit == "first, second"
    again = run(tiny, "smoke", out=tmp_path, anew=True)
    assert again.provenance.commit == "second"
    assert len((tmp_path / "rows.jsonl.old").read_text("utf-8").splitlines()) == 5


def test_rows_of_another_scale_are_not_mixed_in(tiny: Study, tmp_path: Path) -> None:
    run(tiny, "smoke", out=tmp_path)
    with pytest.raises(BadInput, match="at scale smoke"):
        run(tiny, "full", out=tmp_path)


@pytest.mark.parametrize("seeds", [0, -1])
def test_an_impossible_number_of_seeds_is_refused(tiny: Study, seeds: int) -> None:
    with pytest.raises(BadInput, match="at least one seed"):
        run(tiny, "smoke", seeds=seeds)


def test_a_missing_module_is_named_with_the_extra_that_brings_it(tiny: Study) -> None:
    with pytest.raises(BadInput, match=r"needs no_such_thing; .*meritree\[studies\]"):
        run(replace(tiny, needs=("numpy", "no_such_thing")), "smoke")


def test_a_row_that_is_not_finite_is_refused(tiny: Study) -> None:
    def broken(seed: int, settings: Settings) -> Iterator[Row]:
        yield Row("A", "low", "score", float("nan"))

    with pytest.raises(BadInput, match="A on low gave score = nan"):
        run(replace(tiny, measure=broken), "smoke")


def test_a_seed_without_rows_is_refused(tiny: Study) -> None:
    with pytest.raises(BadInput, match="seed 0 gave no row"):
        run(replace(tiny, measure=lambda seed, settings: ()), "smoke")


def test_a_stored_result_reads_back_equal(tiny: Study, tmp_path: Path) -> None:
    smoke, full = run(tiny, "smoke"), run(tiny, "full")
    path = store(full, tmp_path)
    assert store(smoke, tmp_path) == path
    document = json.loads(path.read_text("utf-8"))
    assert Result.from_json(document["full"]) == full
    assert Result.from_json(document["smoke"]) == smoke


def test_a_result_of_another_schema_is_refused(tiny: Study) -> None:
    document = run(tiny, "smoke").to_json() | {"schema": 99}
    with pytest.raises(BadInput, match="run the study again"):
        Result.from_json(document)


def test_a_check_sees_changed_rows(tiny: Study) -> None:
    kept = run(tiny, "smoke")
    assert differences(tiny, kept, kept) == []

    def shifted(seed: int, settings: Settings) -> Iterator[Row]:
        for row in tiny.measure(seed, settings):
            yield row._replace(value=row.value - 2.0 * (row.system == "B"))

    fresh = run(replace(tiny, measure=shifted), "smoke")
    found = differences(tiny, fresh, kept)
    assert any("B beats A: holds before, now does not hold" in line for line in found)
    assert sum("before, now" in line for line in found) == 9
    # What cannot repeat is held to its outcomes at full scale, to what it measures at any.
    measured = replace(tiny, repeatable=False)
    assert differences(measured, fresh, kept) == []
    whole = replace(fresh, scale="full"), replace(kept, scale="full")
    assert differences(measured, *whole) == found[-1:]
    fewer = replace(fresh, rows=fresh.rows.where(system="A"))
    assert any("only in one" in line for line in differences(measured, fewer, kept))


def test_fewer_seeds_are_compared_with_the_same_seeds(tiny: Study) -> None:
    assert differences(tiny, run(tiny, "smoke", seeds=3), run(tiny, "smoke")) == []


def test_the_figure_is_drawn_with_its_caption(tiny: Study, tmp_path: Path) -> None:
    result = run(tiny, "smoke")
    path = tmp_path / "deep" / "figure.png"
    assert draw(tiny, result.rows, path) == "16 rows"
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_the_page_says_claim_verdict_and_how_to_repeat(tiny: Study) -> None:
    result = run(tiny, "full")
    text = page(tiny, result, "figure.png")
    assert "**Claim.** B is better than A by 1." in text
    assert "**Verdict: holds.**" in text
    assert "meritree study dr-es" in text
    assert "Not yet measured" in page(tiny, None)


def test_the_table_has_a_line_for_each_data_set_and_system(tiny: Study) -> None:
    head, lines = table(run(tiny, "smoke").rows)
    assert head == ["data", "system", "score"]
    assert [line[:2] for line in lines] == [
        ["low", "A"],
        ["low", "B"],
        ["high", "A"],
        ["high", "B"],
    ]


def test_a_further_scale_has_its_own_measure_checks_and_place(tiny: Study, tmp_path: Path) -> None:
    def larger(seed: int, settings: Settings) -> Iterator[Row]:
        yield Row("A", "large", "score", settings["level"] + seed)

    more = Further(
        "What it adds.", Scale(3, {"level": 7.0}), larger,
        (Bound("A is above 6", "score", at_least=6.0),), tiny.draw,
    )  # fmt: skip
    both = replace(tiny, further={"large": more})
    result = run(both, "large", out=tmp_path / "run")
    assert [row.value for row in result.rows] == [7.0, 8.0, 9.0]
    assert [finding.claim for finding in result.findings] == ["A is above 6"]
    store(run(both, "full"), tmp_path)
    document = json.loads(store(result, tmp_path).read_text("utf-8"))
    assert set(document) == {"full", "large"}
    assert figure_name("dr-es", "large") == "dr-es-large.png"
    text = page(both, None, further={"large": (result, "large.png")})
    assert "## At scale large\n\nWhat it adds.\n\n**Verdict: holds.**" in text
    assert "`meritree study dr-es --scale large`" in page(both, None)


def test_an_unknown_scale_is_refused_with_those_there_are(tiny: Study) -> None:
    with pytest.raises(BadInput, match="--scale huge: study dr-es has smoke, full"):
        run(tiny, "huge")
