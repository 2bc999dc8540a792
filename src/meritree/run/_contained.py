"""The first process of a container: starts the program, passes its pipes on, ends with its owner.

Run inside, by our interpreter, in one namespace with `_confine_rules`; standard library only.
Everything it is told stands in a folder that is shown to it: orders, and a named pipe for each
descriptor that the program inherits.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import select
import signal
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from meritree.run._confine_rules import filter_calls, no_new_privileges, set_limits

_HIGH = 300
_HERE = "/run/meritree"


def high(path: str, flags: int) -> int:
    """Open a named pipe under a number that nobody else wants."""
    low = os.open(path, flags)
    moved = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    os.close(low)
    return moved


def become(config: dict[str, Any], told: int) -> None:
    """Become the program; say on ``told`` why not."""
    try:
        for number, reading in config["pipes"]:
            pipe = high(f"{_HERE}/fd-{number}", os.O_RDONLY if reading else os.O_WRONLY)
            os.dup2(pipe, number)
        os.chdir(config["cwd"])
        set_limits(config["limits"])
        no_new_privileges()
        if config["filter"]:
            filter_calls(config["filter"])
        os.execve(config["argv"][0], config["argv"], config["env"])
    except OSError as error:
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        os.write(told, f"E{error.strerror}{where}".encode())
    finally:
        os._exit(126)


def main() -> None:
    with open(f"{_HERE}/orders", "rb") as orders:
        config: dict[str, Any] = marshal.loads(orders.read())[1]
    lifeline = high(f"{_HERE}/lifeline", os.O_RDONLY)
    report = high(f"{_HERE}/report", os.O_WRONLY)
    heard, told = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _HIGH) for end in os.pipe())
    wake, woken = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _HIGH) for end in os.pipe())
    os.closerange(3, _HIGH)
    os.set_blocking(woken, False)
    child = os.fork()
    if child == 0:
        become(config, told)
    os.close(told)
    problem = os.read(heard, 4096)  # ends when the program has taken over
    os.write(report, problem or b"R")
    if problem:
        os._exit(126)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    poll.register(wake, select.POLLIN)
    while True:
        try:
            pid, end = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            sys.exit(1)
        if pid == child:
            os.write(report, b"X" + struct.pack("i", end))
            os._exit(0)  # and the kernel ends everything else in the container
        if pid:
            continue
        events = dict(poll.poll(1000))
        if wake in events:
            os.read(wake, 512)
        if lifeline in events:
            os._exit(0)


if __name__ == "__main__":
    main()
