"""A confined program seen from outside: starting its supervisor, ending it, reading it.

Knows the launcher's protocol (configuration, lifeline, status pipe), not what it confines.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import marshal
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import IO, Any

_CONFINE = ("_confine_rules.py", "_confine_watch.py", "_confine.py")
_CONTAIN = ("_confine_watch.py", "_contain.py")  # of engines with daemons of their own
_CONTAINED = ("_confine_rules.py", "_contained.py")  # runs inside
# The launcher travels compiled beside its settings: a script would be compiled at each start.
_START = (
    "import sys, marshal\n"
    "for part in marshal.load(open(int(sys.argv[1]), 'rb', closefd=False))[0]: exec(part)"
)


@functools.cache
def _compiled(parts: tuple[str, ...]) -> tuple[CodeType, ...]:
    here = Path(__file__).parent
    return tuple(compile((here / p).read_text(encoding="utf-8"), p, "exec") for p in parts)


class Confined(subprocess.Popen[bytes]):
    """The running program; what its supervisor's `Popen` can do, and `stop`.

    Its return code is the program's (negative: ended by that signal; bubblewrap gives
    128 + signal). Dropping the object ends the program.
    """

    notes: tuple[str, ...] = ()
    _lifeline: IO[bytes] | None = None
    _scratch: str | None = None

    def stop(self) -> int:
        """End the program and everything it started; return its return code. Idempotent."""
        self._let_go()
        if self.returncode is None:
            try:
                self.wait(timeout=2.0)  # the supervisor kills everything below it
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        code = self.wait()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
        return code

    def kill(self) -> None:
        """End the program and everything it started, without waiting for long."""
        self._let_go()
        try:
            self.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            super().kill()

    terminate = kill

    def _let_go(self) -> None:
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None


def spawn(
    config: dict[str, Any], pass_fds: tuple[int, ...], streams: Mapping[str, Any]
) -> tuple[Confined, tuple[str, ...], str | None]:
    """Start the launcher and wait until the program runs.

    Returns:
        The process, what the kernel refused in words, and why it did not start (or None).
    """
    engine = "line" in config
    scratch = config["control"] if engine else _private_tmp(config)
    lifeline_in, lifeline_out = os.pipe()
    status_out, status_in = os.pipe()
    settings = os.memfd_create("confine") if sys.platform == "linux" else tempfile.mkstemp()[0]
    config |= {"lifeline": lifeline_in, "status": status_in, "pass_fds": list(pass_fds)}
    try:
        if engine:
            _give_orders(config, pass_fds)
        data = marshal.dumps((_compiled(_CONTAIN if engine else _CONFINE), config))
        os.truncate(settings, len(data))
        os.pwrite(settings, data, 0)
        process = Confined(
            [sys.executable, "-I", "-S", "-c", _START, str(settings)],
            env={},
            start_new_session=True,
            pass_fds=(*pass_fds, lifeline_in, status_in, settings),
            **streams,
        )
    except BaseException:
        os.close(lifeline_out)
        os.close(status_out)
        raise
    finally:
        for descriptor in (lifeline_in, status_in, settings):
            os.close(descriptor)
    process._lifeline = open(lifeline_out, "wb", buffering=0)  # noqa: SIM115
    process._scratch = scratch
    with open(status_out, "rb") as status:
        lines = status.read().decode(errors="replace").splitlines()
    notes = tuple(line[1:] for line in lines if line.startswith("N"))
    problems = [line[1:] for line in lines if line.startswith("E")]
    return process, notes, problems[0] if problems else None


def _give_orders(config: dict[str, Any], pass_fds: tuple[int, ...]) -> None:
    """Fill the folder that a container reads its orders from."""
    control = Path(config["control"])
    for name in ("lifeline", "report", *(f"fd-{number}" for number in pass_fds)):
        os.mkfifo(control / name, 0o600)
    ways = [(n, fcntl.fcntl(n, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY) for n in pass_fds]
    kept = ("argv", "env", "cwd", "limits", "filter")
    orders = {**{name: config[name] for name in kept}, "pipes": ways}
    (control / "orders").write_bytes(marshal.dumps((_compiled(_CONTAINED), orders)))


def _private_tmp(config: dict[str, Any]) -> str | None:
    """Where no private /tmp can be mounted, a folder of its own takes its place."""
    if config["mode"] != "rlimits" or not config["writable"] or "TMPDIR" in config["env"]:
        return None
    scratch = tempfile.mkdtemp(prefix=".tmp-", dir=config["writable"][0])
    config["env"]["TMPDIR"] = scratch
    return scratch


@dataclass(frozen=True, slots=True)
class Completed:
    """How a one-shot program ended.

    Attributes:
        returncode: as for `subprocess.Popen`.
        stdout, stderr: at most ``Limits.output_bytes`` each: the start and the end.
        timed_out: ended by us at ``Limits.wall_seconds``.
        seconds: wall clock.
        truncated: some output was dropped.
    """

    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool
    seconds: float
    truncated: bool = False


class _Capped:
    """The first and the last bytes of a stream of any length, in bounded memory."""

    def __init__(self, size: int) -> None:
        self._head, self._tail = bytearray(), bytearray()
        self._half = max(1, size // 2)
        self.dropped = 0

    def add(self, data: bytes) -> None:
        room = self._half - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail += data[max(0, room) :]
        if len(self._tail) > 4 * self._half:
            self._trim()

    def _trim(self) -> None:
        surplus = max(0, len(self._tail) - self._half)
        self.dropped += surplus
        del self._tail[:surplus]

    def value(self) -> bytes:
        self._trim()
        gap = f"\n[... {self.dropped} bytes dropped ...]\n".encode() if self.dropped else b""
        return bytes(self._head) + gap + bytes(self._tail)


def collect(process: Confined, wall_seconds: float | None, output_bytes: int) -> Completed:
    """Read both outputs of a program until it ends or its time is over, then end everything."""
    began = time.monotonic()
    end = None if wall_seconds is None else began + wall_seconds
    assert process.stdout is not None
    assert process.stderr is not None
    outputs = {process.stdout: _Capped(output_bytes), process.stderr: _Capped(output_bytes)}
    timed_out = False
    with selectors.DefaultSelector() as selector:
        for stream in outputs:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = None if end is None else end - time.monotonic()
            timed_out = left is not None and left <= 0
            if timed_out:
                break
            for key, _ in selector.select(left):
                data = os.read(key.fd, 65536)
                if data:
                    outputs[key.fileobj].add(data)  # type: ignore[index]
                else:
                    selector.unregister(key.fileobj)
    if not timed_out:
        try:
            process.wait(None if end is None else max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            timed_out = True
    seconds = time.monotonic() - began
    code = process.stop()
    out, err = outputs.values()
    kept = out.value(), err.value()
    return Completed(code, *kept, timed_out, seconds, bool(out.dropped or err.dropped))
