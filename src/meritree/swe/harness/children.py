"""Forked children: started, spoken to, watched, ended with everything they started.

Knows nothing about tests except that each has a number and a deadline, kept in memory shared
with the child so that a death or a hang can be blamed on the right one.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import struct
import time
import uuid
from typing import Any, Callable, Dict, Sequence

from . import limits
from .wire import Channel, Closed, Garbled, TimedOut, pair

_BOARD = struct.Struct("<idd")
_TICK = 0.5


class Lost(Exception):
    """The child died, hung or spoke nonsense; ``index`` is the test it was running."""

    def __init__(self, status: str, reason: str, index: int) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.index = index


class Board:
    """A few bytes shared by parent and child: which test runs, until when at the latest."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 64)

    def write(self, index: int, deadline: float) -> None:
        self._memory[: _BOARD.size] = _BOARD.pack(index, deadline, 0.0)

    def read(self) -> Any:
        index, deadline, _ = _BOARD.unpack(self._memory[: _BOARD.size])
        return index, deadline

    def close(self) -> None:
        self._memory.close()


Serve = Callable[[Channel, Board], None]


class Child:
    """A forked copy of this process that runs ``serve`` and then exits."""

    def __init__(self, serve: Serve, close_in_child: Sequence[Channel], grace: float) -> None:
        self.grace = grace
        self.board = Board()
        self.board.write(-1, time.monotonic() + 60.0)
        mine, its = pair(uuid.uuid4().hex)
        self.pid = os.fork()
        if self.pid == 0:
            _live(serve, its, mine, self.board, close_in_child)
        its.close()
        self.channel = mine
        with contextlib.suppress(OSError):  # the child did it first, or is gone already
            os.setpgid(self.pid, self.pid)

    def ask(self, message: Dict[str, Any]) -> Dict[str, Any]:
        """Send a request and wait for its answer; raises Lost."""
        try:
            self.channel.send(message)
        except Closed:
            raise self._lost("crashed", "the process has gone") from None
        return self.answer()

    def answer(self) -> Dict[str, Any]:
        """The next frame of the child; raises Lost when it dies, hangs or talks nonsense."""
        while True:
            _, deadline = self.board.read()
            try:
                if self.channel.readable(time.monotonic() + _TICK):
                    return self.channel.receive(time.monotonic() + self.grace)
            except (Closed, TimedOut):
                raise self._lost("", "") from None
            except Garbled as error:
                raise self._lost("crashed", "broken result: %s" % error) from None
            if time.monotonic() > deadline + self.grace:
                raise self._lost("timeout", "hangs and cannot be interrupted")

    def _lost(self, status: str, reason: str) -> Lost:
        index, _ = self.board.read()
        code = self.end()
        if not status:
            status, reason = _cause(code)
        return Lost(status, reason, index)

    def end(self) -> int:
        """Kill the child's whole group; returns its exit status as ``os.waitpid`` gives it."""
        self.channel.close()
        gone, status = os.waitpid(self.pid, os.WNOHANG)
        if not gone:  # a child that is just exiting is given a moment to do so
            time.sleep(0.002)
            gone, status = os.waitpid(self.pid, os.WNOHANG)
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        if not gone:
            _, status = os.waitpid(self.pid, 0)
        self.board.close()
        return status


def _cause(status: int) -> Any:
    if os.WIFEXITED(status):
        code = os.WEXITSTATUS(status)
        if code == limits.HUNG:
            return "timeout", "ran past its time limit and swallowed the interruption"
        return "crashed", "the process exited with status %d" % code
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number == getattr(signal, "SIGXCPU", -1):
        return "timeout", "used up its CPU time"
    return "crashed", "the process was ended by signal %d" % number


def _live(serve: Serve, its: Channel, mine: Channel, board: Board, others: Any) -> None:
    """The child's whole life; never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        mine.close()
        for channel in others:
            channel.close()
        limits.silence()
        serve(its, board)
        code = 0
    except Closed:
        code = 0
    finally:
        os._exit(code)
