"""Trajectories of mini-swe-agent read, run again and judged; runs exported in its format.

None of it needs the package; where it is installed its own readers are asked as well.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meritree.cli.app import run
from meritree.errors import BadInput
from meritree.swe.export import as_command, prediction
from meritree.swe.mini.trajectory import Command, read_trajectory

SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
MEND = "sed -i 's/n - 1/n + 1/' price.py"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A repository with one fault and two tests."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "price.py").write_text("def price(n):\n    return n - 1\n")
    (folder / "test_price.py").write_text(
        "from price import price\n\n\ndef test_two():\n    assert price(2) == 3\n\n\n"
        "def test_name():\n    assert price.__name__ == 'price'\n"
    )
    return folder


def step(command: str, returncode: int = 0, output: str = "") -> list[dict[str, Any]]:
    """Two messages as mini 2.x writes them with tool calls."""
    arguments = json.dumps({"command": command})
    call = {"id": "c", "type": "function", "function": {"name": "bash", "arguments": arguments}}
    return [
        {"role": "assistant", "content": "THOUGHT", "tool_calls": [call],
         "extra": {"actions": [{"command": command, "tool_call_id": "c"}], "cost": 0.1}},
        {"role": "tool", "tool_call_id": "c", "content": output,
         "extra": {"raw_output": output, "returncode": returncode}},
    ]  # fmt: skip


def document(*commands: str, submission: str = "", **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    for command in commands:
        messages += step(command)
    return {
        "info": {
            "model_stats": {"instance_cost": 0.3, "api_calls": 3},
            "config": {"model": {"model_name": "some/model"}},
            "exit_status": "Submitted",
            "submission": submission,
        },
        "messages": messages,
        "trajectory_format": "mini-swe-agent-1.1",
        **more,
    }


@pytest.fixture
def imported(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    def start(trajectory: Any, *options: str) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "one.traj.json"
        file.write_text(json.dumps(trajectory))
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        code = run(["import", str(file), str(shop), "--out", str(out), "--json", *options])
        return code, json.loads(capsys.readouterr().out)

    return start


def test_a_trajectory_is_run_again_and_its_patch_judged_by_the_tests(
    imported: Callable[..., tuple[int, dict[str, Any]]], shop: Path
) -> None:
    tidy = "git diff -- price.py > patch.txt"
    code, said = imported(document("false", MEND, tidy, f"{SUBMIT} && cat patch.txt", "rm *"))
    assert (code, said["status"], said["source"]) == (0, "verified", "submission")
    assert said["patch"].count("diff --git") == 1  # patch.txt itself is not in it
    assert (said["commands"], said["run"]) == (5, 4)  # nothing after the submission
    assert said["ended_otherwise"] == [0]  # `false` was recorded with 0
    assert (said["cost"], said["calls"], said["model"]) == (0.3, 3, "some/model")
    assert (shop / "price.py").read_text() == "def price(n):\n    return n - 1\n"


def test_a_patch_that_cheats_or_does_nothing_is_told(
    imported: Callable[..., tuple[int, dict[str, Any]]],
) -> None:
    code, said = imported(document("echo 'def test_two(): pass' > test_price.py"))
    assert (code, said["status"]) == (1, "empty")
    assert "judges the patch" in said["left_out"][0]
    broken = (
        "diff --git a/price.py b/price.py\n--- a/price.py\n+++ b/price.py\n@@ -1 +1 @@\n-x\n+y\n"
    )
    code, said = imported(document("sed -i 's/n - 1/n - 2/' price.py", submission=broken))
    assert (code, said["status"]) == (1, "refused")
    assert "the submitted patch does not apply" in said["problem"]


def test_every_version_of_the_format_is_read(tmp_path: Path) -> None:
    file = tmp_path / "t.json"

    def read(content: Any) -> tuple[Command, ...]:
        file.write_text(json.dumps(content))
        return read_trajectory(file).commands

    text = "THOUGHT: look\n\n```mswea_bash_command\nls -la\n```"
    assert read([{"role": "assistant", "content": text}, {"role": "user", "content": "x"}]) == (
        Command("ls -la"),
    )
    assert read([{"role": "assistant", "content": text + text}]) == ()  # mini runs none of two
    assert read({"messages": [{**step("pwd")[0], "extra": {}}]}) == (Command("pwd"),)
    assert read(document("ls", MEND)) == (Command("ls", 0), Command(MEND, 0))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no readable trajectory"),
        ("[" * 100_000, "no readable trajectory"),
        ("3", "is no trajectory of mini-swe-agent"),
        ('{"messages": [3]}', "is no trajectory of mini-swe-agent"),
        (None, "cannot be read: No such file"),
    ],
)
def test_files_that_are_no_trajectory_are_told(
    tmp_path: Path, shop: Path, content: str | None, message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = tmp_path / "t.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadInput, match=message):
        read_trajectory(file)
    assert run(["import", str(file), str(shop)]) == 2
    assert message in capsys.readouterr().err


# ---- export ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repaired(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A repository, and the folder of a run that repaired it."""
    from meritree.swe.fix import fix
    from meritree.swe.result import FixOptions

    folder = tmp_path_factory.mktemp("export")
    repo = folder / "shop"
    repo.mkdir()
    (repo / "price.py").write_text("def price(n):\n    return n - 1\n")
    (repo / "test_price.py").write_text(
        "from price import price\n\n\ndef test_two():\n    assert price(2) == 3\n"
    )
    options = FixOptions(repo, issue="one is 'added'", out=folder / "run", budget_tests=4)
    assert fix(options).status == "verified"
    return repo, folder / "run"


