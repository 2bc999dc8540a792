"""The pytest side: one plug-in that collects, then hands the session over, and runs items.

Uses the framework's own run protocol, so that the hooks of other plug-ins take part.
"""

from __future__ import annotations

import doctest
import shlex
import time
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Optional, Sequence, Tuple

import pytest

from . import grade
from .lean import Lean, remember_signatures
from .limits import TimeLimit, Timer, at_most
from .record import Places, Record, Watch, watch_unittest

_UNWANTED = ("randomly", "sugar", "pretty", "forked", "instafail", "flaky", "testmon", "picked")
TEARDOWN_SECONDS = 2.0


def arguments(settings: Dict[str, Any]) -> List[str]:
    """The pytest arguments for the settings of a session."""
    args = ["--rootdir", settings["root"], "-o", "cache_dir=" + settings["cache"]]
    for name in _UNWANTED:
        args += ["-p", "no:" + name]
    if settings.get("addopts") is not None:
        args += ["-o", "addopts=" + " ".join(shlex.quote(a) for a in settings["addopts"])]
    if settings.get("inifile"):
        args += ["-c", settings["inifile"]]
    return args + list(settings["arguments"])


class Suite:
    """The collected tests of a pytest session and how to run one of them."""

    def __init__(self, places: Places, seed: int, quick_reports: bool) -> None:
        self.places = places
        self.watch = Watch(places)
        self.seed = seed
        self.quick_reports = quick_reports
        self.items: Dict[str, Any] = {}
        self.errors: List[Record] = []
        self.session: Any = None
        self.timer = Timer()
        self.on_collected: Callable[[], None] = lambda: None
        self.wanted: Optional[Sequence[str]] = None
        self.lean = Lean(lambda: self.watch, self._compared)
        self.short_cut = False  # whether tests run without hooks where that makes no difference
        self.framework_only: FrozenSet[str] = frozenset()  # tests for which it does
        self._assertions: Tuple[type, ...] = (
            AssertionError,
            pytest.fail.Exception,
            doctest.DocTestFailure,
        )
        watch_unittest(lambda: self.watch)

    # ---- what the session asks of it

    @property
    def ids(self) -> List[str]:
        return list(self.items)

    def run(self, test: str, following: Optional[str], seconds: float) -> Record:
        """Run one test, by the framework's own protocol or the short cut; never raises."""
        item = self.items[test]
        nextitem = self.items.get(following) if following else None
        self.watch.begin()
        self.session.shouldfail = self.session.shouldstop = False
        started = time.perf_counter()
        try:
            self.timer.start(seconds)
            if not (self._short(test, item) and self.lean.run(item, nextitem)):
                self.watch.begin()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        except BaseException as error:  # noqa: BLE001  KeyboardInterrupt, pytest.exit, a late TimeLimit
            self.watch.saw_error(error)
            self.watch.failed = True
            self.timer.stop()
            self.finish()  # the framework has not torn the test down
        finally:
            self.timer.stop()
        elapsed = time.perf_counter() - started
        record = self.watch.result(test, elapsed, self._assertions)
        self.watch.begin()  # holds no value of the test any longer
        return record

    def _short(self, test: str, item: Any) -> bool:
        return self.short_cut and test not in self.framework_only and self.lean.fits(item)

    def finish(self) -> bool:
        """Tear every fixture down; False when that failed or took too long."""
        state = getattr(self.session, "_setupstate", None)
        if state is None:
            return True

        def tear_down() -> None:
            try:
                state.teardown_exact(None)
            except TypeError:
                state.teardown_all()

        return at_most(TEARDOWN_SECONDS, tear_down, self.timer)

    def test_files(self) -> List[str]:
        """Files that hold collected tests, and conftest files, relative to the repository."""
        found = {self.places.relative(str(item.fspath)) for item in self.items.values()}
        for plugin in self.session.config.pluginmanager.get_plugins():
            name = getattr(plugin, "__file__", None)
            if name and str(name).endswith("conftest.py"):
                found.add(self.places.relative(str(name)))
        return sorted(path for path in found if path)

    def file_of(self, test: str) -> str:
        """The file a collected test stands in, relative to the repository."""
        return self.places.relative(str(self.items[test].fspath)) or ""

    # ---- hooks

    def pytest_configure(self, config: Any) -> None:
        if hasattr(config.option, "benchmark_disable"):
            config.option.benchmark_disable = True
        _tame_hypothesis(self.seed)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self, item: Any, settings: Any) -> bool:
        return True  # our own timer is in charge

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, session: Any, config: Any, items: List[Any]) -> None:
        if self.wanted is not None:
            wanted = set(self.wanted)
            items[:] = [item for item in items if item.nodeid in wanted]

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        if isinstance(report, pytest.CollectReport):
            self.errors.append(collection_error(node, call.excinfo.value, self.places))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> Optional[bool]:
        self.session = session
        for item in session.items:
            self.items.setdefault(item.nodeid, item)
        if self.quick_reports:
            _mute_terminal(session.config)
            _lighten(session)
            remember_signatures()
        self.on_collected()
        return True if self.quick_reports else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: Any) -> None:
        # The framework's own explanation of a failed comparison can take seconds.
        from _pytest.assertion import util

        util._reprcompare = self._compared

    def _compared(self, op: str, left: Any, right: Any) -> str:
        if op == "==":
            self.watch.compared = (left, right)
        root = self.places.root
        text = "%s %s %s" % (grade.short(left, root), op, grade.short(right, root))
        return text.replace("\n", "\\n").replace("%", "%%")

    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        error = call.excinfo.value if call.excinfo is not None else None
        skip = isinstance(error, pytest.skip.Exception)
        if error is not None and not skip:
            self.watch.saw_error(error, call.when)
        return _quick_report(item, call, skip) if self.quick_reports else None

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.outcome == "failed":
            self.watch.failed = True
            if self.watch.error is None:
                self.watch.note = str(report.longrepr or "")
        elif report.outcome == "skipped":
            self.watch.skipped = True


