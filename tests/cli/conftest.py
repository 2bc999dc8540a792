"""The command line as a user starts it: a process, or in this process for speed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Started = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def meritree_in() -> Callable[[Path], Started]:
    """Start `meritree ARGUMENTS` with a home of its own, an empty folder."""

    def with_home(home: Path) -> Started:
        home.mkdir(exist_ok=True)

        def start(
            *arguments: str, input: str | None = None, cwd: Path | None = None, **environment: str
        ) -> subprocess.CompletedProcess[str]:
            code = "from meritree.cli.app import main; main()"
            return subprocess.run(
                [sys.executable, "-c", code, *arguments],
                cwd=cwd or home,
                input=input,
                env={**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home), **environment},
                capture_output=True,
                text=True,
                timeout=300,
            )

        return start

    return with_home


@pytest.fixture
def meritree(meritree_in: Callable[[Path], Started], tmp_path: Path) -> Started:
    """Start `meritree ARGUMENTS` in an empty folder with a home of its own."""
    return meritree_in(tmp_path / "home")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A repository with one fault and two tests."""
    repo = tmp_path / "shop"
    repo.mkdir()
    (repo / "price.py").write_text("def price(n):\n    return n - 1\n")
    (repo / "test_price.py").write_text(
        "from price import price\n\n\ndef test_two():\n    assert price(2) == 3\n\n\n"
        "def test_five():\n    assert price(5) == 6\n"
    )
    return repo
