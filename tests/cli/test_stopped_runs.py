"""A run of `fix` that was stopped, however it was, resumes to the tree of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from meritree.demo import unpack
from meritree.view.store import load_run

Started = Callable[..., "subprocess.CompletedProcess[str]"]
GOES_ON = ("--json", "--quiet", "--seed", "3", "--budget-tests", "150", "--final-checks", "1")


def tree_of(folder: Path) -> list[tuple[int, int | None, str, float]]:
    nodes = load_run(folder).tree.nodes.values()
    return [(node.id, node.parent, node.label, node.value) for node in nodes]


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, meritree_in: Callable[[Path], Started]
) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    """The sample repository, a run on it that nothing stopped, and how that ended."""
    folder = tmp_path_factory.mktemp("whole")
    repo, out = unpack(folder), folder / "run"
    done = meritree_in(folder / "home")("fix", str(repo), *GOES_ON, "--out", str(out))
    assert len(tree_of(out)) > 100, done.stderr
    return repo, out, done


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_resumes_to_the_tree_of_a_run_that_was_not_stopped(
    meritree: Started,
    tmp_path: Path,
    whole: tuple[Path, Path, subprocess.CompletedProcess[str]],
    how: signal.Signals,
) -> None:
    repo, unstopped, ended = whole
    out = tmp_path / "stopped"
    code = "from meritree.cli.app import main; main()"
    command = [sys.executable, "-c", code, "fix", str(repo), *GOES_ON, "--out", str(out)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for_nodes(process, out, 5)
    os.kill(process.pid, how)
    stdout, stderr = process.communicate(timeout=60)
    if how != signal.SIGKILL:
        assert process.returncode == 130, stderr
        assert json.loads(stdout)["status"] == "interrupted"
    assert len(tree_of(out)) < len(tree_of(unstopped))
    resumed = meritree("resume", str(out), "--json", "--quiet")
    assert resumed.returncode == ended.returncode, resumed.stderr
    assert tree_of(out) == tree_of(unstopped)
    assert json.loads(resumed.stdout)["patch"] == json.loads(ended.stdout)["patch"]


def wait_for_nodes(process: subprocess.Popen[str], out: Path, least: int) -> None:
    """Wait until the run under way has judged some candidates."""
    while process.poll() is None:
        if (out / "run.db").is_file() and len(tree_of(out)) >= least:
            return
        time.sleep(0.02)
    raise AssertionError(f"the run ended before it could be stopped: {process.communicate()}")
