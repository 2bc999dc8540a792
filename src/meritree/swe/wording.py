"""Numbers in sentences. Knows words only."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """``1 test``, ``2 tests``; ``many`` where the plural is another than ``one`` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def passing(number: int, one: str, still: str = "") -> str:
    """``1 test passes``, ``2 tests still pass``."""
    return f"{counted(number, one)} {still}{'passes' if number == 1 else 'pass'}"
