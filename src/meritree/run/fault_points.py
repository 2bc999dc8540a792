"""Named places where a test of crashes may strike; nothing happens there otherwise.

``MERITREE_FAULT_POINT=append.committed:17`` kills the process (SIGKILL, no clean-up) when it
passes that place for the 17th time. Must not know what is done between the places.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

NAMES = (
    "create.locked",
    "create.drafted",
    "create.named",
    "open.connected",
    "append.begun",
    "append.committed",
    "append.counted",
    "many.begun",
    "many.written",
    "many.committed",
    "close.begun",
    "close.folded",
)
VARIABLE = "MERITREE_FAULT_POINT"


def kill_at(name: str, number: int) -> Callable[[str], None]:
    """A strike that kills this process at the ``number``-th passing of ``name``."""
    left = number

    def kill(passed: str) -> None:
        nonlocal left
        if passed == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return kill


def _asked() -> Callable[[str], None] | None:
    name, _, number = os.environ.get(VARIABLE, "").rpartition(":")
    return kill_at(name, int(number)) if name in NAMES and number.isdecimal() else None


_strike = _asked()


def pass_by(name: str) -> None:
    """Say that this place is passed (a tenth of a microsecond where nobody strikes)."""
    if _strike is not None:
        _strike(name)


def strike_with(strike: Callable[[str], None] | None) -> None:
    """Call ``strike`` with the name of each place passed; None: nothing happens there."""
    global _strike
    _strike = strike
