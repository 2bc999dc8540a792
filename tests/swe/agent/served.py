"""`meritree fix --model` as a user runs it: processes, and servers of models over loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from meritree.respond import Reply, ScriptedModel
from meritree.run.journal import Journal

from .conftest import says

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


def events(out: Path) -> list[tuple[str, dict[str, Any]]]:
    with Journal.open(out / "run.db", read_only=True) as journal:
        return [(e.kind, e.payload) for e in journal.events()]
