"""Limits inside a test process: timers, CPU and memory, what a test left behind.

The timer is the first line only; whoever started the process watches it from outside.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from typing import Any, Callable, Optional

REPEAT_SECONDS = 1.0
WAITING_SECONDS = 1.0  # wall time that a test may take beyond its CPU limit
_STUBBORN = 4
HUNG = 111


class TimeLimit(BaseException):
    """A test ran past its limit (no Exception: ordinary handlers must not eat it)."""


class Timer:
    """Raises TimeLimit in the main thread after ``seconds`` of CPU time, or a little more wall.

    Loops without an end spend processor time, so that a tight limit ends them soon and yet
    does not depend on what else the machine does; the wall limit is for those who wait. When
    TimeLimit is swallowed it comes again. After the fourth ring the process gives up and exits
    with status HUNG: code that catches everything in a loop cannot be stopped otherwise.
    """

    def __init__(self) -> None:
        self.rings = 0

    def start(self, seconds: float) -> None:
        self.rings = 0
        signal.signal(signal.SIGALRM, self._ring)
        signal.signal(signal.SIGPROF, self._ring)
        signal.setitimer(signal.ITIMER_REAL, seconds + WAITING_SECONDS, REPEAT_SECONDS)
        signal.setitimer(signal.ITIMER_PROF, max(seconds, 0.01), REPEAT_SECONDS)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.setitimer(signal.ITIMER_PROF, 0.0)

    def _ring(self, _number: int, _frame: Any) -> None:
        self.rings += 1
        if self.rings >= _STUBBORN:
            os._exit(HUNG)
        raise TimeLimit("ran past its time limit")


def longest(seconds: float) -> float:
    """Wall time after which a test with this limit has been ended, however it resisted."""
    return seconds + WAITING_SECONDS + _STUBBORN * REPEAT_SECONDS


def limit_memory(extra: int) -> None:
    """Allow at most ``extra`` bytes of address space beyond what is mapped now."""
    try:
        with open("/proc/self/statm") as f:
            used = int(f.read().split()[0]) * resource.getpagesize()
    except OSError:
        used = 0
    _lower(resource.RLIMIT_AS, used + extra)


def limit_cpu(seconds: float) -> None:
    """Let the kernel end this process after ``seconds`` more of CPU time."""
    spent = time.process_time()
    _lower(resource.RLIMIT_CPU, int(spent + seconds) + 1)


def _lower(kind: int, value: int) -> None:
    _soft, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, hard))


def silence() -> None:
    """Point stdin, stdout and stderr at the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


class Traces:
    """What tests may leave in a process beyond Python objects: threads, children, cwd, env."""

    def __init__(self) -> None:
        self.spawned = False
        self._pid = os.getpid()
        self._cwd = os.getcwd()
        self._env = dict(os.environ)
        self._path = list(sys.path)
        self._threads = threading.active_count()
        self._recursion = sys.getrecursionlimit()

    def watch(self) -> None:
        """Note from now on every child process that code under test starts."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._note)
        import subprocess

        for owner, name in (
            (subprocess.Popen, "__init__"),
            (os, "system"),
            (os, "posix_spawn"),
            (os, "posix_spawnp"),
        ):
            if hasattr(owner, name):
                setattr(owner, name, self._noting(getattr(owner, name)))

    def _note(self) -> None:
        self.spawned = True

    def _noting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        import functools

        @functools.wraps(call)
        def noted(*args: Any, **kwargs: Any) -> Any:
            self.spawned = True
            return call(*args, **kwargs)

        return noted

    def foreign(self) -> bool:
        """Whether this is a forked copy made by code under test."""
        return os.getpid() != self._pid

    def adopt(self) -> None:
        """Take this process (just forked on purpose) as the one to look after."""
        self._pid = os.getpid()
        self.spawned = False
        self._threads = threading.active_count()

    def restore(self) -> None:
        """Put working directory, environment, path and recursion limit back."""
        try:
            if os.getcwd() != self._cwd:
                os.chdir(self._cwd)
        except OSError:
            os.chdir(self._cwd)
        if dict(os.environ) != self._env:
            os.environ.clear()
            os.environ.update(self._env)
        if sys.path != self._path:
            sys.path[:] = self._path
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)

    def left(self) -> str:
        """Why this process should not serve further candidates, or ''."""
        if self.spawned:
            return "a test started another process"
        if threading.active_count() > self._threads:
            return "a test left a thread running"
        return ""


def guard_network() -> None:
    """Refuse connections and name look-ups that leave this machine (for weak sandboxes)."""
    import socket

    def local(address: Any) -> bool:
        if not isinstance(address, tuple):
            return True
        host = str(address[0])
        return host in ("", "localhost", "::1", "0.0.0.0", "::") or host.startswith("127.")

    def refusing(name: str) -> None:
        call = getattr(socket.socket, name)

        def guarded(self: Any, *args: Any) -> Any:
            if args and self.family != socket.AF_UNIX and not local(args[-1]):
                raise OSError(101, "Network is unreachable (test runs are offline)")
            return call(self, *args)

        setattr(socket.socket, name, guarded)

    for name in ("connect", "connect_ex", "sendto"):
        refusing(name)
    look_up = socket.getaddrinfo

    def offline(host: Any, *args: Any, **kwargs: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        if text is None or local((text,)) or text.replace(".", "").isdigit():
            return look_up(host, *args, **kwargs)
        raise socket.gaierror(-3, "Temporary failure in name resolution (offline)")

    socket.getaddrinfo = offline


def reseed(seed: int) -> None:
    """Fix the random generators that are loaded."""
    import random

    random.seed(seed)
    numpy = sys.modules.get("numpy.random")
    if numpy is not None and hasattr(numpy, "seed"):
        numpy.seed(seed % (1 << 32))


def at_most(seconds: float, action: Callable[[], None], timer: Optional[Timer] = None) -> bool:
    """Run ``action`` under a timer; False when it was cut off or failed."""
    timer = timer or Timer()
    try:
        timer.start(seconds)
        action()
    except BaseException:  # noqa: BLE001  teardown of code under test may raise anything, TimeLimit included
        return False
    finally:
        timer.stop()
    return True
