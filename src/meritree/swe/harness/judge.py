"""Runs the tests of one job in this very process: with a candidate's code, or with none.

Used inside forked children only. Knows nothing about why or how often it is asked.
"""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional, Tuple

from . import limits
from .answers import fine, seen
from .children import Board
from .live import Index
from .record import Record
from .swap import NotSwappable, Swap, Swapped, locator, prepare
from .trace import Lines
from .wire import Channel


class World:
    """What a test process needs: the suite, the live functions, limits, what to put back."""

    def __init__(self, suite: Any, index: Index, traces: limits.Traces, seed: int) -> None:
        self.suite = suite
        self.index = index
        self.traces = traces
        self.seed = seed
        self.memory = 3 << 30
        self.unchanged: Dict[str, Tuple[Any, ...]] = {}  # what targets gave before any change
        self.test_files: frozenset = frozenset()  # type: ignore[type-arg]


def run_tests(
    world: World,
    tests: List[List[Any]],
    board: Board,
    stop_on: str,
    offset: int = 0,
    probed: int = 0,
) -> List[Record]:
    """Run tests in order.

    Args:
        tests: ``[id, seconds]`` each.
        stop_on: ``"failure"``, ``"timeout"`` (any time-out) or ``""`` (never).
        offset: number of the first test in the job, for the board.
        probed: stop after so many tests if each of them gave what it gave before any change.
    """
    records = []
    for number, (test, seconds) in enumerate(tests):
        board.write(offset + number, time.monotonic() + limits.longest(seconds))
        limits.limit_cpu(seconds + 15.0)
        limits.reseed(world.seed)
        following = tests[number + 1][0] if number + 1 < len(tests) else None
        record = world.suite.run(test, following, seconds)
        leave_if_foreign(world)
        records.append(record)
        if record["status"] == "timeout" and stop_on:
            break
        if stop_on == "failure" and not fine(record):
            break
        if number + 1 == probed and all(_as_before(world, r) for r in records):
            break
    world.suite.finish()
    leave_if_foreign(world)
    return records


def _as_before(world: World, record: Record) -> bool:
    return world.unchanged.get(record["id"]) == seen(record)


def leave_if_foreign(world: World) -> None:
    """End a copy of this process that code under test has forked."""
    if world.traces.foreign():
        import os

        os._exit(0)


def judge(world: World, job: Dict[str, Any], board: Board) -> Dict[str, Any]:
    """Swap the job's code in, run its targets and, if they pass, its guards; swap back.

    Targets beyond the first ``needed`` are run only if those pass, and only until one fails.
    If only some pass, the guards ``on_progress`` are run, until one fails.

    Returns:
        ``results`` (records of targets), ``regressions`` (records of failing guards), ``ran``
        and ``left`` (why the process should not be used again, or '').
    """
    world.traces.restore()
    world.index.clear_caches()
    swaps = [Swap.unpacked(data) for data in job["swaps"]]
    assignments = [a for swap in swaps for a in prepare(swap, world.index).assignments]
    with Swapped(assignments) as swapped:
        world.suite.places.locate = locator(swaps, swapped, world.suite.places)
        targets = job["targets"]
        needed = job.get("needed", len(targets))
        world.suite.short_cut = job["short"]
        probed = job.get("probed", 0)
        results = run_tests(world, targets[:needed], board, "timeout", 0, probed)
        if needed < len(targets) and all(fine(r) for r in results):
            results += run_tests(world, targets[needed:], board, "failure", needed)
        regressions: List[Record] = []
        ran = len(results)
        chosen = _guards(job, results)
        if chosen:
            guards = run_tests(world, chosen, board, "failure", len(targets))
            ran += len(guards)
            regressions = [r for r in guards if not fine(r)]
    world.suite.places.locate = lambda code, line: line
    board.write(-1, time.monotonic() + 60.0)
    return {
        "results": results,
        "regressions": regressions,
        "ran": ran,
        "left": world.traces.left(),
        "cpu": time.process_time(),
    }


def _guards(job: Dict[str, Any], results: List[Record]) -> List[List[Any]]:
    mended = sum(fine(record) for record in results)
    if mended == len(job["targets"]):
        guards = job["guards"]
    elif mended and results[-1]["status"] != "timeout":
        guards = job.get("on_progress", [])
    else:
        guards = []
    return list(guards)


def serve_jobs(world: World) -> Any:
    """The life of a persistent evaluator: jobs in, results out."""

    def serve(channel: Channel, board: Board) -> None:
        world.traces.adopt()
        limits.limit_memory(world.memory)
        while True:
            board.write(-1, time.monotonic() + 1e9)
            job = channel.receive()
            board.write(-1, time.monotonic() + 60.0)
            try:
                answer = judge(world, job, board)
            except NotSwappable as error:
                answer = {"not_hot": str(error)}
            leave_if_foreign(world)
            channel.send(answer)

    return serve


def serve_one(world: World, job: Dict[str, Any]) -> Any:
    """The life of a child that judges one job and exits."""

    def serve(channel: Channel, board: Board) -> None:
        world.traces.adopt()
        limits.limit_memory(world.memory)
        try:
            answer = judge(world, job, board)
        except NotSwappable as error:
            answer = {"not_hot": str(error)}
        leave_if_foreign(world)
        channel.send(answer)

    return serve


def serve_run(world: World, tests: List[List[Any]], traced: str) -> Any:
    """The life of a child that runs tests one by one and tells each result at once.

    ``traced`` is what to trace (see `Lines`) or nothing. Every time-out quarters the patience
    with the tests that follow, so that a suite in which many tests hang does not cost the whole
    limit for each; tests that may take as long as ten times the slowest that ended are never
    cut off by that.
    """

    def serve(channel: Channel, board: Board) -> None:
        world.traces.adopt()
        limits.limit_memory(world.memory)
        patience, slowest = 1.0, 0.0
        for number, (test, given) in enumerate(tests):
            following = tests[number + 1][0] if number + 1 < len(tests) else None
            seconds = min(given, max(given * patience, 10.0 * slowest, 1.0))
            board.write(number, time.monotonic() + limits.longest(seconds))
            limits.limit_cpu(seconds + 15.0)
            limits.reseed(world.seed)
            answer = _run_one(world, test, following, seconds, traced)
            if answer["record"]["status"] == "timeout":
                patience /= 4.0
            else:
                slowest = max(slowest, float(answer["record"]["seconds"]))
            channel.send(answer)
        world.suite.finish()
        channel.send({"done": True})

    return serve


def _run_one(
    world: World, test: str, following: Optional[str], seconds: float, traced: str
) -> Dict[str, Any]:
    lines: Optional[Lines] = None
    if traced:
        lines = Lines(lambda name: _project(world, name), traced)
        lines.start()
    world.traces.spawned = False
    kept = True
    try:
        record = world.suite.run(test, following, seconds)
    finally:
        if lines is not None:
            kept = lines.stop()
    leave_if_foreign(world)
    answer: Dict[str, Any] = {"record": record, "spawned": world.traces.spawned}
    if lines is not None:
        answer["lines"] = lines.lines()
        answer["lost"] = not kept
    return answer


def _project(world: World, filename: str) -> Optional[str]:
    path = world.suite.places.relative(filename)
    return None if path is None or path in world.test_files else path
