"""The part of the launcher that waits: it ends a program and everything that it left behind.

Runs in one namespace with `_confine`; standard library only. Keeps the one limit that no kernel
keeps for us: how much a program may add to the folders that it may change.
"""

from __future__ import annotations

import os
import select
import stat
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal

_LOOK_SECONDS = 0.25


class Growth:
    """How much the writable folders have grown, measured only when their disk got fuller.

    Free space is asked often, since that costs nothing; whose fault it is costs a walk.
    """

    def __init__(self, folders: list[str], most: int | None) -> None:
        self.most = most or 0
        self._began = time.time()
        self._free = {folder: self._left(folder) for folder in folders} if most else {}
        self._next = 0.0

    def too_much(self, child: int) -> bool:
        """Whether more than ``most`` bytes were written that are still there."""
        if not self._free or time.monotonic() < self._next:
            return False
        began = time.monotonic()
        fuller = [f for f, free in self._free.items() if free - self._left(f) > self.most]
        # The same bytes are seen in each folder of one disk; the widest sum is enough.
        grown = sum(map(self._written, self._free)) + self._unlinked(child) if fuller else 0
        self._next = time.monotonic() + max(_LOOK_SECONDS, 5 * (time.monotonic() - began))
        return grown > self.most

    def _left(self, folder: str) -> int:
        try:
            found = os.statvfs(folder)
        except OSError:
            return 0
        return found.f_bfree * found.f_frsize

    def _written(self, top: str) -> int:
        """Bytes of files below a folder whose contents or names changed since the start."""
        total, pending, seen = 0, [top], set()
        while pending:
            try:
                entries = list(os.scandir(pending.pop()))
            except OSError:
                continue
            for entry in entries:
                try:
                    info = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISDIR(info.st_mode):
                    pending.append(entry.path)
                elif info.st_ctime >= self._began - 1 and info.st_ino not in seen:
                    seen.add(info.st_ino)
                    total += info.st_blocks * 512
        return total

    def _unlinked(self, child: int) -> int:
        """Bytes of files without a name that processes below hold open."""
        found = {}
        for pid in descendants(child):
            try:
                for name in os.listdir(f"/proc/{pid}/fd"):
                    info = os.stat(f"/proc/{pid}/fd/{name}")
                    if stat.S_ISREG(info.st_mode) and not info.st_nlink:
                        found[info.st_dev, info.st_ino] = info.st_blocks * 512
            except OSError:
                continue
        return sum(found.values())


def descendants(top: int) -> list[int]:
    """A process and everything below it, as far as it can be seen."""
    found = [top]
    for pid in found:
        try:
            with open(f"/proc/{pid}/task/{pid}/children") as listing:
                found += [int(word) for word in listing.read().split()]
        except OSError:
            continue
    return found


def supervise(config: dict[str, Any], child: int, relay: int | None) -> int:
    """Wait for the program or for the parent's death; then end whatever is left below us."""
    wake, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    poll = select.poll()
    poll.register(config["lifeline"], select.POLLIN)
    poll.register(wake, select.POLLIN)
    growth = Growth(config["writable"], config["disk"])
    wait = int(1000 * _LOOK_SECONDS) if growth.most else 1000
    while True:
        try:
            done, end = os.waitpid(child, os.WNOHANG)
        except ChildProcessError:
            done, end = child, signal.SIGKILL
        if done == child:
            break
        events = dict(poll.poll(wait))
        heard = os.read(wake, 512) if wake in events else b""
        full = growth.too_much(child)
        if full or config["lifeline"] in events or signal.SIGTERM in heard:
            os.kill(child, signal.SIGKILL)
            end = signal.SIGXFSZ if full else signal.SIGKILL
            break
    if relay is not None:
        told = os.read(relay, 4)
        end = struct.unpack("i", told)[0] if len(told) == 4 else end or signal.SIGKILL
    else:
        end_descendants()
    return end


def end_descendants() -> None:
    """Kill everything that was left to us (we are the reaper of orphans), however it hid."""
    own = os.getpid()
    for _ in range(1000):
        try:
            with open(f"/proc/{own}/task/{own}/children") as listing:
                below = listing.read().split()
        except OSError:
            below = []
        for pid in below:
            os.kill(int(pid), signal.SIGKILL)
        try:
            os.waitpid(-1, 0 if below else os.WNOHANG)
        except ChildProcessError:
            return
