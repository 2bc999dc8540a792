"""Turns what happened to one test into a plain dictionary that can go over a pipe.

Knows exceptions and tracebacks; knows neither pytest nor processes.
"""

from __future__ import annotations

import os
import types
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import grade
from .limits import TimeLimit

Record = Dict[str, Any]
Locate = Callable[[types.CodeType, int], int]


class Places:
    """Which files belong to the repository, and what they are called there."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self._known: Dict[str, Optional[str]] = {}
        self.locate: Locate = lambda code, line: line

    def relative(self, filename: str) -> Optional[str]:
        """Path relative to the repository with ``/``, None for files outside it."""
        try:
            return self._known[filename]
        except KeyError:
            pass
        found = None
        if filename and not filename.startswith("<"):
            real = os.path.realpath(os.path.join(self.root, filename))
            if real.startswith(self.root + os.sep) and "site-packages" not in real:
                found = os.path.relpath(real, self.root).replace(os.sep, "/")
        self._known[filename] = found
        return found

    def frames(self, error: BaseException) -> List[Tuple[str, int, str]]:
        """The traceback inside the repository, outermost first (at most the last 60)."""
        found = []
        for code, line in grade.tracebacks(error):
            path = self.relative(code.co_filename)
            if path is not None:
                name = getattr(code, "co_qualname", code.co_name)
                found.append((path, self.locate(code, line), name))
        return found[-60:]


class Watch:
    """Everything seen while one test ran; ``result`` sums it up."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.begin()

    def begin(self) -> None:
        self.compared: Optional[Tuple[Any, Any]] = None
        self.error: Optional[BaseException] = None
        self.failed = False
        self.skipped = False
        self.outside = False
        self.note = ""

    def saw_error(self, error: BaseException, phase: str = "call") -> None:
        """An exception ended some phase of the test (``call`` is its body); the first counts."""
        if self.error is None:
            self.error = _unwrapped(error)
            self.outside = phase != "call"

    def result(self, test: str, seconds: float, assertions: Tuple[type, ...]) -> Record:
        """The record of the test; ``assertions`` are the exception types of failed checks."""
        status = self._status(assertions)
        record: Record = {
            "id": test,
            "status": status,
            "seconds": seconds,
            "graded": 1.0,
            "similarity": None,
            "signature": "",
            "exception": "",
            "message": "",
            "frames": [],
            "actual": None,
            "expected": None,
            "outside": self.outside and status in ("failed", "error"),
        }
        if status not in ("passed", "skipped"):
            self._describe(record, status)
        return record

    def _status(self, assertions: Tuple[type, ...]) -> str:
        if isinstance(self.error, TimeLimit):
            return "timeout"
        if self.failed:
            error = self.error
            return "failed" if error is None or isinstance(error, assertions) else "error"
        return "skipped" if self.skipped else "passed"

    def _describe(self, record: Record, status: str) -> None:
        error, root = self.error, self.places.root
        pair = self.compared
        if status == "failed" and pair is None and error is not None:
            pair = _doctest_pair(error) or grade.compared_in_frames(error)
        record["graded"], record["similarity"] = grade.credit(status, error, pair)
        name = type(error).__name__ if error is not None else "Failed"
        message = grade.text_of(error) if error is not None else self.note
        if status == "failed" and pair is not None:
            record["actual"] = grade.short(pair[0], root)
            record["expected"] = grade.short(pair[1], root)
        record["exception"] = name
        record["signature"] = grade.signature(name, message, root)
        record["message"] = grade.normalised(message[:1000], root)
        if error is not None:
            record["frames"] = self.places.frames(error)


def lost(test: str, status: str, message: str, seconds: float = 0.0) -> Record:
    """The record of a test whose process died or hung, or that was never run."""
    return {
        "id": test,
        "status": status,
        "seconds": seconds,
        "graded": 0.0,
        "similarity": None,
        "signature": "%s: %s" % (status, message[:80]),
        "exception": status,
        "message": message,
        "frames": [],
        "actual": None,
        "expected": None,
    }


def _unwrapped(error: BaseException) -> BaseException:
    failures = getattr(error, "failures", None)  # pytest's MultipleDoctestFailures
    if isinstance(failures, (list, tuple)) and failures:
        error = failures[0]
    info = getattr(error, "exc_info", None)  # doctest.UnexpectedException
    if isinstance(info, tuple) and len(info) == 3 and isinstance(info[1], BaseException):
        return info[1]
    return error


def _doctest_pair(error: BaseException) -> Optional[Tuple[Any, Any]]:
    example, got = getattr(error, "example", None), getattr(error, "got", None)
    if example is not None and isinstance(got, str):
        return got, getattr(example, "want", "")
    return None


def watch_unittest(watch: Callable[[], Watch]) -> None:
    """Make the assertEqual family of unittest tell which two values disagreed."""
    import unittest

    names = (
        "assertEqual assertAlmostEqual assertSequenceEqual assertListEqual assertTupleEqual "
        "assertSetEqual assertDictEqual assertMultiLineEqual assertCountEqual"
    )
    for name in names.split():
        _tell(unittest.TestCase, name, watch)


def _tell(owner: Any, name: str, watch: Callable[[], Watch]) -> None:
    import functools

    check = getattr(owner, name)

    @functools.wraps(check)
    def told(self: Any, first: Any, second: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return check(self, first, second, *args, **kwargs)
        except AssertionError:
            watch().compared = (first, second)
            raise

    setattr(owner, name, told)
