"""The command line's manners: exit codes, streams, one JSON document, no traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from meritree import __version__
from meritree.cli import app, session
from meritree.cli.options import Typed
from meritree.errors import BadInput

Started = Callable[..., "subprocess.CompletedProcess[str]"]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_version(meritree: Started) -> None:
    done = meritree("--version")
    assert (done.returncode, done.stdout) == (0, f"meritree {__version__}\n")


@pytest.mark.parametrize(
    "verb", ["fix", "resume", "demo", "show", "view", "systems", "doctor", "bench"]
)
def test_every_command_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([verb, "--help"]) == 0
    assert f"meritree {verb}" in capsys.readouterr().out


def test_help_shows_the_default_of_every_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    app.run(["fix", "--help"])
    out = capsys.readouterr().out
    assert out.count("[default: ") == len(fields(Typed))
    assert "[default: (2000)]" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "0"], "--workers 0"),
        (["--workers", "many"], "--workers"),
        (["--budget-tests", "-5"], "--budget-tests -5"),
        (["--budget-seconds", "0"], "--budget-seconds 0"),
        (["--budget-seconds", "nan"], "--budget-seconds nan"),
        (["--budget-usd", "-1"], "--budget-usd -1"),
        (["--seed", "-1"], "--seed -1"),
        (["--strategy", "luck"], "--strategy luck"),
        (["--policy", "prayer"], "--policy prayer"),
        (["--policy", "model"], "--policy repair"),
        (["--sandbox", "beach"], "--sandbox beach"),
        (["--python", "no/such/python"], "no/such/python"),
        (["--test", "  "], "--test is empty"),
        (["--out", ""], "--out is empty"),
        (["--issue", "missing.md"], "missing.md"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_an_impossible_value_is_refused_by_name_and_nothing_changes(
    shop: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    before = snapshot(tmp_path)
    assert app.run(["fix", str(shop), *arguments]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("make", ["missing", "file", "empty", "binary"])
def test_what_is_no_python_repository_is_refused(
    tmp_path: Path, make: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    target = tmp_path / "target"
    if make == "file":
        target.write_text("x = 1\n")
    elif make != "missing":
        target.mkdir()
    if make == "binary":
        (target / "data.bin").write_bytes(b"\x00\xff")
    assert app.run(["fix", str(target)]) == 2
    assert str(target) in capsys.readouterr().err


def test_an_out_folder_with_something_in_it_is_refused_and_kept(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious.txt").write_text("mine")
    assert app.run(["fix", str(shop), "--out", str(out)]) == 2
    assert str(out) in capsys.readouterr().err
    assert snapshot(out) == {"precious.txt": b"mine"}


@pytest.mark.parametrize("arguments", [["fix", "nowhere"], ["fix"], ["nonsense"], ["resume", "x"]])
def test_with_json_an_error_is_one_json_document(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert app.run([*arguments, "--json"]) == 2
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["schema"] == 1
    assert document["status"] == "error"
    assert set(document["error"]) == {"type", "message"}
    assert document["error"]["message"] in captured.err


def test_settings_can_ask_for_json_and_their_errors_name_the_key(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop / "pyproject.toml").write_text("[tool.meritree]\njson = true\nworkers = 0\n")
    assert app.run(["fix", str(shop)]) == 2
    assert "workers 0" in json.loads(capsys.readouterr().out)["error"]["message"]
    (shop / "pyproject.toml").write_text("[tool.meritree]\ncolour = 'red'\n")
    assert app.run(["fix", str(shop)]) == 2
    assert "colour = 'red'" in capsys.readouterr().err


def test_an_unforeseen_error_is_called_a_bug_and_keeps_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = session.Session(json=True, folder="/runs/one")
    monkeypatch.delenv("MERITREE_DEBUG", raising=False)
    assert session.report_bug(known, ZeroDivisionError("by zero")) == 70
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["type"] == "Bug"
    assert "bug in meritree" in captured.err
    assert "/runs/one" in captured.err
    assert "Traceback" not in captured.err


def test_the_traceback_is_shown_when_debugging(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERITREE_DEBUG", "1")
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError as error:
        session.report_bug(session.Session(), error)
    assert "test_command_line.py" in capsys.readouterr().err


def test_an_error_raised_on_purpose_has_its_own_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert session.report_meritree_error(session.Session(), BadInput("say what")) == 2
    assert capsys.readouterr().err == "meritree: say what\n"


# ---- systems, doctor, bench, show ---------------------------------------------------


def test_systems_lists_all_119_with_their_state(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["systems", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == [f"S{n:03d}" for n in range(1, 120)]
    assert len({row["name"] for row in rows}) == 119
    keys = {"id", "name", "title", "room", "state", "note", "verdict", "study"}
    assert all(set(row) == keys for row in rows)
    assert {row["state"] for row in rows} <= {"works", "part", "planned"}
    assert (rows[0]["state"], rows[0]["verdict"]) == ("part", "holds in part")
    assert "no language model was measured" in rows[0]["note"]


def test_systems_as_tables_for_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    app.run(["systems"])
    out = capsys.readouterr().out
    assert "the repair policy and local models" in out
    heads = [line for line in out.splitlines() if re.match(r"S\d{3} ", line)]
    assert len(heads) == 119
    assert all(line[37] == line[46] == line[61] == " " != line[62] for line in heads)
    last = re.fullmatch(
        r"119 systems: (\d+) works, (\d+) part, (\d+) planned", out.splitlines()[-1]
    )
    assert last is not None
    assert sum(map(int, last.groups())) == 119
    app.run(["systems", "--markdown"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 121
    assert all(line.count("|") == 7 for line in lines[2:])


def test_doctor_tells_versions_extras_and_sandboxes(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    assert found["meritree"] == __version__
    assert all(found["core"].values())
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert set(found["extras"]) == set(project["project"]["optional-dependencies"])
    assert "puct" in found["strategies"]
    assert all(set(kind) == {"name", "available", "reason"} for kind in found["sandboxes"])
    assert any(kind["available"] for kind in found["sandboxes"])
    assert app.run(["doctor"]) == 0
    out = capsys.readouterr().out
    for part in ("core packages", "extra [bench]", "sandbox kinds", "strategies", "terminal"):
        assert part in out


def test_bench_names_the_missing_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meritree.cli.bench.NEEDS", {"repair": ("no_such_package_anywhere",)})
    assert app.run(["bench", "repair"]) == 2
    err = capsys.readouterr().err
    assert "no_such_package_anywhere" in err
    assert "pip install 'meritree[bench]'" in err


def test_bench_names_the_benchmarks_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["bench", "speed"]) == 2
    assert "repair, histories, quixbugs" in capsys.readouterr().err


def test_show_of_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["show", str(tmp_path / "nowhere")]) == 2
    assert app.run(["show", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_the_current_folder_is_a_repository_too(
    meritree: Started, shop: Path, tmp_path: Path
) -> None:
    (shop / "price.py").write_text("def price(n):\n    return n + 1\n")
    done = meritree("fix", ".", "--json", "--out", str(tmp_path / "run"), cwd=shop)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "already-passing"
    assert os.listdir(tmp_path / "run")


STOPPED = """
import os, signal, sys

class Stop:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
sys.meta_path.insert(0, Stop())
from meritree.cli.start import main
main()
"""


@pytest.mark.parametrize("module", ["typer", "meritree.demo", "meritree.swe.fix", "dulwich"])
def test_an_interrupt_while_it_starts_is_answered(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPPED.format(module=module), "demo", "--out", str(tmp_path)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 130
    assert "interrupted" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_show_and_view_say_what_they_need(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["view", "/no/such/folder"]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert app.run(["view", "/tmp", "--host", "0.0.0.0"]) == 2
    assert "--expose" in capsys.readouterr().err


def test_a_view_of_a_folder_without_runs_says_so(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"name": "no result"}')
    shown = subprocess.Popen(
        [sys.executable, "-m", "meritree", "view", str(tmp_path), "--port", "0"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert shown.stdout is not None
        lines = [shown.stdout.readline() for _ in range(3)]
    finally:
        shown.kill()
        shown.communicate()
    assert lines[0].startswith("http://127.0.0.1:")
    assert lines[2].startswith("no run, study or bench lies in it yet")
