"""Trying again: exponential backoff with jitter, never longer than the endpoint's patience.

Knows no wire; what may be retried, the error says itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from meritree.respond.errors import ModelError
from meritree.respond.model import Patience

T = TypeVar("T")


def with_retries(
    attempt: Callable[[], T],
    patience: Patience,
    *,
    deadline: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    jitter: Callable[[], float] = random.random,
) -> T:
    """Return the first reply; the last error where there is none.

    The wait before retry ``n`` is drawn from the upper half of ``first * 2**n`` (so that many
    workers do not come back together), and is at least what the endpoint asked for.

    Args:
        attempt: asks once.
        patience: how often and how long.
        deadline: no wait ends after this moment of ``clock``.
        sleep, clock, jitter: replaced in tests.

    Raises:
        ModelError: not retryable, or it failed every time.
    """
    paid = 0  # failures of the kind that is paid
    for turn in range(patience.retries + 1):
        try:
            return attempt()
        except ModelError as error:
            wait = wait_before(turn, error, patience, jitter())
            late = deadline is not None and clock() + wait > deadline
            if error.most_retries is not None:
                paid += 1
            last = turn == patience.retries or paid > _most(error, patience)
            if not error.retryable or last or late:
                raise
            if error.retry_after is not None and error.retry_after > patience.longest:
                raise  # coming back earlier than asked would only be refused again
        sleep(wait)
    raise AssertionError("unreachable: the last turn returns or raises")


def wait_before(turn: int, error: ModelError, patience: Patience, jitter: float) -> float:
    """Seconds to wait after failure number ``turn`` (from 0); ``jitter`` in [0, 1)."""
    backoff = min(patience.longest, patience.first * 2.0 ** min(turn, 62))
    drawn = backoff * (0.5 + 0.5 * jitter)
    return max(drawn, error.retry_after or 0.0)


def _most(error: ModelError, patience: Patience) -> int:
    return patience.retries if error.most_retries is None else error.most_retries
