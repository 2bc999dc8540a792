"""The console that a command prints its result on: nothing is cut or wrapped where a program reads.

Knows widths only.
"""

from __future__ import annotations

import os

from rich.console import Console

_WHOLE = 20_000  # characters; wider than any line of a result


def result_console() -> Console:
    """Standard output: as wide as its terminal, whole lines into a pipe or a file.

    The variable COLUMNS, where it is set, says how wide a pipe is.
    """
    console = Console(highlight=False)
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = _WHOLE
    return console
