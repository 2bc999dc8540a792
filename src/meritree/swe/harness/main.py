"""Entry of the harness: takes its settings from the client and becomes one of three servers.

hot: collects once and swaps code; cold: keeps libraries loaded and imports the repository anew
in a fork per request; fresh: one run in this very process, then the end.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import time
from typing import Any, Dict, List

from . import limits
from .answers import fine
from .children import Board, Child, Lost
from .disk import Workspace
from .hot import Conductor
from .hot import serve as serve_hot
from .judge import World, run_tests
from .live import Executed, Index
from .record import Places, lost
from .trace import Lines
from .wire import Channel, Closed, high

Settings = Dict[str, Any]


def main(read_fd: int, write_fd: int) -> None:
    """Serve the client at the other end of the two descriptors until it goes away."""
    client = Channel(high(read_fd), high(write_fd))
    settings = client.receive()
    client.token = settings["token"]
    os.chdir(settings["root"])
    _redirect(settings["log"])
    sys.dont_write_bytecode = True
    sys.path[:0] = [p for p in settings["path"] if p not in sys.path]
    if settings["guard_network"]:
        limits.guard_network()
    try:
        {"hot": _hot, "cold": _cold, "fresh": _fresh}[settings["mode"]](client, settings)
    except Closed:
        pass
    finally:
        sys.stdout.flush()
        os._exit(0)


def _redirect(log: str) -> None:
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)


def _new_suite(settings: Settings, places: Places) -> Any:
    from .with_pytest import Suite

    return Suite(places, int(settings["seed"]), quick_reports=True)


def _start(suite: Any, settings: Settings, arguments: List[str]) -> int:
    from .with_pytest import arguments as pytest_arguments
    from .with_pytest import run_main

    args = pytest_arguments(dict(settings, arguments=arguments))
    return run_main(suite, ["-s", *args])


# ---- hot


def _hot(client: Channel, settings: Settings) -> None:
    places = Places(settings["root"])
    suite = _new_suite(settings, places)
    executed = Executed(places)
    loaded_before = set(sys.modules)

    def collected() -> None:
        executed.stop()
        index = Index(places, executed)
        gc.collect()
        index.rebuild()
        gc.freeze()
        traces = limits.Traces()
        traces.watch()
        world = World(suite, index, traces, int(settings["seed"]))
        world.memory = int(settings["memory"])
        world.test_files = frozenset(suite.test_files())
        client.send(_census(suite, places, loaded_before))
        serve_hot(Conductor(world, client, settings))

    suite.on_collected = collected
    executed.start()
    code = _start(suite, settings, list(settings["arguments"]))
    if suite.session is None:
        client.send({"ended": code, "errors": suite.errors})


def _census(suite: Any, places: Places, before: Any) -> Dict[str, Any]:
    modules: Dict[str, str] = {}
    third: List[str] = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        path = places.relative(file) if isinstance(file, str) else None
        if path is not None:
            modules[name] = path
        elif name not in before and file and not name.startswith("_meritree"):
            third.append(name)
    elsewhere = {
        name: str(getattr(module, "__file__", ""))
        for name, module in list(sys.modules.items())
        if "." not in name and isinstance(getattr(module, "__file__", None), str)
    }
    return {
        "collected": suite.ids,
        "errors": suite.errors,
        "test_files": suite.test_files(),
        "files_of": {test: suite.file_of(test) for test in suite.ids},
        "modules": modules,
        "third": third,
        "elsewhere": elsewhere,
    }


# ---- cold and fresh: collect what is needed, run it, tell


def _session(channel: Channel, board: Board, settings: Settings, request: Dict[str, Any]) -> None:
    """Import, collect and run in this process; sends one answer."""
    places = Places(settings["root"])
    suite = _new_suite(settings, places)
    tests = request["targets"] + request["guards"]
    suite.wanted = [test for test, _ in tests]
    lines = Lines(places.relative) if request["traced"] else None

    def collected() -> None:
        seen = {}
        if lines is not None:
            lines.stop()
            seen = lines.lines()
        traces = limits.Traces()
        traces.watch()
        limits.limit_memory(int(settings["memory"]))
        world = World(suite, Index(places, Executed(places)), traces, int(settings["seed"]))
        missing = [_missing(t, suite.errors) for t, _ in request["targets"] if t not in suite.items]
        known = [[t for t in part if t[0] in suite.items] for part in _parts(request)]
        results = run_tests(world, known[0], board, request["stop"])
        all_fine = not missing and all(map(fine, results))
        guards = []
        lost_guards = []
        if all_fine or not request["stop"]:
            lost_guards = [t for t, _ in request["guards"] if t not in suite.items]
            stop = "failure" if request["stop"] else ""
            guards = run_tests(world, known[1], board, stop, len(known[0]))
        channel.send(
            {
                "results": results + missing,
                "guards": guards + [_missing(t, suite.errors) for t in lost_guards],
                "lines": seen,
                "errors": suite.errors,
                "missing": [m["id"] for m in missing] + lost_guards,
            }
        )
        os._exit(0)

    suite.on_collected = collected
    board.write(-1, time.monotonic() + float(settings["collect_seconds"]))
    if lines is not None:
        lines.start()
    code = _start(suite, settings, list(request["files_to_collect"]))
    errors = suite.errors
    gone = [_missing(t, errors, "pytest ended with code %d" % code) for t, _ in request["targets"]]
    channel.send(
        {
            "results": gone,
            "guards": [],
            "lines": {},
            "errors": errors,
            "missing": [m["id"] for m in gone],
        }
    )


def _parts(request: Dict[str, Any]) -> Any:
    return request["targets"], request["guards"]


def _missing(test: str, errors: List[Dict[str, Any]], reason: str = "") -> Dict[str, Any]:
    """The record of a test that could not be collected: the import error is its exception."""
    for error in errors:
        if test.startswith(error["path"]) or len(errors) == 1:
            record = lost(test, "error", "%s: %s" % (error["exception"], error["message"]))
            record["signature"] = ("%s: %s" % (error["exception"], error["message"]))[:100]
            record["exception"] = error["exception"]
            if error["line"]:
                record["frames"] = [[error["file"], error["line"], "<module>"]]
            return record
    return lost(test, "error", reason or "not collected any more")


def _cold(client: Channel, settings: Settings) -> None:
    import pytest  # noqa: F401  (loaded once, shared by all forks)

    for name in settings["third"]:
        try:
            importlib.import_module(name)
        except BaseException:  # noqa: BLE001  a library may refuse to be imported alone; it is only a head start
            continue
    gc.collect()
    gc.freeze()
    workspace = Workspace(settings["root"], settings["pristine"])
    client.send({"ready": True})
    while True:
        request = client.receive()
        if request["op"] == "bye":
            return
        workspace.write(request["files"])
        try:
            answer = _in_fork(client, settings, request)
        finally:
            workspace.restore(request["files"])
        answer["refreshed"] = workspace.refresh()
        client.send(answer)


def _in_fork(client: Channel, settings: Settings, request: Dict[str, Any]) -> Dict[str, Any]:
    child = Child(
        lambda channel, board: _session(channel, board, settings, request),
        [client],
        float(settings["grace"]),
    )
    try:
        answer = child.answer()
        child.end()
    except Lost as error:
        tests = request["targets"] + request["guards"]
        at = max(error.index, 0)
        record = lost(tests[min(at, len(tests) - 1)][0], error.status, error.reason)
        in_targets = at < len(request["targets"])
        answer = {
            "results": [record] if in_targets else [],
            "guards": [] if in_targets else [record],
            "lines": {},
            "errors": [],
            "missing": [],
        }
    return answer


def _fresh(client: Channel, settings: Settings) -> None:
    client.send({"ready": True})
    request = client.receive()
    client.send(_in_fork(client, settings, request))