def _quick_report(item: Any, call: Any, skip: bool) -> Any:
    """What TestReport.from_item_and_call makes, without rendering the traceback."""
    longrepr: Any = None
    outcome = "passed"
    if call.excinfo is not None:
        outcome = "skipped" if skip else "failed"
        path, line, _ = item.location
        message = grade.text_of(call.excinfo.value)
        longrepr = (str(path), line or 0, message) if skip else message
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome=outcome,  # type: ignore[arg-type]
        longrepr=longrepr,
        when=call.when,
        sections=[],
        duration=getattr(call, "duration", 0.0),
        user_properties=item.user_properties,
    )


# Plug-ins of the framework that only report, time or debug; each costs at every phase.
_REPORTING = (
    "timeout",
    "faulthandler",
    "stepwiseplugin",
    "pastebin",
    "debugging",
    "unraisableexception",
    "threadexception",
    "nodelogger",
)


def _lighten(session: Any) -> None:
    """Unregister what cannot change an outcome: half of the cost of a small test."""
    config = session.config
    manager = config.pluginmanager
    names = list(_REPORTING)
    fixtures = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if "caplog" not in fixtures:
        names.append("logging-plugin")
    marked = any(item.get_closest_marker("filterwarnings") for item in session.items)
    given = getattr(config.option, "pythonwarnings", None) or config.getini("filterwarnings")
    if not marked and not given:
        names.append("warnings")
    if not fixtures & {"capsys", "capfd", "capsysbinary", "capfdbinary", "capteesys"}:
        names.append("capturemanager")
    for name in names:
        plugin = manager.get_plugin(name)
        if plugin is not None:
            manager.unregister(plugin)


def _mute_terminal(config: Any) -> None:
    """Keep the terminal reporter findable, but stop it from hearing of results."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None:
        return
    config.pluginmanager.unregister(reporter)

    class Mute(type(reporter)):  # type: ignore[misc]
        def pytest_runtest_logstart(self, nodeid: Any, location: Any) -> None:
            pass

        def pytest_runtest_logreport(self, report: Any) -> None:
            pass

        def pytest_runtest_logfinish(self, nodeid: Any) -> None:
            pass

    reporter.__class__ = Mute
    config.pluginmanager.register(reporter, "terminalreporter")


def _tame_hypothesis(seed: int) -> None:
    """Same examples in every run, and none remembered from candidate to candidate."""
    import sys

    if "hypothesis" not in sys.modules:
        return
    try:
        import hypothesis.core as core
        import hypothesis.database as database

        core.global_force_seed = seed  # type: ignore[assignment]
        database.DirectoryBasedExampleDatabase.save = lambda *_: None  # type: ignore[method-assign]
    except (ImportError, AttributeError):
        pass  # another version of hypothesis: its tests may vary, the flaky check sees that


def collection_error(node: Any, error: BaseException, places: Places) -> Record:
    """What went wrong while a file was collected, and where."""
    cause = error
    while isinstance(cause, pytest.Collector.CollectError) and cause.__cause__ is not None:
        cause = cause.__cause__
    path = places.relative(str(getattr(node, "fspath", ""))) or str(node.nodeid)
    file, line = path, 0
    if isinstance(cause, SyntaxError):
        file = places.relative(cause.filename or "") or cause.filename or path
        line = cause.lineno or 0
    else:
        frames = places.frames(cause)
        if frames:
            file, line = frames[-1][0], frames[-1][1]
    return {
        "path": path,
        "exception": type(cause).__name__,
        "message": grade.normalised(grade.text_of(cause)[:1000], places.root),
        "file": file,
        "line": line,
    }


def run_main(suite: Suite, args: Iterable[str]) -> int:
    """Let pytest configure itself and collect; ``suite.on_collected`` is called then."""
    return int(pytest.main(list(args), plugins=[suite]))


__all__ = ["Suite", "TimeLimit", "arguments", "run_main"]
