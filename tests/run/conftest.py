"""Fixtures of the sandbox's tests: every kind, every kind that confines, a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from meritree.run.sandbox import (
    CONFINING,
    KINDS,
    Sandbox,
)

from .sandboxes import sandbox_of


@pytest.fixture(params=KINDS)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    return sandbox_of(request.param)


@pytest.fixture(params=CONFINING)
def strong(request: pytest.FixtureRequest) -> Sandbox:
    return sandbox_of(request.param)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder
