"""The guide to hybrid values says what the code does."""

from __future__ import annotations

import doctest
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "hybrid-values.md"


def test_every_example_of_the_guide_is_right() -> None:
    failed, tried = doctest.testfile(str(GUIDE), module_relative=False)
    assert tried > 15
    assert failed == 0
