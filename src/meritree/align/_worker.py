"""A process that calls one function again and again, and is killed when a call takes too long.

Started at the first call, kept between calls, replaced after a kill. Knows no reward and no model.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any

from meritree.errors import BadInput

STARTING = 120.0  # seconds: the modules of a function may be large, and the machine busy
_WAY_OUT = (
    "define the function at the top of a module that Python finds (not in a notebook, no lambda); "
    "a script that starts one needs `if __name__ == '__main__':`"
)


@dataclass(frozen=True, slots=True)
class Call:
    """What became of a call.

    Attributes:
        value: what the function returned; None where it did not.
        problem: empty, or in a few words what went wrong; few different ones, so that they count.
        detail: more about the problem.
    """

    value: Any = None
    problem: str = ""
    detail: str = ""


class Worker:
    """Calls a function in a process of its own.

    The process has its own process group: a kill takes the function's own processes with it. It
    ends with this object, and when this process ends, however that comes about.
    """

    def __init__(self, function: Callable[..., Any], seconds: float) -> None:
        """Makes no process yet.

        Args:
            function: at the top of a module, or a bound method or instance of such a class.
            seconds: that a call may take by the clock; starting the process does not count.

        Raises:
            BadInput: the function cannot be sent.
        """
        try:
            self._function = pickle.dumps(function)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise BadInput(
                f"{function!r} cannot be sent to a process: {error}; {_WAY_OUT}"
            ) from None
        self._seconds = seconds
        self._running: _Running | None = None
        self._end: Callable[[], object] = lambda: None

    def __call__(self, *args: Any, **named: Any) -> Call:
        """Calls the function; whatever goes wrong inside it is told, not raised.

        Raises:
            BadInput: the process cannot be started, or the arguments not be sent.
        """
        running = self._running if self._running and self._running.alive() else self._started()
        try:
            running.line.send((args, named))
            if not running.line.poll(self._seconds):
                self.close()
                return Call(None, "timed out", f"took longer than {self._seconds:g} seconds")
            return Call(*running.line.recv())
        except (EOFError, ConnectionError):
            code = running.exit_code()
            self.close()
            return Call(None, "died", f"its process ended with code {code}")
        except BaseException:  # the answer to this call must not be taken for that to the next
            self.close()
            raise

    def close(self) -> None:
        """Kills the process, if there is one; the next call starts another."""
        self._end()
        self._running = None

    def _started(self) -> _Running:
        self.close()
        running = self._running = _Running(self._function)
        self._end = weakref.finalize(self, running.kill)
        try:
            said = running.line.recv() if running.line.poll(STARTING) else None
        except (EOFError, ConnectionError):
            said = f"its process ended with code {running.exit_code()}"
        except BaseException:
            self.close()
            raise
        if said != "":
            self.close()
            why = f"not ready after {STARTING:g} seconds" if said is None else said
            raise BadInput(f"a function cannot be called in a process: {why}; {_WAY_OUT}")
        return running


class _Running:
    """A process and the line to it."""

    def __init__(self, function: bytes) -> None:
        # Not forked: PyTorch's threads would not survive it.
        context = multiprocessing.get_context("spawn")
        self.line, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, function), daemon=True)
        self._owner = os.getpid()
        self._process.start()
        other.close()  # so that the end of the process ends the line

    def alive(self) -> bool:
        return self._owner == os.getpid() and self._process.is_alive()

    def exit_code(self) -> int | None:
        self._process.join(5.0)
        return self._process.exitcode

    def kill(self) -> None:
        """The process and its group; waits, so that nothing is left."""
        self.line.close()
        if self._owner != os.getpid():
            return
        pid = self._process.pid
        # A process that has ended may have left its number to another.
        if pid is not None and self._process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):
                # It is in our group until it has begun.
                if os.getpgid(pid) == pid:
                    os.killpg(pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._process.close()


def _serve(line: Connection, function: bytes) -> None:
    """The process: one reply to one request, until the line ends."""
    os.setsid()
    Thread(target=_end_with_parent, daemon=True).start()
    try:
        called = pickle.loads(function)
    except Exception as error:  # noqa: BLE001  importing a user's module may raise anything
        line.send(f"{type(error).__name__}: {error}")
        return
    line.send("")
    while True:
        try:
            args, named = line.recv()
        except EOFError:
            return
        line.send(outcome(called, *args, **named))


def outcome(function: Callable[..., Any], *args: Any, **named: Any) -> tuple[Any, str, str]:
    """Value, problem and detail of a call, for `Call`."""
    try:
        return function(*args, **named), "", ""
    except Exception as error:  # noqa: BLE001  it is the caller's function, and is told
        return None, f"raised {type(error).__name__}", str(error)[:300]


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.killpg(os.getpid(), signal.SIGKILL)
