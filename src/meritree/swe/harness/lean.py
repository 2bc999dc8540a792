"""Runs a test without going through the framework's hooks, where no plug-in would notice.

Half the cost of a small test is the framework calling hooks that do nothing. Which tests can
do without them is decided by looking at who listens; whoever uses this compares both ways on
the unchanged code first, and asks the framework itself before it believes that a test passes.
"""

from __future__ import annotations

import contextlib
import os
import types
import unittest
from typing import Any, Callable, ContextManager, Dict

import pytest

from .record import Watch

_HOOKS = (
    "pytest_runtest_protocol",
    "pytest_runtest_logstart",
    "pytest_runtest_setup",
    "pytest_runtest_call",
    "pytest_runtest_teardown",
    "pytest_runtest_makereport",
    "pytest_runtest_logreport",
    "pytest_runtest_logfinish",
    "pytest_exception_interact",
)
# What these do around a test is done here as well, or concerns marks and fixtures below only.
_UNDERSTOOD = frozenset(
    (
        "_pytest.runner",
        "_pytest.main",
        "_pytest.skipping",
        "_pytest.unittest",
        "_pytest.nose",
        "_pytest.assertion",
        "_pytest.warnings",
        "_pytest.terminal",
        "_pytest.cacheprovider",
        "_pytest.capture",
        "_pytest.junitxml",
        "_pytest.reports",
        "_hypothesis_pytestplugin",
    )
)
_MARKS = ("skip", "skipif", "xfail")
_FIXTURES = frozenset(
    ("capsys", "capfd", "capsysbinary", "capfdbinary", "capteesys", "caplog", "subtests")
)
_OURS = __name__.rpartition(".")[0]


class Lean:
    """The short way of running one item.

    ``compared`` is what the assertion rewriting shall call with the two sides of a comparison.
    """

    def __init__(
        self, watch: Callable[[], Watch], compared: Callable[[str, Any, Any], str]
    ) -> None:
        self._watch = watch
        self._compared = compared
        self._fits: Dict[str, bool] = {}
        self._skips = (pytest.skip.Exception, unittest.SkipTest, pytest.xfail.Exception)
        self._stops = (KeyboardInterrupt, pytest.exit.Exception)

    def fits(self, item: Any) -> bool:
        """Whether the item's outcome cannot depend on a hook."""
        known = self._fits.get(item.nodeid)
        if known is None:
            known = self._fits[item.nodeid] = self._looked_at(item)
        return known

    def _looked_at(self, item: Any) -> bool:
        kind = type(item)
        if (kind.__module__, kind.__name__) not in (
            ("_pytest.python", "Function"),
            ("_pytest.unittest", "TestCaseFunction"),
        ):
            return False
        names = set(getattr(item, "fixturenames", ()))
        if names & _FIXTURES or getattr(item.obj, "is_hypothesis_test", False):
            return False
        if self._marked(item) or item.config.getoption("setuponly", False):
            return False
        for name in _HOOKS:
            for impl in getattr(item.ihook, name).get_hookimpls():
                module = impl.function.__module__
                if module not in _UNDERSTOOD and not module.startswith(_OURS + "."):
                    return False
        return True

    def _marked(self, item: Any) -> bool:
        return any(item.get_closest_marker(name) is not None for name in _MARKS)

    def run(self, item: Any, nextitem: Any) -> bool:
        """Set up, run and tear down; False when the test has to be run by the framework."""
        from _pytest.assertion import util

        state = item.session._setupstate
        if hasattr(item, "_request") and not item._request:
            item._initrequest()
        os.environ["PYTEST_CURRENT_TEST"] = item.nodeid.replace("\0", "(null)") + " (call)"
        before, util._reprcompare = util._reprcompare, self._compared
        try:
            with _warnings(item):
                if self._phase(item, "setup", lambda: state.setup(item)):
                    self._phase(item, "call", item.runtest)
                self._phase(item, "teardown", lambda: state.teardown_exact(nextitem))
        finally:
            util._reprcompare = before
            os.environ.pop("PYTEST_CURRENT_TEST", None)
            if hasattr(item, "_request"):
                item._request = False
                item.funcargs = None
        if self._marked(item):  # the test has marked itself while it ran
            self._fits[item.nodeid] = False
            return False
        return True

    def _phase(self, item: Any, name: str, action: Callable[[], Any]) -> bool:
        error = None
        try:
            action()
        except self._stops:
            raise
        except BaseException as raised:  # noqa: BLE001  whatever code under test raises, TimeLimit included
            error = raised
        told = getattr(item, "_excinfo", None)  # how unittest's own runner tells the framework
        if told:
            error = told.pop(0).value
        if error is None:
            return True
        watch = self._watch()
        if isinstance(error, self._skips):
            watch.skipped = True
        else:
            watch.saw_error(error, name)
            watch.failed = True
        return False


def _warnings(item: Any) -> ContextManager[Any]:
    """The filters of the framework's plug-in for warnings, where it is in charge."""
    if item.config.pluginmanager.get_plugin("warnings") is None:
        return contextlib.nullcontext()
    from _pytest.warnings import catch_warnings_for_item

    return catch_warnings_for_item(config=item.config, ihook=item.ihook, when="runtest", item=item)


def remember_signatures() -> None:
    """Let the framework look at the parameters of equal functions once.

    It does so anew for the ``request`` of every test: an eighth of the cost of a small one.
    """
    from _pytest import fixtures

    look = getattr(fixtures, "getfuncargnames", None)
    if look is None:
        return  # another version: nothing is lost but time
    known: Dict[Any, Any] = {}

    def remembered(function: Any, **named: Any) -> Any:
        plain = type(function) is types.FunctionType
        if not plain or hasattr(function, "__wrapped__") or hasattr(function, "__signature__"):
            return look(function, **named)
        optional = (len(function.__defaults__ or ()), tuple(sorted(function.__kwdefaults__ or ())))
        key = (function.__code__, optional, tuple(sorted(named.items(), key=lambda p: p[0])))
        if key not in known:
            known[key] = look(function, **named)
        return known[key]

    setattr(fixtures, "getfuncargnames", remembered)  # noqa: B010  (the framework's own name)
