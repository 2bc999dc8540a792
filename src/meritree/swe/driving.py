"""The loop that every search of this room runs: workers side by side, answers in ticket order.

Knows neither what a task is nor what a worker does; whoever searches passes both in.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
W = TypeVar("W")


def drive(
    workers: Sequence[W],
    begin: Callable[[], T | None],
    work: Callable[[T, W], R],
    finish: Callable[[T, R], None],
    order: Callable[[T], int],
) -> None:
    """Begin, work and finish until nothing can be begun and nothing is under way.

    With one worker everything happens in this thread. With more, each task has a worker of its
    own for as long as it takes; of several answers at once the task that comes first by
    ``order`` is finished first. What ``work`` raises is raised here.

    Args:
        workers: what ``work`` needs one of; used by one task at a time.
        begin: the next task, None where there is none now.
    """
    if len(workers) == 1:
        while (task := begin()) is not None:
            finish(task, work(task, workers[0]))
        return
    free: queue.SimpleQueue[W] = queue.SimpleQueue()
    for worker in workers:
        free.put(worker)

    def with_a_worker(task: T) -> R:
        worker = free.get()
        try:
            return work(task, worker)
        finally:
            free.put(worker)

    pool = ThreadPoolExecutor(len(workers), thread_name_prefix="candidate")
    try:
        running: dict[Future[R], T] = {}
        while True:
            while len(running) < len(workers) and (task := begin()) is not None:
                running[pool.submit(with_a_worker, task)] = task
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda f: order(running[f])):
                finish(running.pop(future), future.result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
