"""Work for the engines: in a module of its own, which worker processes can import."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from meritree.errors import BadInput


def square(x: int) -> int:
    return x * x


def killed_once(task: tuple[str, int]) -> int:
    """Dies as a killed worker does, the first time that a task of value 3 is begun."""
    folder, x = task
    mark = Path(folder) / f"begun-{x}"
    if x == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def killed_always(x: int) -> int:
    if x == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def refuses_two(x: int) -> int:
    if x == 2:
        raise BadInput("two is refused")
    return x
