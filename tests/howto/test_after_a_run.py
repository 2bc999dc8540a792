"""The page of `fix` makes a run, and the pages that go on from one work on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .pages import GO_ON, follow


@pytest.fixture(scope="module")
def repaired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the page of `fix` leaves."""
    folder = tmp_path_factory.mktemp("howto")
    follow("fix", folder)
    return folder


@pytest.mark.parametrize("verb", sorted(GO_ON))
def test_the_commands_of_a_page_do_what_it_says(verb: str, repaired: Path, tmp_path: Path) -> None:
    shutil.copytree(repaired, tmp_path, dirs_exist_ok=True)
    follow(verb, tmp_path)
