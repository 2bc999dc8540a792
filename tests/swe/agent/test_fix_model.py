"""`meritree fix --model` as a user runs it: processes, HTTP over loopback, kill and resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from meritree.respond import Reply, ScriptedModel
from meritree.respond.faults import Faults
from meritree.respond.server import ModelServer, Service
from meritree.run.journal import Journal
from meritree.swe.agent.noise import ErringModel
from meritree.swe.agent.repair_model import RepairModel

sys.path.insert(0, str(Path(__file__).parent))
from conftest import FILES, MEND, VIEW, says, write

MERITREE = [sys.executable, "-c", "from meritree.cli.app import main; main()"]
KEY = "sk-planted-5f2a9c7d"


def script(*replies: Reply) -> ScriptedModel:
    """These replies, then nothing but giving up."""
    return ScriptedModel([*replies, *[says("reject", reason="no more")] * 40])


def command(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MERITREE, *map(str, arguments)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "MERITREE_OFFLINE": "1", **env}, check=False,
    )  # fmt: skip


def fix(repo: Path, out: Path, url: str, *more: object, **env: str) -> Any:
    return command(
        "fix", repo, "--out", out, "--model", "m", "--base-url", url, "--json", "--quiet",
        "--sandbox", "rlimits", *more, **env,
    )  # fmt: skip


@contextmanager
def serving(kind: str, *options: str, **env: str) -> Iterator[str]:
    """`meritree serve-model` in a process of its own."""
    process = subprocess.Popen(
        [*MERITREE, "serve-model", "--model", kind, "--quiet", *options], stdout=subprocess.PIPE,
        text=True, env={**os.environ, **env},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


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


def events(out: Path) -> list[tuple[str, dict[str, Any]]]:
    with Journal.open(out / "run.db", read_only=True) as journal:
        return [(e.kind, e.payload) for e in journal.events()]


def test_a_killed_run_goes_on_without_asking_again(tmp_path: Path) -> None:
    repo = write(tmp_path / "repo")
    model = ErringModel(RepairModel(), wrong=0.5, malformed=0.1, seed=2)
    with ModelServer(model) as server:
        whole = json.loads(fix(repo, tmp_path / "whole", server.base_url).stdout)
        needed = server.calls
    with ModelServer(model) as server:
        out = tmp_path / "out"
        process = subprocess.Popen(
            [*MERITREE, "fix", str(repo), "--out", str(out), "--model", "m", "--quiet",
             "--base-url", server.base_url, "--sandbox", "rlimits"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 120
            while server.calls < needed // 2:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.005)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        lost = server.calls - sum(kind == "reply" for kind, _ in events(out))
        assert lost in (0, 1)  # a reply on its way is in no journal: it is asked for again
        done = command("resume", out, "--json", "--quiet")
        assert done.returncode == 0, done.stdout
        assert server.calls - lost == needed
    result = json.loads(done.stdout)
    same = ("status", "patch", "evaluations", "nodes", "transpositions")
    assert [result[k] for k in same] == [whole[k] for k in same]
    assert result["tokens"] >= whole["tokens"]  # what was on its way is booked at its most


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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget-usd", "0"], "no price is known for model 'm'"),
        (["--budget-tokens", "0"], "--budget-tokens 0: must be at least 1"),
        (["--temperature", "3"], "--temperature 3.0: must lie in [0, 2]"),
        (["--context-tokens", "5"], "--context-tokens 5: must be at least 2000"),
        (["--tools", "magic"], "--tools magic: unknown"),
        (["--policy", "model", "--model", " "], "no model is named"),
    ],
)
def test_bad_options_end_with_two_and_a_way_out(
    tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from meritree.cli.app import run

    repo = write(tmp_path / "repo")
    code = run(
        ["fix", str(repo), "--out", str(tmp_path / "out"), "--model", "m", "--base-url",
         "http://127.0.0.1:9/v1", *options]
    )  # fmt: skip
    assert code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--model", "--judge-model"])
def test_a_local_model_without_an_address_is_pointed_to_serve_model(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from meritree.cli.app import run

    assert run(["fix", str(write(tmp_path / "repo")), option, "local"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{option} local: no server on this machine is named" in said
    assert "`meritree serve-model --model repair`" in said
    assert f"{option} local --base-url" in said


def test_an_endpoint_that_fails_half_way_is_named_and_the_run_can_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from meritree.cli.app import run

    repo, out = write(tmp_path / "repo"), tmp_path / "out"
    service = Service(script(VIEW, MEND), faults=Faults("ok,503,503,503" + ",ok" * 20))
    with ModelServer(service) as server:
        base = ["fix", str(repo), "--out", str(out), "--quiet", "--sandbox", "rlimits",
                "--base-url", server.base_url]  # fmt: skip
        assert run([*base, "--model", "n"]) == 1
        said = capsys.readouterr().err
        assert server.base_url in said
        assert f"meritree resume {out}" in said
        assert run(["resume", str(out), "--quiet", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["status"] == "verified"


def test_a_run_that_nobody_answered_goes_on_with_another_model_at_another_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from meritree.cli.app import run

    repo, out = write(tmp_path / "repo"), tmp_path / "out"
    with ModelServer(Service(script(VIEW), faults=Faults("503"))) as server:
        gone = server.base_url
        base = ["fix", str(repo), "--out", str(out), "--quiet", "--sandbox", "rlimits"]
        assert run([*base, "--model", "nosuch", "--base-url", gone]) == 1
    said = capsys.readouterr().err
    assert f"meritree resume {out}" in said
    assert "--base-url" in said
    with ModelServer(Service(script(VIEW, MEND), faults=Faults("ok,503,503,503"))) as server:
        # The new server answers once, then fails again.
        elsewhere = ["resume", str(out), "--quiet", "--base-url", server.base_url]
        assert run([*elsewhere, "--model", "right"]) == 1
        capsys.readouterr()
        assert run([*elsewhere, "--model", "third"]) == 2
        assert "belong to right" in " ".join(capsys.readouterr().err.split())
    with ModelServer(script(MEND)) as server:
        assert run(["resume", str(out), "--quiet", "--json", "--base-url", server.base_url]) == 0
        result = json.loads(capsys.readouterr().out)
        assert (result["status"], result["model"]) == ("verified", "right")
        assert result["settings"]["base_url"] == server.base_url
    told = [payload for kind, payload in events(out) if kind == "endpoint"]
    assert [one.get("model") for one in told] == ["right", None]


def test_a_model_that_is_named_by_its_address_alone_is_found_at_its_new_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from meritree.cli.app import run

    repo, out = write(tmp_path / "repo"), tmp_path / "out"
    first = Service(script(VIEW), names=("m",), faults=Faults("503"))
    with ModelServer(first) as server:
        base = ["fix", str(repo), "--out", str(out), "--quiet", "--sandbox", "rlimits"]
        assert run([*base, "--model", server.base_url]) == 1
    capsys.readouterr()
    with ModelServer(Service(script(VIEW, MEND), names=("m",))) as server:
        assert run(["resume", str(out), "--quiet", "--json", "--base-url", server.base_url]) == 0
        assert json.loads(capsys.readouterr().out)["settings"]["model"] == server.base_url
    resumed = ["resume", str(out), "--budget-tests", "9999", "--base-url", "http://127.0.0.1:9/v1"]
    assert run(resumed) == 2  # nobody is there, and that is told before anything is recorded
    assert "cannot be reached" in " ".join(capsys.readouterr().err.split())
    assert [kind for kind, _ in events(out)].count("endpoint") == 1


def test_a_run_without_a_model_is_given_none_when_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from meritree.cli.app import run

    files = {name: text.replace("half(8) == 4", "half(8) == 771") for name, text in FILES.items()}
    repo, out = write(tmp_path / "repo", files), tmp_path / "out"
    base = ["fix", str(repo), "--out", str(out), "--quiet", "--sandbox", "rlimits"]
    assert run([*base, "--budget-tests", "1"]) == 1
    capsys.readouterr()
    assert run(["resume", str(out), "--budget-tests", "2", "--model", "m"]) == 2
    assert "no model proposes in this run" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def marked(tmp_path: Path) -> tuple[Path, Path]:
    """A repository, and a file that its tests write when they are run."""
    mark = tmp_path / "tests-ran"
    body = f"from pathlib import Path\n\nPath({str(mark)!r}).write_text('ran')\n"
    return write(tmp_path / "repo", FILES | {"tests/conftest.py": body}), mark


@pytest.mark.parametrize(
    ("asked", "key", "said"),
    [
        (("--model", "m"), "", "none was sent: MERITREE_API_KEY is not set"),
        (("--model", "m"), "not-the-key-1", "refuses the key (401); set MERITREE_API_KEY"),
        (("--judge-model", "j"), "not-the-key-1", "model 'j' at"),
    ],
)
def test_a_key_that_is_missing_or_wrong_is_told_before_any_test_is_run(
    tmp_path: Path, marked: tuple[Path, Path], asked: tuple[str, ...], key: str, said: str
) -> None:
    repo, mark = marked
    out = tmp_path / "out"
    with serving("repair", "--key-env", "SERVED", SERVED=KEY) as url:
        common = ("fix", repo, "--out", out, "--base-url", url, "--sandbox", "rlimits", "--quiet")
        done = command(*common, *asked, MERITREE_API_KEY=key)
        assert (done.returncode, mark.exists(), out.exists()) == (2, False, False), done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert not key or key not in done.stderr
        if "--model" in asked and not key:
            right = command(*common, *asked, "--budget-tests", 3, MERITREE_API_KEY=KEY)
            assert right.returncode in (0, 1), right.stderr
            assert mark.exists()


@pytest.mark.parametrize("asked", [("--model", "m", "--base-url"), ("--model",)])
def test_an_address_where_nobody_answers_is_told_before_any_test_is_run(
    tmp_path: Path, marked: tuple[Path, Path], asked: tuple[str, ...]
) -> None:
    repo, mark = marked
    out = tmp_path / "out"
    with serving("repair") as url:
        pass  # it is there no longer
    done = command("fix", repo, "--out", out, "--sandbox", "rlimits", *asked, url)
    assert (done.returncode, mark.exists(), out.exists()) == (2, False, False), done.stderr
    words = " ".join(done.stderr.split())
    assert f"at {url} cannot be reached" in words
    assert "check the base URL and that the server runs" in words


def test_a_provider_s_key_that_is_not_set_is_missed_without_asking_the_provider(
    tmp_path: Path, marked: tuple[Path, Path]
) -> None:
    repo, mark = marked
    out = tmp_path / "out"
    env = {"OPENAI_API_KEY": "", "MERITREE_OFFLINE": ""}
    done = command("fix", repo, "--out", out, "--model", "gpt-4o", "--sandbox", "rlimits", **env)
    assert (done.returncode, mark.exists(), out.exists()) == (2, False, False), done.stderr
    assert "needs a key; set OPENAI_API_KEY" in " ".join(done.stderr.split())


def test_a_finished_run_is_reported_again_although_its_endpoint_is_gone(tmp_path: Path) -> None:
    repo, out = write(tmp_path / "repo"), tmp_path / "out"
    with ModelServer(script(VIEW, MEND)) as server:
        assert fix(repo, out, server.base_url).returncode == 0
    done = command("resume", out, "--json", "--quiet")
    assert json.loads(done.stdout)["status"] == "verified", done.stderr


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
