"""`meritree study NAME --set NAME=VALUE`: another size than the scale's."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from meritree.cli.app import run
from meritree.cli.study import with_settings
from meritree.errors import BadInput
from meritree.studies.result import stored
from meritree.studies.study import Scale, Study


@pytest.fixture
def sized(tiny: Study) -> Study:
    settings = {"n": 3, "share": 0.5, "games": (), "sizes": (1, 2), "word": "a"}
    return replace(tiny, scales={**tiny.scales, "full": Scale(2, settings)})


def test_a_setting_keeps_its_kind(sized: Study) -> None:
    changes = ["n=7", "share=1", "games=Breakout,Seaquest", "sizes=4", "word=b=c"]
    settings = with_settings(sized, "full", changes).scales["full"].settings
    assert settings == {
        "n": 7, "share": 1.0, "games": ("Breakout", "Seaquest"), "sizes": (4,), "word": "b=c"
    }  # fmt: skip
    assert isinstance(settings["share"], float)
    assert with_settings(sized, "full", ["games="]).scales["full"].settings["games"] == ()


def test_other_scales_stay_as_they_are(sized: Study) -> None:
    assert with_settings(sized, "full", ["n=7"]).scales["smoke"] == sized.scales["smoke"]
    assert with_settings(sized, "full", []) is sized


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("m=1", "n, share, games, sizes, word"),
        ("n", "--set n: settings of"),
        ("n=many", "expected int, as 3"),
        ("sizes=1,x", "expected int, as 1"),
    ],
)
def test_what_cannot_be_set_is_named(sized: Study, change: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        with_settings(sized, "full", [change])


def test_a_result_says_what_was_set_and_cannot_be_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["study", "runtime-preferences", "--scale", "smoke", "--seeds", "1"]
    assert run([*command, "--set", "nothing=1", "--out", str(tmp_path)]) == 2
    assert "settings of runtime-preferences" in capsys.readouterr().err
    assert run([*command, "--set", "runs=50", "--store", "--out", str(tmp_path)]) == 2
    assert "a result with runs=50 is yours to keep" in capsys.readouterr().err
    assert run([*command, "--set", "runs=50", "--json", "--out", str(tmp_path)]) == 0
    made = json.loads(capsys.readouterr().out)["provenance"]
    assert made["command"].endswith("--set runs=50")
    assert made["settings"]["runs"] == 50


def test_a_study_says_first_how_long_it_takes_and_stopped_how_to_go_on(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "meritree", "study", "runtime-preferences"]
    process = subprocess.Popen(
        [*program, "--check", "--out", str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    kept = stored("runtime-preferences")["full"].provenance
    assert first.startswith("40 seeds of runtime-preferences at full scale; the stored run took ")
    assert f"took {kept.seconds:.0f} s for 40 ({kept.machine}); `--scale smoke` is the" in first
    assert process.returncode == 130
    assert "the same command (without --anew) goes on with the seeds" in rest


def test_a_check_without_a_stored_result_ends_before_it_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meritree.studies.result.stored", lambda name: {})
    out = tmp_path / "out"
    assert run(["study", "runtime-preferences", "--check", "--out", str(out)]) == 2
    assert "no full result of runtime-preferences is stored" in capsys.readouterr().err
    assert not out.exists()
