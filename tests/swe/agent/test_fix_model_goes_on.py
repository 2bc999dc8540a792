"""Runs with a model that were killed, or whose endpoint failed, go on where they stood."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from meritree.respond.faults import Faults
from meritree.respond.server import ModelServer, Service
from meritree.swe.agent.noise import ErringModel
from meritree.swe.agent.repair_model import RepairModel

from .conftest import FILES, MEND, VIEW, write
from .served import MERITREE, command, events, fix, script


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


@pytest.mark.usefixtures("at_once")
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


@pytest.mark.usefixtures("at_once")
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


@pytest.mark.usefixtures("at_once")
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


def test_a_finished_run_is_reported_again_although_its_endpoint_is_gone(tmp_path: Path) -> None:
    repo, out = write(tmp_path / "repo"), tmp_path / "out"
    with ModelServer(script(VIEW, MEND)) as server:
        assert fix(repo, out, server.base_url).returncode == 0
    done = command("resume", out, "--json", "--quiet")
    assert json.loads(done.stdout)["status"] == "verified", done.stderr
