"""`meritree fix --model` as a user runs it: processes, HTTP over loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meritree.respond.server import ModelServer, Service

from .conftest import FILES, MEND, VIEW, says, write
from .served import KEY, command, fix, script, serving


def test_a_served_model_mends_from_a_second_process_and_show_tells_the_steps(
    tmp_path: Path,
) -> None:
    repo = write(tmp_path / "repo")
    with serving("repair") as url:
        done = fix(repo, tmp_path / "out", url, "--value-model", "v")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["status"] == "verified"
    assert (result["model"], result["tokens"] > 0) == ("m", True)
    assert "+    return n // 2" in result["patch"]
    steps = result["candidates"][0]["steps"]
    assert steps[0].startswith("view half.py")
    assert "model" in {k for c in result["candidates"] for k in c["estimate"]["channels"]} or steps
    shown = command("show", tmp_path / "out").stdout
    assert all(step in shown for step in steps)
    assert steps[-1].replace("`", "") in (tmp_path / "out" / "report.html").read_text().replace(
        "`", ""
    )


def test_no_key_reaches_journal_report_or_child(tmp_path: Path) -> None:
    files = dict(FILES)
    files["tests/test_environment.py"] = (
        "import os\n\n\ndef test_no_key():\n"
        "    assert not [v for v in os.environ.values() if 'planted' in v]\n"
    )
    repo = write(tmp_path / "repo", files)
    echo = says("plan", f"I know {KEY}", text=f"use {KEY}")
    service = Service(script(echo, VIEW, MEND), key=KEY)
    with ModelServer(service) as server:
        done = fix(repo, tmp_path / "out", server.base_url, MERITREE_API_KEY=KEY)
    assert json.loads(done.stdout)["status"] == "verified", done.stdout
    for file in (tmp_path / "out").rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file
    assert KEY not in done.stdout + done.stderr


def test_an_issue_without_a_failing_test_is_judged_by_the_models_own_and_stays_unverified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from meritree.cli.app import run

    files = {name: text.replace("half(8) == 4", "half(0) == 0") for name, text in FILES.items()}
    repo, out = write(tmp_path / "repo", files), tmp_path / "out"
    vain = says("write_test", text="def test_nothing():\n    assert True\n")
    own = "from half import half\n\n\ndef test_eight():\n    assert half(8) == 4\n"
    replies = [vain, says("write_test", text=own), says("run_tests"), MEND]
    with ModelServer(script(*replies)) as server:
        code = run(
            ["fix", str(repo), "--out", str(out), "--issue", "half(8) gives 2", "--json", "--quiet",
             "--model", "m", "--base-url", server.base_url, "--sandbox", "rlimits",
             "--strategy", "linear"]
        )  # fmt: skip
    result = json.loads(capsys.readouterr().out)
    assert (code, result["status"]) == (1, "unverified"), result["message"]
    assert "judged by a test that the model wrote itself" in result["message"]
    (best,) = result["candidates"]
    assert best["own_tests"] == {"tests/test_own_reproduction.py": own}
    assert "test_own" not in best["patch"]
    assert best["estimate"]["channels"]["targets"] == 1.0
    assert (out / "own-tests" / "test_own_reproduction.py").read_text() == own


def test_a_repository_without_python_is_mended_by_its_own_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from meritree.cli.app import run

    files = {
        "add.js": "function add(a, b) { return a - b }\n",
        "check.sh": 'grep -q "a + b" add.js\n',
    }
    repo = write(tmp_path / "repo", files)
    edit = says("replace", path="add.js", old="a - b", new="a + b")
    with ModelServer(script(says("list_files"), edit)) as server:
        code = run(
            ["fix", str(repo), "--out", str(tmp_path / "out"), "--json", "--quiet", "--model", "m",
             "--test", "sh check.sh", "--base-url", server.base_url, "--sandbox", "rlimits"]
        )  # fmt: skip
    result = json.loads(capsys.readouterr().out)
    assert (code, result["status"]) == (0, "verified")
    assert "+function add(a, b) { return a + b }" in result["patch"]