def test_predictions_have_the_fields_that_the_harness_reads(
    repaired: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = repaired
    asked = ["export", str(folder), "--to", "preds", "--instance", "a__b-1", "--name", "me/mine"]
    assert run(asked) == 0
    found = json.loads(capsys.readouterr().out)
    patch = json.loads((folder / "result.json").read_text())["patch"]
    assert found == {"a__b-1": prediction("a__b-1", "me/mine", patch)}
    assert set(found["a__b-1"]) == {"instance_id", "model_name_or_path", "model_patch"}


def test_an_exported_trajectory_run_again_gives_the_same_files(
    repaired: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo, folder = repaired
    file = tmp_path / "own.traj.json"
    assert run(["export", str(folder), "--to", "mini", "--out", str(file)]) == 0
    written = json.loads(file.read_text())
    assert written["trajectory_format"] == "mini-swe-agent-1.1"
    assert written["info"]["exit_status"] == "Submitted"
    assert written["messages"][1]["content"].startswith("one is 'added'")
    written["info"]["submission"] = ""  # so that only the commands can tell
    written["messages"] = [m for m in written["messages"] if m["role"] != "exit"]
    file.write_text(json.dumps(written))
    assert run(["import", str(file), str(repo), "--out", str(tmp_path / "o"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], said["source"]) == ("verified", "files")
    assert said["patch"] == json.loads((folder / "result.json").read_text())["patch"]
    assert said["ended_otherwise"] == []


def test_an_agents_run_is_exported_step_by_step(shop: Path, tmp_path: Path) -> None:
    from meritree.respond import FunctionModel, Reply, Request, ToolCall
    from meritree.respond.server import ModelServer
    from meritree.swe.export import mini_trajectory

    def steps(request: Request) -> Reply:
        done = sum(len(message.tool_calls) for message in request.messages)
        edit = {"path": "price.py", "old": "n - 1", "new": "n + 1"}
        calls = (("view", {"path": "price.py"}), ("replace", edit))
        name, arguments = calls[min(done, 1)]
        return Reply("I see", (ToolCall("1", name, arguments, json.dumps(arguments)),))

    out = tmp_path / "out"
    with ModelServer(FunctionModel(steps)) as server:
        assert run(["fix", str(shop), "--model", "m", "--base-url", server.base_url, "--tools",
                    "own", "--out", str(out), "--quiet"]) == 0  # fmt: skip
    written = mini_trajectory(out, "x__y-1")
    asked = [m for m in written["messages"] if m["role"] == "assistant"]
    assert [m["extra"]["meritree"]["action"]["name"] for m in asked] == ["view", "replace"]
    assert asked[0]["extra"]["actions"][0]["command"] == ": 'view price.py'"
    assert asked[1]["extra"]["actions"][0]["command"].startswith("git apply <<")
    answered = [m for m in written["messages"] if m["role"] == "tool"]
    assert "return n - 1" in answered[0]["content"]
    assert [m["tool_call_id"] for m in answered] == [m["tool_calls"][0]["id"] for m in asked]
    assert written["info"]["model_stats"]["api_calls"] >= 2
    if importlib.util.find_spec("minisweagent") is not None:
        _read_by_mini(written, tmp_path)


def _read_by_mini(written: dict[str, Any], folder: Path) -> None:
    """mini's own inspector loads the file and shows every message."""
    os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")
    from minisweagent.models.utils.content_string import get_content_string
    from minisweagent.run.utilities.inspector import TrajectoryInspector

    file = folder / "x.traj.json"
    file.write_text(json.dumps(written))
    inspector = TrajectoryInspector([file])
    assert inspector.n_steps == 3  # the task, and two steps
    shown = [get_content_string(message) for step in inspector.steps for message in step]
    assert any("git apply" in text for text in shown)


def test_commands_of_patches_are_what_bash_makes_of_them(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "a b.txt").write_text("one\n$HOME `x` 'y' \\\n")
    diff = (
        "diff --git a/a b.txt b/a b.txt\n--- a/a b.txt\t\n+++ b/a b.txt\t\n@@ -1,2 +1,2 @@\n"
        "-one\n+two $(touch z)\n $HOME `x` 'y' \\\n"
    )
    subprocess.run(["bash", "-c", as_command(diff)], cwd=tmp_path, check=True)
    assert (tmp_path / "a b.txt").read_text() == "two $(touch z)\n$HOME `x` 'y' \\\n"
    assert not (tmp_path / "z").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["/nowhere", "--to", "preds"], "no such folder"),
        ([".", "--to", "preds"], "holds no ended run"),
        ([".", "--to", "csv"], "choose preds or mini"),
    ],
)
def test_bad_exports_are_told(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(["export", *options]) == 2
    assert message in capsys.readouterr().err


def test_without_the_package_the_policy_names_the_extra(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("minisweagent") is not None:
        pytest.skip("mini-swe-agent is installed here")
    asked = [
        "fix",
        str(shop),
        "--policy",
        "mini",
        "--model",
        "m",
        "--base-url",
        "http://[::1]:1/v1",
    ]
    assert run(asked) == 2
    assert "pip install 'meritree[mini]'" in capsys.readouterr().err


def test_nothing_of_mini_is_imported_unless_asked_for() -> None:
    code = (
        "import sys, meritree.swe.fix, meritree.swe.mini.setup, meritree.swe.mini.imported; "
        "print(*{'minisweagent', 'jinja2', 'litellm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
