"""Typical wrong input to every command: the thing, the value and the way out, and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from meritree.cli import app

# What is typed, and what the message says of it.
REFUSED = [
    ("fix nowhere", "nowhere; give the folder of the repository"),
    ("fix shop --engine mars", "--engine mars: unknown; choose local or ray"),
    ("fix shop --ray-address head:1", "--ray-address head:1: nothing is sent there by --engine"),
    ("fix shop --budget-seconds soon", "--budget-seconds soon: must be a number"),
    ("fix shop --workers 1.5", "--workers 1.5: must be a whole number"),
    ("fix shop --test nosuchcmd", "no such program; give a command that runs the tests here"),
    ("fix shop --out /proc/run", "cannot be made: No such file or directory; give a folder that"),
    ("resume nowhere", "holds no run (no run.db); give the --out folder of a run"),
    ("resume file.txt", "holds no run"),
    ("demo --seed -1", "--seed -1: must be at least 0"),
    ("demo --out shop", "shop is not empty; give a new or empty folder"),
    ("demo --model big", "--model big: the demo knows local"),
    ("show nowhere", "no such folder: nowhere; give the folder that `fix` named"),
    ("show ended/report.html", "ended/report.html is a file; give its folder: ended"),
    ("show file.txt", "file.txt is a file; give the folder that `fix` named (--out)"),
    ("show empty", "holds no run"),
    ("show run --depth many", "--depth many: must be a whole number. `meritree show --help`"),
    ("show run --depth -1", "--depth -1: must be at least 0"),
    ("view nowhere", "nowhere; give a run's folder"),
    ("view ended/report.html --port 0", "report.html is a file; give its folder: /"),
    ("view broken --port 0", "run.db"),
    ("view shop --port 99999", "--port 99999: must be at most 65535"),
    ("view shop --host 8.8.8.8", "--host 8.8.8.8: others on the network could read your code"),
    ("export shop", "Missing option '--to'"),
    ("export shop --to xml", "--to xml: unknown; choose preds or mini"),
    ("export empty --to preds", "empty holds no ended run; give the --out folder"),
    ("import nowhere shop", "nowhere cannot be read: No such file or directory; give a trajectory"),
    ("import bad.json shop", "bad.json is no readable trajectory"),
    ("import bad.json shop --seconds 0", "--seconds 0: must be at least 0.1"),
    ("judge empty right", "holds no ended run (no result.json); give a folder that `fix` named"),
    ("judge shop perhaps", "verdict 'perhaps': say right or wrong"),
    ("judge shop right --candidate 0", "--candidate 0: must be at least 1"),
    ("study nosuch", "'nosuch'; `meritree systems` lists all"),
    ("study no-such", "'no-such'; `meritree systems` lists all"),
    ("study hiro", "no system is called 'hiro'; did you mean hire?"),
    ("study advantage", "did you mean advantage-as-reward?"),
    ("study S119", "has no study yet; there are:"),
    ("study starc --scale huge", "--scale huge: study starc has smoke, full"),
    ("study starc --seeds x", "--seeds x: must be a whole number"),
    ("study starc --seeds 0", "--seeds 0: a study needs at least one seed"),
    ("study starc --workers 0", "--workers 0: at least one process"),
    ("study starc --ray-address a:1", "--ray-address a:1: nothing is sent there"),
    ("study runtime-preferences --out shop", "shop is not empty and no study made it; give a new"),
    ("study runtime-preferences --out file.txt", "file.txt is a file; give a folder"),
    ("study starc --set x=1", "--set x=1: settings of starc at scale full: pairs, steps"),
    ("study starc --model x", "--model x: study starc asks no language model"),
    ("systems --xml", "No such option: --xml. `meritree systems --help`"),
    ("doctor now", "unexpected extra argument"),
    ("bench speed", "bench speed: no such benchmark; there are repair"),
    ("bench repair --strategies luck", "--strategies luck: unknown; choose from linear"),
    ("bench repair --packages nosuch", "no package 'nosuch' in the benchmark; choose from bol"),
    ("bench repair --data nowhere", "--data nowhere: no such folder; give one with source"),
    ("bench repair --tasks nowhere", "nowhere: no readable task list (No such file"),
    ("bench histories --cases nowhere", "nowhere is not a list of cases (No such file"),
    ("bench quixbugs --data empty", "empty is not a QuixBugs checkout"),
    ("bench swebench --data nowhere --repos shop", "--data nowhere: no such file; give a local"),
    ("serve-model --model oracle", "--model oracle: no such kind of local model; known are echo"),
    ("serve-model --model noisy:2:echo", "rate of 2.0 is impossible; give 0 to 1"),
    ("serve-model --model scripted:nowhere", "script nowhere cannot be read: No such file"),
    ("serve-model --errors bang", "--errors bang: known are 429"),
    ("serve-model --key-env NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE: the variable is empty; set it"),
    ("serve-model --context 0", "--context 0: must be at least 1"),
    ("sandbox check --kind cardboard", "no sandbox kind 'cardboard'; allowed are auto"),
    ("sandbox check --attempt flying", "--attempt flying: no such attempt; known are write-"),
    ("lab dance", "No such command 'dance'. `meritree lab --help`"),
    ("lab base sorting --seed -1", "--seed -1: it must be at least 0"),
    ("dance", "No such command 'dance'. `meritree --help`"),
    ("repair shop", "No such command 'repair'. Did you mean 'fix'? `meritree --help`"),
    ("--nonsense", "No such option: --nonsense"),
]  # fmt: skip


def test_every_command_is_given_wrong_input_here() -> None:
    commands = set(typer.main.get_command(app.app).commands)  # type: ignore[attr-defined]
    assert commands <= {line.split()[0] for line, _ in REFUSED}


@pytest.fixture
def place(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a repository, an empty folder, a text, half a JSON document, odd runs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "bad.json").write_text("{")
    for name, file in (("ended", "result.json"), ("ended", "report.html"), ("broken", "run.db")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / file).write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("line", "said"), REFUSED, ids=[line for line, _ in REFUSED])
def test_it_is_refused_by_name_with_a_way_out(
    line: str, said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if line.startswith("bench"):
        pytest.importorskip("matplotlib", reason="the extra bench is not installed")
    before = sorted(place.rglob("*"))
    assert app.run(line.split()) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
    for noise in ("Traceback", "Errno", "bug in meritree", "[type="):
        assert noise not in captured.err
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("line", ["show run --depth many", "study nosuch", "fix shop --workers x"])
def test_programs_get_the_same_message_as_json(
    line: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run([*line.split(), "--json"]) == 2
    captured = capsys.readouterr()
    assert f"meritree: {json.loads(captured.out)['error']['message']}\n" in captured.err
