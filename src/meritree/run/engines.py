"""Where many independent tasks run: in this process, in processes of this machine, on Ray.

An engine calls one function with each of many tasks and hands the answers back as they come. It
must not know what a task is. The answers do not depend on the engine; a worker that dies costs a
retry of its task and nothing else.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from meritree.errors import BadInput, MeritreeError

__all__ = [
    "ENGINES",
    "Engine",
    "Here",
    "Processes",
    "Ray",
    "WorkerLost",
    "add_engine_options",
    "make_engine",
]

ENGINES = ("local", "ray")
T = TypeVar("T")
R = TypeVar("R")


class WorkerLost(MeritreeError):
    """A task killed its worker again and again."""


class Engine(Protocol):
    """Runs tasks side by side."""

    def each(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """Yield (place of the task, ``work(task)``) in the order in which they end.

        ``work`` and the tasks must be picklable where they leave this process. What ``work``
        raises is raised here, and no further task is begun.

        Raises:
            WorkerLost: a task's worker died more often than the engine tries.
        """
        ...


@dataclass(frozen=True, slots=True)
class Here:
    """One task after the other, in this process."""

    def each(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        for place, task in enumerate(tasks):
            yield place, work(task)


@dataclass(frozen=True, slots=True)
class Processes:
    """Processes of this machine.

    Attributes:
        workers: tasks at once, >= 1.
        tries: how often a task may be begun whose worker dies, >= 1.
    """

    workers: int
    tries: int = 3

    def each(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        waiting = deque((place, 1) for place in range(len(tasks)))
        while waiting:
            suspects: list[tuple[int, int]] = []
            yield from self._until_a_worker_dies(work, tasks, waiting, suspects)
            for place, begun in suspects:
                # Any of those under way may be the one that kills: each is tried alone.
                yield place, self._alone(work, tasks[place], place, begun)

    def _until_a_worker_dies(
        self,
        work: Callable[[T], R],
        tasks: Sequence[T],
        waiting: deque[tuple[int, int]],
        suspects: list[tuple[int, int]],
    ) -> Iterator[tuple[int, R]]:
        running: dict[Future[R], tuple[int, int]] = {}
        pool = self._pool(min(self.workers, max(1, len(waiting))))
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    place, begun = waiting.popleft()
                    running[pool.submit(work, tasks[place])] = (place, begun)
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda f: running[f]):
                    if isinstance(future.exception(), BrokenProcessPool):
                        continue
                    place, _ = running.pop(future)
                    yield place, future.result()
                if any(isinstance(f.exception(), BrokenProcessPool) for f in running if f.done()):
                    suspects.extend(sorted((place, begun) for place, begun in running.values()))
                    return
        except BrokenProcessPool:  # it broke before a task could be handed over
            waiting.appendleft((place, begun))
            suspects.extend(sorted(running.values()))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _alone(self, work: Callable[[T], R], task: T, place: int, begun: int) -> R:
        while begun < self.tries:
            begun += 1
            with self._pool(1) as pool:
                try:
                    return pool.submit(work, task).result()
                except BrokenProcessPool:
                    continue
        raise _lost(place, begun)

    @staticmethod
    def _pool(workers: int) -> ProcessPoolExecutor:
        # spawn: frameworks with threads of their own do not survive a fork.
        return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


@dataclass(frozen=True, slots=True)
class Ray:
    """Workers of a Ray cluster: the one that is connected, else ``address``, else a local one.

    Attributes:
        workers: tasks at once; None: as many as the cluster has processors for.
        address: as for `ray.init` (``auto``, ``ray://head:10001``); None: a local cluster.
        tries: how often a task may be begun whose worker or machine dies, >= 1.
        resources: what one task needs, as for `ray.remote` (``num_cpus``, ``memory``, ...).
    """

    workers: int | None = None
    address: str | None = None
    tries: int = 3
    resources: dict[str, float] = field(default_factory=lambda: {"num_cpus": 1.0})

    def each(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        ray = connected(self.address)
        remote = ray.remote(max_retries=self.tries - 1, **self.resources)(work)
        waiting = deque(range(len(tasks)))
        running: dict[Any, int] = {}
        try:
            while waiting or running:
                while waiting and (self.workers is None or len(running) < self.workers):
                    place = waiting.popleft()
                    running[remote.remote(tasks[place])] = place
                done, _ = ray.wait(list(running), num_returns=1)
                for reference in done:
                    place = running.pop(reference)
                    yield place, self._answer(ray, reference, place)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def _answer(self, ray: Any, reference: Any, place: int) -> Any:
        lost = (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError)
        try:
            return ray.get(reference)
        except (*lost, ray.exceptions.OutOfMemoryError):
            raise _lost(place, self.tries) from None
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None  # what the work raised, as the other engines raise it


def make_engine(name: str, workers: int, address: str | None = None) -> Engine:
    """The engine of this name for ``workers`` tasks at once.

    Raises:
        BadInput: an unknown name, fewer than one worker, or Ray is not installed.
    """
    if workers < 1:
        raise BadInput(f"--workers {workers}: at least one process must work")
    if address is not None and name != "ray":
        raise BadInput(
            f"--ray-address {address}: nothing is sent there by --engine {name}; add --engine ray, "
            "or leave it out"
        )
    if name == "local":
        return Here() if workers == 1 else Processes(workers)
    if name == "ray":
        check_ray()
        return Ray(workers, address)
    raise BadInput(f"--engine {name}: unknown; choose {' or '.join(ENGINES)}")


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """``--workers``, ``--engine`` and ``--ray-address``, for `make_engine`."""
    add = parser.add_argument
    add("--workers", type=int, default=1, metavar="N", help="tasks at once (1)")
    add("--engine", default="local", help="local processes or ray (local)")
    add("--ray-address", metavar="ADDRESS", help="a cluster, as for ray.init (one of its own)")


def check_ray() -> None:
    """Refuse where Ray is missing.

    Raises:
        BadInput: with the command that installs it.
    """
    if importlib.util.find_spec("ray") is None:
        raise BadInput("--engine ray needs Ray: pip install 'meritree[ray]'")


def connected(address: str | None = None) -> Any:
    """The module `ray`, connected to a cluster; says nothing and reports to nobody.

    Raises:
        BadInput: Ray is not installed, or the cluster cannot be reached.
    """
    check_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A worker gets no accelerator unless a task asks for one: do not hide the driver's.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=False)
        except (ConnectionError, ValueError) as error:
            raise BadInput(f"Ray cluster {address or 'on this machine'}: {error}") from None
    return ray


def _lost(place: int, begun: int) -> WorkerLost:
    return WorkerLost(
        f"task {place + 1} ended its worker {begun} times (killed, out of memory?); the others are "
        "not lost: the same command goes on with what is missing"
    )
