"""Faults that a model server shows on request, so that a client's patience can be tested.

A plan is a text such as ``429,500,ok`` (in that order, then over again) or ``429:0.1,half:0.05``
(shares of the calls, drawn by seed).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from meritree.errors import BadInput

OK = "ok"
FAULTS = (
    "429", "500", "503", "timeout", "half", "malformed", "empty", "huge", "no-usage", "close",
)  # fmt: skip


class Faults:
    """Says for each call which fault to show, `OK` for none. Safe to share between threads.

    Args:
        plan: see the module; empty for none.
        seed: of the shares.

    Raises:
        BadInput: the plan cannot be read.
    """

    def __init__(self, plan: str = "", seed: int = 0) -> None:
        steps = [step.strip() for step in plan.split(",") if step.strip()]
        shared = [step for step in steps if ":" in step]
        if shared and len(shared) != len(steps):
            raise BadInput(f"--errors {plan}: give an order (429,ok) or shares (429:0.1), not both")
        for step in steps:
            if step.partition(":")[0] not in (*FAULTS, OK):
                raise BadInput(f"--errors {step}: known are {', '.join(FAULTS)} and {OK}")
        self._mutex = threading.Lock()
        self._next: Callable[[], str]
        if shared:
            self._next = _drawn([_share(plan, step) for step in steps], seed)
        else:
            self._next = _in_order(steps or [OK])

    def next(self) -> str:
        """The fault of the next call."""
        with self._mutex:
            return self._next()


def _share(plan: str, step: str) -> tuple[str, float]:
    name, _, text = step.partition(":")
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise BadInput(f"--errors {plan}: the share {text!r} of {name} must be between 0 and 1")
    return name, share


def _in_order(steps: list[str]) -> Callable[[], str]:
    turn = -1

    def following() -> str:
        nonlocal turn
        turn += 1
        return steps[turn % len(steps)]

    return following


def _drawn(shares: list[tuple[str, float]], seed: int) -> Callable[[], str]:
    if sum(share for _, share in shares) > 1 + 1e-9:
        raise BadInput("--errors: the shares add up to more than 1")
    source = random.Random(seed)

    def draw() -> str:
        point = source.random()
        for name, share in shares:
            point -= share
            if point < 0:
                return name
        return OK

    return draw
