"""Outputs that nobody reads any more, and outputs that cannot be written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

START = [sys.executable, "-m", "meritree"]


def with_closed_reader(*arguments: str, both: bool = False) -> tuple[int, bytes]:
    """Exit code and standard error of a command whose output is closed before it writes."""
    error = subprocess.STDOUT if both else subprocess.PIPE
    with subprocess.Popen([*START, *arguments], stdout=subprocess.PIPE, stderr=error) as process:
        assert process.stdout is not None
        process.stdout.close()
        said = process.stderr.read() if process.stderr else b""
    return process.returncode, said


@pytest.mark.parametrize(
    "arguments",
    [["systems"], ["systems", "--json"], ["doctor"], ["--help"], ["fix", "--help"], ["--version"],
     ["bench", "swebench", "--help"]],
    ids=" ".join,
)  # fmt: skip
def test_a_reader_that_goes_away_is_no_failure(arguments: list[str]) -> None:
    assert with_closed_reader(*arguments) == (0, b"")


def test_an_error_that_nobody_reads_keeps_its_exit_code() -> None:
    assert with_closed_reader("fix", "no/such/folder", both=True) == (2, b"")
    assert with_closed_reader("fix", "no/such/folder", "--json", both=True) == (2, b"")


def test_a_repair_goes_on_when_nobody_reads_what_it_says(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, _ = with_closed_reader(
        "fix", str(shop), "--out", str(out), "--budget-tests", "30", both=True
    )
    assert code == 0
    assert json.loads((out / "result.json").read_text("utf-8"))["status"] == "verified"
    assert (out / "report.html").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [["doctor"], ["systems", "--json"], ["--help"]], ids=" ".join)
def test_an_output_that_cannot_be_written_is_named(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*START, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "meritree: standard output was lost: No space left on device; send it elsewhere\n"
    )
