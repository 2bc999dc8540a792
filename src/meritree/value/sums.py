"""Sums that are the same on every Python. Knows nothing of what is added."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable


def in_order(values: Iterable[float]) -> float:
    """The sum from left to right, rounded at every step.

    Since Python 3.12 the built-in ``sum`` of floats makes up for rounding. A search compares
    sums and breaks ties by them, so its tree would depend on the version that runs it, and a run
    could not be resumed to the same tree by another.
    """
    return functools.reduce(operator.add, values, 0)
