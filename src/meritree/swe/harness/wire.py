"""Frames between processes: four bytes of length, then UTF-8 JSON, over pipe descriptors.

Knows nothing about what is said, but how to send a long text as its difference from another.
Both ends use it, in our interpreter and in the target's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import struct
import time
import tokenize
from typing import Any, Dict, List, Optional, Tuple

MAX_FRAME = 256 << 20
_HIGH_FD = 200


class Closed(Exception):
    """The other end has gone."""


class Garbled(Exception):
    """Something that is no frame came through the pipe."""


class TimedOut(Exception):
    """Nothing complete came in time."""


def high(fd: int) -> int:
    """Move ``fd`` out of the range that careless code writes to; the old number is closed."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
    os.close(fd)
    return moved


class Channel:
    """One direction in, one out; not for use by several threads at once."""

    def __init__(self, read_fd: int, write_fd: int, token: str = "") -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd
        self.token = token

    def close(self) -> None:
        """Close both descriptors; harmless when repeated."""
        for fd in (self.read_fd, self.write_fd):
            if fd >= 0:
                with contextlib.suppress(OSError):
                    os.close(fd)
        self.read_fd = self.write_fd = -1

    def send(self, message: Dict[str, Any]) -> None:
        """Write one frame; raises Closed when nobody reads any more."""
        body = json.dumps([self.token, message]).encode("utf-8")
        data = memoryview(struct.pack(">I", len(body)) + body)
        while data:
            try:
                data = data[os.write(self.write_fd, data) :]
            except (BrokenPipeError, OSError) as error:
                raise Closed(str(error)) from None

    def receive(self, deadline: Optional[float] = None) -> Dict[str, Any]:
        """Read one frame.

        Args:
            deadline: ``time.monotonic()`` value after which TimedOut is raised.

        Raises:
            Closed, Garbled, TimedOut: see there. After Garbled or TimedOut the channel is
                out of step and only good for closing.
        """
        (length,) = struct.unpack(">I", self._exactly(4, deadline))
        if length > MAX_FRAME:
            raise Garbled("frame of %d bytes" % length)
        try:
            token, message = json.loads(self._exactly(length, deadline).decode("utf-8"))
        except (ValueError, TypeError, RecursionError) as error:
            raise Garbled(str(error)) from None
        if token != self.token or not isinstance(message, dict):
            raise Garbled("frame without the right token")
        return message

    def _exactly(self, count: int, deadline: Optional[float]) -> bytes:
        parts = []
        while count:
            if deadline is not None and not self.readable(deadline):
                raise TimedOut
            try:
                chunk = os.read(self.read_fd, min(count, 1 << 20))
            except OSError as error:
                raise Closed(str(error)) from None
            if not chunk:
                raise Closed("end of stream")
            parts.append(chunk)
            count -= len(chunk)
        return b"".join(parts)

    def readable(self, deadline: float) -> bool:
        poller = select.poll()
        poller.register(self.read_fd, select.POLLIN | select.POLLHUP)
        wait = max(0.0, deadline - time.monotonic())
        return bool(poller.poll(int(wait * 1000) + 1))


def read(path: str) -> str:
    """A source file's text as Python decodes it."""
    with tokenize.open(path) as f:
        return f.read()


def difference_of(original: str, text: str) -> List[Any]:
    """``[characters kept at the beginning, kept at the end, new text between]``."""
    start = common_prefix(original, text)
    tail = min(common_suffix(original, text), min(len(original), len(text)) - start)
    return [start, tail, text[start : len(text) - tail]]


def text_of(original: str, difference: List[Any]) -> str:
    """Inverse of `difference_of`."""
    start, tail, middle = difference
    return original[:start] + str(middle) + original[len(original) - tail :]


def common_prefix(a: str, b: str) -> int:
    """How many characters two texts share at the beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_suffix(a: str, b: str) -> int:
    """How many characters two texts share at the end."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[len(a) - middle : len(a) - low] == b[len(b) - middle : len(b) - low]:
            low = middle
        else:
            high = middle - 1
    return low


def pair(token: str) -> Tuple[Channel, Channel]:
    """Two connected channels, for the two sides of a fork."""
    a_read, b_write = os.pipe()
    b_read, a_write = os.pipe()
    return (
        Channel(high(a_read), high(a_write), token),
        Channel(high(b_read), high(b_write), token),
    )
