"""Threads that each own one desk and carry expansions out."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from meritree.swe.agent.expand import Expander
from meritree.swe.agent.state import Expanded, Task
from meritree.swe.agent.trials import Desk


class Workers:
    """A pool; leave it and what runs is waited for."""

    def __init__(self, desks: Sequence[Desk], expander: Expander) -> None:
        self._free: queue.SimpleQueue[Desk] = queue.SimpleQueue()
        for desk in desks:
            self._free.put(desk)
        self._expander = expander
        self._pool = ThreadPoolExecutor(len(desks), thread_name_prefix="agent")

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, task: Task) -> Future[Expanded]:
        """Carry an expansion out as soon as a desk is free."""
        return self._pool.submit(self._expand, task)

    def _expand(self, task: Task) -> Expanded:
        desk = self._free.get()
        try:
            return self._expander.expand(task, desk)
        finally:
            self._free.put(desk)
