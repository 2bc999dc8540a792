"""How near a failing test came: similarity of values, partial credit, stable signatures.

Pure functions of values and exceptions; knows no test framework. The formulas are those of
the measured prototype of the repair policy.
"""

from __future__ import annotations

import math
import os
import re
import time
import types
from difflib import SequenceMatcher
from typing import Any, Iterator, List, Optional, Tuple

COMPARE_SECONDS = 0.2
_MAX_TEXT = 2000
_MAX_ITEMS = 300
_MAX_DEPTH = 3


class _Slow(Exception):
    """Comparing two values takes too long."""


def similarity(actual: Any, expected: Any) -> Optional[float]:
    """How near ``actual`` is to ``expected``, in [0, 1]; None when comparing is too slow.

    Numbers .9 / (1 + ln(1 + |a - b|)), strings and sequences by matching, dictionaries over
    the union of their keys; values of one type .2, anything else .05, any error 0.
    """
    deadline = time.perf_counter() + COMPARE_SECONDS
    try:
        value = _similar(unwrap(actual), unwrap(expected), 0, deadline)
    except _Slow:
        return None
    except Exception:  # noqa: BLE001  values under test may raise anything from ==, len, iteration or repr
        return 0.0
    return None if time.perf_counter() > deadline else value


def unwrap(value: Any) -> Any:
    """The plain value inside ``pytest.approx(...)``, anything else unchanged."""
    if "Approx" in type(value).__name__ and hasattr(value, "expected"):
        return value.expected
    return value


def _similar(a: Any, b: Any, depth: int, deadline: float) -> float:
    if time.perf_counter() > deadline:
        raise _Slow
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return _numbers(a, b)
    if isinstance(a, str) and isinstance(b, str):
        return _texts(a, b)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return _sequences(a, b, depth, deadline)
    if isinstance(a, dict) and isinstance(b, dict):
        return _mappings(a, b, depth, deadline)
    return 0.2 if type(a) is type(b) else 0.05


def _numbers(a: float, b: float) -> float:
    if a == b or (a != a and b != b):
        return 1.0
    gap = abs(float(a) - float(b))
    return 0.9 / (1.0 + math.log1p(gap)) if math.isfinite(gap) else 0.0


def _texts(a: str, b: str) -> float:
    if len(a) > _MAX_TEXT or len(b) > _MAX_TEXT:
        return 0.3
    return 0.95 * SequenceMatcher(None, a, b).ratio()


def _sequences(a: Any, b: Any, depth: int, deadline: float) -> float:
    if not a and not b:
        return 1.0
    if len(a) > _MAX_ITEMS or len(b) > _MAX_ITEMS:
        return 0.2
    longest = max(len(a), len(b))
    each = 0.0
    if depth < _MAX_DEPTH:
        for i in range(min(len(a), len(b))):
            each += _similar(a[i], b[i], depth + 1, deadline)
    left, right = repr(a), repr(b)
    whole = 0.0
    if len(left) <= _MAX_TEXT and len(right) <= _MAX_TEXT and depth == 0:
        whole = SequenceMatcher(None, left, right).ratio()
    return 0.95 * max(each / longest, whole)


def _mappings(a: Any, b: Any, depth: int, deadline: float) -> float:
    keys = list(a) + [key for key in b if key not in a]
    if not keys:
        return 1.0
    if len(keys) > _MAX_ITEMS or depth >= _MAX_DEPTH:
        return 0.2
    total = 0.0
    for key in keys:  # not sum(): since Python 3.12 that rounds floats otherwise
        if key in a and key in b:
            total += _similar(a[key], b[key], depth + 1, deadline)
    return 0.95 * total / len(keys)


def credit(status: str, error: Optional[BaseException], pair: Optional[Tuple[Any, Any]]) -> Any:
    """Partial credit of one test and the similarity behind it, as ``(graded, similarity)``."""
    if status in ("passed", "skipped"):
        return 1.0, None
    if status in ("timeout", "crashed") or isinstance(error, MemoryError):
        return 0.0, None
    if status == "failed":
        if pair is None:
            return 0.3, None
        near = similarity(*pair)
        return (0.1, None) if near is None else (0.1 + 0.9 * near, near)
    return (0.02 if isinstance(error, RecursionError) else 0.05), None


_ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")
_TEMPORARY = re.compile(r"(/tmp|/var/tmp|/dev/shm|/private/var)[^\s'\"]*")
_NUMBERED = re.compile(r"\b\d{7,}\b")
_SECONDS = re.compile(r"\b\d+\.\d{4,}(e-?\d+)? ?(s|ms|us|seconds)\b")


def normalised(text: str, root: str) -> str:
    """``text`` without what changes from run to run: addresses, paths, ids, durations."""
    text = text.replace(root + os.sep, "").replace(root, "")
    text = _TEMPORARY.sub("<tmp>", text)
    text = _SECONDS.sub("<time>", text)
    return _NUMBERED.sub("<n>", _ADDRESS.sub("0x", text))


def signature(name: str, message: str, root: str) -> str:
    """Exception type and the first 80 characters of its message, the same in every run."""
    return "%s: %s" % (name, " ".join(normalised(message[:2000], root).split())[:80])


def text_of(error: BaseException) -> str:
    """``str(error)``, whatever its ``__str__`` does."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001  __str__ is code under test
        return "<message cannot be printed>"


def short(value: Any, root: str, limit: int = 120) -> str:
    """A ``repr`` of at most ``limit`` characters, whatever ``__repr__`` does."""
    try:
        text = normalised(repr(unwrap(value)), root)
    except Exception:  # noqa: BLE001  __repr__ is code under test
        text = "<%s that cannot be printed>" % type(value).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def tracebacks(error: BaseException) -> Iterator[Tuple[types.CodeType, int]]:
    """Code and line of every traceback entry, outermost first; causes after their effects."""
    seen: List[int] = []
    current: Optional[BaseException] = error
    while current is not None and id(current) not in seen and len(seen) < 5:
        seen.append(id(current))
        tb = current.__traceback__
        while tb is not None:
            yield tb.tb_frame.f_code, tb.tb_lineno
            tb = tb.tb_next
        inner = getattr(current, "exceptions", None)
        if isinstance(inner, tuple) and inner and isinstance(inner[0], BaseException):
            current = inner[0]
        elif current.__cause__ is not None:
            current = current.__cause__
        else:
            current = None if current.__suppress_context__ else current.__context__


_NUMERIC_CHECKS = ("assert_equal", "assert_array_equal", "assert_allclose", "assert_almost_equal")


def compared_in_frames(error: BaseException) -> Optional[Tuple[Any, Any]]:
    """The two values of a failed numeric-library check, read from its frame's variables."""
    tb = error.__traceback__
    found = None
    while tb is not None:
        if tb.tb_frame.f_code.co_name in _NUMERIC_CHECKS:
            names = tb.tb_frame.f_locals
            if "actual" in names and "desired" in names:
                found = (_plain(names["actual"]), _plain(names["desired"]))
        tb = tb.tb_next
    return found


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
