"""Stands between us and a container engine: pumps pipes, and ends the container with its owner.

Run, compiled, by our own interpreter, with the protocol of `_confine` and in one namespace with
`_confine_watch`; standard library only. An engine's daemon does not pass descriptors on, so each
becomes a named pipe in a shared folder.
"""

from __future__ import annotations

import ctypes
import fcntl
import marshal
import os
import resource
import select
import signal
import struct
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from meritree.run._confine_watch import Growth

_CHUNK = 1 << 16


class Pump:
    """The pipes between the program's descriptors and ours."""

    def __init__(self, control: str, numbers: list[int]) -> None:
        self.control = control
        self.keepers: dict[int, int] = {}
        self.flows: dict[int, int] = {}  # from, to
        self.numbers = numbers
        for number in numbers:
            self.keepers[number] = os.open(self._path(number), os.O_RDWR)

    def _path(self, number: int) -> str:
        return f"{self.control}/fd-{number}"

    def begin(self, poll: select.poll) -> None:
        """The other side has opened its ends: open ours, so that an end of input is seen."""
        for number in self.numbers:
            if reads(number):
                self.flows[number] = os.open(self._path(number), os.O_WRONLY)
            else:
                self.flows[os.open(self._path(number), os.O_RDONLY)] = number
            os.close(self.keepers.pop(number))
        for source in self.flows:
            poll.register(source, select.POLLIN)

    def move(self, source: int, poll: select.poll) -> None:
        """Pass on what is there; at the end of a stream close both sides."""
        try:
            data = memoryview(os.read(source, _CHUNK))
            ended = not data
            while data:
                data = data[os.write(self.flows[source], data) :]
        except OSError:
            ended = True
        if ended:
            poll.unregister(source)
            target = self.flows.pop(source)
            os.close(source)
            os.close(target)

    def finish(self, poll: select.poll) -> None:
        """After the program's end: what it wrote and nobody has read yet."""
        for source in list(self.flows):
            if source not in self.numbers:
                os.set_blocking(source, False)
                while source in self.flows:
                    self.move(source, poll)


def reads(number: int) -> bool:
    """Whether the program reads from a descriptor (else it writes to it)."""
    return fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY


def remove(control: str) -> None:
    """Delete the folder of orders; the open pipes live on."""
    for name in os.listdir(control):
        os.unlink(f"{control}/{name}")
    os.rmdir(control)


def engine_of(config: dict[str, Any]) -> int:
    """Start the engine's command line with our standard streams."""
    child = os.fork()
    if child == 0:
        try:
            zero = ctypes.c_ulong(0)
            ctypes.CDLL(None).prctl(1, ctypes.c_ulong(signal.SIGKILL), zero, zero, zero)
            os.closerange(3, 1 << 16)
            os.execve(config["line"][0], config["line"], config["engine_env"])
        finally:
            os._exit(126)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return child


def serve(config: dict[str, Any], child: int, pump: Pump, report: int) -> int | None:
    """Pump until the program or its owner ends; the program's end as `os.waitpid` gives it."""
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    poll = select.poll()
    for source in (config["lifeline"], report, wake):
        poll.register(source, select.POLLIN)
    end = None
    growth = Growth(config["writable"], config["disk"])
    while True:
        events = dict(poll.poll(250 if growth.most else 1000))
        if growth.too_much(child):
            return signal.SIGXFSZ
        heard = os.read(wake, 512) if wake in events else b""
        if config["lifeline"] in events or signal.SIGTERM in heard:
            return signal.SIGKILL
        if report in events:
            said = os.read(report, 4096)
            if said[:1] == b"R":
                pump.begin(poll)
                # Everybody holds his ends now; whoever is killed later leaves no folder behind.
                remove(config["control"])
                os.close(config["status"])
                said = said[1:]
            if said[:1] == b"E":
                os.write(config["status"], said)
            elif said[:1] == b"X":
                end = struct.unpack("i", said[1:5])[0]
        for source in list(pump.flows):
            if source in events:
                pump.move(source, poll)
        if report not in events and os.waitpid(child, os.WNOHANG)[0] == child:
            pump.finish(poll)
            return end


def main() -> None:
    os.lseek(int(sys.argv[1]), 0, os.SEEK_SET)
    with open(int(sys.argv[1]), "rb") as source:
        config: dict[str, Any] = marshal.loads(source.read())[1]
    control = config["control"]
    lifeline = os.open(f"{control}/lifeline", os.O_RDWR)  # the container ends when it closes
    report = os.open(f"{control}/report", os.O_RDWR)
    pump = Pump(control, config["pass_fds"])
    child = engine_of(config)
    end = serve(config, child, pump, report)
    os.close(lifeline)
    if end is None or os.WIFSIGNALED(end):
        subprocess.run(
            config["remove"],
            env=config["engine_env"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    if end is None:
        os._exit(125)
    if os.WIFSIGNALED(end):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if os.WTERMSIG(end) != signal.SIGKILL:
            signal.signal(os.WTERMSIG(end), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(end))
    os._exit(os.waitstatus_to_exitcode(end))


if __name__ == "__main__":
    main()
